//! Sets without groups, of many shapes, and sets with groups, made by fixed seeds.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Roughly normal numbers: sums of uniform ones.
struct Draw(ChaCha8Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn uniform(&mut self) -> f32 {
        self.0.random::<f32>()
    }

    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    fn vector(&mut self, dimensions: usize) -> Vec<f32> {
        (0..dimensions).map(|_| self.normal()).collect()
    }

    fn near(&mut self, centre: &[f32], spread: f32) -> Vec<f32> {
        centre.iter().map(|value| value + spread * self.normal()).collect()
    }

    fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.0.random_range(0..=last));
        }
    }
}

fn found(looks: &[Vec<f32>], names: &[String]) -> GroupFinding {
    let looks: Vec<&[f32]> = looks.iter().map(Vec::as_slice).collect();
    find_groups(&looks, &names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("set/train/good/{number:03}.png")).collect()
}

/// The images of every group, as sets of names, singles left out.
fn groups_of(finding: &GroupFinding, names: &[String]) -> Vec<Vec<String>> {
    let GroupFinding::Groups { of, .. } = finding else { panic!("no groups: {finding:?}") };
    let count = of.iter().flatten().max().map_or(0, |last| last + 1);
    let mut groups = vec![Vec::new(); count];
    for (group, name) in of.iter().zip(names) {
        if let Some(group) = group {
            groups[*group].push(name.clone());
        }
    }
    groups.iter_mut().for_each(|group| group.sort());
    groups.sort();
    groups
}

/// 40 parts under 3 exposures; `name` calls an image by its part and exposure.
fn exposures(seed: u64, name: impl Fn(usize, usize) -> String) -> (Vec<Vec<f32>>, Vec<String>) {
    let mut draw = Draw::new(seed);
    let (mut looks, mut names) = (Vec::new(), Vec::new());
    for part in 0..40 {
        let centre = draw.vector(12);
        for exposure in 0..3 {
            looks.push(draw.near(&centre, 0.08));
            names.push(name(part, exposure));
        }
    }
    (looks, names)
}

/// Lines, planes, clouds of up to 20 dimensions, rings, heavy tails, two kinds of parts: none of 100 sets is taken for groups.
#[test]
fn exchangeable_sets_have_no_groups() {
    let shapes: [fn(&mut Draw) -> Vec<f32>; 10] = [
        |draw| draw.vector(1),
        |draw| draw.vector(2),
        |draw| draw.vector(3),
        |draw| draw.vector(5),
        |draw| draw.vector(20),
        |draw| vec![draw.uniform(), draw.uniform()],
        |draw| {
            let angle = std::f32::consts::TAU * draw.uniform();
            vec![angle.cos(), angle.sin(), 0.02 * draw.normal(), 0.02 * draw.normal()]
        },
        |draw| {
            let tail = 1.0 / (0.05 + draw.uniform());
            draw.vector(4).iter().map(|value| tail * value).collect()
        },
        |draw| {
            let kind = if draw.uniform() < 0.5 { 4.0 } else { -4.0 };
            draw.vector(6).iter().map(|value| value + kind).collect()
        },
        |draw| draw.vector(2).into_iter().chain((0..20).map(|_| 0.05 * draw.normal())).collect(),
    ];
    for seed in 0..10 {
        for (shape, make) in shapes.iter().enumerate() {
            let mut draw = Draw::new(100 * seed + shape as u64);
            let count = [24, 48, 120][seed as usize % 3];
            let looks: Vec<Vec<f32>> = (0..count).map(|_| make(&mut draw)).collect();
            assert_eq!(found(&looks, &numbers(count)), GroupFinding::Separate, "shape {shape}, seed {seed}");
        }
    }
}

#[test]
fn exposures_are_found_whatever_their_names_are_like() {
    let names: [fn(usize, usize) -> String; 4] = [
        |part, exposure| format!("a/part{part:02}_{exposure}.png"),
        |part, exposure| format!("a/exp{exposure}_num_{}.jpg", 1000 * part + 17 * exposure),
        |part, exposure| format!("a/{}/{part}.png", ["left", "right", "top"][exposure]),
        |part, exposure| format!("a/part{part:02}/{}.png", ["left", "right", "top"][exposure]),
    ];
    for (number, name) in names.into_iter().enumerate() {
        let (looks, names) = exposures(number as u64, name);
        let finding = found(&looks, &names);
        assert!(
            matches!(finding, GroupFinding::Groups { by: GroupedBy::Names, .. }),
            "{number}: {finding:?}"
        );
        let groups = groups_of(&finding, &names);
        assert_eq!(groups.len(), 40, "{number}: {groups:?}");
        assert!(groups.iter().all(|group| group.len() == 3), "{number}: {groups:?}");
    }
    // Names in no particular order say nothing; looks do.
    let (looks, mut names) = exposures(9, |part, exposure| (3 * part + exposure).to_string());
    Draw::new(1).shuffle(&mut names);
    let finding = found(&looks, &names);
    assert!(matches!(finding, GroupFinding::Groups { by: GroupedBy::Looks, .. }), "{finding:?}");
    let groups = groups_of(&finding, &names);
    // Two parts may be alike by chance.
    assert!(groups.iter().filter(|group| group.len() == 3).count() >= 38, "{groups:?}");
}

/// Only every second part is alike enough to be a tight cluster; its name tells the others, too.
#[test]
fn names_complete_what_looks_show_only_in_part() {
    let mut draw = Draw::new(4);
    let (mut looks, mut names) = (Vec::new(), Vec::new());
    for part in 0..40 {
        let centre = draw.vector(6);
        for shot in 0..4 {
            looks.push(draw.near(&centre, if part % 2 == 0 { 0.05 } else { 1.0 }));
            names.push(format!("part{part}-{shot}.png"));
        }
    }
    let groups = groups_of(&found(&looks, &names), &names);
    assert_eq!(groups.len(), 40);
    assert!(groups.iter().all(|group| group.len() == 4));
}

/// Neighbours in the order of names are alike since the light changes slowly, but without any gap.
#[test]
fn a_slow_change_over_the_day_is_no_grouping() {
    for seed in 0..10 {
        let mut draw = Draw::new(seed);
        let mut light = vec![0.0; 4];
        let looks: Vec<Vec<f32>> = (0..120)
            .map(|_| {
                light = draw.near(&light, 0.3);
                draw.near(&light, 0.3)
            })
            .collect();
        assert_eq!(found(&looks, &numbers(120)), GroupFinding::Separate, "seed {seed}");
    }
}

/// Twelve variants drawn at random are clusters, but the next image is of the same variants.
#[test]
fn variants_of_a_product_are_told_and_not_taken_for_groups() {
    for seed in 0..10 {
        let mut draw = Draw::new(seed);
        let variants: Vec<Vec<f32>> = (0..12).map(|_| draw.vector(20)).collect();
        let looks: Vec<Vec<f32>> = (0..120)
            .map(|_| {
                let variant = draw.0.random_range(0..variants.len());
                draw.near(&variants[variant], 0.1)
            })
            .collect();
        let finding = found(&looks, &numbers(120));
        assert!(!matches!(finding, GroupFinding::Groups { .. }), "seed {seed}: {finding:?}");
    }
}

#[test]
fn few_images_and_images_all_alike_are_left_alone() {
    assert_eq!(found(&[], &[]), GroupFinding::Separate);
    assert_eq!(found(&vec![vec![1.0; 8]; 5], &numbers(5)), GroupFinding::Separate);
    assert_eq!(found(&vec![vec![1.0; 8]; 40], &numbers(40)), GroupFinding::Separate);
}

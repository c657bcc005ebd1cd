//! The analytic cases of the specification, and that stored models are checked.

use super::config::{PniConfig, Variant};
use super::grid::PatchGrid;
use super::likelihood::{open, released_distances, scores};
use super::neighbourhood::Neighbours;
use super::position::PositionHistogram;
use super::*;
use crate::contract::Small;
use crate::registry;
use crate::testing::{Images, backbone};
use blemish_core::entry::MethodEntry;
use blemish_core::method::{FitContext, Stored};
use blemish_core::state::Shared;
use blemish_kernels::knn::MemoryBank;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        NAME,
        &[
            ("coreset_ratio", "0.1"),
            ("distribution_size", "32"),
            ("width", "16"),
            ("epochs", "4"),
            ("positions", "256"),
            ("batch", "64"),
        ],
    ),
    Small::new(
        NAME,
        &[
            ("neighbourhood", "false"),
            ("coreset_ratio", "0.1"),
            ("distribution_size", "32"),
            ("refinement", "true"),
            ("refine_side", "64"),
            ("refine_samples", "10"),
            ("refine_steps", "12"),
            ("refine_batch", "2"),
        ],
    ),
];

/// Entries on a line at these places.
fn line(places: &[f32]) -> MemoryBank<Shared<f32>> {
    MemoryBank::new(places.to_vec().into(), 1).unwrap()
}

fn gated(probabilities: &[f32], threshold: f32) -> f32 {
    let gate = open(1, 3, |_, entry| probabilities[entry] > threshold);
    scores(&line(&[1.0, 2.0, 4.0]), &[0.0], &[&gate], 0.99).unwrap()[0]
}

#[test]
fn the_nearest_allowed_entry_scores_and_the_farthest_where_none_is_allowed() {
    let threshold = PniConfig::default().threshold(3);
    assert!((threshold - 1.0 / 6.0).abs() < 1e-7);
    assert!((gated(&[1e-4, 0.3, 0.6], threshold) - 1.990_050_3).abs() < 1e-6);
    assert!((gated(&[1e-4, 0.1, 0.6], threshold) - 3.970_050_3).abs() < 1e-6);
    // Nothing is allowed: the farthest entry, at 4.
    assert!((gated(&[0.1, 0.1, 0.1], threshold) - 3.970_050_3).abs() < 1e-6);
}

#[test]
fn branches_are_averaged() {
    let bank = line(&[1.0, 2.0, 4.0]);
    let second = open(1, 3, |_, entry| entry == 1);
    let third = open(1, 3, |_, entry| entry == 2);
    let both = scores(&bank, &[0.0], &[&second, &third], 1.0).unwrap()[0];
    assert!((both - 3.0).abs() < 1e-6);
}

#[test]
fn an_open_gate_is_the_distance_to_the_nearest_entry() {
    let rows: Vec<f32> = (0..200 * 7).map(|i| ((i * 7919) % 1013) as f32 * 0.01).collect();
    let bank = MemoryBank::new(Shared::from(rows), 7).unwrap();
    let queries: Vec<f32> = (0..50 * 7).map(|i| ((i * 104_729) % 997) as f32 * 0.01).collect();
    let gate = open(50, 200, |_, _| 1e-9 > 0.0);
    let plain = bank.search(&queries, 1).unwrap().distances();
    for gates in [vec![], vec![&gate], vec![&gate, &gate]] {
        let found = scores(&bank, &queries, &gates, 0.99).unwrap();
        for (found, distance) in found.iter().zip(&plain) {
            assert!((found - (0.99 * distance - 0.99f32.ln())).abs() < 1e-4);
        }
    }
}

#[test]
fn a_cell_counts_in_the_whole_window_around_it() {
    let grid = PatchGrid { height: 3, width: 3, rim: 0 };
    let mut histogram = PositionHistogram::new(grid, 1, 2);
    for cell in 0..9 {
        histogram.count(cell, usize::from(cell != 4));
    }
    assert_eq!(histogram.probabilities(0), [0.25, 0.75]);
    // All nine cells lie around the centre.
    let ninth = 1.0 / 9.0;
    assert!((histogram.probabilities(4)[0] - ninth).abs() < 1e-6);
    let gate = histogram.gate(&[0, 4], &[0, 1], 0.2);
    assert!(gate.get(0, 0) && gate.get(0, 1) && !gate.get(1, 0) && gate.get(1, 1));
    // A bank of four, of which two stand for the others.
    let gate = histogram.gate(&[4], &[0, 1, 1, 0], 0.2);
    assert_eq!([0, 1, 2, 3].map(|entry| gate.get(0, entry)), [false, true, true, false]);
    // Nothing was ever seen: nothing is allowed, whatever the threshold.
    let empty = PositionHistogram::new(grid, 1, 2).gate(&[0], &[0, 1], 0.0);
    assert_eq!(empty.count(0), 0);
}

#[test]
fn neighbourhoods_leave_the_centre_out_and_are_zero_just_beyond_the_grid() {
    let grid = PatchGrid { height: 5, width: 6, rim: 2 };
    let ones = vec![1.0; 2 * 30 * 3];
    let neighbours = |values: &'static [f32], dimensions, variant| Neighbours {
        values,
        dimensions,
        grid,
        half_window: 4,
        variant,
    };
    let around = neighbours(ones.leak(), 3, Variant::Published);
    assert_eq!(around.length(), 80 * 3);
    for cell in [0, 14, 29] {
        let row = around.gather(&[30 + cell]);
        let offsets = Neighbours::offsets(4, Variant::Published);
        assert_eq!(offsets.len(), 80);
        for (part, (dy, dx)) in row.chunks_exact(3).zip(offsets) {
            let (y, x) = ((cell / 6) as isize + dy, (cell % 6) as isize + dx);
            let inside = (0..5).contains(&y) && (0..6).contains(&x);
            assert_eq!(part, [f32::from(u8::from(inside)); 3], "{cell}: {dy} {dx}");
        }
    }
    // Numbered cells: published all but the cell itself, released all but the one right of it; rows of the second image come from it.
    let numbers: Vec<f32> = (0..60).map(|cell| cell as f32 + 1.0).collect();
    let numbers: &'static [f32] = numbers.leak();
    for (variant, missing) in [(Variant::Published, 44.0 + 1.0), (Variant::Released, 45.0 + 1.0)] {
        let row = neighbours(numbers, 1, variant).gather(&[44]);
        let mut present: Vec<f32> = row.into_iter().filter(|&value| value != 0.0).collect();
        present.sort_by(f32::total_cmp);
        let expected: Vec<f32> = (31..=60).map(|number| number as f32).filter(|&n| n != missing).collect();
        assert_eq!(present, expected);
    }
}

#[test]
fn released_gates_are_looked_up_by_ranks() {
    // Entries at 3, 1, 2: ranks from 0 are entries 1, 2, 0. The distribution coreset holds the same points in another order: 1, 2, 3.
    let (bank, distribution) = (line(&[3.0, 1.0, 2.0]), line(&[1.0, 2.0, 3.0]));
    let stands_for = [2, 0, 1];
    let distance = |open: [bool; 3]| {
        released_distances(&bank, &distribution, &stands_for, &[0.0], |_, entry| open[entry])[0]
    };
    // Rank r takes the gate of the distribution entry whose rank is stands_for[r]: ranks 0, 1, 2 look at entries 2, 0, 1.
    assert_eq!(distance([false, false, true]), 1.0);
    assert_eq!(distance([true, false, false]), 2.0);
    assert_eq!(distance([false, true, false]), 3.0);
    assert_eq!(distance([false, false, false]), 3.0);
    // Where both coresets are the same points in the same order, it is the paper's formula.
    for number in 1..8u32 {
        let is_open = |entry: usize| number >> entry & 1 == 1;
        let found = released_distances(&bank, &bank, &[0, 1, 2], &[0.4], |_, entry| is_open(entry))[0];
        let gate = open(1, 3, |_, entry| is_open(entry));
        let published = scores(&bank, &[0.4], &[&gate], 1.0).unwrap()[0];
        assert!((found - published).abs() < 1e-6, "{number}");
    }
}

#[test]
fn the_rim_repeats_the_nearest_inner_cell() {
    let grid = PatchGrid { height: 4, width: 5, rim: 1 };
    assert_eq!(grid.inner(), [6, 7, 8, 11, 12, 13]);
    let padded = grid.padded(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let expected = [
        [1.0, 1.0, 2.0, 3.0, 3.0],
        [1.0, 1.0, 2.0, 3.0, 3.0],
        [4.0, 4.0, 5.0, 6.0, 6.0],
        [4.0, 4.0, 5.0, 6.0, 6.0],
    ];
    assert_eq!(padded, expected.concat());
}

#[test]
fn losses_of_maps_that_differ_by_a_constant_have_no_steps() {
    let map = |value: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..2 * 3 * 4).map(value).collect();
        blemish_nn::Tensor::<4>::from_data(
            blemish_nn::TensorData::new(values, [2, 1, 3, 4]),
            &blemish_nn::Device::flex(),
        )
    };
    let found = |one: &dyn Fn(usize) -> f32, other: &dyn Fn(usize) -> f32| {
        refine::losses(map(one), map(other)).map(|loss| loss.into_scalar::<f32>())
    };
    let some = |at: usize| ((at * 7) % 5) as f32;
    assert_eq!(found(&some, &some), [0.0; 3]);
    let [values, right, down] = found(&|at| some(at) + 0.5, &some);
    assert!((values - 0.25).abs() < 1e-6 && right.abs() < 1e-9 && down.abs() < 1e-9);
    // A ramp of 2 a column: three of four steps to the right differ by 2, the last one repeats.
    let [values, right, down] = found(&|at| (at % 4) as f32 * 2.0, &|_| 0.0);
    assert!((values - 14.0).abs() < 1e-5 && (right - 3.0).abs() < 1e-6 && down == 0.0);
}

fn entry() -> &'static dyn MethodEntry {
    registry::method(NAME).unwrap()
}

/// Grey ramps that turn a little from image to image.
fn images(count: usize) -> Images<'static> {
    let plane = |number: usize| {
        (0..96 * 96)
            .map(move |at| ((at % 96) as f32 * 0.3 + (at / 96 * number) as f32 * 0.02).sin() * 0.3 + 0.5)
    };
    Images::new(
        (0..count).map(|number| ((96, 96), plane(number).collect::<Vec<f32>>().repeat(3))).collect(),
        Some(backbone(&[8, 16])),
    )
}

fn fitted(pairs: &[(&str, &str)]) -> Pni {
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let settings = entry().parse(&pairs).unwrap();
    let config: PniConfig = blemish_core::settings::typed(&settings).unwrap();
    Pni::fit(&config, &images(4), &FitContext::new(1, Some(backbone(&[8, 16])))).unwrap()
}

const QUICK: [(&str, &str); 6] = [
    ("patch_size", "5"),
    ("width", "8"),
    ("epochs", "2"),
    ("batch", "32"),
    ("neighbour_dimensions", "4"),
    ("positions", "64"),
];

#[test]
fn both_coresets_are_prefixes_of_one_order() {
    // Inner cells: 8 x 8 of 12 x 12 a image, 256 patches in all.
    let with = |ratio, size| {
        let more = [("coreset_ratio", ratio), ("distribution_size", size), ("variant", "released")];
        fitted(&[&QUICK[..], &more[..]].concat())
    };
    let (few, many) = (with("0.1", "60"), with("0.4", "10"));
    assert_eq!((few.coreset_sizes(), many.coreset_sizes()), ((25, 60), (102, 10)));
    let distribution = |model: &Pni| {
        model.model.neighbourhood.as_ref().unwrap().distribution.as_ref().unwrap().rows().to_vec()
    };
    for model in [&few, &many] {
        let (embedding, distribution) = (model.model.bank.rows(), distribution(model));
        let shared = embedding.len().min(distribution.len());
        assert!(embedding[..shared] == distribution[..shared]);
    }
    assert!(distribution(&few)[..few.model.bank.rows().len()] == *few.model.bank.rows());
    assert!(many.model.bank.rows()[..60 * few.config.dimensions()] == distribution(&few));
}

#[test]
fn each_condition_can_be_switched_off_and_models_keep_what_they_need() {
    for (position, neighbourhood) in
        [("true", "true"), ("false", "true"), ("true", "false"), ("false", "false")]
    {
        let more = [("position", position), ("neighbourhood", neighbourhood), ("coreset_ratio", "0.1")];
        let model = fitted(&[&QUICK[..], &more[..]].concat());
        let state = Method::state(&model);
        assert_eq!(state.has("position_gate").to_string(), position);
        assert_eq!(state.has("stands_for").to_string(), neighbourhood);
        assert!(!state.has("distribution_coreset"));
    }
}

#[test]
fn broken_states_are_refused_by_name() {
    let model = fitted(&[&QUICK[..], &[("coreset_ratio", "0.1"), ("variant", "released")]].concat());
    let restore = |change: &dyn Fn(&mut State)| {
        let mut state = Method::state(&model);
        change(&mut state);
        Pni::restore(Stored {
            config: model.config.clone(),
            state,
            backbone: Some(model.backbone.clone()),
            device: Default::default(),
        })
        .map(|_| ())
    };
    restore(&|_| {}).unwrap();
    let message = |change: &dyn Fn(&mut State)| restore(change).unwrap_err().to_string();
    let named = |name: &str, text: String| assert!(text.contains(name), "{name}: {text}");
    named("grid", message(&|state| state.set_u32("grid", &[3], vec![4, 4, 2])));
    named("grid", message(&|state| state.set_u32("grid", &[2], vec![12, 12])));
    named("position_gate", message(&|state| state.set_u8("position_gate", &[1, 1], vec![0])));
    named("stands_for", message(&|state| state.set_u32("stands_for", &[1], vec![0])));
    named("stands_for", message(&|state| state.set_u32("stands_for", &[25], vec![9999; 25])));
    named("embedding_coreset", message(&|state| state.set_f32("embedding_coreset", &[1, 2], vec![0.0; 2])));
    named("distribution_size", message(&|state| state.set_count("distribution_size", 0)));
    named("distribution_coreset", message(&|state| state.set_count("distribution_size", 3)));
    named(
        "neighbourhood_projection",
        message(&|state| {
            state.set_f32("neighbourhood_projection", &[1, 1], vec![f32::NAN]);
        }),
    );
    named(
        "embedding_coreset",
        message(&|state| {
            let dimensions = model.config.dimensions();
            state.set_f32("embedding_coreset", &[25, dimensions], vec![f32::NAN; 25 * dimensions]);
        }),
    );
    named(
        "neighbourhood.",
        message(&|state| {
            let _ = state.split_off_prefix("neighbourhood.output");
        }),
    );
}

#[test]
fn images_of_another_size_are_refused_with_what_to_do() {
    let model = fitted(&[&QUICK[..], &[("coreset_ratio", "0.1")]].concat());
    let pixels = vec![0.5; 3 * 128 * 128];
    let batch = crate::testing::image_batch((128, 128), &[pixels]);
    let known = model.backbone.clone();
    let message = crate::testing::score(&model, Some(&known), &batch).unwrap_err().to_string();
    assert!(message.contains("12 x 12") && message.contains("16 x 16"), "{message}");
    let tiny = Images::new(vec![((32, 32), vec![0.5; 3 * 32 * 32])], Some(backbone(&[8, 16])));
    let wide = PniConfig { patch_size: Some(5), ..PniConfig::default() };
    let error = Pni::fit(&wide, &tiny, &FitContext::new(1, Some(backbone(&[8, 16])))).err().unwrap();
    assert!(error.to_string().contains("larger images"), "{error}");
}

/// A dead network, or gradients that do not reach it, would leave the loss where it starts.
#[test]
fn the_refinement_learns_to_see_defects() {
    let config = PniConfig {
        position: false,
        neighbourhood: false,
        refinement: true,
        refine_side: 64,
        refine_samples: 10,
        refine_batch: 8,
        refine_steps: 60,
        refine_rate: 1e-3,
        ..PniConfig::default()
    };
    let context = FitContext::new(1, Some(backbone(&[8, 16])));
    let model = Pni::fit(&config, &images(4), &context).unwrap();
    let state = Method::state(&model);
    let (_, losses) = state.f32("loss_curve.refinement.values", 1).unwrap();
    let part = losses.len() / 4;
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..part]), mean(&losses[losses.len() - part..]));
    assert!(last < 0.8 * first, "{first} to {last}");
}

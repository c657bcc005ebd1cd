use super::*;
use crate::contraction::Contraction;
use proptest::prelude::*;

fn run(points: &[f32], d: usize, options: &KCentreOptions) -> Coreset {
    select(points, d, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn run_plain(points: &[f32], d: usize, options: &KCentreOptions) -> Coreset {
    select_plain(points, d, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn farthest_points_on_a_line_come_in_order() {
    let line = [0.0, 1.0, 2.0, 10.0, 11.0, 20.0];
    for (count, radius) in [(1, 20.0), (2, 10.0), (3, 2.0), (4, 1.0)] {
        let coreset = run(&line, 1, &KCentreOptions::new(count));
        assert_eq!(coreset.indices, [0, 5, 3, 2][..count]);
        assert_eq!(coreset.covering_radius, Some(radius));
        assert!(!coreset.interrupted);
        let centres: Vec<f32> = coreset.indices.iter().map(|&i| line[i]).collect();
        assert_eq!(covering_radius(&line, &centres, 1).unwrap(), radius);
    }
}

/// scale.md, section 10, test 4.
#[test]
fn two_rounds_over_shards_stay_within_the_bound() {
    let merged = [0.0, 2.0, 10.0, 20.0];
    let first = run(&[0.0, 1.0, 2.0], 1, &KCentreOptions::new(2));
    let second = run(&[10.0, 11.0, 20.0], 1, &KCentreOptions::new(2));
    assert_eq!((first.indices, second.indices), (vec![0, 2], vec![0, 2]));
    let last = run(&merged, 1, &KCentreOptions::new(3));
    let centres: Vec<f32> = last.indices.iter().map(|&i| merged[i]).collect();
    assert_eq!(centres, [0.0, 20.0, 10.0]);
    assert_eq!(covering_radius(&[0.0, 1.0, 2.0, 10.0, 11.0, 20.0], &centres, 1).unwrap(), 2.0);
}

/// 20 and 0 are given; 10 is farthest from them, then 2. Leading duplicates stay.
#[test]
fn leading_points_are_picked_first_and_the_farthest_follow() {
    let line = [20.0, 0.0, 1.0, 2.0, 10.0, 11.0];
    let leading =
        |leading, count| KCentreOptions { start: Start::Leading(leading), ..KCentreOptions::new(count) };
    for run in [run, run_plain] {
        let coreset = run(&line, 1, &leading(2, 4));
        assert_eq!((coreset.indices, coreset.covering_radius), (vec![0, 1, 4, 3], Some(1.0)));
        assert_eq!(run(&[1.0, 1.0, 1.0, 5.0], 1, &leading(3, 4)).indices, [0, 1, 2, 3]);
        assert_eq!(run(&line, 1, &leading(6, 6)).covering_radius, Some(0.0));
    }
    let error = |options| select(&line, 1, &options, &mut |_| ControlFlow::Continue(())).is_err();
    assert!(error(leading(0, 4)) && error(leading(5, 4)) && error(leading(7, 9)));
}

#[test]
fn selection_stops_when_only_duplicates_are_left() {
    let points: Vec<f32> = (0..3000).flat_map(|i| [(i % 7) as f32, ((i % 7) * (i % 7)) as f32]).collect();
    for select in [run, run_plain] {
        let coreset = select(&points, 2, &KCentreOptions::new(100));
        let mut indices = coreset.indices.clone();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(coreset.covering_radius, Some(0.0));
        assert!(!coreset.interrupted);
    }
    assert_eq!(run(&[1.0; 12], 3, &KCentreOptions::new(4)).indices, [0]);
}

#[test]
fn the_official_start_takes_the_greatest_mean_distance() {
    // The mean over all points is greatest at 20, whatever the order of the draw.
    let line = [0.0, 1.0, 2.0, 10.0, 11.0, 20.0];
    let start = Start::MeanOfRandom { points: 10, seed: 1 };
    let coreset = run(&line, 1, &KCentreOptions { count: 2, start, max_memory_bytes: None });
    // Mean distances: 44/6, 40/6, 38/6, 38/6, 40/6, 76/6; after the pick of 20 the first stays the greatest.
    assert_eq!(coreset.indices, [5, 0]);
    assert_eq!(coreset.covering_radius, None);
}

/// Points on a curved sheet of few dimensions with thin and dense places, duplicates and outliers.
fn structured(count: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut random = crate::seeded(seed);
    let weights: Vec<f32> = (0..4 * d).map(|_| random.random_range(-1.5..1.5)).collect();
    let mut points = Vec::new();
    for index in 0..count {
        let spread = if index % 9 == 0 { 2.0 } else { 0.3 };
        let latent: [f32; 4] = std::array::from_fn(|_| random.random_range(-spread..spread));
        for i in 0..d {
            let sum: f32 = (0..4).map(|j| latent[j] * weights[j * d + i]).sum();
            points.push(3.0 + sum.tanh() + random.random_range(-0.01..0.01));
        }
        if index % 50 == 49 {
            points.truncate(index * d);
            points.extend_from_within((index - 30) * d..(index - 29) * d);
        }
    }
    points[..d].fill(40.0);
    points
}

#[test]
fn picks_equal_the_plain_algorithms_on_structured_points() {
    let points = structured(6000, 64, 2);
    let starts = [Start::Index(17), Start::Random { seed: 5 }, Start::MeanOfRandom { points: 10, seed: 3 }];
    for start in starts {
        let options = KCentreOptions { count: 700, start, max_memory_bytes: None };
        assert_eq!(run(&points, 64, &options), run_plain(&points, 64, &options));
    }
    assert!(!Contraction::fit(&points, 64).is_identity(), "the short images should be exercised");
}

/// Corners of a simplex: all keys are equal all the time, far more of them than can be active.
#[test]
fn picks_go_by_index_when_all_keys_are_equal() {
    let n = 1300;
    let mut points = vec![0.0; n * n];
    for corner in 0..n {
        points[corner * n + corner] = 1.0;
    }
    let coreset = run(&points, n, &KCentreOptions::new(1250));
    assert_eq!(coreset.indices, (0..1250).collect::<Vec<_>>());
    assert_eq!(coreset.covering_radius, Some(2.0_f32.sqrt()));
}

/// Distances among random points of many dimensions are nearly equal, so that old keys tell little.
#[test]
fn picks_equal_the_plain_algorithms_on_points_without_structure() {
    let mut random = crate::seeded(12);
    let points: Vec<f32> = (0..4000 * 200).map(|_| random.random_range(-1.0..1.0)).collect();
    let options = KCentreOptions { count: 300, start: Start::Random { seed: 2 }, max_memory_bytes: None };
    assert_eq!(run(&points, 200, &options), run_plain(&points, 200, &options));
}

#[test]
fn the_whole_set_is_picked_in_the_same_order() {
    let points = structured(900, 50, 8);
    let options = KCentreOptions::new(900);
    let coreset = run(&points, 50, &options);
    assert_eq!(coreset, run_plain(&points, 50, &options));
    assert_eq!(coreset.covering_radius, Some(0.0));
    assert_eq!(coreset.indices.len(), 900 - 18, "duplicates are left out");
}

#[test]
fn picks_depend_neither_on_threads_nor_on_the_limit_on_memory() {
    let points = structured(5000, 96, 4);
    let n = 5000_u64;
    let plain_bytes = 4 * n + 8 * 400;
    let mut runs = Vec::new();
    for threads in [1, 2, 3] {
        for limit in [None, Some(2_500_000), Some(plain_bytes)] {
            let options =
                KCentreOptions { count: 400, start: Start::Random { seed: 1 }, max_memory_bytes: limit };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            runs.push(pool.install(|| run(&points, 96, &options)));
        }
    }
    assert!(runs.windows(2).all(|pair| pair[0] == pair[1]));
    let kinds = [None, Some(2_500_000), Some(plain_bytes)].map(|limit| {
        let options = KCentreOptions { count: 400, start: Start::Index(0), max_memory_bytes: limit };
        let problem = Problem::new(&points, 96, &options).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        match pool.install(|| Plan::within(&problem, limit)).unwrap() {
            Plan::Plain => "plain",
            Plan::Lazy(contraction) if contraction.is_identity() => "without images",
            Plan::Lazy(_) => "with images",
        }
    });
    assert_eq!(kinds, ["with images", "without images", "plain"]);
}

#[test]
fn a_limit_below_the_leanest_way_is_an_error() {
    let options = KCentreOptions { max_memory_bytes: Some(407), ..KCentreOptions::new(1) };
    let error = select(&[0.0; 100], 1, &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error, KernelError::MemoryLimit { what: "the coreset selection", needed: 408, limit: 407 });
    assert!(error.to_string().contains("raise the limit"));
}

#[test]
fn the_observer_sees_every_pick_and_can_stop() {
    let points = structured(2000, 20, 6);
    for plain in [false, true] {
        let mut seen = Vec::new();
        let mut observe = |pick| {
            seen.push(pick);
            if seen.len() == 37 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = KCentreOptions::new(500);
        let coreset = if plain {
            select_plain(&points, 20, &options, &mut observe)
        } else {
            select(&points, 20, &options, &mut observe)
        }
        .unwrap();
        assert!(coreset.interrupted);
        assert_eq!(coreset.indices, seen);
        let head = run(&points, 20, &KCentreOptions::new(37));
        assert_eq!((head.indices, head.covering_radius), (coreset.indices, coreset.covering_radius));
    }
}

#[test]
fn broken_arguments_are_errors_that_say_what_is_allowed() {
    let error = |points: &[f32], d, options: KCentreOptions| {
        select(points, d, &options, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let options = || KCentreOptions::new(1);
    assert!(error(&[], 2, options()).contains("empty"));
    assert!(error(&[0.0; 3], 2, options()).contains("4 are needed"));
    assert!(error(&[0.0, 1.0, f32::NAN, 0.0], 2, options()).contains("row 1"));
    assert!(error(&[0.0, 1e25], 2, options()).contains("too large"));
    assert!(error(&[0.0], 1, KCentreOptions::new(0)).contains("coreset ratio"));
    assert!(error(&[0.0], 1, KCentreOptions { start: Start::Index(1), ..options() }).contains("below"));
    let none = Start::MeanOfRandom { points: 0, seed: 0 };
    assert!(error(&[0.0], 1, KCentreOptions { start: none, ..options() }).contains("at least 1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Small integers: almost every step is a tie, and duplicates abound.
    #[test]
    fn picks_equal_the_plain_algorithms_among_ties(
        values in proptest::collection::vec(-3i8..=3, 3..1500),
        d in 1usize..4,
        count in 1usize..200,
        seed in 0u64..3,
        kind in 0..4,
    ) {
        let points: Vec<f32> = values.iter().map(|&v| f32::from(v)).collect();
        let points = &points[..points.len() / d * d];
        let start = match kind {
            0 => Start::Index(points.len() / d / 2),
            1 => Start::Random { seed },
            2 => Start::Leading(1 + seed as usize * 30 % count.min(points.len() / d)),
            _ => Start::MeanOfRandom { points: 4, seed },
        };
        let options = KCentreOptions { count, start, max_memory_bytes: None };
        prop_assert_eq!(run(points, d, &options), run_plain(points, d, &options));
    }

    /// Clouds at very different scales and places.
    #[test]
    fn picks_equal_the_plain_algorithms_at_all_scales(
        seed in 0u64..1000,
        d in 1usize..70,
        rows in 1usize..700,
        exponent in -18i32..12,
        shift in 0u8..3,
    ) {
        let scale = 10f32.powi(exponent);
        let shift = f32::from(shift) * 1000.0 * scale;
        let mut random = crate::seeded(seed);
        let points: Vec<f32> = (0..rows)
            .flat_map(|_| {
                let size = scale * 10f32.powi(random.random_range(-3..1));
                (0..d).map(|_| shift + size * random.random_range(-1.0..1.0f32)).collect::<Vec<_>>()
            })
            .collect();
        let options = KCentreOptions { count: rows / 2 + 1, start: Start::Index(0), max_memory_bytes: None };
        prop_assert_eq!(run(&points, d, &options), run_plain(&points, d, &options));
    }
}

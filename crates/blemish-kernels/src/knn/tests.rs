use super::*;
use proptest::prelude::*;
use rand::RngExt;

fn random(count: usize, dimensions: usize, seed: u64) -> Vec<f32> {
    let mut random = crate::seeded(seed);
    (0..count * dimensions).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// Few hidden coordinates behind many, so that the short images come into use.
fn structured(count: usize, dimensions: usize, seed: u64) -> Vec<f32> {
    let weights = random(5, dimensions, 99);
    random(count, 5, seed)
        .chunks(5)
        .zip(random(count, dimensions, seed + 1).chunks(dimensions))
        .flat_map(|(hidden, noise)| {
            (0..dimensions)
                .map(|i| {
                    let sum: f32 = (0..5).map(|j| 2.0 * hidden[j] * weights[j * dimensions + i]).sum();
                    5.0 + sum.sin() + 0.01 * noise[i]
                })
                .collect::<Vec<f32>>()
        })
        .collect()
}

/// Every distance in f64, sorted by distance and index.
fn exhaustive(bank: &[f32], query: &[f32]) -> Vec<(f64, usize)> {
    let mut all: Vec<(f64, usize)> = bank
        .chunks(query.len())
        .map(|row| row.iter().zip(query).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum())
        .zip(0..)
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all
}

fn check(bank: &[f32], queries: &[f32], dimensions: usize, k: usize) {
    let found = MemoryBank::new(bank, dimensions).unwrap().search(queries, k).unwrap();
    assert_eq!(MemoryBank::plain(bank, dimensions).unwrap().search(queries, k).unwrap(), found);
    // In bytes whatever that costs, with all coordinates and with as few as the rows allow.
    for contraction in [Contraction::identity, Contraction::fit] {
        let in_bytes = |rows: &[f32], dimensions| (contraction(rows, dimensions), Numbers::Bytes);
        let bank = MemoryBank::with(bank, dimensions, in_bytes).unwrap();
        assert!(matches!(bank.index.images, Images::Bytes(_)));
        assert_eq!(bank.search(queries, k).unwrap(), found);
    }
    for (query, row) in queries.chunks(dimensions).enumerate() {
        let expected = exhaustive(bank, row);
        let distances = &found.squared_distances[query * found.k..(query + 1) * found.k];
        for (&distance, (exact, _)) in distances.iter().zip(&expected) {
            assert!((f64::from(distance) - exact).abs() <= 1e-6 * exact, "query {query}");
        }
    }
    // To the bit: the exhaustive search with the exact kernel, ties to the lowest index.
    let mut distances = vec![0.0; bank.len() / dimensions];
    for (query, row) in queries.chunks(dimensions).enumerate() {
        crate::simd::squared_distances(row, bank, &mut distances);
        let mut order: Vec<usize> = (0..distances.len()).collect();
        order.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        assert_eq!(found.indices[query * found.k..(query + 1) * found.k], order[..found.k]);
    }
}

#[test]
fn search_equals_the_exhaustive_one_with_and_without_structure() {
    for k in [1, 3, 9] {
        check(&random(300, 40, 1), &random(70, 40, 2), 40, k);
        check(&structured(700, 100, 1), &structured(70, 100, 2), 100, k);
    }
    let map = Contraction::fit(&structured(700, 100, 1), 100);
    assert!(map.width() < 100, "the structured case should exercise short images");
}

#[test]
fn bytes_are_compared_where_the_machine_is_fast_at_it_and_one_far_row_does_not_blind_them() {
    let is_fast = Instructions::detect().products_a_cycle().is_some();
    let is_in_bytes = |rows: &[f32]| {
        let bank = MemoryBank::new(rows, 100).unwrap();
        matches!(bank.index.images, Images::Bytes(_))
    };
    let mut rows = structured(700, 100, 1);
    assert_eq!(is_in_bytes(&rows), is_fast);
    // A row a thousand times as far as the others: a step of its bytes is wider than all of them.
    rows[..100].iter_mut().for_each(|value| *value *= 1000.0);
    assert!(!is_in_bytes(&rows));
    check(&rows, &structured(70, 100, 2), 100, 3);
}

#[test]
fn near_duplicates_far_from_the_origin_keep_their_order() {
    let mut bank = Vec::new();
    for step in 0..200 {
        let mut row = vec![1000.0_f32; 64];
        row[step % 64] += 0.001 * (1 + step / 64) as f32;
        bank.extend(row);
    }
    check(&bank, &bank[..64 * 20], 64, 4);
}

#[test]
fn members_of_the_bank_are_at_distance_zero_with_the_lowest_index() {
    let mut rows = structured(500, 96, 4);
    rows.copy_within(0..96, 7 * 96);
    let found = MemoryBank::new(rows.as_slice(), 96).unwrap().search(&rows, 1).unwrap();
    assert!(found.squared_distances.iter().all(|&distance| distance == 0.0));
    let expected: Vec<usize> = (0..500).map(|row| if row == 7 { 0 } else { row }).collect();
    assert_eq!(found.indices, expected);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (bank, queries) = (structured(900, 80, 5), structured(300, 80, 6));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| MemoryBank::new(bank.clone(), 80).unwrap().search(&queries, 3).unwrap())
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn asking_for_more_than_the_bank_holds_returns_all_of_it() {
    let found = MemoryBank::new(vec![0.0, 3.0, 1.0], 1).unwrap().search(&[1.0, 9.0], 5).unwrap();
    assert_eq!(found.k, 3);
    assert_eq!(found.indices, [2, 0, 1, 1, 2, 0]);
    assert_eq!(found.squared_distances, [0.0, 1.0, 4.0, 36.0, 64.0, 81.0]);
    assert_eq!(found.distances()[..3], [0.0, 1.0, 2.0]);
    assert_eq!(found.nearest_squared().collect::<Vec<_>>(), [0.0, 36.0]);
    assert_eq!(found.queries(), 2);
}

#[test]
fn merged_parts_answer_as_the_whole_bank() {
    let (bank, queries) = (structured(600, 64, 7), structured(50, 64, 8));
    let search = |rows: &[f32], k| MemoryBank::new(rows, 64).unwrap().search(&queries, k).unwrap();
    let (head, rest) = bank.split_at(2 * 64);
    let (middle, tail) = rest.split_at(300 * 64);
    for k in [1, 5] {
        let parts = [search(head, k), search(middle, k), search(tail, k)];
        let merged = merge_neighbours(&[(0, &parts[0]), (2, &parts[1]), (302, &parts[2])], k).unwrap();
        assert_eq!(merged, search(&bank, k));
    }
}

/// scale.md, 4.3: a coreset's nearest distance is at most the covering radius above the whole set's.
#[test]
fn nearest_distances_to_a_coreset_stay_within_the_covering_radius() {
    let (points, queries) = (structured(800, 60, 1), structured(1000, 60, 50));
    let options = crate::k_centre::KCentreOptions::new(40);
    let coreset =
        crate::k_centre::select(&points, 60, &options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    let chosen: Vec<f32> =
        coreset.indices.iter().flat_map(|&i| points[i * 60..(i + 1) * 60].to_vec()).collect();
    let all = MemoryBank::new(points, 60).unwrap().search(&queries, 1).unwrap().distances();
    let few = MemoryBank::new(chosen, 60).unwrap().search(&queries, 1).unwrap().distances();
    let radius = coreset.covering_radius.unwrap();
    for (all, few) in all.iter().zip(&few) {
        assert!(all <= few && *few <= all + radius * 1.00001);
    }
}

#[test]
fn broken_arguments_are_errors_that_say_where() {
    let broken = |rows: Vec<f32>, dimensions| MemoryBank::new(rows, dimensions).err().unwrap().to_string();
    assert!(broken(vec![1.0; 7], 3).contains("the memory bank holds 7 values, but 9 are needed"));
    assert!(broken(vec![], 3).contains("empty"));
    assert!(broken(vec![1.0], 0).contains("dimensions"));
    assert!(broken(vec![0.0, 0.0, 0.0, f32::NAN], 2).contains("row 1"));
    assert!(broken(vec![0.0, 1e30], 1).contains("row 1"));
    let bank = MemoryBank::new(vec![0.0; 4], 2).unwrap();
    assert!(matches!(bank.search(&[0.0; 2], 0), Err(KernelError::Setting { .. })));
    assert!(matches!(bank.search(&[0.0; 3], 1), Err(KernelError::Shape { .. })));
    assert!(matches!(bank.search(&[0.0, f32::INFINITY], 1), Err(KernelError::NotFinite { row: 0, .. })));
    assert_eq!(bank.search(&[], 1).unwrap().queries(), 0);
    let one = bank.search(&[0.0; 2], 1).unwrap();
    let two = bank.search(&[0.0; 4], 1).unwrap();
    assert!(matches!(merge_neighbours(&[], 1), Err(KernelError::Empty { .. })));
    assert!(matches!(merge_neighbours(&[(0, &one)], 0), Err(KernelError::Setting { .. })));
    assert!(matches!(merge_neighbours(&[(0, &one), (2, &two)], 1), Err(KernelError::Shape { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Small integers make ties and duplicates frequent.
    #[test]
    fn ties_go_to_the_lowest_index(
        values in proptest::collection::vec(-2i8..=2, 3..400),
        k in 1usize..6,
    ) {
        let rows: Vec<f32> = values.iter().map(|&v| f32::from(v)).collect();
        let rows = &rows[..rows.len() / 3 * 3];
        check(rows, rows, 3, k);
    }
}

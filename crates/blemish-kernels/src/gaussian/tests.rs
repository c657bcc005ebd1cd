//! The analytic cases of PaDiM's and the merging specifications.

use super::{Factors, GaussianAccumulator, OwnedGaussians, PositionGaussians, Precision};

fn fitted(positions: usize, dimensions: usize, samples: &[f32]) -> GaussianAccumulator {
    let mut accumulator = GaussianAccumulator::new(positions, dimensions).unwrap();
    accumulator.add_batch(samples).unwrap();
    accumulator
}

/// Values between 0 and 1 by a fixed formula.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        })
        .collect()
}

/// Correlated, post-ReLU-like samples: a few factors and noise, cut at zero.
fn features(samples: usize, positions: usize, d: usize, seed: u64) -> Vec<f32> {
    let (latent, noise_values) =
        (noise(samples * positions * 4, seed), noise(samples * positions * d, seed + 1));
    let loadings = noise(4 * d, 77);
    (0..samples * positions * d)
        .map(|i| {
            let (row, column) = (i / d, i % d);
            let shared: f32 = (0..4).map(|k| latent[row * 4 + k] * (loadings[k * d + column] - 0.4)).sum();
            (2.0 * shared + noise_values[i] - 0.3).max(0.0)
        })
        .collect()
}

#[test]
fn three_points_give_the_known_distance() {
    let mut accumulator = fitted(1, 2, &[0.0, 0.0, 2.0, 0.0, 1.0, 3.0]);
    let (mean, scatter) = accumulator.moments();
    assert_eq!(mean, [1.0, 1.0]);
    assert_eq!(scatter, [2.0, 0.0, 6.0]);
    for (epsilon, expected) in [(0.01, 1.990_074_4), (0.01 + 1e-5, 1.990_064_5)] {
        let distance =
            accumulator.factor(epsilon, Precision::Single).unwrap().mahalanobis(&[3.0, 1.0]).unwrap();
        assert!((distance[0] - expected).abs() < 1e-6, "{distance:?}");
    }
}

#[test]
fn identical_images_leave_only_epsilon() {
    let image = noise(3 * 5, 1);
    let gaussians =
        fitted(3, 5, &[&image[..], &image, &image].concat()).factor(0.01, Precision::Single).unwrap();
    assert!(gaussians.mahalanobis(&image).unwrap().iter().all(|&distance| distance < 1e-5));
    let mut shifted = image;
    shifted[5 + 2] += 1.0;
    let distances = gaussians.mahalanobis(&shifted).unwrap();
    assert!((distances[1] - 10.0).abs() < 1e-4 && distances[0] < 1e-5 && distances[2] < 1e-5);
}

#[test]
fn one_image_is_finite_and_divided_by_the_root_of_epsilon() {
    let gaussians = fitted(1, 3, &[1.0, 2.0, 3.0]).factor(0.04, Precision::Single).unwrap();
    let distance = gaussians.mahalanobis(&[1.0, 2.0, 6.0]).unwrap()[0];
    assert!((distance - 3.0 / 0.2).abs() < 1e-4);
}

#[test]
fn merging_and_removing_follow_the_known_numbers() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 7.0, 6.0, 9.0, 3.0]);
    let (mut whole, mut part) = (fitted(1, 2, &a), fitted(1, 2, &b));
    whole.merge(&mut part).unwrap();
    assert_eq!(whole.count(), 5);
    let (mean, scatter) = whole.moments();
    assert!(mean.iter().zip([5.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(scatter.iter().zip([40.0, 8.0, 20.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    let mut swapped = fitted(1, 2, &b);
    swapped.merge(&mut fitted(1, 2, &a)).unwrap();
    assert!(swapped.moments().1.iter().zip(whole.moments().1).all(|(a, b)| (a - b).abs() < 1e-12));
    whole.merge(&mut GaussianAccumulator::new(1, 2).unwrap()).unwrap();
    assert_eq!(whole.count(), 5);
    let mut empty = GaussianAccumulator::new(1, 2).unwrap();
    empty.merge(&mut whole.clone()).unwrap();
    assert!(empty.moments().1.iter().zip([40.0, 8.0, 20.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    whole.remove(&mut part).unwrap();
    assert!(whole.moments().0.iter().zip([2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-9));
    assert!(whole.moments().1.iter().all(|value| (value - 2.0).abs() < 1e-9));
    assert!(whole.remove(&mut part).is_err());
    assert!(whole.merge(&mut GaussianAccumulator::new(2, 2).unwrap()).is_err());
}

#[test]
fn an_accumulator_goes_on_from_stored_moments() {
    let samples = features(45, 3, 4, 8);
    let mut whole = fitted(3, 4, &samples);
    let (count, mean, scatter) = fitted(3, 4, &samples[..20 * 12]).into_moments();
    let mut resumed =
        GaussianAccumulator::from_moments((3, 4), count, mean.clone(), scatter.clone()).unwrap();
    resumed.add_batch(&samples[20 * 12..]).unwrap();
    assert_eq!((resumed.count(), count), (45, 20));
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0));
    assert!(close(resumed.moments().0, whole.moments().0) && close(resumed.moments().1, whole.moments().1));
    assert!(GaussianAccumulator::from_moments((3, 4), count, mean.clone(), vec![0.0; 7]).is_err());
    let broken = vec![f64::NAN; scatter.len()];
    assert!(GaussianAccumulator::from_moments((3, 4), count, mean, broken).is_err());
}

#[test]
fn a_large_mean_does_not_eat_the_variance() {
    // Halves are exact in f32 near 10,000: deviations of +-0.5, 1 and so on have a known variance.
    let samples: Vec<f32> = (0..1_000_000).map(|i| 10_000.0 + [0.5, -0.5, 1.5, -1.5][i % 4]).collect();
    let mut whole = GaussianAccumulator::new(1, 1).unwrap();
    for shard in samples.chunks(142_858) {
        whole.merge(&mut fitted(1, 1, shard)).unwrap();
    }
    let variance = whole.moments().1[0] / 1_000_000.0;
    assert!((variance / 1.25 - 1.0).abs() < 1e-9, "{variance}");
}

#[test]
fn batches_and_threads_change_no_bit() {
    let samples = features(37, 20, 9, 5);
    let once = fitted(20, 9, &samples).factor(0.01, Precision::Half).unwrap();
    let mut parts = GaussianAccumulator::new(20, 9).unwrap();
    samples.chunks(20 * 9 * 5).for_each(|batch| parts.add_batch(batch).unwrap());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let alone = pool.install(|| parts.factor(0.01, Precision::Half).unwrap());
    assert_eq!(once, alone);
    let query = features(3, 20, 9, 6);
    assert_eq!(once.mahalanobis(&query).unwrap(), pool.install(|| alone.mahalanobis(&query).unwrap()));
    let last = once.mahalanobis(&query[2 * 180..]).unwrap();
    assert_eq!(once.mahalanobis(&query).unwrap()[40..], last);
}

#[test]
fn permuting_dimensions_leaves_distances_alone() {
    let (n, d) = (30, 21);
    let samples = features(n, 1, d, 3);
    let permute = |rows: &[f32]| -> Vec<f32> {
        rows.chunks(d).flat_map(|row| (0..d).map(|i| row[(i * 8) % d])).collect()
    };
    let query = features(4, 1, d, 9);
    let plain = fitted(1, d, &samples).factor(0.01, Precision::Single).unwrap().mahalanobis(&query).unwrap();
    let permuted = fitted(1, d, &permute(&samples))
        .factor(0.01, Precision::Single)
        .unwrap()
        .mahalanobis(&permute(&query))
        .unwrap();
    assert!(plain.iter().zip(&permuted).all(|(a, b)| (a - b).abs() < 1e-5 * a));
}

#[test]
fn distances_equal_a_plain_solution_by_elimination() {
    let (n, d) = (50, 40);
    let samples = features(n, 1, d, 11);
    let mut accumulator = fitted(1, d, &samples);
    let query = features(1, 1, d, 12);
    let found = accumulator.factor(0.01, Precision::Single).unwrap().mahalanobis(&query).unwrap()[0];
    let mean: Vec<f64> =
        (0..d).map(|j| samples.chunks(d).map(|row| f64::from(row[j])).sum::<f64>() / n as f64).collect();
    let apart: Vec<f64> = query.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m).collect();
    // Augmented matrix [Sigma | apart], Gauss-Jordan with the diagonal as pivots.
    let mut matrix = vec![vec![0.0f64; d + 1]; d];
    for (i, row) in matrix.iter_mut().enumerate() {
        for (j, entry) in row.iter_mut().take(d).enumerate() {
            let sum: f64 =
                samples.chunks(d).map(|s| (f64::from(s[i]) - mean[i]) * (f64::from(s[j]) - mean[j])).sum();
            *entry = sum / (n - 1) as f64 + if i == j { 0.01 } else { 0.0 };
        }
        row[d] = apart[i];
    }
    for pivot in 0..d {
        let scale = matrix[pivot][pivot];
        matrix[pivot].iter_mut().for_each(|value| *value /= scale);
        let base = matrix[pivot].clone();
        for (i, row) in matrix.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let _ = i;
            let factor = row[pivot];
            row.iter_mut().zip(&base).for_each(|(value, base)| *value -= factor * base);
        }
    }
    let squared: f64 = apart.iter().zip(&matrix).map(|(y, row)| y * row[d]).sum();
    assert!((f64::from(found) / squared.sqrt() - 1.0).abs() < 1e-5, "{found} {}", squared.sqrt());
}

#[test]
fn half_precision_moves_distances_by_less_than_a_thousandth() {
    // Fewer samples than dimensions: the worst conditioned case there is in practice.
    for n in [20, 200] {
        let (positions, d) = (8, 100);
        let mut accumulator = fitted(positions, d, &features(n, positions, d, 21));
        let query = features(5, positions, d, 22);
        let single = accumulator.factor(0.01, Precision::Single).unwrap().mahalanobis(&query).unwrap();
        let half = accumulator.factor(0.01, Precision::Half).unwrap().mahalanobis(&query).unwrap();
        let worst = single.iter().zip(&half).map(|(a, b)| (a - b).abs() / a).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{worst}");
    }
}

#[test]
fn bytes_move_distances_by_less_than_two_percent() {
    for (n, seed) in [(20, 21), (200, 31)] {
        let (positions, d) = (8, 100);
        let mut accumulator = fitted(positions, d, &features(n, positions, d, seed));
        let query = features(5, positions, d, seed + 1);
        let single = accumulator.factor(0.01, Precision::Single).unwrap();
        let bytes = single.in_bytes();
        let (single, bytes) = (single.mahalanobis(&query).unwrap(), bytes.mahalanobis(&query).unwrap());
        let moved: Vec<f32> = single.iter().zip(&bytes).map(|(a, b)| b / a - 1.0).collect();
        let worst = moved.iter().fold(0.0f32, |worst, moved| worst.max(moved.abs()));
        let mean = moved.iter().sum::<f32>() / moved.len() as f32;
        assert!(worst < 0.02 && mean.abs() < 0.003 && worst > 0.0, "{worst} {mean}");
    }
}

/// Rows whose entries are whole steps lose nothing; rows of very different size have steps of their own.
#[test]
fn bytes_keep_what_they_can_hold() {
    let (small, large) = (1.0 / 1024.0, 8192.0);
    let factors = vec![127.0f32, small * 127.0, -small * 3.0, 2.0 * large, -127.0 * large, 0.0];
    let single: OwnedGaussians =
        PositionGaussians::from_parts(1, 3, vec![0.5; 3], Factors::Single(factors)).unwrap();
    let bytes = single.in_bytes();
    let Factors::Bytes { values, steps, unit } = bytes.factors() else { panic!("{bytes:?}") };
    assert_eq!(values.iter().map(|&value| value as i8).collect::<Vec<_>>(), [127, 127, -3, 2, -127, 0]);
    let steps: Vec<f32> = steps.iter().map(|&step| half::f16::from_bits(step).to_f32() * unit).collect();
    assert_eq!(steps, [1.0, small, large]);
    assert_eq!(bytes.in_bytes(), bytes);
    let query = [1.5, 0.5, 2.5];
    let (single, bytes) = (single.mahalanobis(&query).unwrap(), bytes.mahalanobis(&query).unwrap());
    assert!((single[0] / bytes[0] - 1.0).abs() < 1e-6, "{single:?} {bytes:?}");
    let short = Factors::Bytes { values: vec![0; 6], steps: vec![1; 2], unit: 1.0 };
    let error = PositionGaussians::from_parts(1, 3, vec![0.5; 3], short).unwrap_err();
    assert!(error.to_string().contains("steps"), "{error}");
}

#[test]
fn wrong_input_is_refused_in_words() {
    assert!(GaussianAccumulator::new(0, 3).unwrap_err().to_string().contains("positions"));
    let mut accumulator = GaussianAccumulator::new(2, 3).unwrap();
    assert!(accumulator.factor(0.01, Precision::Single).is_err());
    assert!(accumulator.add_batch(&[0.0; 7]).is_err());
    assert!(accumulator.add_batch(&[f32::NAN; 6]).is_err());
    accumulator.add_batch(&[0.0; 6]).unwrap();
    assert!(accumulator.factor(0.0, Precision::Single).unwrap_err().to_string().contains("above 0"));
    let gaussians = accumulator.factor(0.01, Precision::Single).unwrap();
    assert!(gaussians.mahalanobis(&[0.0; 5]).is_err());
    assert!(gaussians.mahalanobis(&[]).unwrap().is_empty());
}

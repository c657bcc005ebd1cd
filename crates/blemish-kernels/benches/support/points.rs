//! Points for benches.

use rand::{RngExt, SeedableRng};

/// Uniform points: no structure.
pub fn random(rows: usize, dimensions: usize, seed: u64) -> Vec<f32> {
    let mut random = rand_chacha::ChaCha12Rng::seed_from_u64(seed);
    (0..rows * dimensions).map(|_| random.random_range(-1.0..1.0)).collect()
}

/// A smooth map of eight hidden coordinates with a heavy-tailed spread, plus noise.
pub fn structured(rows: usize, dimensions: usize, seed: u64) -> Vec<f32> {
    const HIDDEN: usize = 8;
    let weights = random(HIDDEN, dimensions, 0);
    let hidden = random(rows, HIDDEN + 1, seed);
    let noise = random(rows, dimensions, seed + 1);
    let mut points = Vec::with_capacity(rows * dimensions);
    for (hidden, noise) in hidden.chunks(HIDDEN + 1).zip(noise.chunks(dimensions)) {
        let spread = 0.3 / (1.01 - hidden[HIDDEN].abs()).sqrt();
        for column in 0..dimensions {
            let sum: f32 =
                (0..HIDDEN).map(|index| spread * hidden[index] * weights[index * dimensions + column]).sum();
            points.push(sum.tanh() + 0.02 * noise[column]);
        }
    }
    points
}

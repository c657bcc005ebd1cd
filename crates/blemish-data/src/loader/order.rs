//! The order in which images are read.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// 0 to `count` - 1, shuffled (Fisher-Yates on ChaCha8) if there is a seed.
///
/// Written out here because a library's shuffle may change between its versions, and the order must not.
pub fn order_of(count: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(seed) = seed {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for last in (1..count).rev() {
            // The high half of the product is uniform in 0..=last up to a bias below 2^-32 for up to 2^32 files.
            let other = (u128::from(random.next_u64()) * (last as u128 + 1)) >> 64;
            order.swap(last, other as usize);
        }
    }
    order
}

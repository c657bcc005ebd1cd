//! Scores as integers of the same order.

/// An integer whose order is that of finite scores; both zeros are one.
pub(crate) fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The score of a key.
pub(crate) fn score(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_and_come_back() {
        let scores = [-f32::MAX, -1.5, -1e-40, 0.0, 1e-40, 0.3, 1.0, f32::MAX];
        assert!(scores.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
        assert!(scores.iter().all(|&value| score(key(value)) == value));
        assert_eq!(key(-0.0), key(0.0));
    }
}

//! Pooling and sums of maps of bytes.

use super::convolution::Residual;
use super::map::ByteMap;
use crate::conv::{MaxPool, Windows};
use crate::lines::Lines;

/// The maximum over a square window; what lies outside the map never wins. `space` is memory to use, of any content.
pub fn max_pool(pool: MaxPool, input: &ByteMap, windows: Windows, space: Lines<u8>) -> ByteMap {
    let mut out = ByteMap::recycled([windows.height, windows.width, input.channels], input.zero, space);
    let pitch = input.pitch;
    let range = |at: usize, before: usize, length: usize| {
        let start = at * pool.stride;
        start.saturating_sub(before)..(start + pool.kernel).saturating_sub(before).min(length)
    };
    for (index, pixel) in out.values.chunks_exact_mut(pitch).enumerate() {
        pixel.fill(0);
        for y in range(index / windows.width, windows.top, input.height) {
            for x in range(index % windows.width, windows.left, input.width) {
                let from = &input.values[(y * input.width + x) * pitch..][..pitch];
                pixel.iter_mut().zip(from).for_each(|(most, &byte)| *most = byte.max(*most));
            }
        }
    }
    out
}

/// The mean of every channel over the map, 1 x 1 x channels, to the nearest byte, halves up.
pub fn global_mean(input: &ByteMap) -> ByteMap {
    let area = (input.height * input.width).max(1) as u64;
    let mut sums = vec![0u64; input.pitch];
    for pixel in input.values.chunks_exact(input.pitch) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += u64::from(byte));
    }
    let mut out = ByteMap::recycled([1, 1, input.channels], input.zero, Lines::new());
    out.values.iter_mut().zip(sums).for_each(|(byte, sum)| *byte = ((2 * sum + area) / (2 * area)) as u8);
    out
}

/// The sum of two maps, each times its ratio, rounded once: zero + floor(1/2 + sum of ratio x (byte - its zero)), not below `least` nor
/// above `most` of `[zero, least, most]`. `space` is memory to use, of any content.
///
/// # Panics
/// If the shapes differ.
pub fn add(terms: [Residual<'_>; 2], output: [u8; 3], space: Lines<u8>) -> ByteMap {
    let [first, second] = terms.map(|term| term.map);
    let shape = [first.height, first.width, first.channels];
    assert_eq!(shape, [second.height, second.width, second.channels], "maps of one shape are added");
    let mut out = ByteMap::recycled(shape, output[0], space);
    let [zero, least, most] = output;
    let parts = terms.map(|Residual { map, ratio }| -> [i64; 256] {
        std::array::from_fn(|byte| (byte as i64 - i64::from(map.zero)) * i64::from(ratio.units()))
    });
    // One half, and all zeros.
    let rounding = (1 << 23) + (i64::from(zero) << 24);
    for ((out, &a), &b) in out.values.iter_mut().zip(&*first.values).zip(&*second.values) {
        let sum = parts[0][usize::from(a)] + parts[1][usize::from(b)] + rounding;
        *out = ((sum >> 24).clamp(0, 255) as u8).max(least).min(most);
    }
    out
}

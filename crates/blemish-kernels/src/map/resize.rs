//! Resizing.

/// Bilinear interpolation with half-pixel centres (`align_corners = false`), without antialiasing.
///
/// `map` is `from.0` x `from.1`, the result `to.0` x `to.1`; sizes are (height, width) and not zero.
///
/// # Panics
/// If the length of `map` is not that of `from`, or a size is zero.
pub fn resize_bilinear(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    check(map, from, to);
    interpolate(map, from, to, taps)
}

/// Bilinear interpolation that puts the corner cells onto the corner pixels (`align_corners = true`), else as [`resize_bilinear`].
///
/// # Panics
/// As there.
pub fn resize_aligned(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    check(map, from, to);
    interpolate(map, from, to, aligned_taps)
}

fn interpolate(
    map: &[f32],
    from: (usize, usize),
    to: (usize, usize),
    taps: fn(usize, usize) -> Vec<Tap>,
) -> Vec<f32> {
    let (vertical, horizontal) = (taps(from.0, to.0), taps(from.1, to.1));
    let widened: Vec<f32> = map
        .chunks_exact(from.1)
        .flat_map(|row| {
            horizontal.iter().map(|&(low, high, share)| row[low] + (row[high] - row[low]) * share)
        })
        .collect();
    let row = |y: usize| &widened[y * to.1..][..to.1];
    let mut resized = Vec::with_capacity(to.0 * to.1);
    for &(low, high, share) in &vertical {
        resized.extend(row(low).iter().zip(row(high)).map(|(low, high)| low + (high - low) * share));
    }
    resized
}

/// Lower and upper source cell of a target cell, and the share of the upper one.
type Tap = (usize, usize, f32);

/// The lower and upper source cell of every target cell, and the share of the upper one.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    (0..to)
        .map(|target| {
            let source = ((target as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
            let low = (source as usize).min(from - 1);
            (low, (low + 1).min(from - 1), source - low as f32)
        })
        .collect()
}

/// The same with the first and last target on the first and last source.
fn aligned_taps(from: usize, to: usize) -> Vec<Tap> {
    let step = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
    (0..to)
        .map(|target| {
            let source = target as f32 * step;
            let low = (source as usize).min(from - 1);
            (low, (low + 1).min(from - 1), source - low as f32)
        })
        .collect()
}

/// Bilinear interpolation with half-pixel centres that averages when it shrinks: the triangle of weights is as wide as the scale, so that
/// every source cell counts (Pillow's `BILINEAR`, torch's `antialias=True`).
///
/// # Panics
/// As [`resize_bilinear`].
pub fn resize_antialiased(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    check(map, from, to);
    let (vertical, horizontal) = (triangles(from.0, to.0), triangles(from.1, to.1));
    let weighted = |values: &mut dyn Iterator<Item = f32>, weights: &[f32]| {
        values.zip(weights).fold(0.0f32, |sum, (value, weight)| value.mul_add(*weight, sum))
    };
    let mut narrowed = Vec::with_capacity(from.0 * to.1);
    for row in map.chunks_exact(from.1) {
        narrowed.extend(
            horizontal.iter().map(|(first, weights)| weighted(&mut row[*first..].iter().copied(), weights)),
        );
    }
    let mut resized = vec![0.0f32; to.0 * to.1];
    for (out, (first, weights)) in resized.chunks_exact_mut(to.1).zip(&vertical) {
        for (row, weight) in narrowed[first * to.1..].chunks_exact(to.1).zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, value)| *out = value.mul_add(*weight, *out));
        }
    }
    resized
}

/// First source cell and the weights from there on of every target cell.
fn triangles(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    (0..to)
        .map(|target| {
            let centre = (target as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let last = ((centre + reach + 0.5) as usize).min(from);
            let weights: Vec<f64> = (first..last)
                .map(|source| (1.0 - ((source as f64 + 0.5 - centre) / reach).abs()).max(0.0))
                .collect();
            let sum: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| (weight / sum) as f32).collect())
        })
        .collect()
}

/// The value of the cell a pixel lies in: row floor(y h / H), column floor(x w / W).
///
/// # Panics
/// If the length of `map` is not that of `from`, or a size is zero.
pub fn resize_nearest(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    check(map, from, to);
    let columns: Vec<usize> = (0..to.1).map(|x| x * from.1 / to.1).collect();
    (0..to.0)
        .flat_map(|y| {
            let row = &map[y * from.0 / to.0 * from.1..][..from.1];
            columns.iter().map(move |&x| row[x])
        })
        .collect()
}

fn check(map: &[f32], from: (usize, usize), to: (usize, usize)) {
    assert_eq!(map.len(), from.0 * from.1, "a map has height x width values");
    assert!(from.0 * from.1 * to.0 * to.1 > 0, "sizes are not zero");
}

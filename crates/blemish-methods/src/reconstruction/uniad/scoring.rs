//! From reconstructed tokens to scores.

use super::config::ImageScore;
use blemish_data::Mask;
use blemish_kernels::map::resize_aligned;

/// Side of the window whose mean counts for an image, in pixels.
const WINDOW: usize = 16;

/// |f' - f| of every token: the root of the sum over its channels.
pub(super) fn distances(made: &[f32], tokens: &[f32], channels: usize) -> Vec<f32> {
    let square = |(a, b): (&f32, &f32)| f64::from(a - b) * f64::from(a - b);
    let pairs = made.chunks_exact(channels).zip(tokens.chunks_exact(channels));
    pairs.map(|(made, token)| made.iter().zip(token).map(square).sum::<f64>().sqrt() as f32).collect()
}

/// The score of an image of (height, width) pixels by the scores of its grid; what lies outside a region of interest counts as 0.
pub(super) fn image_score(
    rule: ImageScore,
    patches: &[f32],
    grid: (usize, usize),
    size: (usize, usize),
    region: Option<&Mask>,
) -> f32 {
    let mut map = resize_aligned(patches, grid, size);
    let mut counted = map.len();
    if let Some(region) = region {
        counted = region.marked.iter().filter(|&&inside| inside).count();
        let outside = map.iter_mut().zip(&region.marked).filter(|(_, inside)| !**inside);
        outside.for_each(|(value, _)| *value = 0.0);
    }
    match rule {
        ImageScore::Max => largest_mean(&map, size),
        ImageScore::Mean => {
            (map.iter().map(|&value| f64::from(value)).sum::<f64>() / counted.max(1) as f64) as f32
        }
    }
}

/// The largest mean over a window that lies wholly in the map, or over its smaller side where that is less.
fn largest_mean(map: &[f32], (height, width): (usize, usize)) -> f32 {
    let (rows, columns) = (WINDOW.min(height), WINDOW.min(width));
    // Sums of all above and to the left of each corner between pixels.
    let stride = width + 1;
    let mut sums = vec![0.0f64; (height + 1) * stride];
    for y in 0..height {
        let mut row = 0.0;
        for x in 0..width {
            row += f64::from(map[y * width + x]);
            sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row;
        }
    }
    let mean = |y: usize, x: usize| {
        let at = |y: usize, x: usize| sums[y * stride + x];
        (at(y + rows, x + columns) - at(y, x + columns) - at(y + rows, x) + at(y, x))
            / (rows * columns) as f64
    };
    let starts = (0..=height - rows).flat_map(|y| (0..=width - columns).map(move |x| (y, x)));
    starts.map(|(y, x)| mean(y, x)).fold(f64::NEG_INFINITY, f64::max) as f32
}

//! Sines and cosines of places.

use std::f32::consts::TAU;

/// 2 pi x, over temperature^(2i / width) for i up to half of `width`, as sine and cosine side by side.
pub(super) fn waves(x: f32, width: usize, temperature: f32) -> impl Iterator<Item = f32> {
    (0..width).map(move |index| {
        let scale = temperature.powf((index / 2 * 2) as f32 / width as f32);
        let angle = f64::from(x * TAU / scale);
        // In double precision, whose last bits do not reach the result.
        (if index % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
    })
}

/// Temperature of the waves of boxes and of tokens' places.
pub(super) const TEMPERATURE: f32 = 10_000.0;
/// That of cells of maps.
const MAP_TEMPERATURE: f32 = 20.0;

/// The places of a map's cells, a row each: half of it for the row, half for the column, counted from 1 to the side and divided by it.
pub(super) fn of_map((height, width): (usize, usize), length: usize) -> Vec<f32> {
    let line = |side: usize| -> Vec<Vec<f32>> {
        let share = |index: usize| (index + 1) as f32 / (side as f32 + 1e-6);
        (0..side).map(|index| waves(share(index), length / 2, MAP_TEMPERATURE).collect()).collect()
    };
    let (down, across) = (line(height), line(width));
    down.iter().flat_map(|y| across.iter().flat_map(move |x| y.iter().chain(x))).copied().collect()
}

/// Places of tokens in their phrases, a row each.
pub(super) fn of_tokens(places: &[usize], length: usize) -> Vec<f32> {
    places.iter().flat_map(|place| waves(*place as f32, length, TEMPERATURE)).collect()
}

/// Boxes (centre x, centre y, width, height), a row of two `length`s each: y, x, width, height.
pub(super) fn of_boxes(boxes: &[[f32; 4]], length: usize) -> Vec<f32> {
    let order = |[x, y, width, height]: [f32; 4]| [y, x, width, height];
    let values = boxes.iter().flat_map(|bounds| order(*bounds));
    values.flat_map(|value| waves(value, length / 2, TEMPERATURE)).collect()
}

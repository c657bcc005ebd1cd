//! Between planes and colours, and colours at points between pixels.

use crate::synth::canvas::Canvas;

/// The mean of the three channels.
pub(super) fn brightness(colour: [f32; 3]) -> f32 {
    (colour[0] + colour[1] + colour[2]) / 3.0
}

/// Planes as colours.
pub(super) fn canvas_of(planes: &[f32], size: (usize, usize)) -> Canvas {
    let (height, width) = size;
    let plane = height * width;
    assert_eq!(planes.len(), 3 * plane, "an image has 3 x {height} x {width} values");
    Canvas::paint(size, |y, x| std::array::from_fn(|channel| planes[channel * plane + y * width + x]))
}

/// Colours as planes.
pub(super) fn planes_of(canvas: &Canvas) -> Vec<f32> {
    (0..3).flat_map(|channel| canvas.pixels.iter().map(move |colour| colour[channel])).collect()
}

/// The colour at a fractional point, bilinear, the border repeated.
pub(super) fn sample(canvas: &Canvas, y: f32, x: f32) -> [f32; 3] {
    let clamp = |value: f32, extent: usize| value.clamp(0.0, (extent - 1) as f32);
    let (y, x) = (clamp(y, canvas.height), clamp(x, canvas.width));
    let (top, left) = (y as usize, x as usize);
    let (below, right) = ((top + 1).min(canvas.height - 1), (left + 1).min(canvas.width - 1));
    let (down, across) = (y - top as f32, x - left as f32);
    let at = |y: usize, x: usize| canvas.pixels[y * canvas.width + x];
    let (a, b, c, d) = (at(top, left), at(top, right), at(below, left), at(below, right));
    std::array::from_fn(|channel| {
        let upper = a[channel] + (b[channel] - a[channel]) * across;
        let lower = c[channel] + (d[channel] - c[channel]) * across;
        upper + (lower - upper) * down
    })
}

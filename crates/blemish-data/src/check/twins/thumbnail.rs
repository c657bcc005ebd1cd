//! What is kept of a picture to compare it: 64 x 64 grey values.

use crate::reader::RgbImage;
use crate::transform::Transform;

/// Side of a thumbnail.
pub(super) const SIDE: usize = 64;

/// A small grey picture.
pub(crate) struct Thumbnail {
    /// 64 x 64 values of 65,535; two bytes each, since a set may have many thousands of pictures.
    values: Vec<u16>,
}

impl Thumbnail {
    pub(crate) fn of(image: &RgbImage) -> Self {
        let plane = SIDE * SIDE;
        let Ok(small) = Transform::resize_to(SIDE, SIDE).apply(image) else {
            return Self { values: vec![0; plane] };
        };
        let grey = |at: usize| (0..3).map(|channel| small.pixels[channel * plane + at]).sum::<f32>() / 3.0;
        Self { values: (0..plane).map(|at| (grey(at).clamp(0.0, 1.0) * 65_535.0).round() as u16).collect() }
    }

    /// The values less their mean, in grey levels of 255, as a picture of norm 1, and their norm before; `None` of a picture of one
    /// colour, which resembles no other.
    pub(super) fn normalised(&self) -> Option<(Vec<f32>, f32)> {
        let mut values: Vec<f32> = self.values.iter().map(|&value| f32::from(value) / 257.0).collect();
        let norm = normalise(&mut values);
        // Half a grey level of standard deviation.
        (norm > 0.5 * SIDE as f32).then_some((values, norm))
    }
}

/// Takes the mean out and scales to norm 1; gives the norm before.
pub(super) fn normalise(values: &mut [f32]) -> f32 {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter_mut().for_each(|value| *value /= norm.max(1e-6));
    norm
}

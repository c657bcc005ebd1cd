//! What the flow sees of an image: for each rotation one vector, the means of the deepest feature map at several sizes.

use blemish_core::error::Error;
use blemish_features::{Backbone, FeatureMap};
use blemish_kernels::image::rotation::{Rotation, add_thinned, thin, thinned};
use rayon::prelude::*;

/// Rotations that go through the backbone together.
const TOGETHER: usize = 4;

/// The angles of `count` rotations in degrees: none, then steps of the same size around the circle or the part of it that is allowed.
///
/// For 180 degrees these are the published multiples of 360 / count.
pub(super) fn angles(count: usize, largest: f64) -> Vec<f64> {
    let range = 2.0 * largest;
    let count = if range == 0.0 { 1 } else { count };
    let angle = |index: usize| {
        let angle = range * index as f64 / count as f64;
        if angle >= largest && index > 0 { angle - range } else { angle }
    };
    (0..count).map(angle).collect()
}

/// Makes vectors of images.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    pub(super) backbone: &'a Backbone,
    /// 1 to 3: the image, and its nearest reductions to a half and a quarter.
    pub(super) scales: usize,
}

impl Views<'_> {
    fn channels(&self) -> usize {
        self.backbone.taps().last().map_or(0, |tap| tap.channels)
    }

    /// C, the length of a vector.
    pub(super) fn dimensions(&self) -> usize {
        self.scales * self.channels()
    }

    /// Calls `each` with the pixels, N x 3 x h x w, of each scale of rotated images and its number, from 0.
    fn for_each_scale(
        &self,
        image: &[f32],
        size: (usize, usize),
        angles: &[f64],
        mut each: impl FnMut(usize, &[f32], [usize; 3]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let plane = size.0 * size.1;
        // Black corners come before the normalisation.
        let rotated: Vec<Vec<f32>> = angles
            .par_iter()
            .map(|&angle| {
                let rotation = Rotation::new(size, angle);
                let mut out = Vec::with_capacity(image.len());
                image.chunks_exact(plane).for_each(|plane| rotation.apply(plane, &mut out));
                out
            })
            .collect();
        for scale in 0..self.scales {
            let mut pixels = Vec::new();
            let planes = rotated.iter().flat_map(|image| image.chunks_exact(plane));
            planes.for_each(|plane| thin(plane, size, 1 << scale, &mut pixels));
            let (height, width) = thinned(size, 1 << scale);
            each(scale, &pixels, [angles.len(), height, width])?;
        }
        Ok(())
    }

    /// The vectors of an image (3 x H x W), angles x C.
    pub(super) fn vectors(
        &self,
        image: &[f32],
        size: (usize, usize),
        angles: &[f64],
    ) -> Result<Vec<f32>, Error> {
        let (channels, length) = (self.channels(), self.dimensions());
        let mut vectors = vec![0.0; angles.len() * length];
        for (angles, vectors) in angles.chunks(TOGETHER).zip(vectors.chunks_mut(TOGETHER * length)) {
            self.for_each_scale(image, size, angles, |scale, pixels, shape| {
                let maps = self.backbone.extract(pixels, shape)?;
                let Some(map) = maps.last() else { return Ok(()) };
                let cells = map.height * map.width;
                let means =
                    map.data.chunks_exact(cells).map(|cells| cells.iter().sum::<f32>() / cells.len() as f32);
                let means: Vec<f32> = means.collect();
                for (vector, means) in vectors.chunks_mut(length).zip(means.chunks(channels)) {
                    vector[scale * channels..][..channels].copy_from_slice(means);
                }
                Ok(())
            })?;
        }
        Ok(vectors)
    }

    /// Gradients with respect to the rotated, normalised image, each 3 x H x W, of something whose gradients with respect to the
    /// vectors (angles x C) are given; `each` gets them with their angle.
    pub(super) fn for_each_gradient(
        &self,
        image: &[f32],
        size: (usize, usize),
        angles: &[f64],
        gradients: &[f32],
        mut each: impl FnMut(f64, &[f32]),
    ) -> Result<(), Error> {
        let (channels, length) = (self.channels(), self.dimensions());
        let plane = size.0 * size.1;
        // One at a time: the engine keeps every intermediate map.
        for (&angle, gradient) in angles.iter().zip(gradients.chunks_exact(length)) {
            let mut sum = vec![0.0; image.len()];
            self.for_each_scale(image, size, &[angle], |scale, pixels, shape| {
                let mut maps = self.backbone.extract(pixels, shape)?;
                spread(&mut maps, &gradient[scale * channels..][..channels]);
                let found = self.backbone.input_gradient(pixels, shape, &maps)?;
                let planes = found.chunks_exact(shape[1] * shape[2]).zip(sum.chunks_exact_mut(plane));
                planes.for_each(|(found, sum)| add_thinned(found, 1 << scale, sum, size));
                Ok(())
            })?;
            each(angle, &sum);
        }
        Ok(())
    }
}

/// Turns the maps of one image into gradients: that of the deepest one's means, and 0 for the others.
fn spread(maps: &mut [FeatureMap], gradient: &[f32]) {
    let deepest = maps.len().saturating_sub(1);
    for (index, map) in maps.iter_mut().enumerate() {
        let cells = map.height * map.width;
        for (values, gradient) in map.data.chunks_exact_mut(cells).zip(gradient.iter().cycle()) {
            values.fill(if index == deepest { gradient / cells as f32 } else { 0.0 });
        }
    }
}

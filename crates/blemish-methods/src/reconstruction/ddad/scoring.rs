//! From an image to its differences from its reconstruction.

use super::compare::{self, Differences, Size};
use super::diffusion::{Path, Purpose, generator, noise};
use super::extractor::Extractor;
use super::unet::UNet;
use crate::shared::tensors::{device_of, values_of};
use blemish_core::error::Error;
use blemish_nn::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Noise that every scored image meets, a map for each draw: the same for all, so that a score is a function of its image alone.
pub(super) fn noise_of(seed: u64, draws: usize, size: Size, device: &Device) -> Vec<Tensor<4>> {
    let draw = |number: usize| {
        let values = noise(&mut generator(seed, Purpose::Scoring, number as u64), 3 * size.0 * size.1);
        Tensor::from_data(TensorData::new(values, [1, 3, size.0, size.1]), device)
    };
    (0..draws).map(draw).collect()
}

/// Pixels of an image up to which images are worked on side by side, on CPUs: larger ones keep all threads busy, and take memory.
const SMALL: usize = 128 * 128;

/// What `of` makes of every image, in their order.
///
/// # Errors
/// What `of` returns.
pub(super) fn for_each<'i, I: Sync, T: Send>(
    images: &'i [I],
    size: Size,
    of: impl Fn(&'i I) -> Result<T, Error> + Sync + Send,
) -> Result<Vec<T>, Error> {
    if size.0 * size.1 <= SMALL {
        return images.par_iter().map(of).collect();
    }
    images.iter().map(of).collect()
}

/// All that a reconstruction takes.
pub(super) struct Painter {
    path: Path,
    noise: Vec<Tensor<4>>,
    size: Size,
}

impl Painter {
    pub(super) fn new(path: Path, seed: u64, size: Size, network: &UNet) -> Self {
        let noise = noise_of(seed, path.draws(), size, &device_of(network));
        Self { path, noise, size }
    }

    /// Of an image of 3 x H x W values in [-1, 1]: what it should look like.
    ///
    /// # Errors
    /// [`Error::Score`] for values that a device does not give back.
    pub(super) fn paint(&self, network: &UNet, image: &[f32]) -> Result<Vec<f32>, Error> {
        let (height, width) = self.size;
        let data = TensorData::new(image.to_vec(), [1, 3, height, width]);
        let image = Tensor::from_data(data, &device_of(network));
        values_of(self.path.reconstruct(network, image.clone(), image, &self.noise))
    }

    /// How it differs from that.
    ///
    /// # Errors
    /// The same; what the extractor returns.
    pub(super) fn differences(
        &self,
        network: &UNet,
        extractor: &Extractor,
        image: &[f32],
    ) -> Result<Differences, Error> {
        let painted = self.paint(network, image)?;
        let maps = extractor.compared(&[&painted, image], self.size)?;
        Ok(Differences {
            pixels: compare::pixels(&painted, image),
            features: compare::features(&maps, self.size),
        })
    }
}

//! From an image to its map and its score.

use super::config::{Likelihood, Map, Score};
use super::loss::reconstruction;
use super::parts::{Joined, corners, cut};
use super::{NAME, Vae, misfit};
use crate::shared::tensors::{device_of, values_of};
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::map::PatchScores;
use blemish_kernels::map::{Border, gaussian_blur};
use blemish_nn::layers::{Activation, Phase};
use blemish_nn::loss::{gaussian_kl, l2};
use blemish_nn::{Tensor, TensorData};

/// Parts of an image that are looked at together.
const AT_ONCE: usize = 16;

/// Share of the map whose mean is the score `top`.
pub(super) const TOP: f64 = 0.01;

/// What the evidence bound of an image is made of, in nats an image (of textures: a part, the mean of all).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// R: what the reconstruction costs. The variance of a calibrated Gaussian is that of the good images held out.
    pub reconstruction: f64,
    /// KL: how far the latent's distribution is from its prior.
    pub kl: f64,
}

impl Vae {
    /// Both parts of every image's evidence bound.
    ///
    /// # Errors
    /// [`Error::Score`] for images of another size than those of the fit.
    pub fn components(&self, input: &Input<'_>) -> Result<Vec<Components>, Error> {
        let batch = input.images()?;
        let size = (batch.height, batch.width);
        self.check_size(size)?;
        (0..batch.count).map(|index| self.components_of(batch.image(index), size)).collect()
    }

    /// Latent values that differ between good images, of all there are.
    pub fn active_units(&self) -> (usize, usize) {
        (self.active, self.network.latent_values())
    }

    pub(super) fn check_size(&self, size: (usize, usize)) -> Result<(), Error> {
        // Maps of parts need no certain size, but what is usual at a pixel does.
        let is_fixed = self.normal.is_some() && size != self.size;
        let reason = misfit(&self.config, size).or_else(|| {
            is_fixed.then(|| {
                let ((height, width), (rows, columns)) = (size, self.size);
                format!("{NAME} knows what is usual at the pixels of images of {columns}x{rows}, and these have {width}x{height}; resize them as for the fit")
            })
        });
        reason.map_or(Ok(()), |reason| Err(Error::Score { reason }))
    }

    /// A(i, j) of one image, the mean of its overlapping parts.
    pub(super) fn raw_map(&self, map: Map, image: &[f32], size: (usize, usize)) -> Result<Vec<f32>, Error> {
        let (side, eye) = (self.config.size, self.eye());
        let mut joined = Joined::new(size, side);
        for corners in self.corners(size).chunks(AT_ONCE) {
            let maps = eye.maps(map, self.parts(image, size, corners))?;
            corners.iter().zip(maps.chunks_exact(side * side)).for_each(|(&at, map)| joined.push(at, map));
        }
        Ok(joined.finish())
    }

    pub(super) fn score_image(
        &self,
        image: &[f32],
        size: (usize, usize),
        inside: Option<&[bool]>,
    ) -> Result<PatchScores, Error> {
        let (height, width) = size;
        let mut values = self.raw_map(self.config.map, image, size)?;
        if let Some(normal) = &self.normal {
            normal.apply(&mut values);
        }
        let image_score = match self.config.score {
            Score::Max => None,
            Score::Top => Some(self.top(&values, size, inside)),
            Score::Elbo => {
                let Components { reconstruction, kl } = self.components_of(image, size)?;
                Some((reconstruction + self.config.beta * kl) as f32)
            }
            Score::Reconstruction => Some(self.components_of(image, size)?.reconstruction as f32),
            Score::Kl => Some(self.components_of(image, size)?.kl as f32),
        };
        Ok(PatchScores { height, width, values, image_score })
    }

    /// Mean of the highest hundredth of the blurred map inside the region of interest.
    fn top(&self, map: &[f32], size: (usize, usize), inside: Option<&[bool]>) -> f32 {
        let is_inside = |at: usize| inside.is_none_or(|inside| inside.get(at) != Some(&false));
        let clear = |(at, &value): (usize, &f32)| if is_inside(at) { value } else { 0.0 };
        let map: Vec<f32> = map.iter().enumerate().map(clear).collect();
        let sigma = self.config.blur();
        let map = if sigma > 0.0 { gaussian_blur(&map, size, sigma, Border::Mirror) } else { map };
        let mut values: Vec<f32> = (0..map.len()).filter(|&at| is_inside(at)).map(|at| map[at]).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        let count = ((values.len() as f64 * TOP).ceil() as usize).clamp(1, values.len().max(1));
        (values.iter().take(count).map(|&value| f64::from(value)).sum::<f64>() / count as f64) as f32
    }

    fn components_of(&self, image: &[f32], size: (usize, usize)) -> Result<Components, Error> {
        let corners = self.corners(size);
        let mut sum = Components { reconstruction: 0.0, kl: 0.0 };
        for corner in &corners {
            let x = self.parts(image, size, std::slice::from_ref(corner));
            let posterior = self.network.encode(x.clone(), Phase::Scoring);
            let logits = self.network.decode(posterior.mean.clone(), Phase::Scoring);
            let r = match self.config.likelihood {
                Likelihood::Calibrated => {
                    let n = (3 * self.config.size * self.config.size) as f64;
                    let square = l2(x, Activation::Sigmoid.forward(logits));
                    let square = f64::from(values_of(square)?[0]);
                    0.5 * n * (square / self.variance + self.variance.ln())
                }
                _ => f64::from(values_of(reconstruction(&self.config, x, logits))?[0]),
            };
            sum.reconstruction += r;
            sum.kl += f64::from(values_of(gaussian_kl(posterior.mean, posterior.log_variance))?[0]);
        }
        let count = corners.len() as f64;
        Ok(Components { reconstruction: sum.reconstruction / count, kl: sum.kl / count })
    }

    fn corners(&self, size: (usize, usize)) -> Vec<(usize, usize)> {
        corners(size, self.config.size, self.config.stride())
    }

    /// Parts of an image, parts x 3 x side x side.
    fn parts(&self, image: &[f32], size: (usize, usize), corners: &[(usize, usize)]) -> Tensor<4> {
        let side = self.config.size;
        let values: Vec<f32> = corners.iter().flat_map(|&at| cut(image, size, side, at)).collect();
        let device = device_of(&self.network);
        // Only where the map takes gradients is this a device that has them.
        let device = if self.config.map.has_gradients() { device.autodiff() } else { device };
        Tensor::from_data(TensorData::new(values, [corners.len(), 3, side, side]), &device)
    }
}

//! The bank of hypersphere centres: how it starts, the loss that draws good patches into the spheres, and scores.

use super::config::{CfaConfig, NAME};
use super::descriptor::Descriptor;
use blemish_core::error::Error;
use blemish_core::state::Shared;
use blemish_kernels::k_means::k_means;
use blemish_kernels::knn::MemoryBank;
use blemish_nn::{Device, Tensor, TensorData};
use blemish_ops::row_distances;
use burn::tensor::activation::relu;

/// Rounds of k-means at most, as published.
const ROUNDS: usize = 3000;

/// Running mean of features over batches: C <- (C i + mean of batch i) / (i + 1).
#[derive(Default)]
pub(super) struct RunningMean {
    sum: Vec<f64>,
    batches: usize,
}

impl RunningMean {
    /// Takes the features of a batch in, images x positions x dimensions.
    pub(super) fn add(&mut self, features: &[f32], images: usize) {
        let length = features.len() / images.max(1);
        self.sum.resize(length, 0.0);
        for image in features.chunks_exact(length.max(1)) {
            let values = self.sum.iter_mut().zip(image);
            values.for_each(|(sum, &value)| *sum += f64::from(value) / images as f64);
        }
        self.batches += 1;
    }

    /// Positions x dimensions.
    pub(super) fn finish(self) -> Vec<f32> {
        let batches = self.batches.max(1) as f64;
        self.sum.into_iter().map(|sum| (sum / batches) as f32).collect()
    }
}

/// The centres: the mean features of all positions, or groups of them.
///
/// # Errors
/// [`Error::Setting`] if fewer are left than the loss looks at.
pub(super) fn centres(
    config: &CfaConfig,
    mean: Vec<f32>,
    dimensions: usize,
    seed: u64,
) -> Result<Vec<f32>, Error> {
    let positions = mean.len() / dimensions;
    let count = positions / config.bank_compression;
    let centres = match config.bank_compression {
        1 => mean,
        _ if count == 0 => Vec::new(),
        _ => k_means(&mean, dimensions, count, ROUNDS, seed)
            .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })?,
    };
    let (count, needed) = (centres.len() / dimensions, config.neighbours + config.hard_negatives);
    if count < needed {
        return Err(Error::Setting {
            key: "bank_compression".into(),
            reason: format!(
                "{positions} positions make {count} centres, the loss looks at the {needed} nearest"
            ),
            help: "lower it, or use larger images".into(),
        });
    }
    Ok(centres)
}

/// A frozen bank as the training sees it.
pub(super) struct Target<'a> {
    search: &'a MemoryBank<Shared<f32>>,
    /// Centres x dimensions.
    centres: Tensor<2>,
    config: &'a CfaConfig,
}

impl<'a> Target<'a> {
    pub(super) fn new(search: &'a MemoryBank<Shared<f32>>, config: &'a CfaConfig, device: &Device) -> Self {
        let shape = [search.len(), search.dimensions()];
        let centres = Tensor::from_data(TensorData::new(search.rows().to_vec(), shape), device);
        Self { search, centres, config }
    }

    /// What pooled maps cost: the nearest centres are searched for exactly, the gradient flows through the distances to them alone.
    pub(super) fn loss(&self, descriptor: &Descriptor, maps: Vec<Tensor<4>>) -> Tensor<1> {
        let phi = descriptor.forward(maps);
        let wanted = self.config.neighbours + self.config.hard_negatives;
        let values = phi.clone().inner().into_data().try_into_vec::<f32>().unwrap_or_default();
        match self.search.search(&values, wanted) {
            Ok(found) => {
                let distances = row_distances(phi, self.centres.clone(), &found.indices);
                coupled_loss(self.config, distances, descriptor.radius.val())
            }
            // Features that are not finite: the training loop says what to do about such a loss.
            Err(_) => phi.sum().mul_scalar(f32::NAN),
        }
    }
}

/// L = L_att + L_rep of squared distances to the nearest centres, patches x (K + J), ascending.
///
/// L_att is the mean of max(0, D - r^2) over the first K of each patch, L_rep that of max(0, r^2 - D - alpha) over those from the J-th on
/// (where the released codes start, which is after the first K if J = K); both over nu.
pub(super) fn coupled_loss(config: &CfaConfig, distances: Tensor<2>, radius: Tensor<1>) -> Tensor<1> {
    let (k, j) = (config.neighbours, config.hard_negatives);
    let count = distances.dims()[1];
    let square: Tensor<2> = (radius.clone() * radius).unsqueeze();
    let attracted = relu(distances.clone().narrow(1, 0, k) - square.clone()).mean();
    let repelled = relu(square - distances.narrow(1, j, count - j) - config.alpha).mean();
    (attracted + repelled) / config.nu
}

/// S = d_1 times its share among exp(-d_k), of squared distances to the nearest centres, ascending.
pub(super) fn patch_score(squared: &[f32]) -> f32 {
    let nearest = squared.first().map_or(0.0, |squared| squared.sqrt());
    // Shifted by the nearest, so that nothing underflows.
    let sum: f32 = squared.iter().map(|squared| (nearest - squared.sqrt()).exp()).sum();
    nearest / sum
}

//! The memory bank: feature maps in, patch and image scores out.

use super::NAME;
use super::config::{ImageScore, PatchCoreConfig, Variant};
use super::coverage::Coverage;
use super::embedding::embed;
use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::map::PatchScores;
use crate::region::cells_inside;
use crate::state::{Shared, State};
use blemish_kernels::knn::{MemoryBank, Neighbours};
use blemish_kernels::simd::squared_distance;

/// A coreset of patch features and the rules that turn distances to it into scores.
pub(crate) struct PatchBank {
    config: PatchCoreConfig,
    search: MemoryBank<Shared<f32>>,
    /// Entries x dimensions; the same values the search holds.
    entries: Shared<f32>,
    dimensions: usize,
    covering_radius: Option<f32>,
    /// `None` in files of older programs.
    coverage: Option<Coverage>,
}

impl PatchBank {
    /// A bank of entries x `dimensions` values.
    ///
    /// # Errors
    /// [`Error::Fit`] if the values are not finite or not whole rows.
    pub(crate) fn new(
        config: PatchCoreConfig,
        entries: Shared<f32>,
        dimensions: usize,
        covering_radius: Option<f32>,
    ) -> Result<Self, Error> {
        let search = MemoryBank::new(entries.clone(), dimensions)
            .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })?;
        Ok(Self { config, search, entries, dimensions, covering_radius, coverage: None })
    }

    pub(crate) fn restore(config: PatchCoreConfig, state: &State) -> Result<Self, Error> {
        let (shape, entries) = state.f32("bank", 2)?;
        let (_, radius) = state.f32("covering_radius", 1)?;
        let bank = Self::new(config, entries, shape[1], radius.first().copied())?;
        let coverage = Coverage::restore(state, bank.dimensions)?;
        Ok(Self { coverage, ..bank })
    }

    /// The same bank with what it stands for.
    pub(crate) fn with_coverage(self, coverage: Coverage) -> Self {
        Self { coverage: Some(coverage), ..self }
    }

    /// What it stands for, for updates and merges.
    ///
    /// # Errors
    /// [`Error::Living`] if the model was written before this was kept.
    pub(crate) fn living(&self, action: &'static str) -> Result<&Coverage, Error> {
        self.coverage.as_ref().ok_or_else(|| Error::Living {
            action,
            reason: "the model does not say how many patches it stands for, an older program wrote it; fit it again".into(),
        })
    }

    pub(crate) fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }

    pub(crate) fn entries(&self) -> &[f32] {
        &self.entries
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        state.set_f32("bank", &[self.len(), self.dimensions], self.entries.clone());
        let radius: Vec<f32> = self.covering_radius.into_iter().collect();
        state.set_f32("covering_radius", &[radius.len()], radius);
        if let Some(coverage) = &self.coverage {
            coverage.store(&mut state, self.dimensions);
        }
        state
    }

    pub(crate) fn config(&self) -> &PatchCoreConfig {
        &self.config
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() / self.dimensions
    }

    pub(crate) fn covering_radius(&self) -> Option<f32> {
        self.covering_radius
    }

    /// Patch scores of images from the feature maps of their layers.
    ///
    /// # Errors
    /// [`Error::Score`] if the features have another length than the bank's.
    pub(crate) fn score(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let embedding = embed(&self.config, &features.maps, features.count);
        if embedding.dimensions != self.dimensions {
            let reason = format!(
                "the backbone gives {} values a patch, the bank holds {}",
                embedding.dimensions, self.dimensions
            );
            return Err(Error::Score { reason });
        }
        let k = self.config.neighbours.min(self.len());
        let found = self.nearest(&embedding.rows, k)?;
        let (height, width) = (embedding.height, embedding.width);
        let inside = cells_inside(features.region_of_interest.as_deref(), height, width);
        let cells = height * width;
        (0..features.count)
            .map(|image| {
                let squared = found.squared_distances[image * cells * k..][..cells * k].chunks_exact(k);
                let values: Vec<f32> = squared
                    .zip(&inside)
                    .map(|(near, &is_inside)| if is_inside { self.patch_score(near) } else { 0.0 })
                    .collect();
                // Ties go to the first patch.
                let worst =
                    (0..cells).fold(0, |best, patch| if values[patch] > values[best] { patch } else { best });
                let row = &embedding.rows[(image * cells + worst) * self.dimensions..][..self.dimensions];
                let nearest = found.indices[(image * cells + worst) * k];
                let image_score = Some(self.image_score(values[worst], row, nearest)?);
                Ok(PatchScores { height, width, values, image_score })
            })
            .collect()
    }

    /// The rule of the variant from a patch's squared neighbour distances to its score.
    fn patch_score(&self, squared: &[f32]) -> f32 {
        let sum: f32 = match self.config.variant {
            Variant::Official => squared.iter().sum(),
            Variant::Anomalib => squared.iter().map(|squared| squared.sqrt()).sum(),
        };
        sum / squared.len() as f32
    }

    /// The rule from the worst patch (its score, its feature and its nearest entry) to the image's score.
    fn image_score(&self, patch_score: f32, row: &[f32], nearest: usize) -> Result<f32, Error> {
        let b = self.config.reweight_neighbours.min(self.len());
        if self.config.image_score() == ImageScore::Max || b < 2 {
            return Ok(patch_score);
        }
        let around: Vec<f32> = self
            .nearest(self.entry(nearest), b)?
            .indices
            .iter()
            .map(|&index| distance(row, self.entry(index)))
            .collect();
        Ok(reweighted(patch_score, distance(row, self.entry(nearest)), &around))
    }

    fn entry(&self, index: usize) -> &[f32] {
        &self.entries[index * self.dimensions..][..self.dimensions]
    }

    fn nearest(&self, rows: &[f32], k: usize) -> Result<Neighbours, Error> {
        self.search.search(rows, k).map_err(|error| Error::Score { reason: error.to_string() })
    }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    squared_distance(a, b).sqrt()
}

/// Equation 7 of the paper: a patch score, weighted by how isolated the patch's nearest bank entry is.
///
/// `nearest` is s* = ||m_test - m*||; `around` holds the distances of the same patch to the b bank entries nearest to m*, m* among
/// them. Returns (1 - exp(s*) / sum exp(around)) times `score`, with the exponents shifted so that nothing overflows.
pub(crate) fn reweighted(score: f32, nearest: f32, around: &[f32]) -> f32 {
    let largest = around.iter().copied().fold(nearest, f32::max);
    let sum: f64 = around.iter().map(|&other| f64::from(other - largest).exp()).sum();
    let own = f64::from(nearest - largest).exp();
    ((1.0 - own / sum) * f64::from(score)) as f32
}

//! PatchCore: a memory bank of locally aggregated patch features.
//!
//! Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, arXiv 2106.08265. All patch features of the good
//! images go into a bank, greedy k-centre selection thins it to a coreset, and a patch scores by its distance to the nearest entry. The
//! strongest simple baseline for whole images: needs no alignment and works from ten good images on; weak where a normal part in the
//! wrong place is the defect.
//!
//! Flow: feature maps -> `embedding` (section 3.1 of the paper) -> `bank` (coreset, algorithm 1) -> patch scores (nearest neighbours,
//! equation 6; image score, equation 7 or the maximum). Both released codes are variants, see [`Variant`].

mod config;
mod export;
#[cfg(test)]
pub(crate) mod tests;

pub use crate::shared::bank::Search;
pub use config::{ImageScore, PatchCoreConfig, Variant};

use crate::shared::bank::Bank;
use crate::shared::embedding::{Embedding, check_patch_size, embed};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, MapStage, PatchScores, worst_of};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet, Updates};
use blemish_core::needs::Needs;
use blemish_core::region::cells_inside;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::Device;
use config::NAME;

/// A fitted PatchCore.
pub struct PatchCore {
    scorer: Scorer,
}

impl PatchCore {
    /// A model of a bank, which is searched on the device.
    fn with(config: PatchCoreConfig, bank: Bank, device: Device) -> Result<Self, Error> {
        Ok(Self { scorer: Scorer { config, bank: bank.on(device)? } })
    }

    /// Number of entries of the bank.
    pub fn bank_size(&self) -> usize {
        self.scorer.bank.len()
    }

    /// Largest distance of a training patch to its nearest bank entry: how much the coreset can add to a patch distance over the full
    /// bank, at most.
    ///
    /// Measured on projections where the coreset was chosen on them and the model is not `updatable`; it bounds nothing then. `None` for the
    /// official variant unless it is `updatable`, since its picks are not pure farthest points.
    pub fn covering_radius(&self) -> Option<f32> {
        self.scorer.bank.covering_radius()
    }
}

/// The bank and the rules that turn distances to it into scores.
struct Scorer {
    config: PatchCoreConfig,
    bank: Bank,
}

impl Scorer {
    /// Patch scores of images from the feature maps of their layers.
    ///
    /// # Errors
    /// [`Error::Score`] if the features have another length than the bank's.
    fn score(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let embedding = embed(self.config.aggregation(), &features.maps, features.count);
        self.bank.check_length(embedding.dimensions)?;
        let k = self.config.neighbours.min(self.bank.len());
        let found = self.bank.nearest(&embedding.rows, k)?;
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
                let worst = worst_of(&values);
                let row =
                    &embedding.rows[(image * cells + worst) * embedding.dimensions..][..embedding.dimensions];
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
        let b = self.config.reweight_neighbours.min(self.bank.len());
        if self.config.image_score() == ImageScore::Max || b < 2 {
            return Ok(patch_score);
        }
        self.bank.reweighted(patch_score, row, nearest, b)
    }
}

fn embed_with(config: &PatchCoreConfig) -> impl Fn(&FeatureBatch) -> Embedding {
    let aggregation = config.aggregation();
    move |batch| embed(aggregation, &batch.maps, batch.count)
}

impl PatchCore {
    fn update(&self, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let Scorer { config, bank } = &self.scorer;
        let bank = bank
            .update(&config.bank(), context, |collector| collector.push_images(good, &embed_with(config)))?;
        Self::with(config.clone(), bank, context.device)
    }

    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error> {
        let [first, ..] = parts else {
            return Err(Error::Living { action: "merge", reason: "there are no models".into() });
        };
        let banks: Vec<&Bank> = parts.iter().map(|part| &part.scorer.bank).collect();
        let config = first.scorer.config.clone();
        let bank = Bank::merge(&config.bank(), &banks, context)?;
        Self::with(config, bank, context.device)
    }

    fn coverage(&self) -> String {
        self.scorer.bank.describe_coverage()
    }
}

impl Method for PatchCore {
    type Config = PatchCoreConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "distance to a memory bank of patch features thinned by greedy k-centre selection",
        advice: "the default: strong from ten good images on, parts need not be aligned; misses normal parts in wrong places",
        citation: "Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022, arXiv 2106.08265",
        family: Family::Distance,
    };

    const UPDATES: Option<Updates<Self>> =
        Some(Updates { update: Self::update, merge: Self::merge, coverage: Self::coverage });

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[8, 16])
    }

    fn default_transform(config: &Self::Config) -> Transform {
        match config.variant {
            Variant::Official => Transform::shorter_side(256).with_crop(224, 224),
            Variant::Anomalib => Transform::resize_to(256, 256),
        }
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        check_patch_size(config.patch_size)?;
        let bank = Bank::build(&config.bank(), context, |collector| {
            collector.push_images(train, &embed_with(config))
        })?;
        Self::with(config.clone(), bank, context.device)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.scorer.score(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        let config = &self.scorer.config;
        MapStage {
            interpolation: config.interpolation(),
            sigma: config.sigma,
            border: match config.variant {
                Variant::Official => BlurBorder::Repeat,
                Variant::Anomalib => BlurBorder::Mirror,
            },
        }
    }

    fn state(&self) -> State {
        self.scorer.bank.state()
    }

    fn config(&self) -> &Self::Config {
        &self.scorer.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        Self::with(stored.config, Bank::restore(NAME, &stored.state)?, stored.device)
    }
}

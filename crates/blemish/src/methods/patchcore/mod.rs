//! PatchCore: a memory bank of locally aggregated patch features.
//!
//! Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022, arXiv 2106.08265. All patch features of the good
//! images go into a bank, greedy k-centre selection thins it to a coreset, and a patch scores by its distance to the nearest entry. The
//! strongest simple baseline for whole images: needs no alignment and works from ten good images on; weak where a normal part in the
//! wrong place is the defect.
//!
//! Flow: feature maps -> `embedding` (section 3.1 of the paper) -> `fit` (coreset, algorithm 1) -> `bank` (nearest neighbours, equation
//! 6; image score, equation 7 or the maximum). Both released codes are variants, see [`Variant`]. Banks go on learning and are joined
//! as composable coresets, see `coverage`.

mod bank;
mod config;
mod coverage;
mod embedding;
mod fit;
#[cfg(test)]
mod tests;

pub use config::{ImageScore, PatchCoreConfig, Variant};

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::living::Living;
use crate::map::{BlurBorder, MapStage, PatchScores};
use crate::method::{FitContext, Method, MethodInfo, Needs, TrainingSet, stored_backbone};
use crate::state::State;
use bank::PatchBank;
use blemish_data::{ImageBatch, Transform};
use blemish_features::Backbone;
use blemish_kernels::k_centre::Start;
use std::sync::Arc;

const NAME: &str = "patchcore";

/// A fitted PatchCore.
pub struct PatchCore {
    backbone: Arc<Backbone>,
    bank: PatchBank,
}

impl PatchCore {
    /// Number of entries of the bank.
    pub fn bank_size(&self) -> usize {
        self.bank.len()
    }

    /// Largest distance of a training patch to its nearest bank entry: how much the coreset can add to a patch distance over the full
    /// bank, at most.
    ///
    /// On projections where the coreset was chosen on them and the model is not `updatable`, which does not bound anything. `None` for
    /// the official variant unless it is `updatable`, since its picks are no pure farthest points and do not tell.
    pub fn covering_radius(&self) -> Option<f32> {
        self.bank.covering_radius()
    }
}

impl Living for PatchCore {
    /// A composable coreset: chosen among the old picks and all new patches, the old bank first while the cap leaves room for more.
    /// The number of picks follows from the patches of all images together.
    fn update(&self, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let config = self.bank.config();
        let collected = fit::collect(config, &self.backbone, train, Some(&self.bank), context)?;
        let start = fit::next_start(config, &collected, self.bank.len());
        let bank = fit::choose(config, &collected, start, context)?;
        Ok(Self { backbone: self.backbone.clone(), bank })
    }

    /// The second round of a two-round coreset: chosen among the picks of all parts, starting from the first pick of the first.
    ///
    /// The parts may have been chosen on different projections, since features are kept whole and radii are measured on them.
    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error> {
        let [first, ..] = parts else {
            return Err(Error::Living { action: "merge", reason: "there are no models".into() });
        };
        let banks: Vec<&PatchBank> = parts.iter().map(|part| &part.bank).collect();
        let config = first.bank.config();
        let collected = fit::join(config, &banks, context)?;
        let bank = fit::choose(config, &collected, Start::Index(0), context)?;
        Ok(Self { backbone: first.backbone.clone(), bank })
    }

    fn coverage(&self) -> String {
        let Some(coverage) = self.bank.coverage() else {
            return "not updatable (written by an older program)".into();
        };
        let within = match coverage.radius {
            Some(radius) => format!("each at most {radius:.4} away"),
            None => "how far away at most was not measured (fit with --updatable)".into(),
        };
        format!("{} entries for {} patches, {within}", self.bank.len(), coverage.patches)
    }
}

impl Method for PatchCore {
    type Config = PatchCoreConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "distance to a memory bank of patch features thinned by greedy k-centre selection",
        advice: "the default: strong from ten good images on, parts need not be aligned; misses normal parts in wrong places",
        citation: "Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022, arXiv 2106.08265",
        family: "distance",
        needs: Needs { strides: &[8, 16], long_training: false, prompts: false },
    };

    fn default_transform(config: &Self::Config) -> Transform {
        match config.variant {
            Variant::Official => Transform::shorter_side(256).with_crop(224, 224),
            Variant::Anomalib => Transform::resize_to(256, 256),
        }
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if config.patch_size.is_multiple_of(2) {
            let reason = format!("{} is even; the neighbourhood needs a centre", config.patch_size);
            return Err(Error::Setting {
                key: "patch_size".into(),
                reason,
                help: "allowed: 1, 3, 5, 7".into(),
            });
        }
        let backbone = context.require_backbone(NAME)?;
        let collected = fit::collect(config, &backbone, train, None, context)?;
        let start = fit::first_start(config, &collected, context.seed);
        let bank = fit::choose(config, &collected, start, context)?;
        Ok(Self { backbone, bank })
    }

    fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error> {
        self.bank.score(&FeatureBatch::extract(&self.backbone, batch)?)
    }

    fn score_features(&self, features: &FeatureBatch) -> Result<Option<Vec<PatchScores>>, Error> {
        self.bank.score(features).map(Some)
    }

    fn map_stage(&self) -> MapStage {
        let config = self.bank.config();
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
        self.bank.state()
    }

    fn config(&self) -> &Self::Config {
        self.bank.config()
    }

    fn restore(config: Self::Config, state: State, backbone: Option<Arc<Backbone>>) -> Result<Self, Error> {
        let backbone = stored_backbone(NAME, backbone)?;
        Ok(Self { backbone, bank: PatchBank::restore(config, &state)? })
    }
}

//! PNI: a memory bank whose entries must be plausible at the position and among the features around.
//!
//! Bae, Lee and Kim, "PNI: Industrial Anomaly Detection using Position and Neighborhood Information", ICCV 2023, arXiv 2211.12634. A patch
//! scores by its distance to the nearest entry of a coreset, as in PatchCore, but only entries count that were seen near its position and
//! that a network finds likely given the features around it. So normal features in the wrong place are found. A second network, trained on
//! made-up defects, can sharpen the map.
//!
//! Flow: feature maps -> pooled neighbourhoods (`crate::shared::embedding`) -> `fit` (one greedy order, of which both coresets are prefixes;
//! `position`; `neighbourhood`) -> `likelihood` (gated distances) -> `refine`.
//!
//! # Deviations
//! - Networks and images are smaller by default ([`Preset`]), since the published ones need days on a CPU. The network sees the features
//!   around a position by their principal directions.
//! - Positions are learnt for the first 1 % of the order, as published, also where the coreset is larger; further entries go with the
//!   nearest of these.
//! - The best epoch is chosen on whole images left out, not on cells left out, which overlap with those trained on.
//! - Batch normalisation takes the moments of many rows after the training, not running averages.
//! - The released code has the centre in the neighbourhood and looks gates up by ranks; the paper's formulas are the default, see
//!   [`Variant`].
//! - One coreset without rim serves every combination of conditions; the released code has another one with rim for positions alone.

mod config;
mod fit;
mod grid;
mod likelihood;
mod model;
mod neighbourhood;
mod position;
mod refine;
mod samples;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{PniConfig, Variant};

use crate::shared::embedding::check_patch_size;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::Backbone;
use config::NAME;
use fit::Surroundings;
use model::{PatchModel, maps_of, patch_stage};
use refine::Refinement;
use std::sync::Arc;

/// A fitted PNI.
pub struct Pni {
    backbone: Arc<Backbone>,
    config: PniConfig,
    model: PatchModel,
    refinement: Option<Refinement>,
}

impl Pni {
    /// Entries of the embedding and the distribution coreset; the latter is 0 without the neighbourhood.
    pub fn coreset_sizes(&self) -> (usize, usize) {
        let distribution = self.model.neighbourhood.as_ref().map_or(0, |it| it.entries);
        (self.model.bank.len(), distribution)
    }
}

impl Method for Pni {
    type Config = PniConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "distance to those bank entries that are plausible at the position and given the features around",
        advice: "fixed camera and aligned parts, also for normal features in the wrong place; trains for minutes",
        citation: "Bae et al., PNI: Industrial Anomaly Detection using Position and Neighborhood Information, ICCV 2023, arXiv 2211.12634",
        family: Family::Distance,
    };

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(Self::Config::of(preset))
    }

    const EXPORT: Export<Self> = Export::Missing(
        "where its search may look depends on each patch's place and neighbours, which has no graph yet",
    );

    fn needs(config: &Self::Config) -> Needs {
        let needs = Needs::of_maps(&[8, 16]).training_long();
        // A refinement looks at the image itself.
        if config.refinement { needs.reading(Reads::Both).opening_backbone() } else { needs }
    }

    fn default_transform(config: &Self::Config) -> Transform {
        match config.preset {
            Preset::Cpu => Transform::resize_to(256, 256),
            Preset::Paper => Transform::shorter_side(512).with_crop(480, 480),
        }
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if config.refinement && !config.refine_side.is_multiple_of(32) {
            let reason = format!("{} is not a multiple of 32", config.refine_side);
            let help = "the network halves and doubles it five times, e.g. 192".into();
            return Err(Error::Setting { key: "refine_side".into(), reason, help });
        }
        check_patch_size(config.patch_size())?;
        let backbone = context.require_backbone(NAME)?;
        let surroundings = Surroundings { backbone: &backbone, images: train, context };
        let (config, model, trainer) = fit::fit(config, surroundings)?;
        let refinement = match config.refinement {
            true => Some(Refinement::fit(&config, &model, surroundings, &trainer)?),
            false => None,
        };
        Ok(Self { backbone, config, model, refinement })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let features = input.maps()?;
        let Some(refinement) = &self.refinement else {
            return self.model.score_maps(&self.config, features);
        };
        let (maps, scores): (Vec<_>, Vec<_>) =
            maps_of(&self.config, &self.model, features)?.into_iter().unzip();
        let (height, width) = input.size();
        let refined = refinement.refine(&self.backbone, input.images()?, maps)?.into_iter().zip(scores);
        Ok(refined
            .map(|(values, score)| PatchScores { height, width, values, image_score: Some(score) })
            .collect())
    }

    fn map_stage(&self) -> MapStage {
        let stage = patch_stage(&self.config);
        // Refined maps have the size of the input, and the blur was what was refined.
        if self.refinement.is_some() { MapStage { sigma: 0.0, ..stage } } else { stage }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.model.store(&mut state);
        if let Some(refinement) = &self.refinement {
            refinement.store(&mut state);
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        let model = PatchModel::restore(&config, device, &state)?;
        let refinement = match config.refinement {
            true => Some(Refinement::restore(&config, &backbone, device, &state)?),
            false => None,
        };
        Ok(Self { backbone, config, model, refinement })
    }
}

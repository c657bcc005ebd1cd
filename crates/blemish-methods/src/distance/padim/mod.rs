//! PaDiM: one Gaussian per position of the feature grid.
//!
//! Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization", arXiv 2011.08785. Channels of
//! several layers are joined, `d` of them drawn once at random, and every position gets the mean and covariance of its `d` values over
//! the good images; the score is the Mahalanobis distance. One pass over the images, a model whose size does not depend on their
//! number; needs aligned parts and a few tens of images.
//!
//! Flow: feature maps -> `gather` (drawn channels on one grid) -> `positions` (streaming moments, Cholesky factors, distances). Moments
//! add up exactly, so models that keep them (`summary`) can be updated and merged.

mod config;
mod export;
mod gather;
mod left_out;
mod positions;
mod summary;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{PadimConfig, Precision, Variant};

use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{
    Family, FitContext, LeaveOneOut, Method, MethodInfo, Pass, Stored, TrainingSet, Updates,
};
use blemish_core::needs::Needs;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::FeatureMap;
use config::NAME;
use gather::draw_channels;
use positions::{PositionModel, Positions};

/// A fitted PaDiM.
pub struct Padim {
    model: PositionModel,
}

/// The accumulator for the grid and channels of the first feature maps.
fn start(config: &PadimConfig, maps: &[FeatureMap], seed: u64) -> Result<Positions, Error> {
    let available: usize = maps.iter().map(|map| map.channels).sum();
    // As the paper: 100 for ResNet-18's 448 channels, 550 for Wide-ResNet-50's 1,792.
    let default = if available > 1000 { 550 } else { 100 };
    let wanted = config.dimensions.unwrap_or(default.min(available));
    if wanted > available {
        return Err(Error::Setting {
            key: "dimensions".into(),
            reason: format!("{wanted} channels cannot be drawn of {available}"),
            help: format!("allowed with these layers: 1 to {available}"),
        });
    }
    let (height, width) = maps.first().map_or((0, 0), |map| (map.height, map.width));
    Positions::new(draw_channels(available, wanted, seed), height, width)
}

impl LeaveOneOut for Padim {
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.model.score_left_out(input.maps()?)
    }

    fn most_together(&self) -> usize {
        self.model.most_together()
    }

    fn score_left_out_together(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.model.score_left_out_together(input.maps()?)
    }
}

/// Streams good images into the moments, from the start or from where an earlier fit ended, and factors them.
fn learn(
    mut positions: Option<Positions>,
    config: &PadimConfig,
    train: &dyn TrainingSet,
    context: &FitContext<'_>,
) -> Result<Padim, Error> {
    context.observer.stage("fitting Gaussians", Some(train.len() as u64));
    train.for_each(Pass::MAPS, &mut |input| {
        let batch = input.maps()?;
        let maps = &batch.maps;
        let positions = match &mut positions {
            Some(positions) => positions,
            none => none.insert(start(config, maps, context.seed)?),
        };
        if !positions.fits(maps) {
            let reason = "the images give another grid than the model's; use images of the same shape".into();
            return Err(Error::Living { action: "update", reason });
        }
        positions.add(maps, batch.count)?;
        context.observer.advance(batch.count as u64);
        Ok(())
    })?;
    let Some(positions) = positions else {
        return Err(Error::Fit { method: NAME, reason: "there are no training images".into() });
    };
    finish(positions, config, context)
}

/// Factors what was learnt.
fn finish(positions: Positions, config: &PadimConfig, context: &FitContext<'_>) -> Result<Padim, Error> {
    if positions.count() <= positions.dimensions() as u64 {
        context.observer.warn(&format!(
            "{} images for {} dimensions: covariances are carried by epsilon; more images or fewer dimensions would help",
            positions.count(),
            positions.dimensions()
        ));
    }
    context.observer.stage("factoring covariances", None);
    Ok(Padim { model: positions.finish(config.clone())? })
}

impl Padim {
    /// Exact: equal to the fit on all images up to the rounding of sums in double precision.
    fn update(&self, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let positions = Positions::resume(&self.model, "update")?;
        learn(Some(positions), self.model.config(), train, context)
    }

    /// Exact, as [`Self::update`].
    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error> {
        let [first, others @ ..] = parts else {
            return Err(Error::Living { action: "merge", reason: "there are no models".into() });
        };
        context.observer.stage("merging Gaussians", Some(others.len() as u64));
        let mut positions = Positions::resume(&first.model, "merge")?;
        for other in others {
            context.check_cancelled()?;
            positions.merge(Positions::resume(&other.model, "merge")?)?;
            context.observer.advance(1);
        }
        finish(positions, first.model.config(), context)
    }

    fn coverage(&self) -> String {
        match self.model.count() {
            Some(count) => format!("Gaussians of {count} images, updatable"),
            None => "not updatable (fit with the setting `updatable`)".into(),
        }
    }
}

impl Method for Padim {
    type Config = PadimConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "one Gaussian per position over pretrained features, Mahalanobis distance",
        advice: "for aligned parts and fixed cameras, from a few tens of images on; one pass, model size independent of their number",
        citation: "Defard et al., PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization, ICPR 2020 \
                   workshops, arXiv 2011.08785",
        family: Family::Distance,
    };

    const UPDATES: Option<Updates<Self>> =
        Some(Updates { update: Self::update, merge: Self::merge, coverage: Self::coverage });

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[4, 8, 16])
    }

    fn default_transform(config: &Self::Config) -> Transform {
        match config.variant {
            Variant::Official => Transform::shorter_side(256).with_crop(224, 224),
            Variant::Anomalib => Transform::resize_to(256, 256),
        }
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        learn(None, config, train, context)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.model.score(input.maps()?)
    }

    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        self.model.can_leave_one_out().then_some(self)
    }

    fn map_stage(&self) -> MapStage {
        let config = self.model.config();
        MapStage {
            interpolation: Interpolation::Bilinear,
            sigma: config.sigma,
            border: match config.variant {
                Variant::Official => BlurBorder::Repeat,
                Variant::Anomalib => BlurBorder::Mirror,
            },
        }
    }

    fn state(&self) -> State {
        self.model.state()
    }

    fn config(&self) -> &Self::Config {
        self.model.config()
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        Ok(Self { model: PositionModel::restore(stored.config, &stored.state)? })
    }
}

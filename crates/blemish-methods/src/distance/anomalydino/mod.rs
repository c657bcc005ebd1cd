//! AnomalyDINO: distance to the nearest patch of good images in a frozen vision transformer, and four systems of the same kind.
//!
//! Damm et al., "AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2", WACV 2025, arXiv 2405.14529. The tokens of all
//! patches of the good images go into a bank, scaled to unit length; a patch scores by its cosine distance to the nearest. Nothing is
//! trained and one good image is a beginning. It was made for DINOv2, backbone `vit_small_patch14_dinov2` (or `base`, `large`), whose weights
//! are to be brought once; with the backbone that is compiled in it works as well, as a plain bank of its features. Strong with few
//! images and under changes of light; weak where what is missing looks like the background, and its map is as coarse as the patches.
//!
//! ```text
//! patch score    s(x) = min over the bank of 1 - cos(x, b) = min |x - b|^2 / 2 for unit rows
//! image score    the mean of the highest 1 % of the patch scores
//! ```
//!
//! Flow: feature maps -> `patches` (rows of unit length) -> `memory` (a bank a layer; `thin` where it is too large) -> distances, the mean
//! over the layers -> `mask` (background, if asked for). What the modes change:
//!
//! | mode | layers by default | bank | distance |
//! |---|---|---|---|
//! | `dino` | the last | all patches of all good images, perhaps `turn`ed | cosine |
//! | `multilayer` (SuperAD, arXiv 2505.19750) | two thirds and the end of the depth | of the 16 images that differ most | cosine, mean of the layers |
//! | `tiled` (SuperADD, arXiv 2605.14808) | the same | of `tiles` of brighter and darker images, thinned by density | Euclidean over the length |
//! | `retrieval` (RAD, arXiv 2601.22763) | the same | all patches and one vector an image | cosine, near the place in the 150 most similar images |
//! | `batch` (MuSc, arXiv 2401.16753) | the same | all patches of a batch, image by image | cosine, mean of the nearest 30 % of the other images |
//!
//! Layers are chosen with the backbone: a transformer's are named by the number of the block, `2,5,8,11` for every third; adding `class`
//! lets `multilayer` and `retrieval` compare images by their class token, else they take the mean of the deepest map.
//!
//! `batch` needs no good images: it is fitted on a batch as it comes, most of which is good, and then scores that batch. What only few of
//! the others have is anomalous:
//!
//! ```text
//! patch score    s(x) = mean of the floor(0.3 N) lowest of  d_i(x) = min over image i of 1 - cos(x, b),  i = 1 .. N, the other images
//! ```
//!
//! An image is known to be one of the batch by its patches: an image of the batch that has all of them, but for rounding, is left out, be it
//! the image itself or a copy of it. A copy that was compressed anew is another image, and has itself for a neighbour. The calibration
//! takes the batch's own scores, defects among them: thresholds are too high by these, ranks are not; `calibrate` sets thresholds with
//! images that are known to be good.
//!
//! Models learn on: new images are appended, and models of several sets are joined in order, to the very model of one fit on all (merged
//! `tiled` ones are of other changes of brightness). Where a bank had to be thinned, or few images are chosen, this is done again among what
//! is remembered and what is new.
//!
//! # Deviations
//! - Banks above `bank_max` are thinned, by default by k-centre selection; AnomalyDINO's code keeps everything.
//! - Thresholds come from the calibration of all methods, by leaving out each good image's own entries, not from a percentile times 1.421.
//! - Rows and columns beyond whole patches do not count, as in the published code; the map is stretched over them.
//! - `multilayer` takes the two layers that a backbone has by default, not four; name four to have the published ones.
//! - `multilayer` and `retrieval` without a class token compare images by their mean patch.
//! - The image score is the mean of the highest patch scores in all modes; SuperAD and RAD take pixels of the finished map.
//! - `batch` has neither MuSc's averages over neighbouring patches nor its second pass that compares the scores of similar images.
//! - The mask uses a few orthogonal iterations from a fixed start instead of a randomised decomposition; the middle settles the sign.
//! - Parts of a region of interest that is not looked at are left out of the bank; the modes `retrieval` and `batch` keep
//!   them, since images are compared whole there.

mod choose;
mod config;
mod gather;
mod mask;
mod memory;
mod patches;
#[cfg(test)]
pub(crate) mod tests;
mod thin;
mod tiles;
mod turn;

pub use config::{AnomalyDinoConfig, Mode, Thinning};

use crate::shared::mean_of_largest::mean_of_largest;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{
    Family, FitContext, LeaveOneOut, Method, MethodInfo, Pass, Stored, TrainingSet, Updates,
};
use blemish_core::needs::{Needs, Reads};
use blemish_core::region::cells_inside;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::{Backbone, FeatureMap};
use choose::reference_images;
use config::NAME;
use gather::Gathering;
use memory::Memory;
use patches::Patches;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use tiles::tiled_maps;
use turn::turned;

/// A fitted AnomalyDINO.
pub struct AnomalyDino {
    config: AnomalyDinoConfig,
    memory: Memory,
    /// For the mode tiled, which cuts images itself.
    backbone: Option<Arc<Backbone>>,
}

impl AnomalyDino {
    /// Entries of all banks.
    pub fn bank_size(&self) -> usize {
        self.memory.layers.iter().map(|layer| layer.bank.len()).sum()
    }

    fn score_all(&self, input: &Input<'_>, is_left_out: bool) -> Result<Vec<PatchScores>, Error> {
        let all = patches_of(&self.config, self.backbone.as_deref(), input)?;
        let score = |(at, patches): (usize, &Patches)| {
            let left_out = is_left_out.then(|| input.indices[at]);
            self.scores_of(patches, input, left_out)
        };
        all.iter().enumerate().map(score).collect()
    }

    fn scores_of(
        &self,
        patches: &Patches,
        input: &Input<'_>,
        left_out: Option<usize>,
    ) -> Result<PatchScores, Error> {
        let mut values = self.memory.scores(&self.config, patches, left_out)?;
        let [height, width] = patches.layers.first().map_or([0, 0], |layer| layer.size);
        let mut inside = cells_inside(input.region(), height, width);
        if let (true, Some(layer)) = (self.config.mask, patches.layers.last()) {
            let front = mask::foreground(
                &layer.original_rows(),
                layer.dimensions,
                layer.size,
                self.config.mask_threshold,
            )?;
            let [rows, columns] = layer.size;
            for (cell, inside) in inside.iter_mut().enumerate() {
                let (y, x) = (cell / width * rows / height, cell % width * columns / width);
                *inside &= front[y * columns + x];
            }
        }
        values.iter_mut().zip(&inside).filter(|(_, inside)| !**inside).for_each(|(value, _)| *value = 0.0);
        let image_score = Some(mean_of_highest(&values, self.config.top_share));
        Ok(PatchScores { height, width, values, image_score })
    }
}

/// The mean of the highest `share` of some scores, of one at least.
fn mean_of_highest(scores: &[f32], share: f64) -> f32 {
    // A share such as 0.01 is a little off in binary.
    let count = ((scores.len() as f64 * share + 1e-9) as usize).max(1);
    mean_of_largest(scores.to_vec(), count)
}

/// What the method sees of the images of a batch.
fn patches_of(
    config: &AnomalyDinoConfig,
    backbone: Option<&Backbone>,
    input: &Input<'_>,
) -> Result<Vec<Patches>, Error> {
    let is_unit = config.has_unit_rows();
    match (config.mode, backbone) {
        (Mode::Tiled, Some(backbone)) => {
            let images = input.images()?;
            let size = [images.height, images.width];
            let of_image = |image: &[f32]| {
                let maps = tiled_maps(backbone, image, size, [config.tile, config.tile_overlap])?;
                Ok(Patches::of(&maps, 0, is_unit))
            };
            (0..images.count).map(|at| of_image(images.image(at))).collect()
        }
        _ => Ok(Patches::of_batch(input.maps()?, is_unit)),
    }
}

/// The banks of what is remembered and of good images, in this order.
fn learn(
    config: &AnomalyDinoConfig,
    known: &[&Memory],
    good: Option<&dyn TrainingSet>,
    context: &FitContext<'_>,
) -> Result<Memory, Error> {
    let is_chosen = reference_images(config, known, good, context)?;
    let mut gathering = Gathering::new(config, context);
    let mut first = 0;
    for memory in known {
        gathering.push_memory(first, memory, &is_chosen[first..])?;
        first += memory.images();
    }
    if let Some(good) = good {
        let chosen = is_chosen[first..].iter().filter(|&&chosen| chosen).count();
        context.observer.stage("extracting features", Some(chosen as u64));
        let is_changed = config.rotations > 1 || config.mode == Mode::Tiled;
        let backbone = context.require_backbone(NAME)?;
        let pass = if is_changed { Pass::IMAGES } else { Pass::MAPS };
        good.for_each(pass, &mut |input| {
            let inside = |size: [usize; 2]| cells_inside(input.region(), size[0], size[1]);
            let all = if is_changed { vec![] } else { patches_of(config, None, input)? };
            for (at, image) in input.indices.iter().map(|image| first + image).enumerate() {
                if !is_chosen[image] {
                    continue;
                }
                if !is_changed {
                    gathering.push(image, &all[at], &inside)?;
                } else {
                    for patches in changed(config, &backbone, input, at, image, context.seed)? {
                        gathering.push(image, &patches, &inside)?;
                        context.check_cancelled()?;
                    }
                }
                context.observer.advance(1);
            }
            Ok(())
        })?;
    }
    gathering.finish(is_chosen.len())
}

impl AnomalyDino {
    /// Good images are added behind those known; where images are chosen or a bank is thinned, this is done once more among what is
    /// remembered and what is new.
    fn update(&self, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let known = self.remembered("update")?;
        Ok(self.with(learn(&self.config, &[known], Some(good), context)?))
    }

    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error> {
        let [first, ..] = parts else {
            return Err(Error::Living { action: "merge", reason: "there are no models".into() });
        };
        let known = parts.iter().map(|part| part.remembered("merge")).collect::<Result<Vec<_>, _>>()?;
        Ok(first.with(learn(&first.config, &known, None, context)?))
    }

    fn with(&self, memory: Memory) -> Self {
        Self { config: self.config.clone(), memory, backbone: self.backbone.clone() }
    }

    fn remembered(&self, action: &'static str) -> Result<&Memory, Error> {
        let reason =
            "the model does not say which image its entries are of, an older program wrote it; fit it again";
        let is_known = self.memory.images() > 0;
        is_known.then_some(&self.memory).ok_or_else(|| Error::Living { action, reason: reason.into() })
    }

    fn coverage(&self) -> String {
        let images = self.memory.layers.first().map_or(0, |layer| layer.images().count());
        format!("{} patches of {images} images", self.bank_size())
    }
}

impl Method for AnomalyDino {
    type Config = AnomalyDinoConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "cosine distance to the nearest patch of good images in a vision transformer; nothing is trained",
        advice: "for one to some hundred good images with the backbone vit_small_patch14_dinov2, under changing light too; its maps are as coarse as the patches",
        citation: "Damm et al., AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2, WACV 2025, arXiv 2405.14529",
        family: Family::Distance,
    };

    const UPDATES: Option<Updates<Self>> =
        Some(Updates { update: Self::update, merge: Self::merge, coverage: Self::coverage });

    const EXPORT: Export<Self> = Export::Missing("its masks and its search by angles have no graph yet");

    fn needs(config: &Self::Config) -> Needs {
        match config.mode {
            Mode::Dino => Needs::of_maps(&[16]),
            Mode::Multilayer | Mode::Retrieval | Mode::Batch => Needs::of_maps(&[8, 16]),
            Mode::Tiled => Needs::of_maps(&[8, 16]).reading(Reads::Images),
        }
    }

    fn default_transform(config: &Self::Config) -> Transform {
        match config.mode {
            Mode::Dino | Mode::Batch => Transform::shorter_side(448),
            Mode::Multilayer => Transform::shorter_side(672),
            Mode::Tiled => Transform::shorter_side(1024),
            Mode::Retrieval => Transform::resize_to(512, 512).with_crop(448, 448),
        }
    }

    fn fit(config: &Self::Config, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        config.check()?;
        let backbone = context.require_backbone(NAME)?;
        let memory = learn(config, &[], Some(good), context)?;
        let backbone = (config.mode == Mode::Tiled).then_some(backbone);
        Ok(Self { config: config.clone(), memory, backbone })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_all(input, false)
    }

    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        let is_able =
            self.config.mode != Mode::Tiled && self.config.neighbours == 1 && self.memory.knows_owners();
        is_able.then_some(self)
    }

    fn map_stage(&self) -> MapStage {
        MapStage {
            interpolation: Interpolation::Bilinear,
            sigma: self.config.sigma,
            border: BlurBorder::Repeat,
        }
    }

    fn state(&self) -> State {
        self.memory.state()
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        stored.config.check()?;
        let backbone = stored.require_backbone(NAME)?;
        // The class token has no bank.
        let taps = || backbone.taps().iter();
        let has_maps = taps().any(|tap| tap.stride > 0);
        let lengths: Vec<usize> =
            taps().filter(|tap| !has_maps || tap.stride > 0).map(|tap| tap.channels).collect();
        let class = taps().rev().find(|tap| has_maps && tap.stride == 0).map(|tap| tap.channels);
        let whole = class.or(lengths.last().copied()).unwrap_or(0);
        let memory = Memory::restore(&stored.config, &stored.state, &lengths, whole, stored.device)?;
        let backbone = (stored.config.mode == Mode::Tiled).then_some(backbone);
        Ok(Self { config: stored.config, memory, backbone })
    }
}

impl LeaveOneOut for AnomalyDino {
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_all(input, true)
    }
}

/// A good image as it goes into the bank: at its angles, or in tiles and brighter or darker.
fn changed(
    config: &AnomalyDinoConfig,
    backbone: &Backbone,
    input: &Input<'_>,
    at: usize,
    image: usize,
    seed: u64,
) -> Result<Vec<Patches>, Error> {
    let images = input.images()?;
    let size = [images.height, images.width];
    let pixels = images.image(at);
    let patches = |maps: Vec<FeatureMap>| Patches::of(&maps, 0, config.has_unit_rows());
    let angles = (0..config.rotations).map(|turn| 360.0 * turn as f64 / config.rotations as f64);
    angles
        .map(|degrees| {
            let mut pixels = turned(pixels, size, degrees);
            if config.mode == Mode::Tiled {
                let factor = brightness(seed, image, config.brightness as f32);
                pixels.iter_mut().for_each(|value| *value = (*value * factor).clamp(0.0, 1.0));
                let maps = tiled_maps(backbone, &pixels, size, [config.tile, config.tile_overlap])?;
                return Ok(patches(maps));
            }
            Ok(patches(backbone.extract(&pixels, [1, size[0], size[1]])?))
        })
        .collect()
}

/// What the brightness of a good image is multiplied with, by the seed and its number alone.
fn brightness(seed: u64, image: usize, largest: f32) -> f32 {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0xB12_C7E5);
    random.set_stream(image as u64);
    1.0 + largest * random.random_range(-1.0..=1.0f32)
}

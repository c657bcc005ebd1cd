//! SAA and SAA+: a detector finds what phrases say, a segmenter draws its outline, and what stands out in the image weighs it.
//!
//! Cao et al., "Segment Any Anomaly without Training via Hybrid Prompt Regularization", arXiv 2305.10724; details follow the released code.
//! Nothing is trained and no good images are needed: an expert writes what defects look like and how large they may be. Grounding DINO
//! gives boxes for the phrases, Segment Anything a mask for each box. Pick it where there are no images at all but defects can be
//! described; it gives sharp outlines, but is weak at telling whether an image has a defect.
//!
//! ```text
//! objects    boxes of the object's name with score > 0.1 and area < 1 / objects;   A = area of the largest, 1 without any
//! defects    boxes of every caption with score > 0.1, area < theta A, that do not show the object's name;   s = score
//! saliency   one object: S(i) = mean over the 400 farthest positions j of (1 - f_i . f_j) / 2
//!            several:    S(i) = (1 - max over positions j of the other objects of f_i . f_j) / 2 within objects
//! s'         = s exp(3 mean of S over the mask)
//! map(x)     = sum of s' over the K masks of the highest s' that hold x, over one more than their number
//! ```
//!
//! f are features of a frozen backbone of unit length, f_i . f_j their cosine. Captions, objects, K and theta are settings, and the
//! specification's table of the published values for MVTec AD and VisA is in the settings' meanings. `variant=plain` is SAA: boxes and masks
//! alone.
//!
//! Flow: settings -> `captions` (read once, kept in the model) -> `boxes` (which count) -> masks -> `saliency` -> `regions` (scores, ranking,
//! fusion) -> patch scores of the image's size. A map is constant where no masks overlap, so regions of the map are outlines of masks, and
//! annotations for other programs (COCO, labelme) hold them. Good images teach it nothing; a threshold can be calibrated with some.
//!
//! The weights of the detector and the segmenter are not in the program. A model holds them by digest and finds them where they were, or in
//! the weight store; with `embed_weights` it holds them itself. `vocab.txt` of BERT is needed for the fit alone. In memory the default ones take
//! 1.8 GB; every caption is one more pass of the detector, every box one of the mask decoder.
//!
//! Accuracy was not measured: no published weights were at hand. What is shown is that both networks give what transformers' give with the
//! same random weights, and that maps are those of a script which follows the paper's released code on such networks.
//!
//! # Deviations
//! - Images are read as RGB throughout; the released code passes blue first to networks that expect red first.
//! - Words of the object's name are compared whole, `matching=substring` as released ("nut" is also in "walnut").
//! - Tokens that end phrases are not part of a box's phrase.
//! - Boxes, masks and map are at the input's size, 1024x1024 by default; published are maps of 400x400.
//! - The default segmenter is ViT-B, published is ViT-H, which takes seven times as long.
//! - The default backbone of the saliency is the embedded one, published is WideResNet-50 (`--backbone wide_resnet50_2`).
//! - Of equal scores the earlier box ranks first; the released sort leaves it open.
//! - Areas limit boxes, as released; the paper limits masks. Its limit of overlaps has no code and is not here.
//! - Features that deviate most are those of the released code (`farthest`); the paper's nearest are a setting.

mod boxes;
mod captions;
mod config;
#[cfg(test)]
mod logic_tests;
mod networks;
mod regions;
mod saliency;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{Matching, Neighbours, SaaConfig, Variant};

use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, LeaveOneOut, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::{Needs, Reads};
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_features::Backbone;
use blemish_foundation::sam::{SamImage, SamPrompt};
use blemish_kernels::map::{resize_antialiased, resize_nearest};
use boxes::{DefectRule, Detection, objects};
use captions::{Caption, vocabulary};
use config::{NAME, Prompt};
use networks::Networks;
use regions::{Fusion, Region, rescore};
use saliency::Features;
use std::sync::Arc;

/// A fitted SAA.
pub struct Saa {
    config: SaaConfig,
    networks: Networks,
    backbone: Option<Arc<Backbone>>,
    /// The object's name.
    object: Caption,
    /// What boxes of each caption must not show goes with it.
    prompts: Vec<(Caption, Prompt)>,
}

/// An image and its height and width.
#[derive(Clone, Copy)]
struct Image<'a> {
    rgb: &'a [f32],
    size: (usize, usize),
}

impl Saa {
    fn score_image(&self, image: Image<'_>) -> Result<PatchScores, Error> {
        self.score_by(image, || self.features(image))
    }

    /// As [`Self::score_image`], with the features that saliency is of; `None` where it is not looked at.
    fn score_by(
        &self,
        image: Image<'_>,
        features: impl FnOnce() -> Result<Option<Features>, Error>,
    ) -> Result<PatchScores, Error> {
        let (height, width) = image.size;
        let seen = self.networks.detector.look(image.rgb, image.size)?;
        let detect =
            |caption: &Caption| caption.detect(&self.networks.detector, &seen, self.config.text_threshold);
        let properties = self.config.properties();
        let found = match self.config.variant {
            Variant::Plus => detect(&self.object),
            Variant::Plain => Vec::new(),
        };
        let objects = objects(found, &properties, self.config.box_threshold);
        let mut defects = Vec::new();
        for (caption, prompt) in &self.prompts {
            let rule = DefectRule {
                threshold: self.config.box_threshold,
                area_limit: properties.largest_area * objects.area,
                object: &prompt.filter,
                matching: self.config.matching,
            };
            defects.extend(rule.keep(detect(caption)));
        }
        let mut fusion = Fusion::new(properties.most_anomalies, height * width);
        if !defects.is_empty() {
            let segmented = self.networks.segmenter.look(image.rgb, image.size)?;
            let saliency = match features()? {
                Some(features) => Some(self.saliency(&features, &segmented, &objects.boxes, image.size)?),
                None => None,
            };
            for defect in &defects {
                let mask = self.mask(&segmented, defect, image.size)?;
                let mut region = Region { mask, score: defect.score };
                if let Some(saliency) = &saliency {
                    rescore(&mut region, saliency, self.config.exponent());
                }
                fusion.add(region);
            }
        }
        Ok(PatchScores { height, width, values: fusion.finish(), image_score: None })
    }

    /// The mask of a box, at the image's size.
    fn mask(&self, image: &SamImage, found: &Detection, size: (usize, usize)) -> Result<Vec<bool>, Error> {
        let prompt = SamPrompt { bounds: Some(found.corners(size)), ..SamPrompt::default() };
        let masks = self.networks.segmenter.masks(image, &[prompt], false)?;
        let logits = masks.first().and_then(|masks| masks.logits.first());
        let logits =
            logits.map_or_else(Vec::new, |logits| self.networks.segmenter.at_image_size(image, logits));
        Ok(logits.into_iter().map(|logit| logit > 0.0).collect())
    }

    /// Features of the square image that saliency looks at.
    fn features(&self, image: Image<'_>) -> Result<Option<Features>, Error> {
        let Some(backbone) = &self.backbone else { return Ok(None) };
        let side = self.config.saliency_side();
        let planes = image.rgb.chunks_exact(image.size.0 * image.size.1);
        let square: Vec<f32> =
            planes.flat_map(|plane| resize_antialiased(plane, image.size, (side, side))).collect();
        Ok(Some(Features::join(&backbone.extract(&square, [1, side, side])?)))
    }

    /// What stands out, at the image's size.
    fn saliency(
        &self,
        features: &Features,
        image: &SamImage,
        objects: &[Detection],
        size: (usize, usize),
    ) -> Result<Vec<f32>, Error> {
        let values = match self.config.objects {
            1 => features.of_all(self.config.neighbours, self.config.saliency_count),
            _ => {
                let on_grid = |object: &Detection| {
                    let mask = self.mask(image, object, size)?;
                    let mask: Vec<f32> = mask.into_iter().map(|inside| f32::from(u8::from(inside))).collect();
                    let cells = resize_nearest(&mask, size, (features.height, features.width));
                    Ok(cells.into_iter().map(|cell| cell > 0.5).collect())
                };
                features.between(&objects.iter().map(on_grid).collect::<Result<Vec<_>, Error>>()?)
            }
        };
        Ok(features.to_pixels(&values, size))
    }
}

impl LeaveOneOut for Saa {
    /// A model knows nothing of good images, so it scores each as if it had not seen it.
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score(input)
    }
}

impl Method for Saa {
    type Config = SaaConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "boxes for phrases by Grounding DINO, masks for boxes by Segment Anything, weighed by what stands out in the image",
        advice: "with no images at all, where defects can be described in words and sharp outlines are wanted; weak at telling good images \
                 from defective ones, takes many seconds an image, and bring the weights of two large networks",
        citation: "Cao et al., Segment Any Anomaly without Training via Hybrid Prompt Regularization, arXiv 2305.10724",
        family: Family::Foundation,
    };

    const EXPORT: Export<Self> = Export::Missing(
        "how often its networks run depends on what they find in the image, which graphs without control flow cannot follow",
    );

    fn needs(config: &SaaConfig) -> Needs {
        let needs = match config.exponent() > 0.0 {
            true => Needs::of_maps(&[4, 8, 16]).reading(Reads::Images),
            false => Needs::of_images(),
        };
        Needs { good_images: 0, ..needs }
    }

    fn default_transform(_: &SaaConfig) -> Transform {
        Transform::resize_to(1024, 1024)
    }

    fn fit(config: &SaaConfig, _: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let prompts = config.prompts()?;
        context.check_cancelled()?;
        let backbone = match Self::needs(config).has_backbone() {
            true => Some(context.require_backbone(NAME)?),
            false => None,
        };
        context.observer.stage("reading prompts", Some(prompts.len() as u64 + 1));
        let networks = Networks::of(config, context.memory_limit)?;
        let pieces = vocabulary(config)?;
        let read = |key: &str, text: &str| {
            context.check_cancelled()?;
            let caption = Caption::read(key, text, &pieces, &networks.detector)?;
            context.observer.advance(1);
            Ok::<_, Error>(caption)
        };
        let object = read("object", &config.object)?;
        let prompts = prompts
            .into_iter()
            .map(|prompt| Ok((read("prompts", &prompt.caption)?, prompt)))
            .collect::<Result<_, Error>>()?;
        context.check_cancelled()?;
        Ok(Self { config: config.clone(), networks, backbone, object, prompts })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let size = (batch.height, batch.width);
        (0..batch.count).map(|at| self.score_image(Image { rgb: batch.image(at), size })).collect()
    }

    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        Some(self)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.networks.store(&mut state);
        self.object.store("object", &mut state);
        for (index, (caption, _)) in self.prompts.iter().enumerate() {
            caption.store(&format!("prompt.{index}"), &mut state);
        }
        state
    }

    fn config(&self) -> &SaaConfig {
        &self.config
    }

    fn restore(stored: Stored<SaaConfig>) -> Result<Self, Error> {
        let backbone = match Self::needs(&stored.config).has_backbone() {
            true => Some(stored.require_backbone(NAME)?),
            false => None,
        };
        let Stored { config, mut state, .. } = stored;
        let networks = Networks::restore(&config, &mut state)?;
        let object = Caption::restore("object", &state, &networks.detector)?;
        let prompts = config.prompts()?.into_iter().enumerate();
        let prompts = prompts
            .map(|(index, prompt)| {
                Ok((Caption::restore(&format!("prompt.{index}"), &state, &networks.detector)?, prompt))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { config, networks, backbone, object, prompts })
    }
}

//! Proof that a deployed model scores as the fitted one did.
//!
//! A fit stores a few images and what it made of them (see `record`). [`Detector::verify`] scores them again where the file is now
//! and compares. A digest of the model's content finds alterations that happen to leave these scores
//! alone, even where the file's checksum was made to fit.
//!
//! Decisions are covered, too: the record holds the verdict on each image and a digest of the calibration, so that a changed threshold or a
//! changed score of a good image is found. A recalibration writes them anew. Records of older programs have none; that is said.
//!
//! Scores of the native engine must agree to the last bit. Other engines and devices sum in another order; their scores and maps may
//! differ by [`TOLERANCE`] of the image's highest map value.

use crate::detector::Detector;
use crate::record::{PREFIX, pictures, sha256};
use crate::recorded;
pub use crate::recorded::RecordedDecision;
use blemish_core::error::Error;
use blemish_core::state::StateError;
use blemish_data::digest::hexadecimal;
use blemish_features::EngineOptions;
use serde::Serialize;

/// Largest difference, as a share of an image's highest map value, that other engines and devices are allowed.
pub const TOLERANCE: f64 = 1e-3;

/// What verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Each image of the record.
    pub images: Vec<VerifiedImage>,
    /// Whether method, backbone, transform and every tensor are those that the fit wrote.
    pub is_content_intact: bool,
    /// Whether thresholds and calibration are those that the fit or the latest recalibration wrote.
    pub decisions: DecisionCheck,
    /// Whether scores had to agree to the last bit: both the fit's and this engine were the native one.
    pub is_exact: bool,
    /// Largest difference allowed, as a share of the highest map value; 0 where scores must agree to the last bit.
    pub tolerance: f64,
    /// Whether all of it holds.
    pub passed: bool,
}

/// What became of the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionCheck {
    /// The record is of an older program and holds none.
    NotCovered,
    /// Thresholds, p-values and verdicts are those of the record.
    Intact,
    /// They are not.
    Altered,
}

/// An image of the record, scored again.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedImage {
    /// `training image 1`, ..., `noise`.
    pub name: String,
    /// Score at fit time.
    pub recorded: f32,
    /// Score now.
    pub score: f32,
    /// Largest difference of score or map, as a share of the recorded map's highest value.
    pub difference: f64,
    /// Whether the image is, bit for bit, the one that the fit scored.
    pub is_image_intact: bool,
    /// The decision that the record holds; null without a calibration then, or in records of older programs.
    pub recorded_decision: Option<RecordedDecision>,
    /// The decision on the score now; null without a calibration.
    pub decision: Option<RecordedDecision>,
}

impl Verified {
    /// Largest difference of a score or a map, as a share of the highest map value.
    pub fn largest_difference(&self) -> f64 {
        self.images.iter().map(|image| image.difference).fold(0.0, f64::max)
    }

    /// What is not as it was, in words; `None` for a model that is verified.
    pub fn objection(&self) -> Option<String> {
        let off = self.largest_difference();
        Some(if self.passed {
            return None;
        } else if !self.images.iter().all(|image| image.is_image_intact) {
            "its verification images are not those of the fit".to_owned()
        } else if off > self.tolerance {
            format!("scores are off by up to {} of the highest map value", share(off))
        } else if !self.is_content_intact {
            "its content is not what was fitted, although these images score the same".to_owned()
        } else {
            "it scores as fitted, but its thresholds or its calibration are not those that were written with it".to_owned()
        })
    }
}

/// A share for people: in percent, or as a power of ten where it is small.
pub fn share(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value < 1e-3 => format!("{value:.1e}"),
        value => format!("{:.2} %", 100.0 * value),
    }
}

impl Detector {
    /// Scores the images of the verification record again and compares. `engine` is what this detector was loaded with.
    ///
    /// # Errors
    /// [`Error::Living`] if the model has no record; [`Error::State`] if the record is damaged; else as [`Self::score`].
    pub fn verify(&self, engine: &EngineOptions) -> Result<Verified, Error> {
        let record = &self.verification;
        if record.tensors().is_empty() {
            let reason =
                "the model has no verification record, it was written by an older program; fit it again"
                    .into();
            return Err(Error::Living { action: "verify", reason });
        }
        let (_, scores) = record.f32("scores", 1)?;
        let (shape, maps) = record.f32("maps", 2)?;
        let (_, digests) = record.u8("digests", 2)?;
        let (_, content) = record.u8("content", 1)?;
        let (_, native) = record.u8("native", 1)?;
        let pictures = pictures(record)?;
        if scores.len() != pictures.len() || shape[0] != scores.len() || digests.len() != 32 * scores.len() {
            let reason = "does not hold one score, map and digest an image".into();
            return Err(StateError { name: format!("{PREFIX}scores"), reason }.into());
        }
        let known = recorded::read(record)?;
        let calibration = self.calibration.as_ref();
        let mut images = Vec::new();
        for (at, picture) in pictures.iter().enumerate() {
            let (score, map) = picture.score(&self.model)?;
            let recorded = &maps[at * shape[1]..][..shape[1]];
            images.push(VerifiedImage {
                name: picture.name.clone(),
                recorded: scores[at],
                score,
                difference: difference((scores[at], recorded), (score, &map)),
                is_image_intact: sha256([&picture.planes[..]])[..] == digests[32 * at..][..32],
                recorded_decision: known.as_ref().and_then(|known| *known.get(at)?),
                decision: calibration.map(|calibration| {
                    RecordedDecision::new(calibration, score, picture.category.as_deref())
                }),
            });
        }
        let is_content_intact = self.model.content()[..] == content[..];
        let is_exact = native[..] == [1] && self.model.is_native(engine);
        let tolerance = if is_exact { 0.0 } else { TOLERANCE };
        // By the recorded scores, so that an engine whose scores are a little off does not move them.
        let categories: Vec<Option<String>> =
            pictures.iter().map(|picture| picture.category.clone()).collect();
        let decisions = match known {
            None => DecisionCheck::NotCovered,
            Some(_) if recorded::is_intact(record, calibration, &scores, &categories)? => {
                DecisionCheck::Intact
            }
            Some(_) => DecisionCheck::Altered,
        };
        let close = images.iter().all(|image| image.is_image_intact && image.difference <= tolerance);
        let passed = close && is_content_intact && decisions != DecisionCheck::Altered;
        Ok(Verified { images, is_content_intact, decisions, is_exact, tolerance, passed })
    }

    /// SHA-256, in hexadecimal, that identifies this model: what its verification record states of its content.
    pub fn identity(&self) -> String {
        match self.verification.u8("content", 1) {
            Ok((_, content)) => hexadecimal(&content),
            Err(_) => hexadecimal(&self.model.content()),
        }
    }
}

/// Largest difference of score or map, as a share of the recorded map's largest absolute value; infinite where there is no number.
fn difference(recorded: (f32, &[f32]), now: (f32, &[f32])) -> f64 {
    let scale = recorded.1.iter().fold(recorded.0.abs(), |most, value| most.max(value.abs()));
    let pairs = recorded.1.iter().zip(now.1).chain([(&recorded.0, &now.0)]);
    let apart = pairs.map(|(a, b)| if a == b { 0.0 } else { (f64::from(*a) - f64::from(*b)).abs() });
    let largest =
        apart.fold(0.0, |most: f64, apart| if apart.is_nan() { f64::INFINITY } else { most.max(apart) });
    if recorded.1.len() != now.1.len() {
        f64::INFINITY
    } else if largest == 0.0 {
        0.0
    } else {
        largest / f64::from(scale)
    }
}

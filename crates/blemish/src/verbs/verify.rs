//! Proof that a deployed model scores as the fitted one did.
//!
//! A fit stores a few images and what it made of them (see `record`). [`Detector::verify`] scores them again where the file is now
//! and compares. A digest of the model's content finds alterations that happen to leave these scores
//! alone, even where the file's checksum was made to fit.
//!
//! Scores of the native engine must agree to the last bit. Other engines and devices sum in another order; their scores and maps may
//! differ by [`TOLERANCE`] of the image's highest map value.

use crate::detector::Detector;
use crate::record::{PREFIX, pictures, sha256};
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
    /// Whether scores had to agree to the last bit: both the fit's and this engine were the native one.
    pub is_exact: bool,
    /// Largest difference allowed, as a share of the highest map value; 0 where scores must agree to the last bit.
    pub tolerance: f64,
    /// Whether all of it holds.
    pub passed: bool,
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
            });
        }
        let is_content_intact = self.model.content()[..] == content[..];
        let is_exact = native[..] == [1] && self.model.is_native(engine);
        let tolerance = if is_exact { 0.0 } else { TOLERANCE };
        let close = images.iter().all(|image| image.is_image_intact && image.difference <= tolerance);
        Ok(Verified { images, is_content_intact, is_exact, tolerance, passed: close && is_content_intact })
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

//! What is known of a version, and which is live.

use super::BEFORE;
use crate::station::clock;
use crate::station::threshold::rates;
use blemish::Detector;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What a version was made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// A fit on uploaded images.
    Fit,
    /// A fit of what `pick` recommended.
    Pick,
    /// An update with more good images.
    Update,
    /// A calibration.
    Calibrate,
    /// Brought from outside.
    Import,
}

/// What verification found, and when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether all of it held.
    pub passed: bool,
    /// Seconds since 1970.
    pub time: f64,
}

/// What is known of a version: its file beside the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Names it within its model.
    pub key: String,
    /// The first twelve digits of the identity.
    pub version: String,
    /// SHA-256 of the content, in hexadecimal.
    pub identity: String,
    /// The method.
    pub method: String,
    /// Good images that it has learnt from.
    pub images: usize,
    /// Bytes of the file.
    #[serde(default)]
    pub bytes: u64,
    /// When it was made, in seconds since 1970.
    pub time: f64,
    /// By what.
    pub made_by: MadeBy,
    /// The key of the version that it was made of.
    pub parent: Option<String>,
    /// Where its calibration is from, in words.
    pub origin: Option<String>,
    /// What its threshold promises, in words.
    pub promise: Option<String>,
    /// Its threshold.
    pub threshold: Option<f32>,
    /// The false-alarm rate that it holds.
    pub rate: Option<f64>,
    /// What verification found last.
    pub verified: Option<Verification>,
    /// What people have noted.
    pub note: String,
    /// Whether it can learn on.
    pub can_update: bool,
    /// Digest of scores of good images and thresholds, which the identity leaves out.
    pub calibration: String,
}

impl Record {
    /// Of a detector.
    pub fn of(detector: &Detector, key: &str, made_by: MadeBy) -> Self {
        let header = detector.header();
        let identity = detector.identity();
        let calibration = detector.calibration();
        Self {
            key: key.to_owned(),
            version: identity.chars().take(super::DIGITS).collect(),
            identity,
            method: header.method,
            images: header.data.images,
            bytes: 0,
            time: clock::now(),
            made_by,
            parent: None,
            origin: calibration.map(|calibration| calibration.origin()),
            promise: calibration.map(|calibration| calibration.promise()),
            threshold: calibration.and_then(|calibration| calibration.image_threshold),
            rate: calibration.and_then(|calibration| rates(calibration).0),
            verified: None,
            note: String::new(),
            can_update: detector.coverage().is_some(),
            calibration: digest(detector),
        }
    }

    /// The same after its thresholds have changed.
    pub fn recalibrated(self, detector: &Detector) -> Self {
        let Self { key, time, made_by, parent, note, .. } = self;
        Self { time, parent, note, ..Self::of(detector, &key, made_by) }
    }
}

/// SHA-256 of a detector's calibration, in hexadecimal.
pub fn digest(detector: &Detector) -> String {
    let text = serde_json::to_vec(&detector.calibration()).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

/// Which version is live, which in shadow, which were live before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The one that answers.
    pub live: Option<String>,
    /// The one that scores after it.
    pub shadow: Option<String>,
    /// Those that were live before, the latest last.
    pub before: Vec<String>,
}

impl Live {
    /// Another version is live from now on.
    pub fn becomes(&mut self, key: &str) {
        if let Some(before) = self.live.replace(key.to_owned()).filter(|before| before != key) {
            self.before.push(before);
            let surplus = self.before.len().saturating_sub(BEFORE);
            self.before.drain(..surplus);
        }
        if self.shadow.as_deref() == Some(key) {
            self.shadow = None;
        }
    }
}

//! What a model says of one image, in the one shape that files, programs and services share.

use crate::decision::Decision;
use serde::{Deserialize, Serialize};

/// What a model says of one image: a line of `scores.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The image: the path as it was found, or the name that was given.
    pub path: String,
    /// Raw image score, unbounded, higher is worse.
    pub score: f32,
    /// The overlay written for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
    /// The raw anomaly map written for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// What the model's calibration says; absent for a model without one.
    #[serde(flatten)]
    pub decision: Option<Decision>,
}

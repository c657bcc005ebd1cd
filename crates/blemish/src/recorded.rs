//! What a verification record holds of decisions: a verdict on each of its images, and a digest of the whole calibration.

use blemish_core::state::{State, StateError};
use blemish_eval::Calibration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Tensors of the record: verdicts as JSON, and SHA-256 of the calibration.
const DECISIONS: &str = "decisions";
const CALIBRATION: &str = "calibration";

/// What a calibration makes of a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedDecision {
    /// The share of good images that score like this or worse, at most.
    pub p_value: f64,
    /// An image with a score above this is anomalous; null if the calibration allows none.
    pub image_threshold: Option<f32>,
    /// A pixel with a score above this is anomalous; null as above.
    pub pixel_threshold: Option<f32>,
    /// Whether the image is; null without a threshold.
    pub anomalous: Option<bool>,
}

impl RecordedDecision {
    /// On a score, by the thresholds of its category where the model has several.
    pub(crate) fn new(calibration: &Calibration, score: f32, category: Option<&str>) -> Self {
        let calibration = category.map_or(calibration, |category| calibration.of(category));
        Self {
            p_value: calibration.p_value(score),
            image_threshold: calibration.image_threshold,
            pixel_threshold: calibration.pixel_threshold,
            anomalous: calibration.is_anomalous(score),
        }
    }

    /// Whether both say the same. Text keeps a p-value but for its last digits.
    fn is_as(&self, other: &Self) -> bool {
        (self.p_value - other.p_value).abs() < 1e-9 && Self { p_value: other.p_value, ..*self } == *other
    }
}

/// The decisions of a record on its images; `None` of a model that was not calibrated.
pub(crate) type Decisions = Vec<Option<RecordedDecision>>;

/// On scores, each of an image of a category.
fn decisions(calibration: Option<&Calibration>, scores: &[f32], categories: &[Option<String>]) -> Decisions {
    let of = |(&score, category): (&f32, &Option<String>)| {
        calibration.map(|calibration| RecordedDecision::new(calibration, score, category.as_deref()))
    };
    scores.iter().zip(categories).map(of).collect()
}

/// Writes what a calibration makes of the record's scores.
pub(crate) fn write(
    record: &mut State,
    calibration: Option<&Calibration>,
    scores: &[f32],
    categories: &[Option<String>],
) {
    // Numbers and truth values always serialise.
    let text = serde_json::to_vec(&decisions(calibration, scores, categories)).unwrap_or_default();
    record.set_u8(DECISIONS, &[text.len()], text);
    record.set_u8(CALIBRATION, &[32], digest(calibration).to_vec());
}

/// The decisions of a record; `None` of one by an older program, which has none.
///
/// # Errors
/// [`StateError`] if they are damaged.
pub(crate) fn read(record: &State) -> Result<Option<Decisions>, StateError> {
    if !record.has(DECISIONS) {
        return Ok(None);
    }
    let text = record.u8(DECISIONS, 1)?.1;
    let wrong = |error: serde_json::Error| StateError {
        name: format!("verification.{DECISIONS}"),
        reason: error.to_string(),
    };
    serde_json::from_slice(&text).map(Some).map_err(wrong)
}

/// Whether a calibration is the one that a record was written with, and makes the same of its scores.
///
/// # Errors
/// [`StateError`] if the record is damaged.
pub(crate) fn is_intact(
    record: &State,
    calibration: Option<&Calibration>,
    scores: &[f32],
    categories: &[Option<String>],
) -> Result<bool, StateError> {
    let (known, now) = (read(record)?.unwrap_or_default(), decisions(calibration, scores, categories));
    let is_same = |(known, now): (&Option<RecordedDecision>, &Option<RecordedDecision>)| match (known, now) {
        (Some(known), Some(now)) => known.is_as(now),
        (known, now) => known == now,
    };
    let is_digest_same = record.u8(CALIBRATION, 1)?.1[..] == digest(calibration)[..];
    Ok(is_digest_same && known.len() == now.len() && known.iter().zip(&now).all(is_same))
}

/// SHA-256 of all that decisions rest on. Numbers count in single precision, which text keeps to the last bit.
fn digest(calibration: Option<&Calibration>) -> [u8; 32] {
    let mut digest = Sha256::new();
    // A calibration is plain values, which always serialise.
    let value = serde_json::to_value(calibration).unwrap_or_default();
    add(&mut digest, &value);
    digest.finalize().into()
}

fn add(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Null => digest.update([0]),
        Value::Bool(truth) => digest.update([1, u8::from(*truth)]),
        Value::Number(number) => {
            let single = number.as_f64().unwrap_or_default() as f32;
            digest.update([2]);
            digest.update(single.to_bits().to_le_bytes());
        }
        Value::String(text) => {
            digest.update([3]);
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
        Value::Array(values) => {
            digest.update([4]);
            digest.update((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| add(digest, value));
        }
        Value::Object(fields) => {
            // Only what is there counts, in the order of names: later programs may know more fields and write them in another order.
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            digest.update([5]);
            digest.update((names.len() as u64).to_le_bytes());
            for name in names {
                digest.update((name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
                add(digest, &fields[name]);
            }
        }
    }
}

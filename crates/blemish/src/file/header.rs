//! What a model file says of itself.

use crate::view::ViewHeader;
use blemish_core::settings::Settings;
use blemish_data::{Source, Transform};
use blemish_eval::Calibration;
use serde::{Deserialize, Serialize};

/// The latest version of the format; raised when older programs would misread a file.
///
/// A file has the lowest version that describes it, so that older programs read what they can: 3 says that a backbone is in bytes, 2 that
/// views differ in backbone or settings, 1 is everything else.
pub const FORMAT_VERSION: u64 = 3;

/// What a model file says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub format_version: u64,
    /// Version of the program that wrote it.
    pub written_by: String,
    /// Name of the method.
    pub method: String,
    /// Its settings, every choice filled in.
    pub settings: Settings,
    /// The backbone; `null` for methods without one.
    pub backbone: Option<BackboneHeader>,
    /// The further backbones of an ensemble.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<BackboneHeader>,
    /// How images become input.
    pub transform: Transform,
    /// Seed of the fit.
    pub seed: u64,
    /// The images it was fitted on.
    pub data: DataHeader,
    /// Scores that pictures show as the coldest and the hottest colour.
    pub colour_range: (f32, f32),
    /// Scores of good images that the model had not seen, and thresholds; absent where they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// What it looks at, the largest input first; empty for whole images at one size through one backbone, which `transform` alone describes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewHeader>,
    /// CRC-32 of all tensors in the order of their names.
    pub checksum: u32,
    /// SHA-256, in hexadecimal, of everything before the tensors, [`Self::checksum`] included, with these digits taken for zeros: it covers
    /// the whole file. Absent in files of older programs, whose header nothing covers, and in a header that was never in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_digest: Option<String>,
}

/// The backbone of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackboneHeader {
    /// Architecture, or `onnx` for a user's own graph.
    pub name: String,
    /// Feature taps, shallow to deep.
    pub layers: Vec<String>,
    /// Mean its input is normalised with, per channel.
    pub mean: [f32; 3],
    /// Standard deviation its input is normalised with, per channel.
    pub std: [f32; 3],
    /// SHA-256 of network, layers, normalisation and weights.
    pub digest: String,
    /// What it computes with.
    #[serde(default, skip_serializing_if = "Numbers::is_single")]
    pub precision: Numbers,
}

/// What a backbone computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Single precision.
    #[default]
    Single,
    /// Bytes.
    Int8,
}

impl Numbers {
    fn is_single(&self) -> bool {
        *self == Self::Single
    }
}

/// The images a model was fitted on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataHeader {
    /// Name of the category or folder; of several all names, joined by `+`.
    pub category: String,
    /// Names of the categories where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Number of good images.
    pub images: usize,
    /// SHA-256 of their names and contents.
    pub digest: String,
}

impl DataHeader {
    /// Of so many images of a source.
    pub(crate) fn of(source: &dyn Source, images: usize, digest: String) -> Self {
        let categories = source.categories();
        let several = if categories.len() > 1 { categories.to_vec() } else { Vec::new() };
        Self { category: categories.join("+"), categories: several, images, digest }
    }
}

/// The version that a file with these views and backbones needs.
pub(crate) fn version_for<'a>(
    views: &[ViewHeader],
    mut backbones: impl Iterator<Item = &'a BackboneHeader>,
) -> u64 {
    let differs = |view: &ViewHeader| view.backbone > 0 || view.settings.is_some();
    match backbones.any(|backbone| backbone.precision == Numbers::Int8) {
        true => 3,
        false if views.iter().any(differs) => 2,
        false => 1,
    }
}

//! What a user asks for.

use std::path::PathBuf;

use crate::graph::Normalization;
use crate::networks::{Architecture, ImageText};

/// Which network, which of its layers, and where its weights are. The default is the embedded network.
#[derive(Clone, Debug, PartialEq)]
pub struct BackboneSpec {
    /// The network.
    pub source: BackboneSource,
    /// Names of its feature maps in any order (tensor names for an ONNX file); empty for the method's choice.
    pub layers: Vec<String>,
    /// A state dict in `.pth` or `.safetensors`; without one the embedded weights or the weight store are used.
    pub weights: Option<PathBuf>,
    /// What an ONNX network wants its input normalised with; ImageNet's statistics if nothing is said. Known networks know.
    pub normalization: Option<Normalization>,
}

impl BackboneSpec {
    /// Height and width of the images that the network takes, if it takes only one size.
    ///
    /// # Errors
    /// [`FeatureError`](crate::FeatureError) if it is an ONNX file that cannot be read.
    pub fn fixed_size(&self) -> Result<Option<[usize; 2]>, crate::FeatureError> {
        match &self.source {
            BackboneSource::Network(_) => Ok(None),
            BackboneSource::ImageText(network) => Ok(Some([network.size(); 2])),
            BackboneSource::Onnx(path) => Ok(crate::onnx::fixed_size(path)?.whole()),
        }
    }
}

/// Where a network comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackboneSource {
    /// One that the crate describes.
    Network(Architecture),
    /// One of images and texts, for methods that look through such.
    ImageText(ImageText),
    /// A user's own feature extractor.
    Onnx(PathBuf),
}

impl Default for BackboneSpec {
    fn default() -> Self {
        Architecture::EfficientNetLite0.into()
    }
}

impl From<Architecture> for BackboneSpec {
    fn from(architecture: Architecture) -> Self {
        Self::from(BackboneSource::Network(architecture))
    }
}

impl From<BackboneSource> for BackboneSpec {
    fn from(source: BackboneSource) -> Self {
        Self { source, layers: Vec::new(), weights: None, normalization: None }
    }
}

/// A network's name, or the path of an `.onnx` file.
impl std::str::FromStr for BackboneSource {
    type Err = crate::FeatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
            return Ok(Self::Onnx(path));
        }
        match text.parse() {
            Ok(network) => Ok(Self::ImageText(network)),
            Err(_) => text.parse().map(Self::Network),
        }
    }
}

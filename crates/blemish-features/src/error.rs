//! What can go wrong between a weight file and a feature map.

use std::path::{Path, PathBuf};

/// An error of this crate: what, where, how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// A file cannot be read or written.
    #[error("cannot access `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An execution engine failed.
    #[error("the {engine} engine failed: {reason}")]
    Engine {
        /// `native`, `rten`, `ort` or `burn`.
        engine: &'static str,
        /// Its own words.
        reason: String,
    },
    /// No network has this name.
    #[error("there is no network `{name}`; the known ones are {known}")]
    UnknownNetwork {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A network has no feature map of this name.
    #[error("{network} has no layer `{tap}`; it has {known}")]
    UnknownTap {
        /// What was asked for.
        tap: String,
        /// The network.
        network: String,
        /// Its layers.
        known: String,
    },
    /// Two of the wanted layers are the same feature map.
    #[error("layers `{first}` and `{second}` of {network} are the same feature map; leave one out")]
    RepeatedTap {
        /// One name.
        first: String,
        /// The other, or the same again.
        second: String,
        /// The network.
        network: String,
    },
    /// No layer was asked for.
    #[error("no layer of {network} was asked for; choose from {known}")]
    NoTaps {
        /// The network.
        network: String,
        /// Its layers.
        known: String,
    },
    /// The image is smaller than a window of the network.
    #[error(
        "an image of {width}x{height} is too small for {network} (it vanishes at `{node}`); use a larger size"
    )]
    InputTooSmall {
        /// Rows of the image.
        height: usize,
        /// Columns of the image.
        width: usize,
        /// The network.
        network: String,
        /// The step that has no output.
        node: String,
    },
    /// An image of another size than the only one that the network takes.
    #[error("{network} takes images of {wanted} only, and got one of {found}; resize images to {wanted}")]
    FixedSize {
        /// The network.
        network: String,
        /// The size it takes, width first.
        wanted: String,
        /// The size it was given.
        found: String,
    },
    /// The tensors of a file do not fill the network.
    #[error("{0}")]
    WeightsMismatch(Box<crate::assemble::Mismatch>),
    /// A batch does not have the size it is said to have.
    #[error("{found} values cannot be {} images of 3x{}x{}", size[0], size[1], size[2])]
    BadInput {
        /// Values given.
        found: usize,
        /// N, H, W.
        size: [usize; 3],
    },
    /// There are no weights for a network.
    #[error("there are no weights for {network} here; bring a state dict of torchvision or timm")]
    NoWeights {
        /// The network.
        network: &'static str,
    },
    /// There are no weights for a network of images and texts.
    #[error(
        "there are no weights for {network} here; bring `{file}` of the model repository `{repository}`, or another file of this network \
         under the names of open_clip or transformers"
    )]
    NoImageText {
        /// The network.
        network: &'static str,
        /// Name of the published file.
        file: &'static str,
        /// Its repository on the hub.
        repository: &'static str,
    },
    /// There are no weights for a network that is asked by phrases or boxes.
    #[error(
        "there are no weights for {network} here; bring `{file}` of the repository `{repository}`, or the checkpoint of its authors"
    )]
    NoPrompted {
        /// The network.
        network: &'static str,
        /// Name of the published file.
        file: &'static str,
        /// Its repository on the hub.
        repository: &'static str,
    },
    /// A network without feature maps was named as a backbone of a method that looks at such.
    #[error(
        "{network} embeds images and texts and gives no feature maps; name a backbone that does, such as resnet18"
    )]
    NoMaps {
        /// The network.
        network: &'static str,
    },
    /// A user's network came without the names of its feature maps.
    #[error("`{path}` was given without layers; name the tensors that are its feature maps")]
    NoOnnxLayers {
        /// The ONNX file.
        path: PathBuf,
    },
    /// Stored weights are not those of the network they are stored for.
    #[error(
        "the stored weights do not fit {network} (first at `{tensor}`); the file is damaged, make it again"
    )]
    BrokenState {
        /// The network.
        network: String,
        /// A tensor that is missing, misshapen or too many.
        tensor: String,
    },
    /// An engine or device name that is not known.
    #[error("there is no engine or device `{name}`; choose from {known}")]
    UnknownEngine {
        /// What was asked for.
        name: String,
        /// What there is.
        known: &'static str,
    },
    /// Words, boxes or points that a network cannot be asked by.
    #[error("the prompt cannot be used: {reason}")]
    Prompt {
        /// Why, and what to change.
        reason: String,
    },
    /// An ONNX file that cannot be used.
    #[error("the ONNX file cannot be used: {reason}")]
    Onnx {
        /// Why.
        reason: String,
    },
    /// A weight file that cannot be read.
    #[error("cannot read weights from `{path}`: {reason}")]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The hub has no weights of a network.
    #[error("the hub has no known weights of {network}; bring a file of torchvision")]
    NotPublished {
        /// The network.
        network: &'static str,
    },
    /// Weights cannot be brought from the hub.
    #[error(
        "cannot pull {network}: {reason}; on a machine with internet, download `{file}` of the model repository `{repository}` and \
         bring it here"
    )]
    Pull {
        /// The network.
        network: &'static str,
        /// The hub's reason, or that this build cannot ask it.
        reason: String,
        /// Name of the file.
        file: &'static str,
        /// Repository on the hub.
        repository: &'static str,
    },
    /// The work was interrupted on request.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// The weight store cannot be read or written as it should.
    #[error("{0}")]
    Store(String),
}

impl FeatureError {
    /// A stable name for programs, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Engine { .. } => "engine",
            Self::InputTooSmall { .. } => "image_too_small",
            Self::BadInput { .. } | Self::FixedSize { .. } => "image_does_not_fit",
            Self::UnknownNetwork { .. }
            | Self::UnknownTap { .. }
            | Self::RepeatedTap { .. }
            | Self::NoTaps { .. }
            | Self::NoMaps { .. }
            | Self::NoOnnxLayers { .. }
            | Self::UnknownEngine { .. } => "setting",
            Self::NoWeights { .. }
            | Self::NoImageText { .. }
            | Self::NoPrompted { .. }
            | Self::NotPublished { .. }
            | Self::Pull { .. }
            | Self::Store(_) => "weights_missing",
            Self::Prompt { .. } => "setting",
            Self::WeightsMismatch(_) | Self::WeightFile { .. } | Self::Onnx { .. } => "weights",
            Self::BrokenState { .. } => "corrupt",
            Self::Interrupted => "interrupted",
        }
    }

    /// The same, saying which weight file it is about.
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Self::WeightsMismatch(mut mismatch) => {
                mismatch.path = Some(path.to_owned());
                Self::WeightsMismatch(mismatch)
            }
            other => other,
        }
    }

    /// A weight file that cannot be read: why, and what to do.
    pub(crate) fn weight_file(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::WeightFile { path: path.to_owned(), reason: reason.to_string() }
    }
}

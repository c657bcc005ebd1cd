//! Sizes of the published network.

use crate::bert::BertConfig;
use blemish_features::StateDict;
use blemish_features::weights::recognize_prompted;
use serde::{Deserialize, Serialize};

/// Sizes of a Grounding DINO with a Swin backbone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroundingConfig {
    /// Name for messages.
    pub name: String,
    /// The shorter side of an image in pixels, and the most that the longer one may have.
    pub sides: (usize, usize),
    /// The backbone.
    pub swin: SwinConfig,
    /// The text tower.
    pub bert: BertConfig,
    /// Length of the rows of image, text and boxes.
    pub width: usize,
    /// Layers that image and text go through together.
    pub encoder_depth: usize,
    /// Length of the rows between the two maps of such a layer.
    pub encoder_hidden: usize,
    /// Heads of its deformable attention; attention between image and text has half of them.
    pub encoder_heads: usize,
    /// Layers that boxes go through.
    pub decoder_depth: usize,
    /// Length of the rows between the two maps of such a layer.
    pub decoder_hidden: usize,
    /// Heads of its attentions.
    pub decoder_heads: usize,
    /// Places that deformable attention looks at, a head and level.
    pub points: usize,
    /// Number of boxes.
    pub boxes: usize,
    /// Most tokens of a caption.
    pub most_tokens: usize,
}

/// Sizes of a Swin transformer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwinConfig {
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Length of a row in the first stage; it doubles from stage to stage.
    pub width: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Heads of each stage.
    pub heads: Vec<usize>,
    /// Side of the windows, in patches.
    pub window: usize,
    /// Length of the rows between the two maps of a block, as a multiple of the stage's.
    pub spread: usize,
}

impl GroundingConfig {
    /// Swin-T, trained on Objects365, GoldG and Cap4M (`groundingdino_swint_ogc`, `IDEA-Research/grounding-dino-tiny`): 172 million
    /// parameters.
    pub fn tiny() -> Self {
        Self {
            name: "grounding_dino_tiny".into(),
            sides: (800, 1333),
            swin: SwinConfig {
                patch: 4,
                width: 96,
                depths: vec![2, 2, 6, 2],
                heads: vec![3, 6, 12, 24],
                window: 7,
                spread: 4,
            },
            bert: BertConfig::base(),
            width: 256,
            encoder_depth: 6,
            encoder_hidden: 2048,
            encoder_heads: 8,
            decoder_depth: 6,
            decoder_hidden: 2048,
            decoder_heads: 8,
            points: 4,
            boxes: 900,
            most_tokens: 256,
        }
    }

    /// The smallest with every part, for tests: the sizes of the committed golden file.
    pub fn smallest() -> Self {
        Self {
            name: "tiny".into(),
            sides: (67, 120),
            swin: SwinConfig {
                patch: 4,
                width: 4,
                depths: vec![2, 2, 1, 1],
                heads: vec![1, 2, 2, 4],
                window: 3,
                spread: 2,
            },
            bert: BertConfig {
                name: "tiny".into(),
                vocabulary: 1032,
                width: 8,
                depth: 1,
                heads: 2,
                hidden: 12,
                positions: 20,
            },
            width: 32,
            encoder_depth: 2,
            encoder_hidden: 24,
            encoder_heads: 4,
            decoder_depth: 2,
            decoder_hidden: 24,
            decoder_heads: 4,
            points: 2,
            boxes: 12,
            most_tokens: 16,
        }
    }

    /// The published network that weights belong to.
    pub fn recognize(state: &StateDict) -> Option<Self> {
        (recognize_prompted(state)? == "grounding_dino_tiny").then(Self::tiny)
    }
}

/// Maps of the image: three of the backbone's and one more at half the last one's size.
pub(super) const LEVELS: usize = 4;
/// Epsilon of all norms but BERT's.
pub(super) const EPSILON: f32 = 1e-5;

//! Sizes of the known networks.

use blemish_features::transformer::Activation;
use blemish_features::{ImageText, Normalization};

/// Sizes of a CLIP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// The image tower.
    pub image: ImageForm,
    /// The text tower.
    pub text: TextForm,
}

/// Sizes of an image tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageForm {
    /// Height and width of the images it takes, in pixels.
    pub size: usize,
    /// Height and width of the patches that become tokens, in pixels.
    pub patch: usize,
    /// Its blocks.
    pub blocks: BlocksForm,
    /// Values of an embedding.
    pub embedding: usize,
}

/// Sizes of a text tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextForm {
    /// The most tokens of a text.
    pub context: usize,
    /// Tokens there are.
    pub vocabulary: usize,
    /// Its blocks.
    pub blocks: BlocksForm,
    /// Values of an embedding.
    pub embedding: usize,
}

/// Sizes of a tower's blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlocksForm {
    /// Number of blocks.
    pub layers: usize,
    /// Values a token; four times as many inside a block.
    pub width: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Between the maps of a block: x sigmoid(1.702 x) in OpenAI's networks, exact GELU in others.
    pub activation: Activation,
}

impl ImageForm {
    /// Tokens along a side of the image.
    pub fn grid(&self) -> usize {
        self.size / self.patch
    }

    /// What images are normalised with: the statistics of OpenAI's training images, which all of these networks took over.
    pub const NORMALIZATION: Normalization = Normalization {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
    };
}

impl Form {
    /// Of a known network.
    pub fn of(network: ImageText) -> Self {
        use Activation::{Gelu, QuickGelu};
        match network {
            ImageText::ClipVitB16Plus240 => Self::new([240, 16, 12, 896, 14], [640, 10], 640, Gelu),
            ImageText::ClipVitB32 => Self::new([224, 32, 12, 768, 12], [512, 8], 512, QuickGelu),
            ImageText::ClipVitB16 => Self::new([224, 16, 12, 768, 12], [512, 8], 512, QuickGelu),
            ImageText::ClipVitL14 => Self::new([224, 14, 24, 1024, 16], [768, 12], 768, QuickGelu),
        }
    }

    fn new(
        [size, patch, layers, width, heads]: [usize; 5],
        [text_width, text_heads]: [usize; 2],
        embedding: usize,
        activation: Activation,
    ) -> Self {
        let image = BlocksForm { layers, width, heads, activation };
        let text = BlocksForm { layers: 12, width: text_width, heads: text_heads, activation };
        Self {
            image: ImageForm { size, patch, blocks: image, embedding },
            text: TextForm { context: 77, vocabulary: 49_408, blocks: text, embedding },
        }
    }

    /// So small that it runs in moments: for tests, with random weights.
    pub fn tiny() -> Self {
        let blocks = BlocksForm { layers: 2, width: 32, heads: 2, activation: Activation::Gelu };
        Self {
            image: ImageForm { size: 96, patch: 16, blocks, embedding: 16 },
            text: TextForm {
                context: 77,
                vocabulary: 49_408,
                blocks: BlocksForm { width: 16, ..blocks },
                embedding: 16,
            },
        }
    }
}

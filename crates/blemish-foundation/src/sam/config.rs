//! Sizes of the published networks.

use blemish_features::StateDict;
use blemish_features::weights::recognize_prompted;
use serde::{Deserialize, Serialize};

/// Sizes of a Segment Anything network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamConfig {
    /// Name for messages.
    pub name: String,
    /// Side of the square image that the network sees, in pixels.
    pub side: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Length of a patch's row in the image encoder.
    pub width: usize,
    /// Blocks of the image encoder.
    pub depth: usize,
    /// Heads of its attention.
    pub heads: usize,
    /// Length of the rows between its two maps of a block.
    pub hidden: usize,
    /// Side of the windows that blocks attend within, in patches.
    pub window: usize,
    /// Blocks that attend to the whole image.
    pub global: Vec<usize>,
    /// Length of the rows of image, prompts and masks.
    pub embedding: usize,
    /// Channels that mask prompts have on the way.
    pub mask_channels: usize,
    /// Layers of the mask decoder.
    pub decoder_depth: usize,
    /// Heads of the mask decoder.
    pub decoder_heads: usize,
    /// Length of the rows between the two maps of a decoder's layer.
    pub decoder_hidden: usize,
    /// Length of the hidden rows of the head that estimates how good a mask is.
    pub quality_hidden: usize,
    /// Maps of that head.
    pub quality_depth: usize,
    /// Masks for prompts of several meanings, beside the one for clear prompts.
    pub alternatives: usize,
    /// The sizes of a TinyViT that takes the place of the vision transformer, whose width, depth, heads, hidden, window and global count
    /// for nothing then.
    pub tiny: Option<TinyVitConfig>,
}

/// Sizes of a TinyViT, each for its first, convolutional stage and the further ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TinyVitConfig {
    /// Length of a row.
    pub widths: Vec<usize>,
    /// Number of blocks.
    pub depths: Vec<usize>,
    /// Heads of the attention; of the first stage nothing.
    pub heads: Vec<usize>,
    /// Side of the windows, in rows; of the first stage nothing.
    pub windows: Vec<usize>,
}

impl SamConfig {
    fn of(name: &str, width: usize, depth: usize, heads: usize, global: [usize; 4]) -> Self {
        Self {
            name: name.into(),
            side: 1024,
            patch: 16,
            width,
            depth,
            heads,
            hidden: 4 * width,
            window: 14,
            global: global.to_vec(),
            embedding: 256,
            mask_channels: 16,
            decoder_depth: 2,
            decoder_heads: 8,
            decoder_hidden: 2048,
            quality_hidden: 256,
            quality_depth: 3,
            alternatives: 3,
            tiny: None,
        }
    }

    /// ViT-B: 94 million parameters.
    pub fn base() -> Self {
        Self::of("sam_vit_b", 768, 12, 12, [2, 5, 8, 11])
    }

    /// The smallest with every part, for tests: the sizes of the committed golden file.
    pub fn smallest() -> Self {
        Self {
            name: "tiny".into(),
            side: 96,
            patch: 8,
            width: 16,
            depth: 3,
            heads: 2,
            hidden: 24,
            window: 5,
            global: vec![1],
            embedding: 32,
            mask_channels: 8,
            decoder_heads: 2,
            decoder_hidden: 40,
            quality_hidden: 24,
            ..Self::base()
        }
    }

    /// ViT-L: 312 million parameters.
    pub fn large() -> Self {
        Self::of("sam_vit_l", 1024, 24, 16, [5, 11, 17, 23])
    }

    /// ViT-H: 641 million parameters.
    pub fn huge() -> Self {
        Self::of("sam_vit_h", 1280, 32, 16, [7, 15, 23, 31])
    }

    /// MobileSAM: 10 million parameters.
    pub fn mobile() -> Self {
        let tiny = TinyVitConfig {
            widths: vec![64, 128, 160, 320],
            depths: vec![2, 2, 6, 2],
            heads: vec![2, 4, 5, 10],
            windows: vec![7, 7, 14, 7],
        };
        Self { name: "mobile_sam".into(), tiny: Some(tiny), ..Self::base() }
    }

    /// The published network that weights belong to, by its sizes.
    pub fn recognize(state: &StateDict) -> Option<Self> {
        let name = recognize_prompted(state)?;
        [Self::base(), Self::large(), Self::huge(), Self::mobile()]
            .into_iter()
            .find(|config| config.name == name)
    }

    /// Patches along a side.
    pub fn grid(&self) -> usize {
        self.side / self.patch
    }
}

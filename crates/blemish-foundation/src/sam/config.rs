//! Sizes of the published networks.

use blemish_features::StateDict;

/// Sizes of a Segment Anything network.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }

    /// ViT-B: 94 million parameters.
    pub fn base() -> Self {
        Self::of("sam_vit_b", 768, 12, 12, [2, 5, 8, 11])
    }

    /// ViT-L: 312 million parameters.
    pub fn large() -> Self {
        Self::of("sam_vit_l", 1024, 24, 16, [5, 11, 17, 23])
    }

    /// ViT-H: 641 million parameters.
    pub fn huge() -> Self {
        Self::of("sam_vit_h", 1280, 32, 16, [7, 15, 23, 31])
    }

    /// The published network that weights belong to, by the length of its rows.
    pub fn recognize(state: &StateDict) -> Option<Self> {
        let names = ["image_encoder.pos_embed", "vision_encoder.pos_embed"];
        let width = *names.iter().find_map(|name| state.get(*name))?.shape.last()?;
        [Self::base(), Self::large(), Self::huge()].into_iter().find(|config| config.width == width)
    }

    /// Patches along a side.
    pub fn grid(&self) -> usize {
        self.side / self.patch
    }
}

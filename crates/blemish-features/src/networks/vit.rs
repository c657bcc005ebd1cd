//! Vision transformers (arXiv 2010.11929) as timm has them, with what DINOv2 (arXiv 2304.07193; registers: arXiv 2309.16588) and CLIP
//! (arXiv 2103.00020) do differently.
//!
//! Patches are embedded by a convolution, class and register tokens put before them, positions added; then blocks of
//! x + attention(norm(x)), x + mlp(norm(x)). LayerScale is not seen here: it is folded into the maps behind which it stands.
//! An image that is not a multiple of the patch loses its last rows and columns.

use super::Architecture;
use super::builder::{Builder, ConvSettings};
use crate::graph::{Activation, Graph, Normalization, Op, Padding, Resample};

/// What CLIP was trained with.
const CLIP_NORMALIZATION: Normalization = Normalization {
    mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
    std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
};
/// 2 x - 1: timm's own trainings of transformers.
const PLAIN_NORMALIZATION: Normalization = Normalization { mean: [0.5; 3], std: [0.5; 3] };

/// What tells one vision transformer from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Side of a patch.
    pub patch: usize,
    pub width: usize,
    pub depth: usize,
    pub heads: usize,
    pub hidden: usize,
    /// Patches along a side of the images it was trained on.
    pub side: usize,
    pub registers: usize,
    /// DINOv2's kind: LayerScale.
    pub is_scaled: bool,
    /// CLIP's kind: a layer norm before the blocks, patches without bias.
    pub is_clip: bool,
    pub epsilon: f32,
    pub activation: Activation,
    pub resample: Resample,
    pub normalization: Normalization,
}

impl Default for Settings {
    /// timm's vit_base_patch16_224.
    fn default() -> Self {
        Self {
            patch: 16,
            width: 768,
            depth: 12,
            heads: 12,
            hidden: 3072,
            side: 14,
            registers: 0,
            is_scaled: false,
            is_clip: false,
            epsilon: 1e-6,
            activation: Activation::Gelu,
            resample: Resample::Antialias,
            normalization: PLAIN_NORMALIZATION,
        }
    }
}

/// The settings of a network, if it is a vision transformer.
pub(crate) fn settings(architecture: Architecture) -> Option<Settings> {
    use Architecture::*;
    let base = Settings::default();
    let small = Settings { width: 384, heads: 6, hidden: 1536, ..base };
    let large = Settings { width: 1024, depth: 24, heads: 16, hidden: 4096, ..base };
    let dinov2 = |size: Settings| Settings {
        patch: 14,
        side: 37,
        is_scaled: true,
        resample: Resample::Offset,
        normalization: Normalization::IMAGENET,
        ..size
    };
    let with_registers =
        |size: Settings| Settings { registers: 4, resample: Resample::Antialias, ..dinov2(size) };
    let clip = |size: Settings, patch: usize, image: usize| Settings {
        patch,
        side: image / patch,
        is_clip: true,
        epsilon: 1e-5,
        normalization: CLIP_NORMALIZATION,
        ..size
    };
    let quick = |size: Settings| Settings { activation: Activation::QuickGelu, ..size };
    Some(match architecture {
        VitSmallPatch14Dinov2 => dinov2(small),
        VitBasePatch14Dinov2 => dinov2(base),
        VitLargePatch14Dinov2 => dinov2(large),
        VitSmallPatch14Reg4Dinov2 => with_registers(small),
        VitBasePatch14Reg4Dinov2 => with_registers(base),
        VitLargePatch14Reg4Dinov2 => with_registers(large),
        VitSmallPatch16 => small,
        VitBasePatch16 => base,
        VitLargePatch16 => large,
        ClipVitB32 => clip(base, 32, 224),
        ClipVitB16 => clip(base, 16, 224),
        ClipVitB16Plus => clip(Settings { width: 896, heads: 14, hidden: 3584, ..base }, 16, 240),
        ClipVitL14 => clip(large, 14, 224),
        ClipVitB32Quick => quick(clip(base, 32, 224)),
        ClipVitB16Quick => quick(clip(base, 16, 224)),
        ClipVitL14Quick => quick(clip(large, 14, 224)),
        _ => return None,
    })
}

/// The network, with nodes named as timm names its modules.
pub(crate) fn build(name: &str, settings: &Settings) -> Graph {
    let Settings { width, epsilon, .. } = *settings;
    let prefix = 1 + settings.registers;
    let mut builder = Builder::new(name, settings.normalization);
    let patching = ConvSettings {
        kernel: settings.patch,
        stride: settings.patch,
        padding: Padding::Symmetric(0),
        groups: 1,
    };
    let patches = builder.conv("patch_embed.proj", 0, width, patching);
    let tokens = Op::Tokens { prefix, side: settings.side, resample: settings.resample };
    let mut node = builder.node("tokens", tokens, vec![patches], width);
    let norm = Op::LayerNorm { epsilon };
    if settings.is_clip {
        node = builder.node("norm_pre", norm.clone(), vec![node], width);
    }
    for block in 0..settings.depth {
        let name = |part: &str| format!("blocks.{block}.{part}");
        let point = ConvSettings::POINTWISE;
        let normed = builder.node(name("norm1"), norm.clone(), vec![node], width);
        let qkv = builder.conv(name("attn.qkv"), normed, 3 * width, point);
        let attention = Op::Attention { heads: settings.heads };
        let attended = builder.node(name("attn"), attention, vec![qkv], width);
        let projected = builder.conv(name("attn.proj"), attended, width, point);
        node = builder.add(name("attn.add"), projected, node);
        let normed = builder.node(name("norm2"), norm.clone(), vec![node], width);
        let hidden =
            builder.conv_activation(name("mlp.fc1"), normed, settings.hidden, point, settings.activation);
        let down = builder.conv(name("mlp.fc2"), hidden, width, point);
        node = builder.add(name("mlp.add"), down, node);
        let grid = builder.node(name("grid"), Op::Grid { prefix }, vec![node, patches], width);
        builder.tap(format!("blocks.{block}"), grid);
        let normed = builder.node(format!("{block}.norm"), norm.clone(), vec![grid], width);
        builder.tap(block.to_string(), normed);
    }
    let class = builder.pick("class", node, 0);
    let normed = builder.node("class.norm", norm, vec![class], width);
    builder.tap("class", normed);
    builder.finish()
}

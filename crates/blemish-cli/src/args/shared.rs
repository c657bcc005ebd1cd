//! Options that several commands have.

use super::values::{InputSize, Size, ValueRange, bytes, image_size, pixels, side, size, value_range};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Of commands that take a while.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// For machines: results as JSON on standard output, progress as JSON Lines on standard error.
    #[arg(long)]
    pub json: bool,
}

/// Of commands that read images.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct LimitArgs {
    /// Most pixels that an image may have, such as 10000x10000; any number by default.
    #[arg(long, value_name = "N", value_parser = pixels, help_heading = "Large images")]
    pub max_pixels: Option<u64>,
    /// Memory that decoding one image may take, such as 4GiB; 1GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Large images")]
    pub memory_limit: Option<u64>,
}

/// Where the backbone runs.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// Device of what is trained and searched, and of the backbone on engine auto or burn: auto, cpu, cuda[:N], vulkan[:N], wgpu[:N], metal[:N].
    #[arg(long, default_value = "auto", help_heading = "Engine")]
    pub device: String,
    /// Engine that runs the backbone: auto, native, rten, ort (ONNX Runtime, loaded at run time), burn.
    #[arg(long, default_value = "auto", help_heading = "Engine")]
    pub engine: String,
}

#[derive(Clone, Debug, Args)]
pub struct LayoutArgs {
    /// Folder of test images (a `good` folder and one a defect), for a plain folder of good images.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub test_dir: Option<PathBuf>,
    /// Folder of defect masks, for a plain folder of good images.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub mask_dir: Option<PathBuf>,
    /// Category, where the data holds several.
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub category: Option<String>,
    /// All categories, where the data holds several: one model for all, with thresholds for each and for all together; metrics of each and
    /// their mean.
    #[arg(long, conflicts_with = "category", help_heading = "Data")]
    pub all_categories: bool,
    /// Leave broken images, masks and links out instead of stopping; they are listed at the end.
    #[arg(long, help_heading = "Data")]
    pub skip_bad: bool,
    /// Take folders by their place, whatever their names say: all images below a folder of good images are good.
    #[arg(long, help_heading = "Data")]
    pub trust_folders: bool,
    /// Take the images of every folder (or group of a list) as the frames of a video, in the order of their numbers. Sets of videos and methods
    /// that look at clips do so by themselves.
    #[arg(long, help_heading = "Data")]
    pub frames: bool,
}

/// Of commands that fit.
#[derive(Clone, Debug, Args)]
pub struct ResourceArgs {
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Resources")]
    pub batch_size: usize,
    /// Memory for what the fit collects, such as 4GiB; what does not fit goes to a temporary file. Decoding one image may take as much,
    /// and 1GiB in any case.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Resources")]
    pub memory_limit: Option<u64>,
    /// Most pixels that an image may have, such as 10000x10000; any number by default.
    #[arg(long, value_name = "N", value_parser = pixels, help_heading = "Resources")]
    pub max_pixels: Option<u64>,
    /// Folder for large temporary files; the system's by default.
    #[arg(long, value_name = "DIR", help_heading = "Resources")]
    pub scratch: Option<PathBuf>,
}

impl ResourceArgs {
    /// What decoding one image may take is not made less than usual by a small limit on what the fit collects.
    pub(super) fn image_limits(&self) -> LimitArgs {
        let memory_limit = self.memory_limit.map(|limit| limit.max(1 << 30));
        LimitArgs { max_pixels: self.max_pixels, memory_limit }
    }
}

#[derive(Clone, Debug, Args)]
pub struct BackboneArgs {
    /// Architecture, or an ONNX file of your own; the embedded EfficientNet-Lite0 by default.
    #[arg(long, value_name = "NAME|FILE.onnx", help_heading = "Backbone")]
    pub backbone: Option<String>,
    /// Feature maps to use, shallow to deep; `blemish info NAME` lists them.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", help_heading = "Backbone")]
    pub layers: Vec<String>,
    /// Weight file (.pth, .safetensors); the embedded ones or the local store's by default.
    #[arg(long, value_name = "FILE", help_heading = "Backbone")]
    pub weights: Option<PathBuf>,
    /// Further architecture and its weight file, repeatable: each backbone has a model of its own, whose maps and scores are averaged.
    /// Layers are the method's choice.
    #[arg(long, value_name = "NAME[:FILE]", help_heading = "Backbone")]
    pub ensemble: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct TransformArgs {
    /// Size images are resized to: 256x256 (width x height), one number for the shorter side, `native` to leave them, or `auto`: PatchCore with
    /// the embedded backbone chooses by the images' own size and number (one size or two, up to 512x512), other methods have one of their own.
    #[arg(long, value_name = "WxH", value_parser = image_size, help_heading = "Images")]
    pub size: Option<InputSize>,
    /// The method's own small size, 256x256 for PatchCore, whatever the images: several times as fast, but blind to small defects.
    #[arg(long, conflicts_with_all = ["size", "multi_scale", "tile"], help_heading = "Images")]
    pub fast: bool,
    /// Centre crop after resizing, such as 224x224.
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Images")]
    pub crop: Option<Size>,
    /// Mask image: where to look. Pixels at least half as bright as its brightest count; of values up to 31, all but 0.
    #[arg(long, value_name = "FILE", help_heading = "Images")]
    pub roi: Option<PathBuf>,
    /// Values that mean black and white in 16-bit and float images, such as 0,4095 for a camera of 12 bit; `auto` takes them from
    /// the good images. Kept in the model.
    #[arg(long, value_name = "LOW,HIGH|auto", value_parser = value_range, help_heading = "Images")]
    pub value_range: Option<ValueRange>,
}

/// What a model looks at.
#[derive(Clone, Debug, Default, Args)]
pub struct ViewArgs {
    /// Cut images into tiles of this size; without --size at the images' own size, so that small defects stay visible.
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Large images and small defects")]
    pub tile: Option<Size>,
    /// Pixels that neighbouring tiles share at least; a quarter of the tile by default.
    #[arg(long, value_name = "N", requires = "tile", help_heading = "Large images and small defects")]
    pub tile_overlap: Option<usize>,
    /// One model for all tiles, or one for each place in the image (for aligned parts; all images of one size).
    #[arg(
        long,
        value_enum,
        requires = "tile",
        default_value_t,
        help_heading = "Large images and small defects"
    )]
    pub tile_models: TileModelsArg,
    /// Learn from so many tiles of each image, drawn at random by the seed; all by default.
    #[arg(long, value_name = "N", requires = "tile", help_heading = "Large images and small defects")]
    pub tiles_per_image: Option<usize>,
    /// Look at several input sizes (shorter sides, such as 256,384,512) and merge their maps.
    #[arg(long, value_delimiter = ',', value_name = "N,...", value_parser = side, help_heading = "Large images and small defects")]
    pub multi_scale: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TileModelsArg {
    /// One model learns all tiles.
    #[default]
    Shared,
    /// Each place has a model of its own.
    Each,
}

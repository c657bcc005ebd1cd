//! What an exported graph shall take and give.

use std::fmt;
use std::str::FromStr;

/// What goes into the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GraphImages {
    /// `image` float32 N x 3 x h x w, RGB in [0, 1], after the model's resize and crop.
    #[default]
    Tensor,
    /// `image` of whole numbers N x H x W x 3, RGB, of this size: a camera's pictures.
    Sized {
        /// H, in pixels.
        height: usize,
        /// W, in pixels.
        width: usize,
    },
    /// The same of any size.
    Any,
}

impl FromStr for GraphImages {
    type Err = String;

    /// `tensor`, `any` or `WxH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let size = || {
            let (width, height) = text.split_once(['x', 'X'])?;
            let side = |text: &str| text.parse().ok().filter(|side| (1..=1 << 16).contains(side));
            Some(Self::Sized { height: side(height)?, width: side(width)? })
        };
        match text {
            "tensor" => Ok(Self::Tensor),
            "any" => Ok(Self::Any),
            _ => {
                size().ok_or_else(|| format!("`{text}` is neither tensor, any nor a size such as 1920x1080"))
            }
        }
    }
}

impl fmt::Display for GraphImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Sized { height, width } => write!(f, "{width}x{height}"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// Bits of the pictures' samples, where pictures go in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// uint8.
    #[default]
    Eight,
    /// uint16.
    Sixteen,
}

impl Depth {
    /// The whitest value.
    pub fn white(self) -> f32 {
        match self {
            Self::Eight => 255.0,
            Self::Sixteen => 65_535.0,
        }
    }
}

/// What the graph gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `score`, `p_value`, `anomalous` and `map`.
    #[default]
    Blemish,
    /// What anomalib's inferencer and Intel's Model API take: `pred_score`, `pred_label`, `anomaly_map` and `pred_mask`, one image at a time.
    Anomalib,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blemish => "blemish",
            Self::Anomalib => "anomalib",
        })
    }
}

/// How a model leaves as a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// What goes in.
    pub images: GraphImages,
    /// Bits of a sample, where pictures go in.
    pub depth: Depth,
    /// What comes out.
    pub layout: Layout,
    /// Whether banks and matrices are stored in half precision.
    pub half_tables: bool,
}

//! What can go wrong with a picture.

use std::path::{Path, PathBuf};

/// What can go wrong when pictures and maps are drawn, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or folder could not be read, written or created.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// "read", "write" or "create".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The image to draw on cannot be read.
    #[error(transparent)]
    Image(#[from] blemish_data::DataError),
    /// A picture could not be encoded.
    #[error("cannot write picture `{}`: {detail}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's own words.
        detail: String,
    },
    /// A file is not a float map.
    #[error("cannot read float map `{}`: {detail}; a single-channel 32-bit float TIFF is needed", path.display())]
    FloatMap {
        /// The file.
        path: PathBuf,
        /// What it is instead, or where it is damaged.
        detail: String,
    },
    /// The number of values is not that of the size.
    #[error("{what} has {count} values, but {height}x{width} (height x width) needs {}; pass the size that it was made at", height * width * channels)]
    Size {
        /// "anomaly map", "picture", "mask".
        what: &'static str,
        /// Values there are.
        count: usize,
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// Values a pixel.
        channels: usize,
    },
    /// A map with values that cannot be drawn.
    #[error(
        "the anomaly map has {count} values that are NaN or infinite; the method or its input is at fault"
    )]
    NotFinite {
        /// How many.
        count: usize,
    },
    /// A colour range that does not rise.
    #[error("the colour range {low},{high} does not rise; give the lower score first")]
    Range {
        /// Score shown as nothing.
        low: f32,
        /// Score shown at full strength.
        high: f32,
    },
    /// A map that is said to lie where its picture is not.
    #[error(
        "the map covers rows {top}..{bottom} and columns {left}..{right}, beyond its {height}x{width} picture (height x width)"
    )]
    Region {
        /// First row covered.
        top: usize,
        /// Row after the last.
        bottom: usize,
        /// First column covered.
        left: usize,
        /// Column after the last.
        right: usize,
        /// Height of the picture.
        height: usize,
        /// Width of the picture.
        width: usize,
    },
    /// A contact sheet without a row or with cells too small.
    #[error("a contact sheet needs at least one row and cells of at least {minimum} pixels a side")]
    EmptySheet {
        /// The smallest side of a cell.
        minimum: usize,
    },
}

impl ReportError {
    /// Wraps a system error with what was tried and where, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// A number of values that does not fit a size.
    pub(crate) fn size(
        what: &'static str,
        count: usize,
        (height, width): (usize, usize),
        channels: usize,
    ) -> Self {
        // Saturating, since the message multiplies and absurd sizes must not overflow there.
        let side = |extent: usize| extent.min(1 << 28);
        Self::Size { what, count, height: side(height), width: side(width), channels }
    }

    /// Checks that a slice has height x width x channels values, at least one.
    pub(crate) fn check_size(
        what: &'static str,
        count: usize,
        (height, width): (usize, usize),
        channels: usize,
    ) -> Result<(), Self> {
        if count == 0 || height.checked_mul(width).and_then(|area| area.checked_mul(channels)) != Some(count)
        {
            return Err(Self::size(what, count, (height, width), channels));
        }
        Ok(())
    }
}

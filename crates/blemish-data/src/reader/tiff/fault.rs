//! What can be wrong with a TIFF file, in the words of [`ImageFault`].

use crate::error::ImageFault;
use crate::reader::container::{grouped, one_line};
use crate::reader::options::ReadOptions;
use std::io::ErrorKind;
use tiff::TiffError;

pub(super) const FORMAT: &str = "TIFF";

pub(super) fn unsupported(detail: &str) -> ImageFault {
    ImageFault::Unsupported { format: FORMAT, detail: detail.into() }
}

pub(super) fn damaged(detail: &str) -> ImageFault {
    ImageFault::Damaged { format: FORMAT, detail: detail.into() }
}

pub(super) fn fault_of(bytes: &[u8], options: &ReadOptions, error: TiffError) -> ImageFault {
    match error {
        TiffError::LimitsExceeded => options.too_large(),
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            let ends = format!("ends after {} bytes", grouped(bytes.len() as u64));
            ImageFault::Truncated { format: FORMAT, ends }
        }
        TiffError::UnsupportedError(error) => unsupported(&one_line(&error.to_string())),
        error => damaged(&one_line(&error.to_string())),
    }
}

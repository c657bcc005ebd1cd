//! A fingerprint of all images of a source.

use super::Source;
use crate::digest::{combined, hexadecimal};
use crate::error::DataError;
use rayon::prelude::*;
use std::path::Path;

/// SHA-256, as 64 hexadecimal digits, over the names and contents of the images.
///
/// Names are taken below the folder that all images share, with `/` between parts, so moving or renaming the folder does not
/// change the digest; neither does the order of the images. Each image enters as the length of its name, its name and its
/// [`Source::digest`]. Images are read in parallel. Labels, masks and categories are not covered.
///
/// # Errors
/// As [`Source::digest`].
pub fn source_digest(source: &dyn Source) -> Result<String, DataError> {
    let digests: Vec<[u8; 32]> =
        (0..source.len()).into_par_iter().map(|index| source.digest(index)).collect::<Result<_, _>>()?;
    let names = (0..source.len()).map(|index| Path::new(&source.facts(index).name));
    Ok(hexadecimal(&combined(names, &digests)))
}

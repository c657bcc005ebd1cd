//! A fingerprint of a set of images, stored with a model to identify what it was fitted on.

use crate::error::DataError;
use crate::files;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

/// One digest of images by their names, below the folder that all share, and the digests of their contents, in any order.
pub(crate) fn combined<'a>(names: impl Iterator<Item = &'a Path> + Clone, digests: &[[u8; 32]]) -> [u8; 32] {
    let shared = files::shared_folder(names.clone());
    let mut images: Vec<(String, &[u8; 32])> =
        names.zip(digests).map(|(name, digest)| (name_below(name, &shared), digest)).collect();
    images.sort();
    let mut all = Sha256::new();
    for (name, digest) in images {
        all.update((name.len() as u64).to_le_bytes());
        all.update(name.as_bytes());
        all.update(digest);
    }
    all.finalize().into()
}

/// SHA-256 of one file, as 64 hexadecimal digits.
///
/// # Errors
/// [`DataError::Io`] if it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String, DataError> {
    Ok(hexadecimal(&file_digest(path)?))
}

/// Bytes as hexadecimal digits, two each.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn name_below(path: &Path, folder: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

pub(crate) fn file_digest(path: &Path) -> Result<[u8; 32], DataError> {
    let digest = files::open(path).and_then(|(file, _)| stream_digest(file));
    digest.map(|(_, digest)| digest).map_err(DataError::io("read", path))
}

/// The number of bytes that a reader gives, and their SHA-256.
///
/// # Errors
/// The reader's.
pub fn stream_digest(mut content: impl Read) -> io::Result<(u64, [u8; 32])> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok((bytes, digest.finalize().into())),
            count => {
                digest.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Sample;
    use crate::source::{Files, source_digest};

    fn digest_of(samples: Vec<Sample>) -> Result<String, DataError> {
        source_digest(&Files::new(samples, ""))
    }

    fn samples_in(folder: &Path, files: &[(&str, &str)]) -> Vec<Sample> {
        let write = |(name, content): &(&str, &str)| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            Sample::unlabelled(&path)
        };
        files.iter().map(write).collect()
    }

    #[test]
    fn a_digest_depends_on_names_and_contents_only() {
        let one = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let files = [("a/1.png", "x"), ("a/2.png", "y"), ("b/1.png", "z")];
        let digest = digest_of(samples_in(one.path(), &files)).unwrap();
        assert_eq!(digest.len(), 64);
        let mut moved = samples_in(&other.path().join("deeper"), &files);
        moved.reverse();
        assert_eq!(digest_of(moved).unwrap(), digest, "neither the place nor the order counts");
        let changed = samples_in(other.path(), &[("a/1.png", "x"), ("a/2.png", "y"), ("b/1.png", "Z")]);
        assert_ne!(digest_of(changed).unwrap(), digest);
        let renamed = samples_in(other.path(), &[("a/1.png", "x"), ("a/3.png", "y"), ("b/1.png", "z")]);
        assert_ne!(digest_of(renamed).unwrap(), digest);
    }

    #[test]
    fn a_digest_is_the_documented_sum() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples_in(folder.path(), &[("1.png", "x")]);
        let mut expected = Sha256::new();
        expected.update(5_u64.to_le_bytes());
        expected.update(b"1.png");
        expected.update(Sha256::digest(b"x"));
        let expected: String = expected.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest_of(samples).unwrap(), expected);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = digest_of(vec![Sample::unlabelled(Path::new("no/such.png"))]).unwrap_err();
        assert!(error.to_string().contains("such.png"), "{error}");
    }
}

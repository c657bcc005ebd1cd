//! The files of a published set: in a wheel (a zip file) or in a folder.

use super::error::ImportError;
use crate::files;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;
use zip::result::ZipError;

/// The largest file inside a wheel that is read; the real ones have 30 KB. Guards against zip bombs.
const LARGEST: u64 = 16 << 20;

/// Where labels lie, relative to a wheel or folder: as published on PyPI, in the source repository, inside the package, and bare.
const LABELS: [&str; 5] = [
    "elpv_dataset/data/labels.csv",
    "src/elpv_dataset/data/labels.csv",
    "data/labels.csv",
    "labels.csv",
    "utils/labels.csv",
];

/// An opened wheel or folder, and the part of its names before `images/`.
pub(crate) struct Source {
    path: PathBuf,
    base: String,
    kind: Kind,
}

enum Kind {
    Wheel(ZipArchive<BufReader<File>>),
    Folder,
}

impl Source {
    /// Opens a source and finds its labels; returns them as text.
    pub(crate) fn open(path: &Path) -> Result<(Self, String), ImportError> {
        let metadata = std::fs::metadata(path).map_err(ImportError::io("open", path))?;
        let kind = if metadata.is_dir() { Kind::Folder } else { Kind::Wheel(open_wheel(path)?) };
        let mut source = Self { path: path.to_path_buf(), base: String::new(), kind };
        let foreign = |reason: &str| ImportError::Foreign { path: path.to_path_buf(), reason: reason.into() };
        let Some(labels) = LABELS.into_iter().find(|name| source.has(name)) else {
            return Err(foreign("it has no `elpv_dataset/data/labels.csv`"));
        };
        source.base = labels.trim_end_matches("labels.csv").to_owned();
        let text = String::from_utf8(source.read("labels.csv")?);
        Ok((source, text.map_err(|_| foreign("its labels are not text"))?))
    }

    fn has(&self, name: &str) -> bool {
        match &self.kind {
            Kind::Wheel(archive) => archive.index_for_name(name).is_some(),
            Kind::Folder => self.path.join(name).is_file(),
        }
    }

    /// The bytes of a file whose name stands relative to the labels' folder.
    ///
    /// `name` must be a plain relative path without `..`.
    pub(crate) fn read(&mut self, name: &str) -> Result<Vec<u8>, ImportError> {
        let name = format!("{}{name}", self.base);
        let damaged = |reason: String| ImportError::Damaged { path: self.path.clone(), reason };
        match &mut self.kind {
            Kind::Wheel(archive) => {
                let file = archive.by_name(&name).map_err(|error| match error {
                    ZipError::FileNotFound => damaged(format!("it lists `{name}` but does not hold it")),
                    error => damaged(format!("`{name}`: {error}")),
                })?;
                let mut bytes = Vec::new();
                file.take(LARGEST + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|error| damaged(format!("`{name}`: {error}")))?;
                if bytes.len() as u64 > LARGEST {
                    return Err(damaged(format!("`{name}` unpacks to more than {} MiB", LARGEST >> 20)));
                }
                Ok(bytes)
            }
            Kind::Folder => {
                let path = self.path.join(name);
                files::read(&path, LARGEST).map_err(ImportError::io("read", &path))
            }
        }
    }
}

fn open_wheel(path: &Path) -> Result<ZipArchive<BufReader<File>>, ImportError> {
    let (mut file, _) = files::open(path).map_err(ImportError::io("open", path))?;
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start).map_err(ImportError::io("read", path))?;
    if !start.starts_with(b"PK") {
        let reason = "it is neither a wheel (a zip file) nor a folder".to_owned();
        return Err(ImportError::Foreign { path: path.to_path_buf(), reason });
    }
    // The archive looks for its directory from the end, wherever the file stands.
    ZipArchive::new(BufReader::new(file))
        .map_err(|error| ImportError::Damaged { path: path.to_path_buf(), reason: error.to_string() })
}

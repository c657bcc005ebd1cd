//! A walk through folders and the folders that links in them lead to, which sees every folder once and so always ends.
//!
//! Links may lead back to where the walk came from, or several of them to one place. Real folders are walked first, links after them, so
//! that a file has the path without links where there is one. All in the byte order of paths.

use crate::error::{DataError, ImageFault};
use crate::files::is_results;
use std::collections::{HashSet, VecDeque};
use std::fs::FileType;
use std::path::{Path, PathBuf};

/// What walks have seen so far.
#[derive(Default)]
pub(super) struct Walk {
    /// Folders, links resolved.
    seen: HashSet<PathBuf>,
    /// What could not be listed, and links to nowhere.
    pub(super) faults: Vec<DataError>,
}

impl Walk {
    /// Walks a folder and all below it, hidden ones and pictures of our own left aside. `each` gets every folder that no walk has seen before, with its files.
    pub(super) fn below(&mut self, folder: &Path, each: &mut dyn FnMut(&Path, Vec<PathBuf>)) {
        let mut links = VecDeque::from([folder.to_path_buf()]);
        while let Some(link) = links.pop_front() {
            let mut folders = vec![link];
            while let Some(folder) = folders.pop() {
                if !self.is_new(&folder) {
                    continue;
                }
                let entries = self.entries(&folder);
                let mut files = Vec::new();
                let mut real = Vec::new();
                for (path, kind) in entries.into_iter().filter(|(path, _)| !is_hidden(path)) {
                    match kind {
                        Kind::Folder | Kind::LinkedFolder if is_results(&path) => {}
                        Kind::Folder => real.push(path),
                        Kind::LinkedFolder => links.push_back(path),
                        Kind::File => files.push(path),
                        Kind::Other => {}
                    }
                }
                each(&folder, files);
                // The last one in is the first one out.
                folders.extend(real.into_iter().rev());
            }
        }
    }

    /// What is directly inside a folder, by name, without links to nowhere, which are faults. `""` is the folder one is in.
    pub(super) fn entries(&mut self, folder: &Path) -> Vec<(PathBuf, Kind)> {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut found = Vec::new();
        match std::fs::read_dir(here) {
            Err(error) => self.faults.push(DataError::io("list", here)(error)),
            Ok(entries) => {
                for entry in entries {
                    match entry.and_then(|entry| Ok((folder.join(entry.file_name()), entry.file_type()?))) {
                        Ok((path, kind)) => found.push((path, kind)),
                        Err(error) => self.faults.push(DataError::io("list", here)(error)),
                    }
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| super::scan::byte_order(one, other));
        found.into_iter().filter_map(|(path, kind)| Some((path.clone(), self.kind(&path, kind)?))).collect()
    }

    fn kind(&mut self, path: &Path, kind: FileType) -> Option<Kind> {
        if kind.is_dir() {
            return Some(Kind::Folder);
        }
        if !kind.is_symlink() {
            return Some(if kind.is_file() { Kind::File } else { Kind::Other });
        }
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Some(Kind::LinkedFolder),
            Ok(metadata) if metadata.is_file() => Some(Kind::File),
            Ok(_) => Some(Kind::Other),
            Err(error) => {
                if !is_hidden(path) {
                    self.faults.push(broken_link(path, &error));
                }
                None
            }
        }
    }

    fn is_new(&mut self, folder: &Path) -> bool {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // A folder that cannot be resolved cannot be listed either, and that is told there.
        let real = std::fs::canonicalize(here).unwrap_or_else(|_| here.to_path_buf());
        self.seen.insert(real)
    }
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    LinkedFolder,
    /// Also where a link leads to one.
    File,
    /// A pipe, a device.
    Other,
}

/// A link that leads to nothing that can be opened.
pub(super) fn broken_link(path: &Path, error: &std::io::Error) -> DataError {
    let reason = match std::fs::read_link(path) {
        Ok(target) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("it is a link to `{}`, where nothing is", target.display())
        }
        Ok(target) => format!("it is a link to `{}`: {error}", target.display()),
        Err(_) => error.to_string(),
    };
    DataError::image(path, ImageFault::Unreadable(reason))
}

/// Whether a name is one that is passed over where a folder is listed.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX")
}

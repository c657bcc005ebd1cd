//! A walk through folders and the folders that links in them lead to, which sees every folder once and so always ends.
//!
//! Links may lead back to where the walk came from, or several of them to one place. Real folders are walked first, links after them, so
//! that a file has the path without links where there is one. All in the byte order of paths.

use super::account::{PassedOver, Reason};
use super::unwanted::{images_below, unwanted};
use crate::error::{DataError, Skipped};
use crate::files::is_results;
use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::fs::FileType;
use std::path::{Path, PathBuf};

/// What walks have seen so far.
#[derive(Default)]
pub(super) struct Walk<'a> {
    /// Folders, links resolved.
    seen: HashSet<PathBuf>,
    /// Folders that are not walked, links resolved.
    excluded: &'a [PathBuf],
    /// What could not be listed, and links to nowhere.
    pub(super) faults: Vec<Fault>,
    /// What is nobody's image by its name.
    pub(super) passed_over: PassedOver,
}

/// What could not be listed.
pub(super) struct Fault {
    pub(super) path: PathBuf,
    pub(super) error: DataError,
}

impl Fault {
    fn listing(folder: &Path, error: std::io::Error) -> Self {
        Self { path: folder.to_path_buf(), error: DataError::io("list", folder)(error) }
    }

    /// For the list of what was left out, which names the path itself.
    pub(super) fn left_out(self) -> Skipped {
        let reason = match self.error {
            DataError::Link { reason, .. } | DataError::Dataset { reason, .. } => reason,
            other => other.to_string(),
        };
        Skipped { path: self.path, reason }
    }
}

/// The one order of samples everywhere.
pub(super) fn byte_order(one: &Path, other: &Path) -> Ordering {
    one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
}

impl<'a> Walk<'a> {
    /// A walk that leaves folders aside, which are given with links resolved.
    pub(super) fn without(excluded: &'a [PathBuf]) -> Self {
        Self { excluded, ..Self::default() }
    }

    /// Walks a folder and all below it; what is nobody's image by its name and pictures of our own are left aside. `each` gets every folder
    /// that this walk has not seen before, with its files.
    pub(super) fn below(&mut self, folder: &Path, each: &mut dyn FnMut(&Path, Vec<PathBuf>)) {
        let mut links = VecDeque::from([folder.to_path_buf()]);
        while let Some(link) = links.pop_front() {
            let mut folders = vec![link];
            while let Some(folder) = folders.pop() {
                if !self.is_new(&folder) {
                    // Of a link that leads back to where it lies nothing is missed.
                    let is_circle = || {
                        let real = std::fs::canonicalize(&folder).ok()?;
                        Some(std::fs::canonicalize(folder.parent()?).ok()?.starts_with(real))
                    };
                    if folder.is_symlink() && is_circle() == Some(false) {
                        self.passed_over.add(Reason::Again, "", images_below(&folder));
                    }
                    continue;
                }
                let entries = self.entries(&folder);
                let mut files = Vec::new();
                let mut real = Vec::new();
                for (path, kind) in entries {
                    let is_folder = matches!(kind, Kind::Folder | Kind::LinkedFolder);
                    if let Some(reason) = unwanted(&path, is_folder) {
                        self.passed_over.add(reason, "", if is_folder { images_below(&path) } else { 1 });
                        continue;
                    }
                    match kind {
                        Kind::Folder | Kind::LinkedFolder if is_results(&path) || self.is_excluded(&path) => {
                        }
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
            Err(error) => self.faults.push(Fault::listing(here, error)),
            Ok(entries) => {
                for entry in entries {
                    match entry.and_then(|entry| Ok((folder.join(entry.file_name()), entry.file_type()?))) {
                        Ok((path, kind)) => found.push((path, kind)),
                        Err(error) => self.faults.push(Fault::listing(here, error)),
                    }
                }
            }
        }
        found.sort_by(|(one, _), (other, _)| byte_order(one, other));
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
            Err(_) => {
                if unwanted(path, false).is_none() {
                    self.faults
                        .extend(broken_link(path).map(|error| Fault { path: path.to_path_buf(), error }));
                }
                None
            }
        }
    }

    fn is_excluded(&self, folder: &Path) -> bool {
        !self.excluded.is_empty()
            && std::fs::canonicalize(folder).is_ok_and(|folder| self.excluded.contains(&folder))
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

/// The error of a link that leads nowhere; `None` if the path is something else.
pub(super) fn broken_link(path: &Path) -> Option<DataError> {
    let target = std::fs::read_link(path).ok()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason = format!(
                "it is a link to nowhere: it points to `{}`; mend the link or remove it",
                target.display()
            );
            Some(DataError::Link { path: path.to_path_buf(), reason })
        }
        Err(error) => {
            let reason = format!(
                "it is a link that cannot be followed (to `{}`: {error}); mend the link or remove it",
                target.display()
            );
            Some(DataError::Link { path: path.to_path_buf(), reason })
        }
        Ok(_) => None,
    }
}

//! Uploads: images and zips that a new model is to learn from, in sets.
//!
//! Files are known by their content, so that sending one again is harmless and a broken connection costs one file. A set is a folder that
//! every command of the program can read, with names as they came, made harmless; its index is a line a file.

mod names;
#[cfg(test)]
mod tests;
mod unzip;

use super::pictures::Format;
use crate::fault::Fault;
use blemish::data::{ReadOptions, files, image_size};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use utoipa::ToSchema;

/// What uploads may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of an image.
    pub image: u64,
    /// Bytes of a zip, and of all that it unpacks to.
    pub zip: u64,
    /// Files in a zip.
    pub entries: u64,
    /// Bytes of a set.
    pub set: u64,
    /// Pixels of an image.
    pub pixels: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { image: 32 << 20, zip: 8 << 30, entries: 100_000, set: 64 << 30, pixels: 100_000_000 }
    }
}

/// A file of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UploadedFile)]
pub struct File {
    /// Its name as it came, made harmless: folders and file below the set's images.
    pub name: String,
    /// Of its content.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Height and width.
    pub size: [usize; 2],
}

/// A file that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RefusedFile)]
pub struct Refused {
    /// Its name as it came.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A set as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Set {
    /// Its name.
    pub set: String,
    /// Its files.
    pub files: Vec<File>,
    /// Their number.
    pub images: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that this request has brought.
    pub added: usize,
    /// Files of this request that were there already.
    pub known: usize,
    /// Files of this request that were not taken.
    pub refused: Vec<Refused>,
}

impl Set {
    /// With its files; nothing is new.
    fn of(set: &str, files: Vec<File>) -> Self {
        let mut told = Self { set: set.to_owned(), ..Self::default() };
        told.fill(files);
        told
    }

    fn fill(&mut self, files: Vec<File>) {
        self.images = files.len();
        self.bytes = files.iter().map(|file| file.bytes).sum();
        self.files = files;
    }
}

/// The folder of sets.
pub struct Uploads {
    root: PathBuf,
    limits: Limits,
    /// One file after another: what two requests bring at once is told apart by its content.
    taking: Mutex<()>,
}

impl Uploads {
    /// Sets in a folder.
    pub fn new(root: PathBuf, limits: Limits) -> Self {
        Self { root, limits, taking: Mutex::new(()) }
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A new set without files.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn begin(&self) -> Result<String, Fault> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed =
            format!("{} {} {}", now.as_nanos(), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let set = format!("u-{}", &hex::encode(Sha256::digest(seed))[..12]);
        let folder = self.root.join(&set).join("images");
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        Ok(set)
    }

    /// The folder of a set's images.
    ///
    /// # Errors
    /// `not_found`.
    pub fn images(&self, set: &str) -> Result<PathBuf, Fault> {
        Ok(self.folder(set)?.join("images"))
    }

    /// Where a request may put what it receives, before it is looked at.
    ///
    /// # Errors
    /// `not_found`, `io`.
    pub fn receive(&self, set: &str) -> Result<tempfile::NamedTempFile, Fault> {
        let folder = self.folder(set)?;
        tempfile::Builder::new()
            .prefix(".blemish-upload-")
            .tempfile_in(&folder)
            .map_err(|error| cannot_write(&folder, &error))
    }

    /// Takes a received file into a set: an image, or the images of a zip.
    ///
    /// # Errors
    /// `io` if the disk is full; what is wrong with a file is told in the set.
    pub fn take(&self, set: &mut Set, name: &str, received: &Path) -> Result<(), Fault> {
        let _taking = super::store::lock(&self.taking);
        let folder = self.folder(&set.set)?;
        let mut index = Index::read(&folder);
        let mut head = [0; 16];
        let read = std::fs::File::open(received).and_then(|mut file| file.read(&mut head));
        let read = read.map_err(|error| cannot_write(received, &error))?;
        let outcome = match Format::of(&head[..read]) {
            Format::Zip => {
                let mut each = |name: &str, bytes: Vec<u8>| self.put(set, &folder, &mut index, name, &bytes);
                let refused = unzip::unzip(received, self.limits, &mut each)?;
                set.refused.extend(refused);
                Ok(())
            }
            _ => match files::read(received, self.limits.image) {
                Ok(bytes) => self.put(set, &folder, &mut index, name, &bytes),
                Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                    let reason = format!("it has more than {} MiB", self.limits.image >> 20);
                    set.refused.push(Refused { name: shown(name), reason });
                    Ok(())
                }
                Err(error) => Err(cannot_write(received, &error)),
            },
        };
        set.fill(index.files);
        outcome
    }

    /// Takes the bytes of an image.
    fn put(
        &self,
        set: &mut Set,
        folder: &Path,
        index: &mut Index,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let sha256 = hex::encode(Sha256::digest(bytes));
        if index.by_content.contains_key(&sha256) {
            set.known += 1;
            return Ok(());
        }
        let mut refuse = |reason: String| {
            set.refused.push(Refused { name: shown(name), reason });
            Ok(())
        };
        if Format::of(bytes) == Format::Zip {
            return refuse("it is a zip inside a zip; unpack it first".into());
        }
        let options = ReadOptions { maximum_pixels: Some(self.limits.pixels), ..ReadOptions::default() };
        let size = match image_size(bytes, &options) {
            Ok(size) => size,
            Err(fault) => return refuse(fault.to_string()),
        };
        if index.bytes + bytes.len() as u64 > self.limits.set {
            return refuse(format!("the set would have more than {} GiB", self.limits.set >> 30));
        }
        let safe = names::safe(name, Format::of(bytes), &sha256);
        let safe = match index.names.contains(&safe) {
            true => names::told_apart(&safe, &sha256),
            false => safe,
        };
        let path = folder.join("images").join(&safe);
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above).map_err(|error| cannot_write(above, &error))?;
        }
        files::write(&path, bytes).map_err(|error| cannot_write(&path, &error))?;
        let file = File { name: safe, sha256, bytes: bytes.len() as u64, size: [size.0, size.1] };
        index.add(folder, file)?;
        set.added += 1;
        Ok(())
    }

    /// A set as it is.
    ///
    /// # Errors
    /// `not_found`.
    pub fn set(&self, set: &str) -> Result<Set, Fault> {
        let folder = self.folder(set)?;
        let _taking = super::store::lock(&self.taking);
        Ok(Set::of(set, Index::read(&folder).files))
    }

    /// The bytes of a file of a set.
    ///
    /// # Errors
    /// `not_found`.
    pub fn file(&self, set: &str, sha256: &str) -> Result<Vec<u8>, Fault> {
        let folder = self.folder(set)?;
        let index = Index::read(&folder);
        let file = index.by_content.get(sha256).map(|&at| &index.files[at]).ok_or_else(no_file)?;
        files::read(&folder.join("images").join(&file.name), self.limits.image).map_err(|_| no_file())
    }

    /// Takes a file out of a set.
    ///
    /// # Errors
    /// `not_found`, `io`.
    pub fn remove(&self, set: &str, sha256: &str) -> Result<Set, Fault> {
        let folder = self.folder(set)?;
        let _taking = super::store::lock(&self.taking);
        let index = Index::read(&folder);
        let at = *index.by_content.get(sha256).ok_or_else(no_file)?;
        let path = folder.join("images").join(&index.files[at].name);
        // What is gone already is what was wanted.
        let _ = std::fs::remove_file(&path);
        let rest: Vec<File> = index.files.into_iter().filter(|file| file.sha256 != sha256).collect();
        Index::write(&folder, &rest)?;
        Ok(Set::of(set, rest))
    }

    /// Deletes a set; how many files it had.
    ///
    /// # Errors
    /// `not_found`, `io`.
    pub fn delete(&self, set: &str) -> Result<usize, Fault> {
        let folder = self.folder(set)?;
        let _taking = super::store::lock(&self.taking);
        let count = Index::read(&folder).files.len();
        std::fs::remove_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        Ok(count)
    }

    fn folder(&self, set: &str) -> Result<PathBuf, Fault> {
        let is_name = set
            .strip_prefix("u-")
            .is_some_and(|digits| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let folder = self.root.join(set);
        if is_name && folder.is_dir() {
            return Ok(folder);
        }
        Err(Fault::new(
            "not_found",
            format!("there is no upload `{}`; begin one with a POST to /v1/station/uploads", shown(set)),
        ))
    }
}

/// The files of a set.
#[derive(Default)]
struct Index {
    files: Vec<File>,
    by_content: HashMap<String, usize>,
    names: std::collections::HashSet<String>,
    bytes: u64,
}

impl Index {
    fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join("index.jsonl")).unwrap_or_default();
        let mut index = Self::default();
        // A line that a cut of power has left unfinished is a file that comes again.
        for file in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            index.note(file);
        }
        index
    }

    fn note(&mut self, file: File) {
        self.bytes += file.bytes;
        self.names.insert(file.name.clone());
        self.by_content.insert(file.sha256.clone(), self.files.len());
        self.files.push(file);
    }

    fn add(&mut self, folder: &Path, file: File) -> Result<(), Fault> {
        let path = folder.join("index.jsonl");
        let line = serde_json::to_string(&file).unwrap_or_default();
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut index| index.write_all(format!("{line}\n").as_bytes()));
        written.map_err(|error| cannot_write(&path, &error))?;
        self.note(file);
        Ok(())
    }

    fn write(folder: &Path, files: &[File]) -> Result<(), Fault> {
        let path = folder.join("index.jsonl");
        let text: String = files
            .iter()
            .filter_map(|file| serde_json::to_string(file).ok())
            .map(|line| line + "\n")
            .collect();
        blemish::data::files::write(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error))
    }
}

/// A name from outside, for messages.
fn shown(name: &str) -> String {
    name.chars().filter(|one| !one.is_control()).take(200).collect()
}

fn no_file() -> Fault {
    Fault::new("not_found", "the upload has no such file; it lists those it has")
}

/// A file cannot be written.
pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new("io", format!("cannot write `{}`: {error}; make room on the disk", path.display()))
}

//! Versions of models in the station's folder: which is live, which is in shadow, and the way back.
//!
//! ```text
//! models/line.blemish              what is served (or the file that the command line named)
//! models/line/KEY.blemish          every version, unchanged but for its thresholds
//! models/line/KEY.json             what it is and where it came from
//! models/line/live.json            which is live and in shadow, and which were live before
//! models/line/undo/                files from before changes of thresholds
//! ```
//! A key is the first twelve digits of the identity; another calibration of the same content gets a number behind it.

mod record;
#[cfg(test)]
mod tests;

use crate::fault::Fault;
use crate::models::Served;
use crate::options::check_name;
use blemish::Detector;
use blemish::data::files;
pub use record::{Live, MadeBy, Record, Verification};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// Digits of the identity in a key.
pub const DIGITS: usize = 12;

/// Versions that were live before and can be gone back to.
const BEFORE: usize = 20;

/// Bytes of a small file, at most.
const SMALL: u64 = 1 << 24;

/// Bytes of a model, at most.
const LARGE: u64 = 1 << 36;

/// The folder of models.
pub struct Versions {
    root: PathBuf,
    /// The key of what each served model has loaded, by when it was loaded.
    known: Mutex<HashMap<String, (SystemTime, String)>>,
    /// The key of the version in shadow of each model: every verdict in shadow asks for it.
    shadows: Mutex<HashMap<String, Option<String>>>,
    /// One change after another.
    pub changing: tokio::sync::Mutex<()>,
    /// Held from reading what is live to writing it.
    noting: Mutex<()>,
}

impl Versions {
    /// Versions in a folder.
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Mutex::default(),
            shadows: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            noting: Mutex::default(),
        }
    }

    /// The models that are served from the folder, by name.
    pub fn served(&self) -> Vec<(String, PathBuf)> {
        let mut all: Vec<(String, PathBuf)> = entries(&self.root)
            .filter(|path| path.extension().is_some_and(|extension| extension == "blemish") && path.is_file())
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
            .filter(|(name, _)| check_name(name).is_ok())
            .collect();
        all.sort();
        all
    }

    /// The names of all models that have versions.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = entries(&self.root)
            .filter(|path| path.is_dir())
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .filter(|name| check_name(name).is_ok())
            .collect();
        names.sort();
        names
    }

    /// Where a model is served from that the command line has not named.
    pub fn own_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.blemish"))
    }

    /// The file of a version.
    ///
    /// # Errors
    /// `no_such_version`.
    pub fn path(&self, name: &str, key: &str) -> Result<PathBuf, Fault> {
        let missing = || {
            let short: String = key.chars().take(64).collect();
            Fault::new(
                "no_such_version",
                format!("the model `{name}` has no version `{short}`; /v1/station/models lists them"),
            )
        };
        check_name(name)?;
        let is_key = !key.is_empty()
            && key.len() <= 32
            && key.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let path = self.folder(name).join(format!("{key}.blemish"));
        if is_key && path.is_file() { Ok(path) } else { Err(missing()) }
    }

    /// All versions of a model, newest first.
    pub fn list(&self, name: &str) -> Vec<Record> {
        let mut all: Vec<Record> = entries(&self.folder(name))
            .filter(|path| path.extension().is_some_and(|extension| extension == "blemish"))
            .filter_map(|path| self.record(name, path.file_stem()?.to_str()?).ok())
            .collect();
        all.sort_by(|one, other| other.time.total_cmp(&one.time).then_with(|| other.key.cmp(&one.key)));
        all
    }

    /// What is known of a version.
    ///
    /// # Errors
    /// `no_such_version`, or as [`Detector::load`] where its record is lost and it has to be read.
    pub fn record(&self, name: &str, key: &str) -> Result<Record, Fault> {
        let path = self.path(name, key)?;
        let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let stored = files::read(&self.note(name, key), SMALL).ok();
        let stored = stored.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        match stored {
            Some(record) => Ok(Record { bytes, ..record }),
            None => {
                let detector = load(&path)?;
                let record = Record::of(&detector, key, MadeBy::Import);
                self.note_down(name, &record)?;
                Ok(Record { bytes, ..record })
            }
        }
    }

    /// Writes what is known of a version.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn note_down(&self, name: &str, record: &Record) -> Result<(), Fault> {
        let text = serde_json::to_vec_pretty(record).unwrap_or_default();
        let path = self.note(name, &record.key);
        files::write(&path, &text).map_err(|error| cannot_write(&path, &error))
    }

    /// Takes a model file in as a version; one that is there already, thresholds and all, is not taken twice.
    ///
    /// # Errors
    /// As [`Detector::load`]; `io` if the folder cannot be written.
    pub fn take_in(
        &self,
        name: &str,
        from: &Path,
        made_by: MadeBy,
        parent: Option<String>,
        note: &str,
    ) -> Result<Record, Fault> {
        self.take(name, &load(from)?, made_by, parent, note)
    }

    fn take(
        &self,
        name: &str,
        detector: &Detector,
        made_by: MadeBy,
        parent: Option<String>,
        note: &str,
    ) -> Result<Record, Fault> {
        check_name(name)?;
        let folder = self.folder(name);
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        let identity = detector.identity();
        let stem: String = identity.chars().take(DIGITS).collect();
        let calibration = record::digest(detector);
        for number in 1.. {
            let key = if number == 1 { stem.clone() } else { format!("{stem}-{number}") };
            match self.record(name, &key) {
                Ok(known) if known.calibration == calibration => return Ok(known),
                Ok(_) => {}
                Err(_) => {
                    let path = folder.join(format!("{key}.blemish"));
                    detector.save(&path).map_err(|error| Fault::from(&error))?;
                    let mut record = Record::of(detector, &key, made_by);
                    record.parent = parent;
                    record.note = note.to_owned();
                    self.note_down(name, &record)?;
                    return self.record(name, &key);
                }
            }
        }
        Err(Fault::new("conflict", "there are too many versions; delete some"))
    }

    /// Writes anew what is known of a version whose thresholds have changed.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn renew(&self, name: &str, key: &str) -> Result<Record, Fault> {
        let detector = load(&self.path(name, key)?)?;
        let record = self.record(name, key)?.recalibrated(&detector);
        self.note_down(name, &record)?;
        Ok(record)
    }

    /// Which versions are live, in shadow and were live before.
    pub fn live(&self, name: &str) -> Live {
        let text = files::read(&self.folder(name).join("live.json"), SMALL).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Changes it; of two changes at once none is lost.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn change_live(&self, name: &str, change: impl FnOnce(&mut Live)) -> Result<(), Fault> {
        let _one = super::store::lock(&self.noting);
        let mut live = self.live(name);
        change(&mut live);
        self.set_live(name, &live)
    }

    fn set_live(&self, name: &str, live: &Live) -> Result<(), Fault> {
        let path = self.folder(name).join("live.json");
        let text = serde_json::to_vec_pretty(live).unwrap_or_default();
        files::write(&path, &text).map_err(|error| cannot_write(&path, &error))?;
        super::store::lock(&self.shadows).insert(name.to_owned(), live.shadow.clone());
        Ok(())
    }

    /// The key of what a model has loaded now. What somebody has put there from outside is taken in as a version.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn key_of(&self, served: &Served) -> Result<String, Fault> {
        let (name, version) = (served.name(), served.current());
        let _one = super::store::lock(&self.noting);
        let known = super::store::lock(&self.known).get(name).cloned();
        if let Some((_, key)) = known.filter(|(loaded, _)| *loaded == version.loaded) {
            return Ok(key);
        }
        let mut live = self.live(name);
        let calibration = record::digest(&version.detector);
        let current = live.live.clone().filter(|key| {
            let record = self.record(name, key);
            record
                .is_ok_and(|record| record.identity == version.identity && record.calibration == calibration)
        });
        let key = match current {
            Some(key) => key,
            None => {
                let record = self.take(name, &version.detector, MadeBy::Import, None, "")?;
                live.becomes(&record.key);
                self.set_live(name, &live)?;
                record.key
            }
        };
        super::store::lock(&self.known).insert(name.to_owned(), (version.loaded, key.clone()));
        Ok(key)
    }

    /// What a model has loaded is a version that is known.
    pub fn loaded(&self, name: &str, loaded: SystemTime, key: &str) {
        super::store::lock(&self.known).insert(name.to_owned(), (loaded, key.to_owned()));
    }

    /// What a model has loaded is looked up anew.
    pub fn forget(&self, name: &str) {
        super::store::lock(&self.known).remove(name);
    }

    /// The key of the version in shadow, without a look at the disk.
    pub fn shadow_of(&self, name: &str) -> Option<String> {
        let mut shadows = super::store::lock(&self.shadows);
        match shadows.get(name) {
            Some(known) => known.clone(),
            None => {
                let shadow = self.live(name).shadow;
                shadows.insert(name.to_owned(), shadow.clone());
                shadow
            }
        }
    }

    /// Lets a file take the place of the one that is served; gives the bytes that were there before.
    ///
    /// # Errors
    /// `io` if it cannot be read or written.
    pub fn publish(&self, from: &Path, to: &Path) -> Result<Option<Vec<u8>>, Fault> {
        let bytes = files::read(from, LARGE).map_err(|error| cannot_read(from, &error))?;
        let before = files::read(to, LARGE).ok();
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
        }
        files::write(to, &bytes).map_err(|error| cannot_write(to, &error))?;
        Ok(before)
    }

    /// Deletes a version that is neither live nor in shadow.
    ///
    /// # Errors
    /// `conflict`, `no_such_version`, `io`.
    pub fn delete(&self, name: &str, key: &str) -> Result<(), Fault> {
        let path = self.path(name, key)?;
        let _one = super::store::lock(&self.noting);
        let mut live = self.live(name);
        if live.live.as_deref() == Some(key) {
            return Err(Fault::new(
                "conflict",
                format!("version {key} is live and cannot be deleted; make another one live first"),
            ));
        }
        if live.shadow.as_deref() == Some(key) {
            return Err(Fault::new(
                "conflict",
                format!("version {key} is in shadow and cannot be deleted; end its shadow first"),
            ));
        }
        std::fs::remove_file(&path).map_err(|error| cannot_write(&path, &error))?;
        // It says nothing without its model.
        let _ = std::fs::remove_file(self.note(name, key));
        live.before.retain(|before| before != key);
        self.set_live(name, &live)
    }

    /// Keeps a version's file for later, before its thresholds change: a second name for it, which costs nothing, since files are replaced
    /// and never written into.
    ///
    /// # Errors
    /// `io` if the folder cannot be written.
    pub fn back_up(&self, name: &str, key: &str) -> Result<String, Fault> {
        let path = self.path(name, key)?;
        let folder = self.folder(name).join("undo");
        std::fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
        let nanoseconds =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let backup = format!("{key}.{nanoseconds}");
        let to = folder.join(&backup);
        if std::fs::hard_link(&path, &to).is_err() {
            // Some file systems have no second names.
            std::fs::copy(&path, &to).map_err(|error| cannot_write(&to, &error))?;
        }
        Ok(backup)
    }

    /// The file of a backup.
    pub fn backup(&self, name: &str, backup: &str) -> PathBuf {
        self.folder(name).join("undo").join(backup)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn note(&self, name: &str, key: &str) -> PathBuf {
        self.folder(name).join(format!("{key}.json"))
    }
}

/// Loads a version to look at or to try; the line itself loads its own.
///
/// # Errors
/// As [`Detector::load`].
pub fn load(path: &Path) -> Result<Detector, Fault> {
    Detector::load(path, &Default::default()).map_err(|error| Fault::from(&error))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    found
        .map(|entry| entry.path())
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
}

/// A file cannot be written.
pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(
        "io",
        format!("cannot write `{}`: {error}; check the space and the rights there", path.display()),
    )
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new("io", format!("cannot read `{}`: {error}; check that it is there", path.display()))
}

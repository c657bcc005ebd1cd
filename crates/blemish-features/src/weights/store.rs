//! The local store of weight files: a folder with an index of digests.

use super::catalogue::{CatalogueEntry, published};
use super::hub::Hub;
use super::prompted::{origin, prompted_names, recognize_prompted};
#[cfg(feature = "pull")]
use super::pull::{PullFault, download};
#[cfg(feature = "pull")]
use super::read_open;
use super::read_state_dict;
use crate::FeatureError;
use crate::assemble::recognize;
#[cfg(feature = "pull")]
use crate::assemble::{assemble, variant_for};
use crate::graph::StateDict;
#[cfg(feature = "pull")]
use crate::networks;
use crate::networks::{Architecture, ImageText};
use blemish_data::digest::{hexadecimal, stream_digest};
use blemish_data::files::{self, Lock, Unfinished};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const INDEX: &str = "weights.json";
/// How long a change waits for another one; each takes moments.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// A weight file in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreEntry {
    /// Architecture it belongs to.
    pub name: String,
    /// File name within the store.
    pub file: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub source: String,
}

/// What a file of the store is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// As it was added.
    Intact,
    /// Gone.
    Missing,
    /// Changed since it was added.
    Altered,
}

/// The folder of weight files.
#[derive(Clone, Debug)]
pub struct WeightStore {
    folder: PathBuf,
}

impl WeightStore {
    /// The user's store: `$BLEMISH_WEIGHTS`, else the platform's folder for application data.
    ///
    /// # Errors
    /// [`FeatureError::Store`] if neither is known.
    pub fn open() -> Result<Self, FeatureError> {
        if let Some(folder) = std::env::var_os("BLEMISH_WEIGHTS") {
            return Ok(Self::open_at(folder));
        }
        let folders = directories::ProjectDirs::from("", "", "blemish").ok_or_else(|| {
            FeatureError::Store(
                "this account has no home folder; set BLEMISH_WEIGHTS to a folder for weights".into(),
            )
        })?;
        Ok(Self::open_at(folders.data_dir().join("weights")))
    }

    /// A store in the given folder, which the first write makes.
    pub fn open_at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Everything in the store, by name.
    ///
    /// # Errors
    /// [`FeatureError::Store`] if the index is damaged; [`FeatureError::Io`].
    pub fn list(&self) -> Result<Vec<StoreEntry>, FeatureError> {
        let path = self.folder.join(INDEX);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(FeatureError::Io { path, source }),
        };
        serde_json::from_str(&text).map_err(|error| {
            FeatureError::Store(format!(
                "the index `{}` is damaged ({error}); delete it and add the files again",
                path.display()
            ))
        })
    }

    /// The weight file of a network, if the store has one.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn find(&self, name: &str) -> Result<Option<PathBuf>, FeatureError> {
        let entry = self.list()?.into_iter().find(|entry| entry.name == name);
        Ok(entry.map(|entry| self.folder.join(entry.file)))
    }

    /// Copies a weight file into the store. Without a name it is recognised by its tensors. A file of the same name is replaced.
    ///
    /// # Errors
    /// A file that does not hold weights or belongs to no known network; [`FeatureError::Io`].
    pub fn add(&self, file: &Path, name: Option<&str>) -> Result<StoreEntry, FeatureError> {
        self.add_from(file, name, &file.display().to_string())
    }

    fn add_from(&self, file: &Path, name: Option<&str>, source: &str) -> Result<StoreEntry, FeatureError> {
        let state = read_state_dict(file)?;
        let name = match name {
            Some(name) => {
                let name = network(name)?;
                // A part of a backbone may be kept; these networks are loaded whole or not at all.
                if prompted_names().any(|known| known == name) && recognize_prompted(&state) != Some(name) {
                    return Err(FeatureError::Store(format!(
                        "`{}` does not hold the weights of `{name}` under the names that are known",
                        file.display()
                    )));
                }
                name.to_owned()
            }
            // Of a file with both towers of a CLIP, the image tower alone would be a backbone.
            None => match image_texts(&state)
                .next()
                .or_else(|| recognize_prompted(&state))
                .or_else(|| Some(recognize(&state).first()?.name()))
            {
                Some(name) => name.to_owned(),
                None => {
                    return Err(FeatureError::Store(format!(
                        "`{}` fits none of the known networks; name the network if it is a part of one",
                        file.display()
                    )));
                }
            },
        };
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or("weights");
        let target = format!("{name}.{extension}");
        let mut copy = self.begin(&target)?;
        let read = |source| FeatureError::Io { path: file.to_owned(), source };
        std::io::copy(&mut File::open(file).map_err(read)?, &mut copy).map_err(|error| self.io(error))?;
        self.keep(copy, name, target, source)
    }

    /// Gives a whole file its name in the store and enters it in the index.
    fn keep(
        &self,
        copy: Unfinished,
        name: String,
        target: String,
        source: &str,
    ) -> Result<StoreEntry, FeatureError> {
        let mut content = copy.file();
        let (bytes, sha256) =
            content.seek(SeekFrom::Start(0)).and_then(|_| digest(content)).map_err(|error| self.io(error))?;
        let entry = StoreEntry { name, file: target, bytes, sha256, source: source.to_owned() };
        // From reading the index to writing it nobody else may change it, or entries are lost.
        let _lock = self.lock()?;
        let mut entries = self.list()?;
        copy.complete().map_err(|error| self.io(error))?;
        entries.retain(|other| other.name != entry.name);
        entries.push(entry.clone());
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        self.write_index(&entries)?;
        Ok(entry)
    }

    /// Waits until nobody else changes the store.
    fn lock(&self) -> Result<Lock, FeatureError> {
        let started = Instant::now();
        let lock = files::lock(&self.folder.join(INDEX), &mut || started.elapsed() < LOCK_PATIENCE);
        lock.map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => FeatureError::Store(format!(
                "another program is changing the weight store `{}`; wait for it and try again",
                self.folder.display()
            )),
            _ => self.io(error),
        })
    }

    fn write_index(&self, entries: &[StoreEntry]) -> Result<(), FeatureError> {
        let text = serde_json::to_string_pretty(entries).map_err(|error| self.io(error.into()))?;
        files::write(&self.folder.join(INDEX), text.as_bytes()).map_err(|error| self.io(error))
    }

    /// A file of the store in the making.
    fn begin(&self, file: &str) -> Result<Unfinished, FeatureError> {
        let begin = || {
            std::fs::create_dir_all(&self.folder)?;
            files::unfinished(&self.folder.join(file))
        };
        begin().map_err(|error| self.io(error))
    }

    fn io(&self, source: std::io::Error) -> FeatureError {
        FeatureError::Io { path: self.folder.clone(), source }
    }

    /// Compares every file with the digest it was added with.
    ///
    /// # Errors
    /// As [`Self::list`]; [`FeatureError::Io`] for a file that cannot be read.
    pub fn verify(&self) -> Result<Vec<(StoreEntry, Check)>, FeatureError> {
        let check = |entry: StoreEntry| {
            let path = self.folder.join(&entry.file);
            let check = match path.exists() {
                false => Check::Missing,
                true if digest_file(&path)? == entry.sha256 => Check::Intact,
                true => Check::Altered,
            };
            Ok((entry, check))
        };
        self.list()?.into_iter().map(check).collect()
    }

    /// Brings the published weights of a network into the store, from the hub that the environment names ([`Hub::from_env`]).
    ///
    /// `goes_on` is told of the bytes that came and how many are expected, many times a second, and stops the work by saying no.
    ///
    /// # Errors
    /// [`FeatureError::Pull`] saying which file to bring by hand, if the hub cannot be reached, may not be asked, falls silent or gives
    /// something else; [`FeatureError::NotPublished`], [`FeatureError::UnknownNetwork`], [`FeatureError::Interrupted`].
    pub fn pull(
        &self,
        name: &str,
        goes_on: &mut dyn FnMut(u64, Option<u64>) -> bool,
    ) -> Result<StoreEntry, FeatureError> {
        self.pull_from(&Hub::from_env(), name, goes_on)
    }

    /// As [`Self::pull`], from a given hub.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub fn pull_from(
        &self,
        hub: &Hub,
        name: &str,
        goes_on: &mut dyn FnMut(u64, Option<u64>) -> bool,
    ) -> Result<StoreEntry, FeatureError> {
        let network = network(name)?;
        let known = published(network).ok_or(FeatureError::NotPublished { network })?;
        if let Some(cached) = hub.cached(known.repository, known.file) {
            return self.add_from(&cached, Some(name), known.repository);
        }
        if hub.offline {
            let reason = "the hub is not to be asked (HF_HUB_OFFLINE), and its cache does not have the file";
            return Err(pull_fault(known, reason));
        }
        self.download(hub, known, goes_on)
    }

    #[cfg(feature = "pull")]
    fn download(
        &self,
        hub: &Hub,
        known: &'static CatalogueEntry,
        goes_on: &mut dyn FnMut(u64, Option<u64>) -> bool,
    ) -> Result<StoreEntry, FeatureError> {
        let target = format!("{}.safetensors", known.name);
        let mut file = self.begin(&target)?;
        download(hub, known.repository, known.file, &mut file, goes_on).map_err(|fault| match fault {
            PullFault::Stopped => FeatureError::Interrupted,
            PullFault::Io(source) => self.io(source),
            PullFault::Failed(reason) => pull_fault(known, &reason),
        })?;
        // The hub is not believed to have sent what was asked for.
        let foreign = |reason: &dyn std::fmt::Display| {
            pull_fault(known, &format!("what the hub sent are no weights of {} ({reason})", known.name))
        };
        let state = read_open(file.file(), Path::new(&target)).map_err(|error| match error {
            FeatureError::WeightFile { reason, .. } => foreign(&reason),
            other => other,
        })?;
        if prompted_names().any(|name| name == known.name) {
            if recognize_prompted(&state) != Some(known.name) {
                return Err(foreign(&"it has other sizes"));
            }
            return self.keep(file, known.name.to_owned(), target, known.repository);
        }
        if known.name.parse::<ImageText>().is_ok() {
            if !image_texts(&state).any(|name| name == known.name) {
                return Err(foreign(&"its image tower has other sizes"));
            }
            return self.keep(file, known.name.to_owned(), target, known.repository);
        }
        let architecture = known.name.parse::<Architecture>()?;
        let trunk = networks::build(variant_for(architecture, &state)).cut(&architecture.layers_at(&[16]))?;
        assemble(&trunk, state).map_err(|error| foreign(&error))?;
        self.keep(file, known.name.to_owned(), target, known.repository)
    }

    #[cfg(not(feature = "pull"))]
    fn download(
        &self,
        _: &Hub,
        known: &'static CatalogueEntry,
        _: &mut dyn FnMut(u64, Option<u64>) -> bool,
    ) -> Result<StoreEntry, FeatureError> {
        Err(pull_fault(known, "this build has no downloader (cargo feature `pull`)"))
    }
}

fn pull_fault(known: &CatalogueEntry, reason: &str) -> FeatureError {
    FeatureError::Pull {
        network: known.name,
        reason: reason.to_owned(),
        file: known.file,
        repository: known.repository,
    }
}

/// Names of the networks of images and texts that a file may hold: with a text tower, by how its image tower cuts images into patches.
fn image_texts(state: &StateDict) -> impl Iterator<Item = &'static str> {
    const PATCHES: [&str; 3] = [
        "visual.conv1.weight",
        "module.visual.conv1.weight",
        "vision_model.embeddings.patch_embedding.weight",
    ];
    let has_text = state.keys().any(|name| name.ends_with("token_embedding.weight"));
    let shape = PATCHES.iter().filter(|_| has_text).find_map(|name| Some(state.get(*name)?.shape.clone()));
    let fits = move |network: &ImageText| shape.as_deref() == Some(&network.patches());
    ImageText::all().filter(fits).map(ImageText::name)
}

/// The weight store's file of a network that is asked by phrases or boxes.
///
/// # Errors
/// [`FeatureError::NoPrompted`] saying which file to bring; [`FeatureError::UnknownNetwork`]; [`FeatureError::Store`].
pub fn prompted_file(name: &str) -> Result<PathBuf, FeatureError> {
    let [network, file, repository] = origin(name)?;
    WeightStore::open()?.find(network)?.ok_or(FeatureError::NoPrompted { network, file, repository })
}

/// The network of exactly this name, which is also that of its files.
fn network(name: &str) -> Result<&'static str, FeatureError> {
    let trunks = || Architecture::all().map(Architecture::name);
    let names = || trunks().chain(ImageText::all().map(ImageText::name)).chain(prompted_names());
    names().find(|known| *known == name).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        FeatureError::UnknownNetwork { name: name.to_owned(), known }
    })
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`FeatureError::Io`].
fn digest_file(path: &Path) -> Result<String, FeatureError> {
    let found = File::open(path).and_then(digest);
    found.map(|(_, sha256)| sha256).map_err(|source| FeatureError::Io { path: path.to_owned(), source })
}

/// Number of bytes, and their SHA-256 in hexadecimal.
fn digest(content: impl Read) -> std::io::Result<(u64, String)> {
    stream_digest(content).map(|(bytes, digest)| (bytes, hexadecimal(&digest)))
}

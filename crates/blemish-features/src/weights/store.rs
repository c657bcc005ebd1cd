//! The local store of weight files: a folder with an index of digests.

use super::catalogue::{CatalogueEntry, published};
use super::read_state_dict;
use crate::FeatureError;
use crate::assemble::recognize;
use crate::networks::Architecture;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const INDEX: &str = "weights.json";

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
            Some(name) => network(name)?.to_owned(),
            None => match recognize(&state).first() {
                Some(architecture) => architecture.name().to_owned(),
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
        std::fs::create_dir_all(&self.folder).map_err(|error| self.io(error))?;
        let mut copy = self.temporary()?;
        let read = |source| FeatureError::Io { path: file.to_owned(), source };
        let bytes =
            std::io::copy(&mut File::open(file).map_err(read)?, &mut copy).map_err(|error| self.io(error))?;
        let sha256 = digest_file(copy.path())?;
        copy.persist(self.folder.join(&target)).map_err(|error| self.io(error.error))?;
        let entry = StoreEntry { name, file: target, bytes, sha256, source: source.to_owned() };
        let mut entries = self.list()?;
        entries.retain(|other| other.name != entry.name);
        entries.push(entry.clone());
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        self.write_index(&entries)?;
        Ok(entry)
    }

    fn write_index(&self, entries: &[StoreEntry]) -> Result<(), FeatureError> {
        let text = serde_json::to_string_pretty(entries).map_err(|error| self.io(error.into()))?;
        let mut file = self.temporary()?;
        file.write_all(text.as_bytes()).map_err(|error| self.io(error))?;
        file.persist(self.folder.join(INDEX)).map_err(|error| self.io(error.error))?;
        Ok(())
    }

    /// A file in the making, readable for everybody that the user's umask admits: stores are shared.
    fn temporary(&self) -> Result<tempfile::NamedTempFile, FeatureError> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(&self.folder).map_err(|error| self.io(error))
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

    /// Downloads the published weights of a network into the store.
    ///
    /// Obeys the hub's usual environment: `HF_HUB_OFFLINE`, `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`.
    ///
    /// # Errors
    /// [`FeatureError::Pull`] saying which file to bring by hand, if the hub cannot be reached or may not be asked;
    /// [`FeatureError::NotPublished`], [`FeatureError::UnknownNetwork`].
    pub fn pull(&self, name: &str) -> Result<StoreEntry, FeatureError> {
        let network = network(name)?;
        let known = published(network).ok_or(FeatureError::NotPublished { network })?;
        let file = download(known).map_err(|reason| FeatureError::Pull {
            network,
            reason,
            file: CatalogueEntry::FILE,
            repository: known.repository,
        })?;
        self.add_from(&file, Some(name), known.repository)
    }
}

/// The network of exactly this name, which is also that of its files.
fn network(name: &str) -> Result<&'static str, FeatureError> {
    let mut names = Architecture::all().map(Architecture::name);
    names.find(|known| *known == name).ok_or_else(|| {
        let known: Vec<&str> = Architecture::all().map(Architecture::name).collect();
        FeatureError::UnknownNetwork { name: name.to_owned(), known: known.join(", ") }
    })
}

#[cfg(feature = "pull")]
fn download(known: &CatalogueEntry) -> Result<PathBuf, String> {
    use std::env::var;
    let is_set =
        |value: String| !matches!(value.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off");
    // hf-hub 0.5 reads HF_HOME and HF_ENDPOINT; the rest of the hub's environment is read here.
    let cache = match var("HF_HUB_CACHE") {
        Ok(folder) => hf_hub::Cache::new(folder.into()),
        Err(_) => hf_hub::Cache::from_env(),
    };
    if let Some(cached) = cache.model(known.repository.into()).get(CatalogueEntry::FILE) {
        return Ok(cached);
    }
    if var("HF_HUB_OFFLINE").is_ok_and(is_set) {
        return Err("HF_HUB_OFFLINE is set and the hub's cache does not have the file".into());
    }
    let mut builder = hf_hub::api::sync::ApiBuilder::from_env().with_cache_dir(cache.path().clone());
    if let Ok(token) = var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let api = builder.build().map_err(|error| error.to_string())?;
    api.model(known.repository.into())
        .download(CatalogueEntry::FILE)
        .map_err(|error| format!("the hub did not give the file ({error})"))
}

#[cfg(not(feature = "pull"))]
fn download(_: &CatalogueEntry) -> Result<PathBuf, String> {
    Err("this build has no downloader (cargo feature `pull`)".into())
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// [`FeatureError::Io`].
fn digest_file(path: &Path) -> Result<String, FeatureError> {
    let io = |source| FeatureError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(io)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

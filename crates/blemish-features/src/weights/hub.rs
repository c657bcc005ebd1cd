//! Which hub weights are pulled from, and what its own tools have already brought to this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hub's address where nothing else is said.
const ENDPOINT: &str = "https://huggingface.co";

/// A hub of weight files and its cache on this machine, which is read and never written.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Its address, such as `https://huggingface.co`.
    pub endpoint: String,
    /// What it knows the user by; sent to this address alone.
    pub token: Option<String>,
    /// Folder where the hub's own tools keep what they bring.
    pub cache: Option<PathBuf>,
    /// Whether only that cache is to be used.
    pub offline: bool,
    /// How long it may be silent: to be found, to answer, and between pieces.
    pub patience: Duration,
}

impl Hub {
    /// The hub that the usual variables describe: `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, `HF_HUB_CACHE`, `HF_HOME`.
    pub fn from_env() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let is_set =
            |value: String| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
        let home = path("HF_HOME")
            .or_else(|| Some(directories::BaseDirs::new()?.home_dir().join(".cache").join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub")));
        let stored = || std::fs::read_to_string(home.as_ref()?.join("token")).ok();
        let token = text("HF_TOKEN").or_else(stored);
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            cache,
            offline: text("HF_HUB_OFFLINE").is_some_and(is_set),
            patience: Duration::from_secs(30),
        }
    }

    /// A file that the hub's own tools have brought earlier.
    pub(super) fn cached(&self, repository: &str, file: &str) -> Option<PathBuf> {
        let folder = self.cache.as_ref()?.join(format!("models--{}", repository.replace('/', "--")));
        let commit = std::fs::read_to_string(folder.join("refs").join("main")).ok()?;
        let commit = commit.trim();
        // A commit is a number in hexadecimal; anything else could lead out of the cache.
        let is_plain = !commit.is_empty() && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let path = folder.join("snapshots").join(commit).join(file);
        (is_plain && Path::new(&path).is_file()).then_some(path)
    }

    /// Address of a repository's file.
    #[cfg(feature = "pull")]
    pub(super) fn url(&self, repository: &str, file: &str) -> Result<String, String> {
        let endpoint = self.endpoint.trim_end_matches('/');
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            return Err(format!("the hub's address `{endpoint}` does not begin with https://"));
        }
        Ok(format!("{endpoint}/{repository}/resolve/main/{file}"))
    }

    /// Whether an address is the hub's own.
    #[cfg(feature = "pull")]
    pub(super) fn owns(&self, url: &str) -> bool {
        url.strip_prefix(self.endpoint.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_file_is_found_and_a_commit_that_is_a_path_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub { cache: Some(folder.path().to_owned()), ..Hub::from_env() };
        let place = folder.path().join("models--timm--x");
        std::fs::create_dir_all(place.join("refs")).unwrap();
        std::fs::create_dir_all(place.join("snapshots/0a1b")).unwrap();
        std::fs::write(place.join("snapshots/0a1b/model.safetensors"), "x").unwrap();
        std::fs::write(place.join("model.safetensors"), "outside").unwrap();
        assert_eq!(hub.cached("timm/x", "model.safetensors"), None);
        std::fs::write(place.join("refs/main"), "0a1b\n").unwrap();
        assert!(hub.cached("timm/x", "model.safetensors").is_some());
        std::fs::write(place.join("refs/main"), "..").unwrap();
        assert_eq!(hub.cached("timm/x", "model.safetensors"), None);
    }
}

//! How methods that train for long are run.

pub use blemish_nn::train::Precision;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How methods that train for long are run. Of it only the precision and the textures change what an uninterrupted training learns.
#[derive(Clone, Debug, Default)]
pub struct TrainingOptions {
    /// Ends the training after this time, with a usable model.
    pub time_limit: Option<Duration>,
    /// Keeps progress in files of this name with an ending for each network.
    pub checkpoint: Option<PathBuf>,
    /// Goes on from the checkpoint, if there is one.
    pub resume: bool,
    /// Bits of the products; fewer are for GPUs.
    pub precision: Precision,
    /// Folder of pictures of anything at all, whose textures methods that make defects up lay over good images. Without it such
    /// methods make textures up, too. A model does not need it once it is fitted.
    pub textures: Option<PathBuf>,
}

impl TrainingOptions {
    /// The same for one of several models of a fit, whose checkpoints have names of their own.
    pub fn of_model(&self, number: usize) -> Self {
        Self {
            checkpoint: self.checkpoint.as_ref().map(|path| with_ending(path, &number.to_string())),
            ..self.clone()
        }
    }

    /// The checkpoints there are on disk.
    pub fn checkpoints(&self) -> Vec<PathBuf> {
        let Some(base) = &self.checkpoint else { return Vec::new() };
        let (Some(folder), Some(name)) = (base.parent(), base.file_name()) else { return Vec::new() };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let is_one = |path: &PathBuf| {
            let own = path.file_name().unwrap_or_default().as_encoded_bytes();
            own.strip_prefix(name.as_encoded_bytes()).is_some_and(|rest| rest.starts_with(b"-"))
        };
        entries.map(|entry| entry.path()).filter(is_one).collect()
    }
}

/// A name with more behind a dash, as [`TrainingOptions::checkpoints`] looks for.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(format!("-{ending}"));
    path.into()
}

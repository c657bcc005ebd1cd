//! The detector and the segmenter: where their weights are found, and what a model file keeps of them.

use super::config::{NAME, SaaConfig};
use crate::shared::tensors::tensors_below;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_data::digest::file_sha256;
use blemish_features::weights::{WeightStore, prompted_file, prompted_names, read_state_dict};
use blemish_features::{FeatureError, StateDict};
use blemish_foundation::grounding::{GroundingConfig, GroundingDino};
use blemish_foundation::sam::{Sam, SamConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Tensor of a model that says which networks it has.
const NETWORKS: &str = "networks";
/// Names of the networks' tensors in a model that has them embedded begin with these.
const PREFIXES: [&str; 2] = ["detector.", "segmenter."];

/// What a model file says of its networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    detector: GroundingConfig,
    segmenter: SamConfig,
    /// SHA-256 of their files; empty where they are embedded.
    sha256: [String; 2],
}

/// Both networks, ready to run.
pub(super) struct Networks {
    pub detector: GroundingDino,
    pub segmenter: Sam,
    record: Record,
    /// Their tensors, if the model is to hold them.
    embedded: Option<[StateDict; 2]>,
}

/// The weights of a network before it is put together.
pub(super) struct Weights {
    pub state: StateDict,
    pub sha256: String,
}

impl Weights {
    /// Bytes that its values take.
    fn bytes(&self) -> u64 {
        self.state.values().map(|tensor| 4 * tensor.data.len() as u64).sum()
    }
}

/// The file of a network, given as a path or as a name that the weight store knows.
pub(super) fn file_of(given: &str) -> Result<PathBuf, FeatureError> {
    match prompted_names().any(|name| name == given) {
        true => prompted_file(given),
        false => Ok(PathBuf::from(given)),
    }
}

fn read(given: &str) -> Result<Weights, Error> {
    #[cfg(test)]
    if let Some(state) = super::tests::tiny_weights(given) {
        return Ok(Weights { state, sha256: given.to_owned() });
    }
    let path = file_of(given)?;
    Ok(Weights { state: read_state_dict(&path)?, sha256: file_sha256(&path)? })
}

fn unknown(key: &str, given: &str) -> Error {
    Error::Setting {
        key: key.into(),
        reason: format!("the weights of `{given}` are not those of a network known here"),
        help: format!("there are: {}", prompted_names().collect::<Vec<_>>().join(", ")),
    }
}

fn detector_sizes(given: &str, state: &StateDict) -> Result<GroundingConfig, Error> {
    #[cfg(test)]
    if given == super::tests::DETECTOR {
        return Ok(GroundingConfig::smallest());
    }
    GroundingConfig::recognize(state).ok_or_else(|| unknown("detector", given))
}

fn segmenter_sizes(given: &str, state: &StateDict) -> Result<SamConfig, Error> {
    #[cfg(test)]
    if given == super::tests::SEGMENTER {
        return Ok(SamConfig::smallest());
    }
    SamConfig::recognize(state).ok_or_else(|| unknown("segmenter", given))
}

impl Networks {
    /// Those that the settings name; `memory_limit` is in bytes.
    ///
    /// # Errors
    /// [`Error::Features`] if weights are missing, saying which file to bring; [`Error::Setting`] if they are those of other networks;
    /// [`Error::Fit`] if they take more memory than allowed.
    pub fn of(config: &SaaConfig, memory_limit: Option<u64>) -> Result<Self, Error> {
        let detector = read(&config.detector)?;
        let segmenter = read(&config.segmenter)?;
        let bytes = (detector.bytes() + segmenter.bytes()) * if config.embed_weights { 2 } else { 1 };
        if let Some(limit) = memory_limit.filter(|limit| *limit < bytes) {
            let reason =
                format!("the detector and the segmenter take {bytes} bytes, and {limit} are allowed");
            return Err(Error::Fit { method: NAME, reason });
        }
        let record = Record {
            detector: detector_sizes(&config.detector, &detector.state)?,
            segmenter: segmenter_sizes(&config.segmenter, &segmenter.state)?,
            sha256: match config.embed_weights {
                true => [String::new(), String::new()],
                false => [detector.sha256, segmenter.sha256],
            },
        };
        Self::with(record, [detector.state, segmenter.state], config.embed_weights)
    }

    fn with(record: Record, states: [StateDict; 2], is_embedded: bool) -> Result<Self, Error> {
        let [detector, segmenter] = states;
        let embedded = is_embedded.then(|| [detector.clone(), segmenter.clone()]);
        Ok(Self {
            detector: GroundingDino::load(record.detector.clone(), detector)?,
            segmenter: Sam::load(record.segmenter.clone(), segmenter)?,
            record,
            embedded,
        })
    }

    /// Puts what a model file has to keep of them into its state.
    pub fn store(&self, state: &mut State) {
        // Sizes and digests always serialise.
        let record = serde_json::to_vec(&self.record).unwrap_or_default();
        state.set_u8(NETWORKS, &[record.len()], record);
        for (prefix, tensors) in PREFIXES.iter().zip(self.embedded.iter().flatten()) {
            for (name, tensor) in tensors {
                state.set_f32(&format!("{prefix}{name}"), &tensor.shape, tensor.data.clone());
            }
        }
    }

    /// Those of a model file: embedded ones, or those whose files have the digests that it states.
    ///
    /// # Errors
    /// [`Error::State`] for what is missing or misshapen; [`Error::Features`] saying which file to bring.
    pub fn restore(config: &SaaConfig, state: &mut State) -> Result<Self, Error> {
        let wrong = |reason: String| StateError { name: NETWORKS.into(), reason };
        let bytes = state.u8(NETWORKS, 1)?.1;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("does not describe networks ({error})")))?;
        if config.embed_weights {
            let [detector, segmenter] = PREFIXES;
            let states = [tensors_below(detector, state)?, tensors_below(segmenter, state)?];
            return Self::with(record, states, true)
                .map_err(|error| wrong(format!("are not whole: {error}")).into());
        }
        let [detector, segmenter] = &record.sha256;
        let states = [found(&config.detector, detector)?, found(&config.segmenter, segmenter)?];
        Self::with(record, states, false)
    }
}

/// The weights of this digest: in the file that the settings name, else anywhere in the weight store.
fn found(given: &str, sha256: &str) -> Result<StateDict, Error> {
    #[cfg(test)]
    if let Some(state) = super::tests::tiny_weights(given).filter(|_| sha256 == given) {
        return Ok(state);
    }
    let named = file_of(given);
    let has = |path: &Path| file_sha256(path).is_ok_and(|found| found == sha256);
    if let Some(path) = named.as_ref().ok().filter(|path| has(path)) {
        return Ok(read_state_dict(path)?);
    }
    let store = WeightStore::open()?;
    let entry = store.list()?.into_iter().find(|entry| entry.sha256 == sha256);
    if let Some(path) = entry.map(|entry| store.path().join(entry.file)).filter(|path| has(path)) {
        return Ok(read_state_dict(&path)?);
    }
    // That nothing is there says more than that it is something else.
    named?;
    let reason = format!(
        "the model looks through the weights of `{given}` with the SHA-256 {sha256}, and the file found is another; bring that file, or \
         fit again with `embed_weights`"
    );
    Err(FeatureError::Store(reason).into())
}

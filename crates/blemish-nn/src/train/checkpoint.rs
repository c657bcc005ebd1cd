//! Everything a training needs to go on, in one file that is replaced as a whole.

use super::curve::Curve;
use super::error::TrainError;
use crate::optim::weights::Memory;
use crate::weights::{self, Values};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where and how often progress is kept.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The file.
    pub path: PathBuf,
    /// Time between two writes.
    pub every: Duration,
    /// Whether to go on from the file if it is there.
    pub resume: bool,
    /// Tells trainings apart: settings, seed, data. A file of another one is refused.
    pub fingerprint: String,
}

/// A training under way.
pub(super) struct Progress<M> {
    pub(super) network: M,
    /// Of each turn, in their order.
    pub(super) turns: Vec<TurnProgress>,
    /// Steps done.
    pub(super) done: u64,
    /// The best weights so far, where a selection is made.
    pub(super) best: Option<Best<M>>,
}

/// What a turn remembers.
pub(super) struct TurnProgress {
    pub(super) memories: Vec<Memory>,
    /// Of what its rule remembers of each weight.
    pub(super) names: Vec<&'static str>,
    pub(super) curve: Curve,
}

/// Weights and what they cost.
pub(super) struct Best<M> {
    pub(super) cost: f64,
    pub(super) network: M,
}

const BEST: &str = "best.";
const NETWORK: &str = "network.";
const AVERAGE: &str = "average";

/// What the names of a turn's tensors and curve begin with: nothing where it is the only one.
fn prefix(number: usize, turns: usize) -> String {
    if turns == 1 { String::new() } else { format!("turn.{number}.") }
}

/// Bytes of the SHA-256 of all before it, which the file ends with.
const DIGEST: usize = 32;

/// Length and count of parts, then the bits of sum and losses: decimal numbers do not always come back to the last bit.
type CurveBits = (u64, u64, u64, Vec<u64>);

fn bits(Curve { part, losses, sum, count }: &Curve) -> CurveBits {
    (*part, *count, sum.to_bits(), losses.iter().map(|loss| loss.to_bits()).collect())
}

fn of_bits((part, count, sum, losses): CurveBits) -> Curve {
    Curve { part, losses: losses.into_iter().map(f64::from_bits).collect(), sum: f64::from_bits(sum), count }
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().try_into_vec::<f32>().unwrap_or_default()
}

/// Writes a checkpoint.
pub(super) fn write<M: Module>(checkpoints: &Checkpoints, progress: &Progress<M>) -> Result<(), TrainError> {
    let named = |network: &M, prefix: &'static str| {
        weights::collect(network).into_iter().map(move |(name, values)| (format!("{prefix}{name}"), values))
    };
    let mut tensors: BTreeMap<String, Values> = named(&progress.network, NETWORK).collect();
    tensors.extend(progress.best.iter().flat_map(|best| named(&best.network, BEST)));
    for (number, turn) in progress.turns.iter().enumerate() {
        let prefix = prefix(number, progress.turns.len());
        for (index, memory) in turn.memories.iter().enumerate() {
            let averages = memory.average.iter().map(|average| (&AVERAGE, average));
            for (kind, tensor) in turn.names.iter().zip(&memory.of_rule).chain(averages) {
                let values = values(tensor);
                tensors.insert(format!("{prefix}{kind}.{index}"), (vec![values.len()], values));
            }
        }
    }
    let views = tensors.iter().map(|(name, (shape, values))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        Ok((name.as_str(), view.map_err(|error| fail(&checkpoints.path, error))?))
    });
    let views = views.collect::<Result<Vec<_>, TrainError>>()?;
    let mut header = HashMap::from([
        ("fingerprint".to_owned(), checkpoints.fingerprint.clone()),
        ("done".to_owned(), progress.done.to_string()),
    ]);
    for (number, turn) in progress.turns.iter().enumerate() {
        let curve =
            serde_json::to_string(&bits(&turn.curve)).map_err(|error| fail(&checkpoints.path, error))?;
        header.insert(format!("{}curve", prefix(number, progress.turns.len())), curve);
    }
    header.extend(progress.best.iter().map(|best| ("best".to_owned(), best.cost.to_bits().to_string())));
    let mut bytes = serialize(views, Some(header)).map_err(|error| fail(&checkpoints.path, error))?;
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    blemish_data::files::write(&checkpoints.path, &bytes).map_err(|error| fail(&checkpoints.path, error))
}

/// Goes on from a checkpoint, if there is one and it is wanted.
pub(super) fn read<M: Module>(
    checkpoints: &Checkpoints,
    mut fresh: Progress<M>,
    device: &Device,
) -> Result<Progress<M>, TrainError> {
    let path = &checkpoints.path;
    if !checkpoints.resume || !path.exists() {
        return Ok(fresh);
    }
    let bytes = blemish_data::files::read(path, u64::MAX).map_err(|error| fail(path, error))?;
    let intact =
        bytes.split_last_chunk::<DIGEST>().filter(|(bytes, digest)| Sha256::digest(bytes)[..] == digest[..]);
    let Some((bytes, _)) = intact else {
        return Err(fail(path, "it is damaged or incomplete; delete it to start anew"));
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| fail(path, error))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| fail(path, error))?;
    let lookup = |key: &str| {
        let value = header.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
        value.ok_or_else(|| fail(path, format!("it does not say its {key}")))
    };
    if lookup("fingerprint")? != checkpoints.fingerprint {
        return Err(TrainError::OtherTraining { path: path.clone() });
    }
    fresh.done = lookup("done")?.parse().map_err(|error| fail(path, error))?;
    let take = |name: &str| {
        let view = file.tensor(name).map_err(|error| fail(path, error))?;
        if view.dtype() != Dtype::F32 {
            return Err(fail(path, format!("{name} is not in single precision")));
        }
        Ok((view.shape().to_vec(), bytemuck::pod_collect_to_vec::<u8, f32>(view.data())))
    };
    let load = |network: M, prefix: &str| {
        weights::load(network, |name: &str| take(&format!("{prefix}{name}"))).map_err(|error| match error {
            TrainError::Weight(error) => fail(path, error),
            other => other,
        })
    };
    if let Ok(cost) = lookup("best") {
        let cost = f64::from_bits(cost.parse().map_err(|error| fail(path, error))?);
        fresh.best = Some(Best { cost, network: load(fresh.network.clone(), BEST)? });
    }
    fresh.network = load(fresh.network, NETWORK)?;
    let count = fresh.turns.len();
    for (number, turn) in fresh.turns.iter_mut().enumerate() {
        let prefix = prefix(number, count);
        let curve = lookup(&format!("{prefix}curve"))?;
        turn.curve = of_bits(serde_json::from_str(&curve).map_err(|error| fail(path, error))?);
        for (index, memory) in turn.memories.iter_mut().enumerate() {
            let averages = memory.average.iter_mut().map(|average| (&AVERAGE, average));
            for (kind, tensor) in turn.names.iter().zip(&mut memory.of_rule).chain(averages) {
                let name = format!("{prefix}{kind}.{index}");
                let (shape, values) = take(&name)?;
                if shape != tensor.dims() {
                    return Err(fail(path, format!("{name} has shape {shape:?}")));
                }
                *tensor = Tensor::from_data(TensorData::new(values, [shape[0]]), device);
            }
        }
    }
    Ok(fresh)
}

fn fail(path: &Path, reason: impl ToString) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}

//! rten, the engine for users' ONNX files: pure Rust, any CPU, widest vectors chosen at run time.
//!
//! Images are run one at a time: a batch brings this engine nothing, and single images spread over threads without any dependence
//! between them. With fewer images than threads, each image's operators are spread instead.

use super::tensors::{Fed, FedTensor, GivenTensor, ModelSource};
use crate::FeatureError;
use crate::graph::{Executor, FeatureMap};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensorView, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The version that is compiled in.
pub(super) const VERSION: &str = "0.27";

/// A graph on rten.
pub(crate) struct RtenExecutor {
    model: Model,
    input: NodeId,
    outputs: Vec<NodeId>,
    /// One thread each, for a batch.
    single: Vec<Arc<ThreadPool>>,
    /// All threads, for a lone image.
    all: Arc<ThreadPool>,
}

impl RtenExecutor {
    /// Loads an ONNX graph and resolves input and outputs by name.
    pub(crate) fn new(
        bytes: Vec<u8>,
        input: &str,
        outputs: &[String],
        threads: usize,
    ) -> Result<Self, FeatureError> {
        let load = || ModelOptions::with_all_ops().prepack_weights(true).load(bytes);
        let model = guarded(load)?.map_err(|error| fail(&error))?;
        let find = |name: &str| model.node_id(name).map_err(|error| fail(&error));
        let (input, outputs) =
            (find(input)?, outputs.iter().map(|name| find(name)).collect::<Result<_, _>>()?);
        let single = (0..threads).map(|_| Arc::new(ThreadPool::with_num_threads(1))).collect();
        Ok(Self { model, input, outputs, single, all: Arc::new(ThreadPool::with_num_threads(threads)) })
    }

    /// The feature maps of one image.
    fn run_one(
        &self,
        image: &[f32],
        [height, width]: [usize; 2],
        pool: &Arc<ThreadPool>,
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        let view = NdTensorView::from_data([1, 3, height, width], image);
        let mut options = RunOptions::default();
        options.thread_pool = Some(pool.clone());
        let run = || self.model.run(vec![(self.input, view.into())], &self.outputs, Some(options));
        guarded(AssertUnwindSafe(run))?.map_err(|error| fail(&error))?.into_iter().map(feature_map).collect()
    }
}

fn feature_map(value: Value) -> Result<FeatureMap, FeatureError> {
    let Value::FloatTensor(tensor) = value else {
        return Err(fail(&"a feature map does not hold 32-bit floats"));
    };
    let shape = tensor.shape().to_vec();
    let [1, channels, height, width] = shape[..] else {
        return Err(fail(&format!("a feature map of one image has shape {shape:?}, not 1 x C x H x W")));
    };
    Ok(FeatureMap { channels, height, width, data: tensor.into_data() })
}

fn fail(reason: &dyn std::fmt::Display) -> FeatureError {
    FeatureError::Engine { engine: "rten", reason: reason.to_string() }
}

/// Turns a panic inside the engine (damaged foreign graphs can cause one) into an error.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, FeatureError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| fail(&"it gave up on this graph; the file may be damaged"))
}

/// A whole model on rten.
pub(super) struct RtenModel {
    model: Model,
    pool: Arc<ThreadPool>,
}

impl RtenModel {
    pub(super) fn new(source: ModelSource<'_>, threads: usize) -> Result<Self, FeatureError> {
        let load = || match source {
            ModelSource::Bytes(bytes) => ModelOptions::with_all_ops().load(bytes),
            ModelSource::File(path) => ModelOptions::with_all_ops().load_file(path),
        };
        let model = guarded(load)?.map_err(|error| fail(&error))?;
        Ok(Self { model, pool: Arc::new(ThreadPool::with_num_threads(threads)) })
    }

    pub(super) fn run(
        &self,
        inputs: &[FedTensor<'_>],
        outputs: &[&str],
    ) -> Result<Vec<GivenTensor>, FeatureError> {
        let find = |name: &str| self.model.node_id(name).map_err(|error| fail(&error));
        let feed = |input: &FedTensor<'_>| {
            let value = match input.values {
                Fed::F32(values) => Value::FloatTensor(Tensor::from_data(&input.shape, values.to_vec())),
                Fed::U8(values) => Value::UInt8Tensor(Tensor::from_data(&input.shape, values.to_vec())),
                Fed::U16(_) => return Err(fail(&"it takes no 16-bit images; use ONNX Runtime")),
            };
            Ok((find(input.name)?, value.into()))
        };
        let fed = inputs.iter().map(feed).collect::<Result<Vec<_>, _>>()?;
        let wanted = outputs.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
        let mut options = RunOptions::default();
        options.thread_pool = Some(self.pool.clone());
        let run = || self.model.run(fed, &wanted, Some(options));
        guarded(AssertUnwindSafe(run))?.map_err(|error| fail(&error))?.into_iter().map(given).collect()
    }
}

fn given(value: Value) -> Result<GivenTensor, FeatureError> {
    match value {
        Value::FloatTensor(tensor) => Ok(GivenTensor {
            shape: tensor.shape().to_vec(),
            values: tensor.into_data().into_iter().map(f64::from).collect(),
        }),
        Value::Int32Tensor(tensor) => Ok(GivenTensor {
            shape: tensor.shape().to_vec(),
            values: tensor.into_data().into_iter().map(f64::from).collect(),
        }),
        _ => Err(fail(&"an output holds neither floats nor truth values")),
    }
}

impl Executor for RtenExecutor {
    fn run(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        let size = [height, width];
        let image = |index: usize| &input[index * 3 * height * width..][..3 * height * width];
        let workers = self.single.len().min(count);
        if workers <= 1 {
            let each = (0..count).map(|index| self.run_one(image(index), size, &self.all));
            return Ok(FeatureMap::join(each.collect::<Result<_, _>>()?));
        }
        let done: Vec<OnceLock<Result<Vec<FeatureMap>, FeatureError>>> =
            (0..count).map(|_| OnceLock::new()).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for pool in &self.single[..workers] {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(slot) = done.get(index) else { break };
                        // No other worker has this index, so the slot is empty.
                        let _ = slot.set(self.run_one(image(index), size, pool));
                    }
                });
            }
        });
        let missing = || Err(fail(&"a worker ended early"));
        let each = done.into_iter().map(|slot| slot.into_inner().unwrap_or_else(missing));
        Ok(FeatureMap::join(each.collect::<Result<_, _>>()?))
    }
}

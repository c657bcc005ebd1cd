//! Engines of ONNX graphs for networks whose graph is made for one size of image: the graph and its engine are made anew when the size changes.

use crate::FeatureError;
use crate::graph::{Executor, FeatureMap, Graph, Weights};
use crate::onnx;
use std::sync::{Arc, Mutex, PoisonError};

/// Brings up an engine on the bytes of an ONNX file.
type Make = Box<dyn Fn(Vec<u8>) -> Result<Box<dyn Executor>, FeatureError> + Send + Sync>;

/// An engine and the size of image it is for.
type Made = ([usize; 2], Arc<dyn Executor>);

/// A transformer on an engine of ONNX graphs.
pub(crate) struct SizedExecutor {
    graph: Graph,
    weights: Weights,
    make: Make,
    /// For the size that came last.
    last: Mutex<Option<Made>>,
}

impl SizedExecutor {
    pub(crate) fn new(graph: &Graph, weights: &Weights, make: Make) -> Self {
        Self { graph: graph.clone(), weights: weights.clone(), make, last: Mutex::new(None) }
    }

    fn engine(&self, size: [usize; 2]) -> Result<Arc<dyn Executor>, FeatureError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = last.as_ref().filter(|(made, _)| *made == size) {
            return Ok(engine.clone());
        }
        // The old one's memory is free before the new one takes as much.
        *last = None;
        let bytes = onnx::emit_at(&self.graph, &self.weights, size)?;
        let engine: Arc<dyn Executor> = (self.make)(bytes)?.into();
        *last = Some((size, engine.clone()));
        Ok(engine)
    }
}

impl Executor for SizedExecutor {
    fn run(&self, input: &[f32], size: [usize; 3]) -> Result<Vec<FeatureMap>, FeatureError> {
        self.engine([size[1], size[2]])?.run(input, size)
    }
}

//! A user's graph on an engine that is only given sizes of images whose demands were found bearable.

use crate::FeatureError;
use crate::graph::{Executor, FeatureMap};
use crate::onnx::Demands;
use std::sync::{Mutex, PoisonError};

/// An engine behind the check of [`Demands`].
pub(super) struct CheckedExecutor {
    engine: Box<dyn Executor>,
    demands: Demands,
    /// Sizes (height, width) that were checked already.
    checked: Mutex<Vec<[usize; 2]>>,
}

impl CheckedExecutor {
    pub(super) fn new(engine: Box<dyn Executor>, demands: Demands) -> Self {
        Self { engine, demands, checked: Mutex::default() }
    }
}

impl Executor for CheckedExecutor {
    fn run(
        &self,
        input: &[f32],
        [count, height, width]: [usize; 3],
    ) -> Result<Vec<FeatureMap>, FeatureError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if !checked.contains(&[height, width]) {
            self.demands.check([height, width]).map_err(|reason| FeatureError::Onnx { reason })?;
            // Folders of images in thousands of sizes are checked again and again, which costs little.
            checked.truncate(63);
            checked.push([height, width]);
        }
        drop(checked);
        self.engine.run(input, [count, height, width])
    }
}

//! Whole models on an engine: any inputs and outputs, unlike an [`Executor`](crate::graph::Executor), which gives feature maps of images.

#[cfg(feature = "ort")]
use super::ort::OrtModel;
use super::rten::RtenModel;
use super::tensors::{FedTensor, GivenTensor, ModelSource};
use super::{Engine, EngineOptions};
use crate::FeatureError;

enum Loaded {
    #[cfg(feature = "ort")]
    Ort(OrtModel),
    Rten(Box<RtenModel>),
}

/// A model on an engine.
pub struct WholeModel {
    loaded: Loaded,
    engine: String,
}

impl WholeModel {
    /// Loads a model into ONNX Runtime or rten; [`Engine::Auto`] is ONNX Runtime where its library is found, else rten.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] if the engine cannot load it or is not part of this build.
    pub fn load(source: ModelSource<'_>, options: &EngineOptions) -> Result<Self, FeatureError> {
        let threads = options.thread_count();
        let engine = match options.engine {
            Engine::Auto if Self::has_ort() => Engine::Ort,
            Engine::Auto => Engine::Rten,
            engine => engine,
        };
        match engine {
            Engine::Rten => {
                let loaded = Loaded::Rten(Box::new(RtenModel::new(source, threads)?));
                Ok(Self { loaded, engine: format!("rten {}", super::rten::VERSION) })
            }
            #[cfg(feature = "ort")]
            Engine::Ort => {
                let loaded = Loaded::Ort(OrtModel::new(source, threads)?);
                Ok(Self { loaded, engine: format!("ONNX Runtime {}", super::ort::version()) })
            }
            #[cfg(not(feature = "ort"))]
            Engine::Ort => Err(super::not_built("ort", "ort")),
            _ => Err(super::built_in_only(if engine == Engine::Burn { "burn" } else { "native" })),
        }
    }

    /// Whether ONNX Runtime's library is found and can be loaded.
    pub fn has_ort() -> bool {
        #[cfg(feature = "ort")]
        return super::ort::is_there();
        #[cfg(not(feature = "ort"))]
        false
    }

    /// Name and version of the engine.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Whether it computes all element types as they are; rten makes double precision single and takes no 16-bit numbers.
    pub fn is_complete(&self) -> bool {
        !matches!(self.loaded, Loaded::Rten(_))
    }

    /// Runs the model.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] with the engine's words.
    pub fn run(&self, inputs: &[FedTensor<'_>], outputs: &[&str]) -> Result<Vec<GivenTensor>, FeatureError> {
        match &self.loaded {
            #[cfg(feature = "ort")]
            Loaded::Ort(model) => model.run(inputs, outputs),
            Loaded::Rten(model) => model.run(inputs, outputs),
        }
    }
}

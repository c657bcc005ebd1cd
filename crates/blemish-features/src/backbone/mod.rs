//! A frozen network ready to run: images in, feature maps out.
//!
//! [`Backbone::load`] puts the pieces together: the description is cut after the deepest layer, weights are found, assembled and
//! folded, and an engine is built. [`Backbone::state`] and [`Backbone::from_state`] let a model file carry it along, so that a
//! model scores the same wherever it goes.

mod embedded;
mod exported;
mod spec;
mod state;

#[cfg(test)]
mod tests;

pub use embedded::{EMBEDDED, embedded_digests, embedded_weights};
pub use exported::GraphMap;
pub use spec::{BackboneSource, BackboneSpec};
pub use state::BackboneState;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::assemble::{assemble, variant_for};
use crate::executors::int8::{self, QuantisedNetwork, Watched};
use crate::executors::{self, Device, EngineOptions};
use crate::graph::{Executor, FeatureMap, Graph, Normalization, Weights};
use crate::networks::{self, Architecture, TapInfo};
use crate::onnx::{self, FixedSize};
use crate::{FeatureError, weights};
use blemish_data::transform::PlanarImage;

/// A frozen network with its weights on an engine.
pub struct Backbone {
    name: String,
    taps: Vec<TapInfo>,
    normalization: Normalization,
    state: BackboneState,
    digest: String,
    /// The description, absent for a network that came as an ONNX file.
    graph: Option<Graph>,
    fixed_size: FixedSize,
    executor: Box<dyn Executor>,
    device: Device,
    /// The network once more on an engine with gradients, from the first time they are asked for.
    differentiable: OnceLock<Box<dyn Executor>>,
}

impl Backbone {
    /// Brings up the network that `spec` asks for.
    ///
    /// Without layers in the spec, the last feature map of each of `strides` is taken. Without a weight file, the embedded
    /// weights are used where they suffice, else what the weight store has for the network.
    ///
    /// # Errors
    /// Unknown layers, weights that are absent or do not fit, an ONNX file without layers, or an engine that fails.
    pub fn load(
        spec: &BackboneSpec,
        strides: &[usize],
        options: &EngineOptions,
    ) -> Result<Self, FeatureError> {
        let state = match &spec.source {
            BackboneSource::Network(architecture) => load_network(*architecture, spec, strides)?,
            BackboneSource::ImageText(network) => {
                return Err(FeatureError::NoMaps { network: network.name() });
            }
            BackboneSource::Onnx(path) => load_onnx(path, spec)?,
        };
        Self::from_state(state, options)
    }

    /// Brings up a network from what [`Self::state`] gave.
    ///
    /// # Errors
    /// [`FeatureError`] if the state is inconsistent or the engine fails.
    pub fn from_state(state: BackboneState, options: &EngineOptions) -> Result<Self, FeatureError> {
        let digest = state.digest();
        let (graph, executor) = match &state {
            BackboneState::Network { architecture, layers, weights } => {
                let graph = networks::build(*architecture).cut(layers)?;
                state::check_weights(&graph, weights)?;
                let executor = executors::build(&graph, weights, options)?;
                (graph, executor)
            }
            BackboneState::Quantised { architecture, layers, network } => {
                let graph = networks::build(*architecture).cut(layers)?;
                let executor = executors::build_quantised(&graph, network, options)?;
                (graph, executor)
            }
            BackboneState::Onnx { bytes, layers, normalization } => {
                let (executor, fixed_size) = executors::build_onnx(bytes, layers, options)?;
                return Ok(Self {
                    name: "onnx".to_owned(),
                    taps: probe(&*executor, layers, fixed_size.probe())?,
                    normalization: *normalization,
                    graph: None,
                    fixed_size,
                    state,
                    digest,
                    executor,
                    device: options.device,
                    differentiable: OnceLock::new(),
                });
            }
        };
        Ok(Self {
            name: graph.name.clone(),
            taps: graph.tap_info(),
            normalization: graph.normalization,
            graph: Some(graph),
            fixed_size: FixedSize::default(),
            state,
            digest,
            executor,
            device: options.device,
            differentiable: OnceLock::new(),
        })
    }

    /// Whether [`Self::quantised`] can do it, before any image is read.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] for a network of which nothing is done in bytes, or an engine that was asked for by name and cannot.
    pub fn check_quantisable(&self, options: &EngineOptions) -> Result<(), FeatureError> {
        executors::check_quantised(options)?;
        match (&self.graph, &self.state) {
            (Some(graph), BackboneState::Network { .. }) => int8::extent(graph).map(drop),
            _ => Err(self.not_a_network()),
        }
    }

    /// The same network in bytes, with the ranges that good images have in it; their `pixels` are what [`Self::extract`] takes.
    ///
    /// It runs on the CPU, whatever the device, and gives the same bits on all of them.
    ///
    /// # Errors
    /// As [`Self::check_quantisable`]; [`FeatureError::InputTooSmall`].
    pub fn quantised(&self, images: &[PlanarImage], options: &EngineOptions) -> Result<Self, FeatureError> {
        let (Some(graph), BackboneState::Network { architecture, layers, weights }) =
            (&self.graph, &self.state)
        else {
            return Err(self.not_a_network());
        };
        let watched: Vec<Watched> = images
            .iter()
            .map(|image| {
                let size = [image.height, image.width];
                Watched { values: self.normalized(&image.pixels, size[0] * size[1]), size }
            })
            .collect();
        let seen = int8::calibrate(graph, weights, &watched, options.thread_count())?;
        let network = QuantisedNetwork::new(graph, weights, &seen)?;
        let (architecture, layers) = (*architecture, layers.clone());
        Self::from_state(BackboneState::Quantised { architecture, layers, network }, options)
    }

    /// Whether it runs in bytes.
    pub fn is_quantised(&self) -> bool {
        matches!(self.state, BackboneState::Quantised { .. })
    }

    /// Name of the architecture, or `onnx` for a user's own graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size of image it takes, where it takes only one: a user's graph may be made for one.
    pub fn fixed_size(&self) -> FixedSize {
        self.fixed_size
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The feature maps that [`Self::extract`] gives, in its order: shallow to deep.
    pub fn taps(&self) -> &[TapInfo] {
        &self.taps
    }

    /// What images are normalised with on their way in.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// SHA-256 of network, layers, normalisation and weights, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Everything needed to bring the backbone up again without any other file.
    pub fn state(&self) -> &BackboneState {
        &self.state
    }

    /// The description and weights of a built-in network, cut after the deepest tap, for those who train it further.
    ///
    /// # Errors
    /// [`FeatureError::Engine`] for a user's own ONNX graph, and for a network in bytes.
    pub fn network(&self) -> Result<(&Graph, &Weights), FeatureError> {
        match (&self.graph, &self.state) {
            (Some(graph), BackboneState::Network { weights, .. }) => Ok((graph, weights)),
            _ => Err(self.not_a_network()),
        }
    }

    fn not_a_network(&self) -> FeatureError {
        let (engine, reason) = match self.is_quantised() {
            true => (
                "int8",
                "a network in bytes cannot be trained, give gradients or be exported; use single precision",
            ),
            false => ("onnx", "it cannot be trained or give gradients; use one of the built-in networks"),
        };
        FeatureError::Engine { engine, reason: reason.into() }
    }

    /// The feature maps of N images, one a tap.
    ///
    /// `rgb` is N x 3 x H x W in [0, 1], red first, for `size = [N, H, W]`; normalisation happens here.
    ///
    /// # Errors
    /// [`FeatureError::BadInput`] if the number of values is another, [`FeatureError::InputTooSmall`], [`FeatureError::FixedSize`],
    /// [`FeatureError::Onnx`] if a user's graph would take too much at this size, or the engine fails.
    pub fn extract(&self, rgb: &[f32], size: [usize; 3]) -> Result<Vec<FeatureMap>, FeatureError> {
        self.check_input(rgb, size)?;
        self.executor.run(&self.normalized(rgb, size[1] * size[2]), size)
    }

    /// Whether [`Self::input_gradient`] can be had: of the built-in networks, in a build with Burn.
    pub fn has_gradients(&self) -> bool {
        cfg!(feature = "burn") && self.network().is_ok()
    }

    /// Gradient with respect to the normalised input, N x 3 x H x W, of something whose gradient with respect to the maps of
    /// [`Self::extract`] is given, in their order and sizes. With respect to `rgb` it is this over the standard deviations.
    ///
    /// # Errors
    /// As [`Self::extract`]; [`FeatureError::Engine`] without [`Self::has_gradients`].
    pub fn input_gradient(
        &self,
        rgb: &[f32],
        size: [usize; 3],
        gradients: &[FeatureMap],
    ) -> Result<Vec<f32>, FeatureError> {
        self.check_input(rgb, size)?;
        self.differentiable()?.input_gradient(&self.normalized(rgb, size[1] * size[2]), size, gradients)
    }

    fn differentiable(&self) -> Result<&dyn Executor, FeatureError> {
        if let Some(executor) = self.differentiable.get() {
            return Ok(&**executor);
        }
        let (graph, weights) = self.network()?;
        let executor = executors::build_differentiable(graph, weights, self.device)?;
        Ok(&**self.differentiable.get_or_init(|| executor))
    }

    fn check_input(&self, rgb: &[f32], size: [usize; 3]) -> Result<(), FeatureError> {
        let [count, height, width] = size;
        let values = count * 3 * height * width;
        if rgb.len() != values || values == 0 {
            return Err(FeatureError::BadInput { found: rgb.len(), size });
        }
        let [wanted_height, wanted_width] = self.fixed_size.nearest([height, width]);
        if [wanted_height, wanted_width] != [height, width] {
            return Err(FeatureError::FixedSize {
                network: self.name.clone(),
                wanted: format!("{wanted_width}x{wanted_height}"),
                found: format!("{width}x{height}"),
            });
        }
        if let Some(graph) = &self.graph {
            graph.output_sizes(height, width)?;
        }
        Ok(())
    }

    /// (x - mean) / std, channel by channel, of images N x 3 x H x W; `plane` is H x W.
    pub fn normalized(&self, rgb: &[f32], plane: usize) -> Vec<f32> {
        let Normalization { mean, std } = self.normalization;
        let mut input = Vec::with_capacity(rgb.len());
        for (index, plane) in rgb.chunks_exact(plane).enumerate() {
            let (mean, std) = (mean[index % 3], std[index % 3]);
            input.extend(plane.iter().map(|x| (x - mean) / std));
        }
        input
    }
}

/// A known network with weights from the file asked for, the embedded ones, or the store.
fn load_network(
    architecture: Architecture,
    spec: &BackboneSpec,
    strides: &[usize],
) -> Result<BackboneState, FeatureError> {
    let layers = match spec.layers.as_slice() {
        [] => architecture.layers_at(strides),
        layers => layers.to_vec(),
    };
    // Asking first for what the network has keeps a misspelt layer from being reported as absent weights.
    let graph = networks::build(architecture).cut(&layers)?;
    if spec.weights.is_none()
        && let Some(weights) = embedded_weights(&graph)?
    {
        return Ok(BackboneState::Network { architecture, layers: tap_names(&graph), weights });
    }
    let path = weight_file(architecture, spec.weights.as_deref())?;
    let state = weights::read_state_dict(&path)?;
    let architecture = variant_for(architecture, &state);
    let graph = networks::build(architecture).cut(&layers)?;
    let weights = assemble(&graph, state).map_err(|error| error.in_file(&path))?;
    Ok(BackboneState::Network { architecture, layers: tap_names(&graph), weights })
}

/// The file asked for, or the network's file in the weight store.
fn weight_file(architecture: Architecture, path: Option<&Path>) -> Result<PathBuf, FeatureError> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => weights::WeightStore::open()?
            .find(architecture.name())?
            .ok_or(FeatureError::NoWeights { network: architecture.name() }),
    }
}

fn load_onnx(path: &Path, spec: &BackboneSpec) -> Result<BackboneState, FeatureError> {
    if spec.layers.is_empty() {
        return Err(FeatureError::NoOnnxLayers { path: path.to_owned() });
    }
    let bytes = onnx::read(path)?;
    let normalization = spec.normalization.unwrap_or(Normalization::IMAGENET);
    Ok(BackboneState::Onnx { bytes, layers: spec.layers.clone(), normalization })
}

/// Channels and strides of a foreign network, found by running it once on a black image of this height and width.
fn probe(
    executor: &dyn Executor,
    layers: &[String],
    [height, width]: [usize; 2],
) -> Result<Vec<TapInfo>, FeatureError> {
    let maps = executor.run(&vec![0.0; 3 * height * width], [1, height, width])?;
    // Rounded, because a network may lose a row at its borders.
    let stride = |side: usize, map: usize| if map > 1 { (side + map / 2) / map } else { 0 };
    let info = |(name, map): (&String, FeatureMap)| TapInfo {
        name: name.clone(),
        channels: map.channels,
        stride: stride(height, map.height).max(stride(width, map.width)),
    };
    Ok(layers.iter().zip(maps).map(info).collect())
}

fn tap_names(graph: &Graph) -> Vec<String> {
    graph.taps.iter().map(|tap| tap.name.clone()).collect()
}

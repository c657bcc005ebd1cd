//! The contract of anomaly detection methods: what they are given, what they return, what a model file keeps of them.
//!
//! | module | holds |
//! |---|---|
//! | [`method`] | [`Method`], the one interface; [`method::TrainingSet`], the good images |
//! | [`entry`] | the same with types erased, for lists and detectors |
//! | [`needs`] | what a method needs, given its settings |
//! | [`input`], [`feature_batch`] | what it reads: pixels, feature maps, facts |
//! | [`map`] | patch scores, and the one way to an anomaly map |
//! | [`export`] | a fitted method and the map stage as parts of an ONNX graph |
//! | [`state`] | named tensors of a fitted method |
//! | [`settings`], [`preset`] | settings listed, parsed and checked from their type; values for a CPU and as published |
//! | [`training`], [`limits`], [`rows`], [`memory`] | how long work runs and what it may take |
//! | [`observer`] | progress, warnings, cancellation |
//! | [`error`], [`code`] | what can go wrong, and how programs recognise it |
//! | [`check`] | the contract suite: what every method promises, tried |
//!
//! Methods (`blemish-methods`) implement it, the detector (`blemish`) runs it; neither is known here.

pub mod check;
pub mod code;
pub mod entry;
pub mod error;
pub mod export;
pub mod feature_batch;
pub mod input;
pub mod limits;
pub mod map;
pub mod memory;
pub mod method;
pub mod needs;
pub mod observer;
pub mod preset;
pub mod region;
pub mod rows;
pub mod settings;
pub mod state;
pub mod training;

pub use error::Error;
pub use feature_batch::FeatureBatch;
pub use input::Input;
pub use map::{AnomalyMap, MapStage, PatchScores, Scored};
pub use method::{FitContext, Method, MethodInfo, TrainingSet};
pub use needs::{Backing, Needs, Reads, Training};
pub use observer::{Observer, Silent};
pub use preset::Preset;
pub use training::{Precision, TrainingOptions};

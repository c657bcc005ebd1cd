//! The one interface that all methods implement.
//!
//! # Why it looks like this
//! - **Typed inside, erased outside.** A method is a type with a typed configuration ([`Method`]). Everything above it (detector, command
//!   line, docs, tests) sees a [`Fitted`](crate::entry::Fitted) and a [`MethodEntry`](crate::entry::MethodEntry): one dynamic dispatch, at the
//!   method boundary.
//! - **A method sees images, never files.** Good images come as a [`TrainingSet`] that can be passed over as often as wanted (one pass for
//!   Gaussians, hundreds of epochs for networks) and is never in memory as a whole. Each batch brings the facts of its images: their
//!   category for methods that learn several at once, their moment for methods that look at videos.
//! - **What it reads is said once**, by [`Method::needs`] of its settings: pixels, feature maps or both, a backbone or none, frames of a
//!   clip, a long training or a short one. Fit and scoring give it exactly that, in an [`Input`].
//! - **What only some methods can do is a constant or an option**: [`Method::UPDATES`], [`Method::leave_one_out`], [`Method::session`].
//! - **Patch scores, not pictures.** A method returns scores on its own grid; resizing and blurring exist once, in [`MapStage`].
//! - **State is named tensors** plus the configuration, nothing else, so one file format serves all.

use crate::error::Error;
use crate::export::Export;
use crate::input::Input;
use crate::map::{MapStage, PatchScores};
use crate::needs::{Needs, Reads};
use crate::observer::{Observer, Silent};
use crate::preset::Preset;
use crate::state::State;
use crate::training::TrainingOptions;
use blemish_data::Transform;
use blemish_features::{Backbone, Device};
use blemish_foundation::clip::Clip;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a method is, for lists and documentation.
#[derive(Clone, Copy, Debug)]
pub struct MethodInfo {
    /// Name on the command line and in model files.
    pub name: &'static str,
    /// One line: the idea.
    pub summary: &'static str,
    /// When to pick it and when not, one or two sentences.
    pub advice: &'static str,
    /// The paper.
    pub citation: &'static str,
    /// What it rests on.
    pub family: Family,
}

/// What a method rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Distances to what good features were like.
    Distance,
    /// Exact likelihood by normalizing flows.
    Flow,
    /// Textbook image processing.
    Classical,
    /// Reconstruction of what is good.
    Reconstruction,
    /// Defects made up from good images.
    Synthetic,
    /// Several products in one model.
    Multiclass,
    /// Large networks trained on images and texts.
    Foundation,
    /// Frames of videos.
    Video,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Distance => "distance",
            Self::Flow => "flow",
            Self::Classical => "classical",
            Self::Reconstruction => "reconstruction",
            Self::Synthetic => "synthetic defects",
            Self::Multiclass => "multi-class",
            Self::Foundation => "foundation models",
            Self::Video => "video",
        })
    }
}

/// A pass over training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What is read of the images.
    pub reads: Reads,
    /// Shuffles the images by this seed; `None` keeps their order.
    pub shuffle: Option<u64>,
}

impl Pass {
    /// Pixels, in order.
    pub const IMAGES: Self = Self { reads: Reads::Images, shuffle: None };
    /// Feature maps, in order.
    pub const MAPS: Self = Self { reads: Reads::Maps, shuffle: None };

    /// The same, shuffled by a seed.
    pub const fn shuffled(self, seed: u64) -> Self {
        Self { shuffle: Some(seed), ..self }
    }
}

/// What a pass calls with every batch.
pub type EachInput<'a> = dyn FnMut(&Input<'_>) -> Result<(), Error> + 'a;

/// The good images, passed over as often as a method likes.
pub trait TrainingSet: Sync {
    /// Number of images.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Names of the categories that the facts of images count in, at least one.
    fn categories(&self) -> &[String];
    /// Calls `each` with every batch once. Feature maps may be kept from an earlier pass, so that epochs and the fits of a calibration do
    /// not run the backbone again.
    ///
    /// # Errors
    /// What a reader or `each` returns; [`Error::Features`]; [`Error::Interrupted`] when the observer has cancelled.
    fn for_each(&self, pass: Pass, each: &mut EachInput<'_>) -> Result<(), Error>;
}

/// What surrounds a fit.
#[derive(Clone)]
pub struct FitContext<'a> {
    /// Fixes every random choice.
    pub seed: u64,
    /// Where networks are trained and banks are searched.
    pub device: Device,
    /// The frozen backbone, for methods that need one.
    pub backbone: Option<Arc<Backbone>>,
    /// The frozen network of images and texts, for methods that need one ([`Backing::ImageText`](crate::needs::Backing::ImageText)). It is
    /// there for the fit; what scoring needs of it belongs into the method's state.
    pub image_text: Option<Arc<Clip>>,
    /// Bytes of memory the fit may use beyond the backbone; `None` is no limit.
    pub memory_limit: Option<u64>,
    /// Folder for large temporary files; `None` is the system's.
    pub scratch: Option<PathBuf>,
    /// How methods that train for long are run.
    pub training: TrainingOptions,
    /// Progress, warnings, cancellation.
    pub observer: &'a dyn Observer,
}

impl FitContext<'_> {
    /// On the backbone's device, else the CPU, with neither limits nor an observer.
    pub fn new(seed: u64, backbone: Option<Arc<Backbone>>) -> Self {
        Self {
            seed,
            device: backbone.as_ref().map_or_else(Device::default, |backbone| backbone.device()),
            backbone,
            image_text: None,
            memory_limit: None,
            scratch: None,
            training: TrainingOptions::default(),
            observer: &Silent,
        }
    }

    /// The backbone, for a method that has declared that it needs one.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is none.
    pub fn require_backbone(&self, method: &'static str) -> Result<Arc<Backbone>, Error> {
        self.backbone
            .clone()
            .ok_or_else(|| Error::Fit { method, reason: "it needs a backbone, and none was given".into() })
    }

    /// The network of images and texts, for a method that has declared that it needs one.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is none.
    pub fn require_image_text(&self, method: &'static str) -> Result<Arc<Clip>, Error> {
        self.image_text.clone().ok_or_else(|| Error::Fit {
            method,
            reason: "it needs a network of images and texts, and none was given".into(),
        })
    }

    /// Stops with an error if cancellation was asked for.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), Error> {
        self.observer.check_cancelled()
    }
}

/// What a model file holds of a fitted method, and where it is to run.
pub struct Stored<C> {
    /// The settings it was fitted with.
    pub config: C,
    /// Its tensors.
    pub state: State,
    /// The backbone it looks through.
    pub backbone: Option<Arc<Backbone>>,
    /// Where its networks score and its banks are searched.
    pub device: Device,
}

impl<C> Stored<C> {
    /// The backbone, for a method that has declared that it needs one.
    ///
    /// # Errors
    /// [`Error::Fit`] if the file has none.
    pub fn require_backbone(&self, method: &'static str) -> Result<Arc<Backbone>, Error> {
        self.backbone
            .clone()
            .ok_or_else(|| Error::Fit { method, reason: "the model file has no backbone".into() })
    }
}

/// What a method can do that knows, without another fit, how it would score its own training images had it not seen them.
pub trait LeaveOneOut {
    /// Patch scores of images that the method was fitted on, each as if fitted on all the others.
    ///
    /// # Errors
    /// As [`Method::score`].
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error>;

    /// How many images [`Self::score_left_out_together`] takes.
    fn most_together(&self) -> usize {
        1
    }

    /// Patch scores of the images of one batch, each as if fitted on all the others but those of the batch.
    ///
    /// # Errors
    /// As [`Method::score`].
    fn score_left_out_together(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.score_left_out(input)
    }
}

/// Scores frames of one sequence in their order, for methods whose scores depend on the frames before.
pub trait Session: Send {
    /// Patch scores of the next frames of the sequence.
    ///
    /// # Errors
    /// As [`Method::score`].
    fn score(&mut self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error>;

    /// Scores of all frames so far, in their order, by a rule that looks at the whole sequence and so cannot be had while it runs: what some
    /// published metrics are of. A frame that the rule leaves out has none; `None` for methods without such a rule.
    fn of_whole(&self) -> Option<Vec<Option<f32>>> {
        None
    }
}

/// How the models of a method learn on and are joined.
pub struct Updates<M> {
    /// The model that a fit on the old and the new images would have given, as nearly as the method promises; the context's seed is that
    /// of the old fit. Fails with [`Error::Living`] if the model was not made for it.
    pub update: fn(&M, &dyn TrainingSet, &FitContext<'_>) -> Result<M, Error>,
    /// Joins models of equal settings, backbone and transform, in the order given; there is at least one.
    pub merge: fn(&[&M], &FitContext<'_>) -> Result<M, Error>,
    /// What the model stands for and how well, in a few words.
    pub coverage: fn(&M) -> String,
}

/// A method, fitted: what an implementor writes.
pub trait Method: Send + Sync + Sized + 'static {
    /// Typed settings with defaults, ranges and meanings.
    type Config: Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync;

    /// Name, citation, advice.
    const INFO: MethodInfo;

    /// How its models learn on and are joined, if they can.
    const UPDATES: Option<Updates<Self>> = None;

    /// How its models are written as a graph, or why they cannot be.
    const EXPORT: Export<Self> = Export::Missing("what it computes is not written as a graph");

    /// All settings of a preset; `None` for a method that has none. Settings with presets have a field `preset`, and their default is
    /// [`Preset::Cpu`].
    fn preset(preset: Preset) -> Option<Self::Config> {
        let _ = preset;
        None
    }

    /// What it needs with these settings.
    fn needs(config: &Self::Config) -> Needs;

    /// The image transform its paper or variant prescribes, for when the user says nothing.
    fn default_transform(config: &Self::Config) -> Transform {
        let _ = config;
        Transform::resize_to(256, 256)
    }

    /// Learns normality from good images. Reports progress, honours cancellation, resumes from its checkpoint where it trains.
    ///
    /// # Errors
    /// [`Error`], saying what to change.
    fn fit(config: &Self::Config, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error>;

    /// Patch scores of every image of a batch, unbounded, higher is worse; independent of what else is in the batch.
    ///
    /// # Errors
    /// [`Error::Score`] if the batch does not fit the model, [`Error::Features`] if the backbone fails.
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error>;

    /// The capability of scoring training images as if unseen, right after a fit; `None` for methods that need fits of their own for it.
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        None
    }

    /// Begins a sequence of frames, for methods whose scores depend on the frames before; `None` for all others.
    fn session(&self) -> Option<Box<dyn Session + '_>> {
        None
    }

    /// How its patch scores become a map.
    fn map_stage(&self) -> MapStage;

    /// The tensors that a model file must hold.
    fn state(&self) -> State;

    /// The settings it was fitted with, every choice filled in.
    fn config(&self) -> &Self::Config;

    /// Puts a fitted method together again.
    ///
    /// # Errors
    /// [`Error`] naming the tensor that is missing or misshapen.
    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error>;
}

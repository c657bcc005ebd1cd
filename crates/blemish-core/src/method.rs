//! The one interface that all methods implement.
//!
//! # Why it looks like this
//! - **Typed inside, erased outside.** A method is a type with a typed configuration ([`Method`]). Everything above it (detector, command
//!   line, docs, tests) sees a
//!   [`Fitted`](crate::entry::Fitted) and a [`MethodEntry`](crate::entry::MethodEntry) of the registry: one dynamic dispatch, at the method boundary.
//! - **A method sees images, never files.** Training images come as a [`TrainingSet`] that can be passed over as often as wanted (one
//!   pass for Gaussians, hundreds of epochs for networks) and is never in memory as a whole. Each sample carries its category, so a
//!   method for several classes at once reads it from there; a video method sees samples in the order of their paths.
//! - **What only some methods need is optional in [`FitContext`]**: a backbone (declared by [`Needs`]), a checkpoint folder for those
//!   that train for hours and resume, prompts for those driven by text.
//! - **What only some methods can do after their fit is a trait of its own** ([`crate::update::Living`]: update, merge); the registry knows which have
//!   it, so a command can say so at once.
//! - **Patch scores, not pictures.** A method returns scores on its own grid; resizing and blurring exist once, in [`MapStage`].
//! - **State is named tensors** plus the configuration, nothing else, so one file format serves all.

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::map::{MapStage, PatchScores};
use crate::observer::{Observer, Silent};
use crate::state::State;
use crate::training::TrainingOptions;
use blemish_data::{ImageBatch, Transform};
use blemish_features::Backbone;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
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
    /// Family: distance, flow, reconstruction, synthetic defects, foundation models, classical.
    pub family: &'static str,
    /// What it needs beside images.
    pub needs: Needs,
}

/// What a method needs beside good images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Strides of the backbone's feature maps it uses by default, shallow to deep; empty for a method without a backbone.
    pub strides: &'static [usize],
    /// Whether it trains a network for a long time and can resume from a checkpoint.
    pub long_training: bool,
    /// Whether it is steered by text prompts.
    pub prompts: bool,
}

/// What a pass over the training images calls with the indices of a batch's images and the batch.
pub type EachBatch<'a> = dyn FnMut(&[usize], &ImageBatch) -> Result<(), Error> + 'a;

/// What a pass over the features of the training images calls with the indices of a batch's images and their feature maps.
pub type EachFeatures<'a> = dyn FnMut(&[usize], &FeatureBatch) -> Result<(), Error> + 'a;

/// The good images, passed over as often as a method likes.
pub trait TrainingSet: Sync {
    /// Number of images.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Category of image `index`, for methods that learn several at once.
    fn category(&self, index: usize) -> &str;
    /// Calls `each` with every batch once and the indices of its images; in the order of the paths, or shuffled by `shuffle_seed`.
    ///
    /// # Errors
    /// What a reader or `each` returns; [`Error::Interrupted`] when the observer has cancelled.
    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error>;

    /// The same with the feature maps of a frozen backbone. What a method asks for here may be kept from an earlier pass, so that
    /// epochs and the fits of a calibration do not run the backbone again.
    ///
    /// # Errors
    /// As [`Self::for_each_batch`], and [`Error::Features`].
    fn for_each_features(
        &self,
        backbone: &Backbone,
        shuffle_seed: Option<u64>,
        each: &mut EachFeatures<'_>,
    ) -> Result<(), Error> {
        self.for_each_batch(shuffle_seed, &mut |indices, batch| {
            each(indices, &FeatureBatch::extract(backbone, batch)?)
        })
    }
}

/// What surrounds a fit.
pub struct FitContext<'a> {
    /// Fixes every random choice.
    pub seed: u64,
    /// The frozen backbone, for methods that need one.
    pub backbone: Option<Arc<Backbone>>,
    /// Bytes of memory the fit may use beyond the backbone; `None` is no limit.
    pub memory_limit: Option<u64>,
    /// Folder for checkpoints and large temporary files.
    pub scratch: Option<PathBuf>,
    /// Text prompts, for methods steered by them.
    pub prompts: Vec<String>,
    /// How methods that train for long are run.
    pub training: TrainingOptions,
    /// Progress, warnings, cancellation.
    pub observer: &'a dyn Observer,
}

impl FitContext<'_> {
    /// With neither limits nor an observer.
    pub fn new(seed: u64, backbone: Option<Arc<Backbone>>) -> Self {
        Self {
            seed,
            backbone,
            memory_limit: None,
            scratch: None,
            prompts: Vec::new(),
            training: TrainingOptions::default(),
            observer: &Silent,
        }
    }

    /// The backbone, for a method that has declared that it needs one.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is none.
    pub fn require_backbone(&self, method: &'static str) -> Result<Arc<Backbone>, Error> {
        self.backbone.clone().ok_or_else(|| Error::Fit {
            method,
            reason: "it needs a backbone; pass one with --backbone".into(),
        })
    }

    /// Stops with an error if cancellation was asked for.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), Error> {
        if self.observer.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// The backbone of a stored model, for a method that needs one.
///
/// # Errors
/// [`Error::Fit`] if the file has none.
pub fn stored_backbone(
    method: &'static str,
    backbone: Option<Arc<Backbone>>,
) -> Result<Arc<Backbone>, Error> {
    backbone.ok_or(Error::Fit { method, reason: "the model file has no backbone".into() })
}

/// What a method can do that knows, without another fit, how it would score its own training images had it not seen them.
pub trait LeaveOneOut {
    /// Patch scores of images that the method was fitted on, each as if fitted on all the others.
    ///
    /// # Errors
    /// As [`Method::score`].
    fn score_left_out(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error>;
}

/// A method, fitted: what an implementor writes.
pub trait Method: Send + Sync + Sized + 'static {
    /// Typed settings with defaults, ranges and meanings.
    type Config: Serialize + DeserializeOwned + JsonSchema + Default + Clone + Send + Sync;

    /// Name, citation, needs.
    const INFO: MethodInfo;

    /// The image transform its paper or variant prescribes, for when the user says nothing.
    fn default_transform(config: &Self::Config) -> Transform {
        let _ = config;
        Transform::resize_to(256, 256)
    }

    /// Learns normality from good images. Reports progress, honours cancellation, resumes from `context.scratch` where it trains.
    ///
    /// # Errors
    /// [`Error`], saying what to change.
    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error>;

    /// Patch scores of every image of a batch, unbounded, higher is worse; independent of what else is in the batch.
    ///
    /// # Errors
    /// [`Error::Score`] if the batch does not fit the model, [`Error::Features`] if the backbone fails.
    fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error>;

    /// The same from feature maps of its backbone; `None` for a method that needs the images themselves.
    ///
    /// # Errors
    /// As [`Self::score`].
    fn score_features(&self, features: &FeatureBatch) -> Result<Option<Vec<PatchScores>>, Error> {
        let _ = features;
        Ok(None)
    }

    /// The capability of scoring training images as if unseen, right after a fit; `None` for methods that need fits of their own for it.
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
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
    fn restore(config: Self::Config, state: State, backbone: Option<Arc<Backbone>>) -> Result<Self, Error>;
}

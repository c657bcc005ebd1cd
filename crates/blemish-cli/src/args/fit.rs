//! Commands that make models.

use super::shared::{
    BackboneArgs, EngineArgs, LayoutArgs, LimitArgs, MachineArgs, ResourceArgs, TransformArgs, ViewArgs,
};
use super::values::{amount, duration, key_value, rate, share, trim};
use blemish::Trim;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// What a fit learns from and with what.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// Good images: a folder, an MVTec AD or VisA tree, a CSV or JSON list. Methods that go by words (winclip) can do without any.
    pub data: Option<PathBuf>,
    /// Method; `blemish methods` lists them.
    #[arg(long, default_value = "patchcore")]
    pub method: String,
    /// Setting of the method, repeatable; `blemish methods NAME` lists them.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub settings: Vec<(String, String)>,
    /// Fixes every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub backbone: BackboneArgs,
    #[command(flatten)]
    pub transform: TransformArgs,
    #[command(flatten)]
    pub views: ViewArgs,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
    /// Folds the good images are dealt into; each is scored by a model fitted on the others. 0 for no calibration.
    #[arg(long, default_value_t = 5, value_name = "K", help_heading = "Decisions")]
    pub folds: usize,
    /// Which good images belong together (exposures, frames of one part) and count as one: auto finds them, none takes each for itself, or a
    /// column of a list, or a pattern over paths that captures the group: {}_*.png, part(\d+).
    #[arg(long, default_value = "auto", value_name = "none|auto|COLUMN|PATTERN", help_heading = "Decisions")]
    pub groups: String,
}

#[derive(Debug, Args)]
pub struct FitArgs {
    #[command(flatten)]
    pub learn: LearnArgs,
    /// Model file to write; named after data and method by default.
    #[arg(short, long, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// Keep what `update` and `merge` need (PaDiM: a file five times as large). Short for --set updatable=true.
    #[arg(long)]
    pub updatable: bool,
    /// Share of good images that may be flagged as anomalous: the thresholds follow from it, or from the lowest share that the images can
    /// promise.
    #[arg(long, default_value_t = 0.01, value_name = "RATE", value_parser = rate, help_heading = "Decisions")]
    pub false_alarm: f64,
    /// Leave out the N most suspicious training images, or P% of them; they are listed.
    #[arg(long, value_name = "N|P%", value_parser = trim, help_heading = "Decisions")]
    pub trim: Option<Trim>,
    /// End a training after this time, such as 90s, 20m or 2h, with a usable model.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Training")]
    pub time_limit: Option<Duration>,
    /// Go on from the checkpoint of an interrupted training of the same model.
    #[arg(long, help_heading = "Training")]
    pub resume: bool,
    /// What numbers are computed in.
    #[arg(long, value_enum, default_value_t = Bits::Single, help_heading = "Engine")]
    pub precision: Bits,
    /// Folder of pictures of anything at all, for methods that lay textures over good images to make defects; without it they make
    /// textures up.
    #[arg(long, value_name = "DIR", help_heading = "Training")]
    pub textures: Option<PathBuf>,
    /// Folder for pictures of what a training rests on, where the method draws such (MemSeg: where it sees the product, and defects that
    /// it makes up).
    #[arg(long, value_name = "DIR", help_heading = "Training")]
    pub pictures: Option<PathBuf>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bits {
    /// All in single precision.
    Single,
    /// Layers of a training on a GPU in bfloat16, all else in single precision.
    Mixed,
    /// The frozen backbone in bytes, faster on a CPU; of transformers the linear maps. The model keeps it.
    Int8,
    /// As int8 where good images and made-up defects show that it costs little, else single precision.
    Auto,
}

#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Model file.
    pub model: PathBuf,
    /// New good images: what `fit` takes, or several files, folders and globs.
    #[arg(required = true)]
    pub data: Vec<PathBuf>,
    /// Model file to write; the model itself by default.
    #[arg(short, long, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Model files, fitted with equal method, settings, backbone and transform.
    #[arg(required = true, num_args = 2..)]
    pub models: Vec<PathBuf>,
    /// Model file to write.
    #[arg(short, long, value_name = "MODEL")]
    pub output: PathBuf,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub resources: ResourceArgs,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Model file.
    pub model: PathBuf,
    /// Share of good images that may be flagged as anomalous; the model's own by default.
    #[arg(long, value_name = "RATE", value_parser = rate, conflicts_with = "labelled")]
    pub false_alarm: Option<f64>,
    /// Good images that the model has not learnt from (files, folders, globs); their scores replace those of the fit, with
    /// --category those of one of several categories.
    #[arg(long, value_name = "IMAGES", num_args = 1..)]
    pub with_good: Vec<PathBuf>,
    /// Which of these images belong together and count as one: auto, none, or a pattern as of fit.
    #[arg(long, default_value = "auto", value_name = "none|auto|PATTERN")]
    pub groups: String,
    /// Labelled images to set the thresholds by: an MVTec AD or VisA tree, a CSV or JSON list, or a folder with --test-dir.
    #[arg(long, value_name = "DATA")]
    pub labelled: Option<PathBuf>,
    /// What is best on the labelled images.
    #[arg(long, value_enum, default_value_t = Best::F1, requires = "labelled")]
    pub by: Best,
    /// Cost of a missed defective image (--by cost).
    #[arg(long, default_value_t = 10.0, value_name = "COST", value_parser = amount)]
    pub miss_cost: f64,
    /// Cost of a false alarm (--by cost).
    #[arg(long, default_value_t = 1.0, value_name = "COST", value_parser = amount)]
    pub false_alarm_cost: f64,
    /// Share of defective images in production (--by cost); their share among the labelled images by default.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub defect_share: Option<f64>,
    /// Share of defective images to find (--by recall).
    #[arg(long, default_value_t = 0.95, value_name = "SHARE", value_parser = share)]
    pub recall: f64,
    /// Model file to write; the model itself by default.
    #[arg(short, long, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Best {
    /// The highest F1.
    F1,
    /// The lowest cost of misses and false alarms.
    Cost,
    /// The wanted recall.
    Recall,
}

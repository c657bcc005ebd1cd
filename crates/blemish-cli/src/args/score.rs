//! Commands that score images with a model.

use super::shared::{EngineArgs, LayoutArgs, LimitArgs, MachineArgs};
use super::values::{amount, range, rate};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Model file.
    pub model: PathBuf,
    /// Images: files, folders, globs.
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// Folder for scores, overlays (PNG, or a GIF a clip) and raw anomaly maps (float TIFF); scores go to standard output without it.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Format of the scores.
    #[arg(long, value_enum, default_value_t = ScoreFormat::Jsonl)]
    pub format: ScoreFormat,
    /// Pictures to write with --output.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Picture::Overlay, Picture::Map])]
    pub pictures: Vec<Picture>,
    /// Category of the images, for a model of several: they are judged by the thresholds of that category instead of those of all.
    #[arg(long, value_name = "NAME", help_heading = "Decisions")]
    pub category: Option<String>,
    #[command(flatten)]
    pub monitor: MonitorArgs,
    /// Scores that the coldest and the hottest colour stand for; the model's own by default.
    #[arg(long, value_name = "LOW,HIGH", value_parser = range)]
    pub colour_range: Option<(f32, f32)>,
    /// Leave out regions under this area, in pixels of the image.
    #[arg(long, default_value_t = 0.0, value_name = "PIXELS", value_parser = amount, help_heading = "Decisions")]
    pub min_area: f64,
    /// End with exit code 3 if any image is anomalous.
    #[arg(long, help_heading = "Decisions")]
    pub fail_on_anomaly: bool,
    /// Also write the regions for other programs: OUTPUT/coco.json, OUTPUT/labelme/NAME.json.
    #[arg(long, value_enum, value_delimiter = ',', requires = "output", help_heading = "Decisions")]
    pub export: Vec<Export>,
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
    /// Leave broken images out instead of stopping; they are listed at the end.
    #[arg(long)]
    pub skip_bad: bool,
    /// Take the images of every folder as the frames of a video, in the order of their numbers. Models that look at clips do so by themselves.
    #[arg(long)]
    pub frames: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Watching for drift.
#[derive(Clone, Debug, Args)]
pub struct MonitorArgs {
    /// Keep running statistics of the scores in this file and warn when those of good images have moved.
    #[arg(long, value_name = "FILE", help_heading = "Drift")]
    pub monitor: Option<PathBuf>,
    /// Take the first N images as the reference of a new monitor; by default the scores of `calibrate --with-good`, or 100 images.
    #[arg(long, value_name = "N", requires = "monitor", help_heading = "Drift")]
    pub monitor_reference: Option<usize>,
    /// Bound on the probability that a new monitor ever warns while nothing changes.
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = rate, requires = "monitor", help_heading = "Drift")]
    pub monitor_false_alarm: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreFormat {
    Jsonl,
    Csv,
}

impl ScoreFormat {
    /// The name of a file of scores.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Jsonl => "scores.jsonl",
            Self::Csv => "scores.csv",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Export {
    /// One file of all images and regions, for evaluation tools.
    Coco,
    /// A file an image, to look at and correct by hand.
    Labelme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// Heat map over the image, as PNG.
    Overlay,
    /// Raw scores, as 32-bit float TIFF.
    Map,
    /// Heat maps over the frames of every clip, as one animated GIF a clip (with --frames, or a model that looks at clips).
    Animation,
    /// None.
    None,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Model file.
    pub model: PathBuf,
    /// Labelled data: an MVTec AD or VisA tree, a CSV or JSON list, or a folder with --test-dir.
    pub data: PathBuf,
    /// Where to write the metrics as JSON; standard output without a name.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub json: Option<PathBuf>,
    /// Folder for overlays of every test image and the report.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// HTML report to write: one file that opens offline; DIR/report.html with --output.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Model file.
    pub model: PathBuf,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

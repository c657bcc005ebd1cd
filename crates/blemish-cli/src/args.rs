//! The command line's grammar.

use crate::method_spec::MethodSpec;
use blemish::Trim;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Finds what does not belong in an image after seeing only good ones.
#[derive(Debug, Parser)]
#[command(name = "blemish", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (the message says what, where and how to mend it), 2 wrong usage, \
3 anomalies were found and predict --fail-on-anomaly was asked for, 130 interrupted.";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// CPU threads; all cores by default. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", help_heading = "Everywhere")]
    pub threads: Option<usize>,
    /// How progress is told: a bar on a terminal, lines in a log, JSON Lines for machines (on standard error).
    #[arg(long, global = true, value_enum, default_value_t = ProgressStyle::Auto, help_heading = "Everywhere")]
    pub progress: ProgressStyle,
    /// Say more (repeat for more); RUST_LOG also works.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Everywhere")]
    pub verbose: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// Bars.
    Bar,
    /// Plain lines.
    Plain,
    /// JSON Lines.
    Json,
    /// Nothing.
    None,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows the main job on a made-up inspection set: synthesise, fit, evaluate, draw.
    Demo(DemoArgs),
    /// Learns from good images and writes a model file.
    Fit(Box<FitArgs>),
    /// Scores images with a model and shows where.
    Predict(PredictArgs),
    /// Measures a model on labelled images.
    Eval(EvalArgs),
    /// Sets a model's thresholds anew; its scores stay as they are.
    Calibrate(CalibrateArgs),
    /// Recommends a method and settings for your good images, within a limit of time an image.
    Pick(Box<PickArgs>),
    /// Compares methods on labelled data sets, over seeds: a leaderboard as HTML, CSV and Markdown.
    Bench(Box<BenchArgs>),
    /// Lets a model learn from more good images, without those it was fitted on.
    Update(UpdateArgs),
    /// Joins models that were fitted on parts of the images.
    Merge(MergeArgs),
    /// Proves that a model scores here as it did where it was fitted.
    Verify(VerifyArgs),
    /// Lists the methods, or one method's settings.
    Methods(MethodsArgs),
    /// Keeps backbone weights: list, add, pull, verify, path.
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Makes and imports data sets.
    #[command(subcommand)]
    Data(DataCommand),
    /// Tells what a model, ONNX graph or weight file holds.
    Info(InfoArgs),
    /// Prints a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether progress is for a program, not a person.
    pub fn is_for_machines(&self) -> bool {
        match self {
            Self::Demo(args) => args.machine.json,
            Self::Fit(args) => args.machine.json,
            Self::Predict(args) => args.machine.json,
            Self::Calibrate(args) => args.machine.json,
            Self::Data(DataCommand::Suspects(args)) => args.machine.json,
            Self::Pick(args) => args.machine.json,
            Self::Bench(args) => args.machine.json,
            Self::Update(args) => args.machine.json,
            Self::Merge(args) => args.machine.json,
            Self::Verify(args) => args.machine.json,
            Self::Data(DataCommand::Synth(args)) => args.machine.json,
            Self::Data(DataCommand::Check(args)) => args.machine.json,
            Self::Data(DataCommand::Import(ImportCommand::Elpv { machine, .. })) => machine.json,
            _ => false,
        }
    }
}

/// Of commands that take a while.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// For machines: results as JSON on standard output, progress as JSON Lines on standard error.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for everything the demo makes.
    #[arg(short, long, value_name = "DIR", default_value = "blemish-demo")]
    pub output: PathBuf,
    /// What the made-up parts look like.
    #[arg(long, default_value = "fabric")]
    pub look: String,
    /// Fixes every random choice.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub views: ViewArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Where the backbone runs.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// Device: auto, cpu, cuda[:N], vulkan[:N], wgpu[:N], metal[:N].
    #[arg(long, default_value = "auto", help_heading = "Engine")]
    pub device: String,
    /// Engine that runs the backbone: auto, native, rten, ort (ONNX Runtime, loaded at run time), burn.
    #[arg(long, default_value = "auto", help_heading = "Engine")]
    pub engine: String,
}

#[derive(Clone, Debug, Args)]
pub struct LayoutArgs {
    /// Folder of test images (a `good` folder and one a defect), for a plain folder of good images.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub test_dir: Option<PathBuf>,
    /// Folder of defect masks, for a plain folder of good images.
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub mask_dir: Option<PathBuf>,
    /// Category, where the data holds several.
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub category: Option<String>,
    /// Leave broken images out instead of stopping; they are listed at the end.
    #[arg(long, help_heading = "Data")]
    pub skip_bad: bool,
}

/// What a fit learns from and with what.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// Good images: a folder, an MVTec AD or VisA tree, a CSV or JSON list.
    pub data: PathBuf,
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
}

/// Of commands that fit.
#[derive(Clone, Debug, Args)]
pub struct ResourceArgs {
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Resources")]
    pub batch_size: usize,
    /// Memory for what the fit collects, such as 4GiB; what does not fit goes to a temporary file.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Resources")]
    pub memory_limit: Option<u64>,
    /// Folder for large temporary files; the system's by default.
    #[arg(long, value_name = "DIR", help_heading = "Resources")]
    pub scratch: Option<PathBuf>,
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
    /// Share of good images that may be flagged as anomalous: the thresholds follow from it.
    #[arg(long, default_value_t = 0.01, value_name = "RATE", help_heading = "Decisions")]
    pub false_alarm: f64,
    /// Leave out the N most suspicious training images, or P% of them; they are listed.
    #[arg(long, value_name = "N|P%", value_parser = trim, help_heading = "Decisions")]
    pub trim: Option<Trim>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Model file.
    pub model: PathBuf,
    /// New good images: what `fit` takes, or several files, folders and globs.
    #[arg(required = true)]
    pub data: Vec<String>,
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
pub struct VerifyArgs {
    /// Model file.
    pub model: PathBuf,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Clone, Debug, Args)]
pub struct BackboneArgs {
    /// Architecture, or an ONNX file of your own; the embedded EfficientNet-Lite0 by default.
    #[arg(long, value_name = "NAME|FILE.onnx", help_heading = "Backbone")]
    pub backbone: Option<String>,
    /// Feature maps to use, shallow to deep; `blemish info NAME` lists them.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...", help_heading = "Backbone")]
    pub layers: Vec<String>,
    /// Weight file (.pth, .safetensors); the embedded ones or the local store's by default.
    #[arg(long, value_name = "FILE", help_heading = "Backbone")]
    pub weights: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct TransformArgs {
    /// Size images are resized to: 256x256 (width x height), one number for the shorter side, or `native` to leave them.
    #[arg(long, value_name = "WxH", value_parser = image_size, help_heading = "Images")]
    pub size: Option<InputSize>,
    /// Centre crop after resizing, such as 224x224.
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Images")]
    pub crop: Option<Size>,
    /// Mask image: where to look (bright) and what to ignore (black).
    #[arg(long, value_name = "FILE", help_heading = "Images")]
    pub roi: Option<PathBuf>,
    /// Values that mean black and white in float images, such as 0,4095.
    #[arg(long, value_name = "LOW,HIGH", value_parser = range, help_heading = "Images")]
    pub value_range: Option<(f32, f32)>,
}

/// What a model looks at.
#[derive(Clone, Debug, Default, Args)]
pub struct ViewArgs {
    /// Cut images into tiles of this size; without --size at the images' own size, so that small defects stay visible.
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Large images and small defects")]
    pub tile: Option<Size>,
    /// Pixels that neighbouring tiles share at least; a quarter of the tile by default.
    #[arg(long, value_name = "N", requires = "tile", help_heading = "Large images and small defects")]
    pub tile_overlap: Option<usize>,
    /// One model for all tiles, or one for each place in the image (for aligned parts; all images of one size).
    #[arg(
        long,
        value_enum,
        requires = "tile",
        default_value_t,
        help_heading = "Large images and small defects"
    )]
    pub tile_models: TileModelsArg,
    /// Learn from so many tiles of each image, drawn at random by the seed; all by default.
    #[arg(long, value_name = "N", requires = "tile", help_heading = "Large images and small defects")]
    pub tiles_per_image: Option<usize>,
    /// Look at several input sizes (shorter sides, such as 256,384,512) and merge their maps.
    #[arg(long, value_delimiter = ',', value_name = "N,...", value_parser = side, help_heading = "Large images and small defects")]
    pub multi_scale: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TileModelsArg {
    /// One model learns all tiles.
    #[default]
    Shared,
    /// Each place has a model of its own.
    Each,
}

/// A size on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Exact { width: usize, height: usize },
    ShorterSide(usize),
}

/// The size that images are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSize {
    /// Each at its own.
    Native,
    Resized(Size),
}

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Model file.
    pub model: PathBuf,
    /// Images: files, folders, globs.
    #[arg(required = true)]
    pub inputs: Vec<String>,
    /// Folder for scores, overlays (PNG) and raw anomaly maps (float TIFF); scores go to standard output without it.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Format of the scores.
    #[arg(long, value_enum, default_value_t = ScoreFormat::Jsonl)]
    pub format: ScoreFormat,
    /// Pictures to write with --output.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Picture::Overlay, Picture::Map])]
    pub pictures: Vec<Picture>,
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
    #[command(flatten)]
    pub machine: MachineArgs,
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
    #[arg(long, value_name = "RATE", default_value_t = 0.01, requires = "monitor", help_heading = "Drift")]
    pub monitor_false_alarm: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreFormat {
    Jsonl,
    Csv,
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
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Model file.
    pub model: PathBuf,
    /// Share of good images that may be flagged as anomalous; the model's own by default.
    #[arg(long, value_name = "RATE", conflicts_with = "labelled")]
    pub false_alarm: Option<f64>,
    /// Good images that the model has not learnt from (files, folders, globs); their scores replace those of the fit.
    #[arg(long, value_name = "IMAGES", num_args = 1..)]
    pub with_good: Vec<String>,
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
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct PickArgs {
    /// Good images: a folder, an MVTec AD or VisA tree, a CSV or JSON list. Defective ones are never looked at.
    pub data: PathBuf,
    /// Most milliseconds an image may take here, from its file to its map; on one thread, or as many as --threads says.
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub latency: f64,
    /// Model file to write: the recommended method fitted on all good images.
    #[arg(short, long, value_name = "MODEL")]
    pub output: Option<PathBuf>,
    /// Made-up defects laid over every held-out image.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=60))]
    pub per_image: u16,
    /// Folder to keep the made-up test set in, to look at it.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Fixes the split, the defects and the fits.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub backbone: BackboneArgs,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
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

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Labelled data sets; of a folder of several categories, all.
    #[arg(required = true)]
    pub datasets: Vec<PathBuf>,
    /// Methods, each with settings and options of `fit` after colons, such as patchcore:coreset_ratio=0.01:size=320x320.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "patchcore,padim",
        value_name = "METHOD[:KEY=VALUE]...,..."
    )]
    pub methods: Vec<MethodSpec>,
    /// Fits of each method on each data set, with seeds 0 to N-1.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Folder for the leaderboard and the outcome of every fit; what is there already is not done again.
    #[arg(short, long, value_name = "DIR", default_value = "blemish-bench")]
    pub output: PathBuf,
    #[command(flatten)]
    pub backbone: BackboneArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The data set; all of its categories if there are several.
    pub data: PathBuf,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct MethodsArgs {
    /// Method whose settings to print.
    pub name: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Model (.blemish), graph (.onnx), weights (.pth, .safetensors), or the name of an architecture.
    pub what: String,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum WeightsCommand {
    /// Lists the weights in the store and those that can be pulled.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copies a weight file into the store.
    Add {
        /// The file (.pth, .safetensors).
        file: PathBuf,
        /// Architecture it belongs to; recognised from its tensors by default.
        #[arg(long)]
        name: Option<String>,
    },
    /// Downloads weights into the store.
    Pull {
        /// Name from `weights list`.
        name: String,
    },
    /// Checks every file of the store against its digest.
    Verify,
    /// Prints where the store, or one of its files, is.
    Path {
        /// Name from `weights list`.
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Counts what a set holds and finds what would spoil an evaluation: duplicates, leaks, masks that do not match.
    Check(CheckArgs),
    /// Writes a procedural inspection set in MVTec AD layout.
    Synth(SynthArgs),
    /// Brings a public set into MVTec AD layout.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Ranks training images by how defective they look to models that have not seen them.
    Suspects(Box<SuspectsArgs>),
}

#[derive(Debug, Args)]
pub struct SuspectsArgs {
    #[command(flatten)]
    pub learn: LearnArgs,
    /// Folder for the ranking (suspects.csv) and the pictures (suspects.png).
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// How many of the most suspicious to show.
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub show: u16,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Folder to write.
    pub output: PathBuf,
    /// What the parts look like.
    #[arg(long, default_value = "fabric")]
    pub look: String,
    /// Fixes every image.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Good training images.
    #[arg(long, default_value_t = 40)]
    pub train: usize,
    /// Good test images.
    #[arg(long, default_value_t = 12)]
    pub test_good: usize,
    /// Test images of every kind of defect.
    #[arg(long, default_value_t = 6)]
    pub test_per_defect: usize,
    /// Size of the images.
    #[arg(long, default_value = "256x256", value_name = "WxH", value_parser = size)]
    pub size: Size,
    /// Replace an earlier synthetic set in the same folder.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Solar cells (`pip download --no-deps elpv-dataset`): electroluminescence images, image labels only.
    Elpv {
        /// The wheel, or a folder with its contents.
        source: PathBuf,
        /// Folder to write.
        output: PathBuf,
        /// Kind of cells: mono, poly or all.
        #[arg(long, default_value = "mono")]
        cells: String,
        /// Fixes the split.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        machine: MachineArgs,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn image_size(text: &str) -> Result<InputSize, String> {
    if text == "native" { Ok(InputSize::Native) } else { size(text).map(InputSize::Resized) }
}

fn size(text: &str) -> Result<Size, String> {
    match text.split_once(['x', 'X']) {
        Some((width, height)) => Ok(Size::Exact { width: side(width)?, height: side(height)? }),
        None => side(text).map(Size::ShorterSide),
    }
}

fn side(text: &str) -> Result<usize, String> {
    match text.trim().parse::<usize>() {
        Ok(number) if (8..=16_384).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a size between 8 and 16384")),
    }
}

fn range(text: &str) -> Result<(f32, f32), String> {
    let (low, high) = text.split_once(',').ok_or("write it as LOW,HIGH")?;
    let number = |text: &str| text.trim().parse::<f32>().map_err(|_| format!("`{text}` is not a number"));
    let (low, high) = (number(low)?, number(high)?);
    if low < high { Ok((low, high)) } else { Err("LOW must be below HIGH".into()) }
}

fn trim(text: &str) -> Result<Trim, String> {
    text.parse()
}

/// A number that is not negative, such as an area or a cost.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("`{text}` is not a number of 0 or more")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1.0 => Ok(number),
        _ => Err(format!("`{text}` is not a share above 0 and up to 1")),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("`{text}` is not a number above 0")),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| format!("`{text}` is not a size such as 4GiB"))?;
    let unit = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        unit => return Err(format!("`{unit}` is no unit; use MB, MiB, GB or GiB")),
    };
    Ok((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_are_read_and_refused() {
        assert_eq!(size("320x256"), Ok(Size::Exact { width: 320, height: 256 }));
        assert_eq!(size("256"), Ok(Size::ShorterSide(256)));
        assert!(size("0x4").is_err() && size("axb").is_err());
        assert_eq!(bytes("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("200MB"), Ok(200_000_000));
        assert!(bytes("many").is_err() && bytes("3 apples").is_err());
        assert_eq!(range("0,4095"), Ok((0.0, 4095.0)));
        assert!(range("3,1").is_err());
        assert_eq!(key_value("a = b=c"), Ok(("a".into(), "b=c".into())));
        assert!(key_value("nothing").is_err());
        assert!(trim("2%").is_ok() && trim("some").is_err());
        assert!(amount("-1").is_err() && share("0").is_err() && share("1") == Ok(1.0));
    }

    #[test]
    fn the_promised_grammar_parses() {
        for line in [
            "blemish fit DATA",
            "blemish fit DATA --method padim --backbone resnet18 --layers layer2,layer3 --weights W --size 256x256 --seed 3 --set a=b --set c=d -o M",
            "blemish fit DATA --tile 256x256 --tile-overlap 64 --tile-models each --multi-scale 256,384,512",
            "blemish predict M a.png b/ *.jpg -o OUT --format csv",
            "blemish eval M DATA --json OUT.json",
            "blemish eval M DATA --json",
            "blemish fit DATA --json",
            "blemish predict M a.png --json",
            "blemish demo",
            "blemish pick DATA --latency 50 -o M",
            "blemish bench A B --methods patchcore:coreset_ratio=0.01:size=320x320,padim --seeds 3 -o OUT",
            "blemish data check DATA --json",
            "blemish eval M DATA --report R.html",
            "blemish methods patchcore",
            "blemish weights list",
            "blemish weights add F",
            "blemish weights pull resnet18",
            "blemish weights verify",
            "blemish weights path",
            "blemish data synth OUT",
            "blemish data import elpv WHEEL OUT",
            "blemish info M",
            "blemish fit DATA --false-alarm 0.05 --folds 10 --trim 2%",
            "blemish predict M a.png -o OUT --export coco,labelme --min-area 20 --fail-on-anomaly",
            "blemish calibrate M --false-alarm 0.05",
            "blemish calibrate M --with-good a b -o N",
            "blemish calibrate M --labelled DATA --by cost --miss-cost 20 --defect-share 0.01",
            "blemish data suspects DATA -o DIR --show 5",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}

//! The command line's grammar.

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
130 interrupted.";

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
            Self::Data(DataCommand::Synth(args)) => args.machine.json,
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

#[derive(Debug, Args)]
pub struct FitArgs {
    /// Good images: a folder, an MVTec AD or VisA tree, a CSV or JSON list.
    pub data: PathBuf,
    /// Method; `blemish methods` lists them.
    #[arg(long, default_value = "patchcore")]
    pub method: String,
    /// Setting of the method, repeatable; `blemish methods NAME` lists them.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub settings: Vec<(String, String)>,
    /// Model file to write; named after data and method by default.
    #[arg(short, long, value_name = "MODEL")]
    pub output: Option<PathBuf>,
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
    pub machine: MachineArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
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
    /// Size images are resized to, such as 256x256 (width x height) or one number for the shorter side.
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Images")]
    pub size: Option<Size>,
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
    /// Scores that the coldest and the hottest colour stand for; the model's own by default.
    #[arg(long, value_name = "LOW,HIGH", value_parser = range)]
    pub colour_range: Option<(f32, f32)>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreFormat {
    Jsonl,
    Csv,
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
    /// Folder for overlays of every test image.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Images (or tiles) per batch.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
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
    /// Writes a procedural inspection set in MVTec AD layout.
    Synth(SynthArgs),
    /// Brings a public set into MVTec AD layout.
    #[command(subcommand)]
    Import(ImportCommand),
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
            "blemish methods patchcore",
            "blemish weights list",
            "blemish weights add F",
            "blemish weights pull resnet18",
            "blemish weights verify",
            "blemish weights path",
            "blemish data synth OUT",
            "blemish data import elpv WHEEL OUT",
            "blemish info M",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}

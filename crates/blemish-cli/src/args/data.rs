//! Commands that make, bring and look at data sets.

use super::fit::LearnArgs;
use super::shared::{EngineArgs, LayoutArgs, LimitArgs, MachineArgs, ViewArgs};
use super::values::{Size, size};
use clap::{Args, Subcommand};
use std::path::PathBuf;

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

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Counts what a set holds and finds what would spoil an evaluation: duplicates, leaks, masks that do not match.
    Check(CheckArgs),
    /// Lists the layouts of folders and lists that are read, each with a picture of its tree.
    Layouts,
    /// Writes a procedural inspection set in MVTec AD layout.
    Synth(SynthArgs),
    /// Brings a public set into MVTec AD layout.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Ranks training images by how defective they look to models that have not seen them.
    Suspects(Box<SuspectsArgs>),
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The data set; all of its categories if there are several.
    pub data: PathBuf,
    #[command(flatten)]
    pub layout: LayoutArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Debug, Args)]
pub struct SuspectsArgs {
    #[command(flatten)]
    pub learn: LearnArgs,
    /// Folder for the whole ranking (suspects.csv) and the pictures (suspects.png).
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
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
    /// What the parts look like: fabric, metal or print; traffic writes clips of a street with odd motions.
    #[arg(long, default_value = "fabric")]
    pub look: String,
    /// Fixes every image.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Good training images (40), or clips of traffic (12).
    #[arg(long, value_name = "N")]
    pub train: Option<usize>,
    /// Good test images (12), or clips of traffic (2).
    #[arg(long, value_name = "N")]
    pub test_good: Option<usize>,
    /// Test images of every kind of defect (6), or clips of every odd motion (2).
    #[arg(long, value_name = "N")]
    pub test_per_defect: Option<usize>,
    /// Size of the images (256x256), or of the frames of traffic (128x128).
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<Size>,
    /// Frames of a clip of traffic (50).
    #[arg(long, value_name = "N")]
    pub frames: Option<usize>,
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

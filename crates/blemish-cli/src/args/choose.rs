//! Commands that compare methods.

use super::shared::{BackboneArgs, EngineArgs, LayoutArgs, LimitArgs, MachineArgs};
use super::values::positive;
use crate::method_spec::MethodSpec;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct PickArgs {
    /// Good images: a folder, an MVTec AD or VisA tree, a CSV or JSON list. Defective ones are never looked at.
    pub data: PathBuf,
    /// Most milliseconds an image may take here, from its file to its map; on one thread, or as many as --threads says.
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub latency: f64,
    /// Further methods to try, also those that train for long, each with settings and a size after colons, such as glow:steps=200:size=256.
    #[arg(long, value_delimiter = ',', value_name = "METHOD[:KEY=VALUE]...,...")]
    pub with: Vec<MethodSpec>,
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
    pub limits: LimitArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
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
    pub limits: LimitArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

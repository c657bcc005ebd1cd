//! `blemish export`.

use super::MachineArgs;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Model file.
    pub model: PathBuf,
    /// The graph to write; by default the model's name with .onnx.
    #[arg(short, long, value_name = "FILE.onnx")]
    pub out: Option<PathBuf>,
    /// What goes in: `tensor` (float32 N x 3 x h x w in [0, 1], after the model's resize and crop), `WxH` (pictures N x H x W x 3 of this size), or
    /// `any` (pictures of any size).
    #[arg(long, value_name = "WHAT", default_value = "tensor", value_parser = images)]
    pub input: blemish::export::GraphImages,
    /// Names of the outputs, and what they mean.
    #[arg(long, value_enum, default_value_t = LayoutArg::Blemish)]
    pub layout: LayoutArg,
    /// Bits of a sample, where pictures go in.
    #[arg(long, value_parser = ["8", "16"], default_value = "8")]
    pub depth: String,
    /// Store banks and matrices in half precision: half the file; the proof says what it costs.
    #[arg(long)]
    pub fp16_bank: bool,
    /// Write the graph even if its scores are further from the model's than promised.
    #[arg(long)]
    pub force: bool,
    /// Compare this graph of the model with the model again, and write nothing.
    #[arg(long, value_name = "FILE.onnx", conflicts_with_all = ["out", "force", "selftest_images"])]
    pub check: Option<PathBuf>,
    /// Write pictures with their scores into this folder, by which any deployment can check itself.
    #[arg(long, value_name = "DIR")]
    pub selftest_images: Option<PathBuf>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LayoutArg {
    /// score, p_value, anomalous, map.
    Blemish,
    /// pred_score, pred_label, anomaly_map, pred_mask: for anomalib's inferencer and Intel's Model API.
    Anomalib,
}

fn images(text: &str) -> Result<blemish::export::GraphImages, String> {
    text.parse()
}

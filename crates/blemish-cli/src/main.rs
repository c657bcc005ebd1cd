//! The `blemish` program: parses, calls the library, prints; no logic of its own.

mod args;
mod commands;
mod console;
mod failure;
mod method_spec;
mod output;
mod pictures;

use args::{Cli, Command};
use clap::Parser;
use console::Console;
use failure::Failure;
use std::process::ExitCode;

/// Exit code of `predict --fail-on-anomaly` where anomalies were found.
const EXIT_ANOMALY: u8 = 3;

/// Exit code after Ctrl-C, as shells count it (128 + SIGINT).
pub const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    set_up_logging(cli.global.verbose);
    console::listen_for_interrupts();
    if let Some(threads) = cli.global.threads {
        // Fails only if the pool exists already, and nothing has used it yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let style = if cli.command.is_for_machines() { args::ProgressStyle::Json } else { cli.global.progress };
    let console = Console::new(style);
    let result = run(&cli, &console);
    console.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_interruption() => {
            eprintln!("{failure}");
            ExitCode::from(EXIT_INTERRUPTED as u8)
        }
        Err(failure) if failure.is_anomaly() => {
            eprintln!("{failure}");
            ExitCode::from(EXIT_ANOMALY)
        }
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{:?}", miette::Report::new(failure));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, console: &Console) -> Result<(), Failure> {
    let limits = cli.command.image_limits();
    blemish::data::set_default_limits(limits.memory_limit, limits.max_pixels);
    let threads = cli.global.threads;
    match &cli.command {
        Command::Demo(args) => commands::demo::run(args, threads, console),
        Command::Fit(args) => commands::fit::run(args, threads, console),
        Command::Predict(args) => commands::predict::run(args, threads, console),
        Command::Eval(args) => commands::eval::run(args, threads, console),
        Command::Calibrate(args) => commands::calibrate::run(args, threads, console),
        Command::Pick(args) => commands::pick::run(args, threads, console),
        Command::Bench(args) => commands::bench::run(args, threads, console),
        Command::Update(args) => commands::living::update(args, threads, console),
        Command::Merge(args) => commands::living::merge(args, threads, console),
        Command::Verify(args) => commands::verify::run(args, threads),
        Command::Methods(args) => commands::methods::run(args),
        Command::Weights(command) => commands::weights::run(command, console),
        Command::Data(command) => commands::data::run(command, threads, console),
        Command::Info(args) => commands::info::run(args),
        Command::Completions { shell } => commands::completions(*shell),
    }
}

fn set_up_logging(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("blemish={level}")));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}

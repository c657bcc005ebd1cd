//! The `blemish` program: parses, calls the library, prints; no logic of its own. The binary and the Python wheel both run [`run`].

// These macros panic where the stream is closed: `terminal` and `output` write.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod commands;
mod console;
mod failure;
mod interrupt;
mod method_spec;
mod output;
mod pictures;
mod shell;
mod terminal;

use args::{Cli, Command};
use blemish::Observer;
use clap::Parser;
use console::Console;
use failure::Failure;
use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;
use terminal::{is_obeyed, tell, tell_as_is};

/// Runs the program with these arguments, the first of which is its own name, and gives its exit code. Once a process: logging, the
/// handler of Ctrl-C and the number of threads are set for all of it.
pub fn run(arguments: Vec<OsString>) -> u8 {
    shell::keep(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(refusal) => return refuse(&refusal, &arguments),
    };
    // A server drains first and has logs of its own.
    if !cli.command.is_server() {
        set_up_logging(cli.global.verbose);
        interrupt::listen();
    }
    if !cli.command.writes() {
        interrupt::set_patience(Duration::ZERO);
    }
    let style = if cli.command.is_for_machines() { args::ProgressStyle::Json } else { cli.global.progress };
    let console = Console::new(style);
    let threads = cli.global.threads.map(|asked| capped(asked, &console));
    if let Some(threads) = threads {
        // Fails only if the pool exists already, and nothing has used it yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let result = command(&cli, threads, &console);
    console.finish();
    // A program of Rust's does so when it ends; in another one's process nobody else does. Whoever cannot be told is not told.
    let _ = std::io::stdout().flush();
    match result {
        Ok(()) if interrupt::is_interrupted() => {
            tell("interrupted when all was done: everything is written");
            interrupt::EXIT_INTERRUPTED
        }
        Ok(()) => 0,
        Err(failure) if failure.is_broken_pipe() => failure.exit_code(),
        Err(failure) => {
            let code = failure.exit_code();
            match failure.is_plain() {
                true => tell(&failure.to_string()),
                // Styled; what it says is safe already.
                false => tell_as_is(&format!("{:?}", miette::Report::new(failure))),
            }
            code
        }
    }
}

/// Prints why the command line is none, or the help that was asked for.
fn refuse(refusal: &clap::Error, arguments: &[OsString]) -> u8 {
    // It repeats arguments, which are those of somebody else where a shell's pattern has put names of files in.
    match arguments.iter().any(|argument| argument.to_string_lossy().contains(is_obeyed)) {
        true => tell(refusal.render().to_string().trim_end()),
        // In colours on a terminal. Whoever cannot be told is not told.
        false => drop(refusal.print()),
    }
    refusal.exit_code() as u8
}

/// As many threads as can run at once: more only wait for each other, and thousands take longer to start than the work.
fn capped(asked: usize, console: &Console) -> usize {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    if asked > most {
        console.warn(&format!(
            "--threads {asked}: {most} {} used, as many as this machine runs at once",
            if most == 1 { "is" } else { "are" }
        ));
    }
    asked.min(most)
}

fn command(cli: &Cli, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let limits = cli.command.image_limits();
    blemish::data::set_default_limits(limits.memory_limit, limits.max_pixels);
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
        Command::Export(args) => commands::export::run(args, threads, console),
        #[cfg(feature = "serve")]
        Command::Serve(args) => commands::serve::run(args, threads, cli.global.verbose, console),
        #[cfg(feature = "serve")]
        Command::Ping(args) => commands::ping::run(args),
        Command::Methods(args) => commands::methods::run(args),
        Command::Weights(command) => commands::weights::run(command, console),
        Command::Data(command) => commands::data::run(command, threads, console),
        Command::Info(args) => commands::info::run(args),
        Command::Version(args) => commands::version::run(args),
        Command::Completions { shell } => commands::completions(*shell),
        Command::Man => commands::man::run(),
    }
}

fn set_up_logging(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("blemish={level}")));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| terminal::Forgiving)
        .without_time()
        .init();
}

//! The command line's grammar: this file has the program and its commands, the others the options of each kind of command.

mod choose;
mod data;
mod export;
mod fit;
mod lookup;
mod score;
#[cfg(feature = "serve")]
mod serve;
mod shared;
mod values;

pub use choose::*;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use data::*;
pub use export::*;
pub use fit::*;
pub use lookup::*;
pub use score::*;
#[cfg(feature = "serve")]
pub use serve::*;
pub use shared::*;
use values::threads;
pub use values::{InputSize, Size, ValueRange, square};

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
3 anomalies were found and predict --fail-on-anomaly was asked for, 130 interrupted.";

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// CPU threads, at most as many as the machine runs at once; all by default. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = threads, help_heading = "Everywhere")]
    pub threads: Option<usize>,
    /// How progress is shown: a bar on a terminal, lines in a log, JSON Lines for machines (on standard error).
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
    /// Sets a model's thresholds anew; its scores stay as they are.
    Calibrate(CalibrateArgs),
    /// Recommends a method and settings for your good images, within a limit of time an image.
    Pick(Box<PickArgs>),
    /// Compares methods on labelled data sets, over seeds: a leaderboard as HTML, CSV and Markdown.
    Bench(Box<BenchArgs>),
    /// Lets a model learn from more good images, without those it was fitted on.
    Update(UpdateArgs),
    /// Joins models that were fitted on parts of the images.
    Merge(MergeArgs),
    /// Proves that a model scores here as it did where it was fitted.
    Verify(VerifyArgs),
    /// Writes a model as one ONNX graph, for other engines, and proves that it scores the same.
    Export(ExportArgs),
    /// Serves models over HTTP, and the pages of a station.
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),
    /// Asks a server whether it is ready, for health checks.
    #[cfg(feature = "serve")]
    Ping(PingArgs),
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
    /// Tells what this program is made of: version, commit, engines, embedded weights, licences.
    Version(VersionArgs),
    /// Prints a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    Man,
}

impl Command {
    /// Whether it writes files, which may be unfinished when it is interrupted.
    pub fn writes(&self) -> bool {
        #[cfg(feature = "serve")]
        if matches!(self, Self::Ping(_)) {
            return false;
        }
        !matches!(
            self,
            Self::Verify(_)
                | Self::Methods(_)
                | Self::Info(_)
                | Self::Version(_)
                | Self::Completions { .. }
                | Self::Man
                | Self::Data(DataCommand::Check(_))
                | Self::Weights(
                    WeightsCommand::List { .. } | WeightsCommand::Verify | WeightsCommand::Path { .. }
                )
        )
    }

    /// Whether it listens for interrupts and writes logs in its own way.
    pub fn is_server(&self) -> bool {
        #[cfg(feature = "serve")]
        return matches!(self, Self::Serve(_));
        #[cfg(not(feature = "serve"))]
        false
    }

    /// The limits on images that it reads.
    pub fn image_limits(&self) -> LimitArgs {
        match self {
            Self::Fit(args) => args.learn.resources.image_limits(),
            Self::Data(DataCommand::Suspects(args)) => args.learn.resources.image_limits(),
            Self::Update(args) => args.resources.image_limits(),
            Self::Predict(args) => args.limits,
            Self::Eval(args) => args.limits,
            Self::Calibrate(args) => args.limits,
            Self::Pick(args) => args.limits,
            Self::Bench(args) => args.limits,
            Self::Data(DataCommand::Check(args)) => args.limits,
            _ => LimitArgs::default(),
        }
    }

    /// Whether progress is for a program, not a person.
    pub fn is_for_machines(&self) -> bool {
        match self {
            Self::Demo(args) => args.machine.json,
            Self::Fit(args) => args.machine.json,
            Self::Predict(args) => args.machine.json,
            Self::Calibrate(args) => args.machine.json,
            Self::Data(DataCommand::Suspects(args)) => args.machine.json,
            Self::Pick(args) => args.machine.json,
            Self::Bench(args) => args.machine.json,
            Self::Update(args) => args.machine.json,
            Self::Merge(args) => args.machine.json,
            Self::Verify(args) => args.machine.json,
            Self::Export(args) => args.machine.json,
            #[cfg(feature = "serve")]
            Self::Serve(args) => args.machine.json,
            Self::Data(DataCommand::Synth(args)) => args.machine.json,
            Self::Data(DataCommand::Check(args)) => args.machine.json,
            Self::Data(DataCommand::Import(ImportCommand::Elpv { machine, .. })) => machine.json,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[cfg(feature = "serve")]
    #[test]
    fn the_grammar_of_the_server_parses() {
        for line in [
            "blemish serve line.blemish lid=lids/v3.blemish --listen 127.0.0.1:8080",
            "blemish serve M --listen unix:/run/blemish.sock --tls-cert C --tls-key K --tls-client-ca A",
            "blemish serve M --queue 8 --batch 4 --batch-wait 2 --memory-limit 1GiB --max-body 8MiB --max-pixels 9000x9000",
            "blemish serve M --timeout 5s --drain 3s --verify off --monitor DIR --keep flagged --keep-dir D --keep-max 5GiB",
            "blemish serve --station parts --record flagged --history-max 1GiB --history-days 3 --audit 0.1 --config serve.toml",
            "blemish serve M --token-file T --host line.local --cors https://a.example --logs text --check --json",
            "blemish serve M --listen 0.0.0.0:80 --insecure",
            "blemish ping",
            "blemish ping unix:/run/blemish.sock --within 2s",
            "blemish ping localhost --within 500ms",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "blemish serve a:b=c",
            "blemish serve M --listen here",
            "blemish serve M --tls-cert C",
            "blemish serve M --keep all",
            "blemish ping here",
            "blemish ping  ",
            "blemish ping --within 0",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[cfg(feature = "serve")]
    #[test]
    fn units_are_those_of_the_file_and_plain_numbers_too() {
        use blemish_serve::{config, options::ServeOptions};
        use std::time::Duration;
        let values = [
            ("timeout", "500ms"),
            ("timeout", "4"),
            ("drain", "2m"),
            ("batch_wait", "2ms"),
            ("batch_wait", "3"),
            ("max_pixels", "100MP"),
            ("max_pixels", "7"),
            ("max_pixels", "90x90"),
            ("max_body", "8M"),
            ("memory_limit", "9"),
        ];
        for (key, value) in values {
            let option = key.replace('_', "-");
            let line = ["blemish", "serve", "M", &format!("--{option}"), value];
            let Command::Serve(args) = Cli::try_parse_from(line).unwrap().command else { panic!("serve") };
            let mut options = ServeOptions::default();
            args.apply(&mut options);
            let value = if value.parse::<u32>().is_ok() { value.to_owned() } else { format!("\"{value}\"") };
            let path = std::path::Path::new("serve.toml");
            let mut read = config::parse(path, &format!("{key} = {value}")).unwrap();
            read.models.clone_from(&options.models);
            assert_eq!(format!("{options:?}"), format!("{read:?}"), "{key} = {value}");
        }
        let line = "blemish serve M --timeout 500ms --batch-wait 3 --max-pixels 100MP --drain 5";
        let Command::Serve(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("serve")
        };
        let ServeLimitArgs { timeout, batch_wait, max_pixels, drain, .. } = args.limits;
        let [half, three, five] = [500, 3, 5_000].map(|time| Some(Duration::from_millis(time)));
        assert_eq!((timeout, batch_wait, drain, max_pixels), (half, three, five, Some(100_000_000)));
        let Command::Ping(args) = Cli::try_parse_from(["blemish", "ping", "localhost"]).unwrap().command
        else {
            panic!("ping")
        };
        assert_eq!(args.listen.to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn the_promised_grammar_parses() {
        for line in [
            "blemish fit DATA",
            "blemish fit DATA --method padim --backbone resnet18 --layers layer2,layer3 --weights W --size 256x256 --seed 3 --set a=b --set c=d -o M",
            "blemish fit DATA --tile 256x256 --tile-overlap 64 --tile-models each --multi-scale 256,384,512",
            "blemish fit DATA --method pni --backbone resnet18 --weights W --ensemble efficientnet-lite0 --ensemble wide_resnet50_2:V",
            "blemish predict M a.png b/ *.jpg -o OUT --format csv",
            "blemish eval M DATA --json OUT.json",
            "blemish eval M DATA --json",
            "blemish fit DATA --json",
            "blemish predict M a.png --json",
            "blemish demo",
            "blemish pick DATA --latency 50 -o M",
            "blemish bench A B --methods patchcore:coreset_ratio=0.01:size=320x320,padim --seeds 3 -o OUT",
            "blemish data check DATA --json",
            "blemish data layouts",
            "blemish fit DATA --trust-folders",
            "blemish eval M DATA --report R.html",
            "blemish export M",
            "blemish export M -o F.onnx --input any --layout anomalib --depth 16 --fp16-bank --force --selftest-images DIR --json",
            "blemish export M --check F.onnx",
            "blemish methods patchcore",
            "blemish weights list",
            "blemish weights add F",
            "blemish weights pull resnet18",
            "blemish weights verify",
            "blemish weights path",
            "blemish data synth OUT",
            "blemish data import elpv WHEEL OUT",
            "blemish info M",
            "blemish fit DATA --false-alarm 0.05 --folds 10 --trim 2%",
            "blemish predict M a.png -o OUT --export coco,labelme --min-area 20 --fail-on-anomaly",
            "blemish calibrate M --false-alarm 0.05",
            "blemish calibrate M --with-good a b -o N",
            "blemish calibrate M --labelled DATA --by cost --miss-cost 20 --defect-share 0.01",
            "blemish data suspects DATA -o DIR --show 5",
            "blemish data suspects DATA",
            "blemish fit DATA --value-range auto --max-pixels 20000x20000 --memory-limit 2GiB",
            "blemish predict M a.png --max-pixels 9000000 --memory-limit 2GiB",
            "blemish eval M DATA --memory-limit 2GiB",
            "blemish calibrate M --with-good a --memory-limit 2GiB",
            "blemish pick DATA --latency 50 --memory-limit 2GiB",
            "blemish data check DATA --max-pixels 10000x10000 --memory-limit 2GiB",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}

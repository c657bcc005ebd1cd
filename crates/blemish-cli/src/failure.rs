//! An error as the person at the terminal reads it: what and where, then how to mend it.

use crate::interrupt::EXIT_INTERRUPTED;
use crate::shell;
use crate::terminal::shown;
use blemish::Error;
use blemish::data::DataError;
use blemish::data::import::ImportError;
use blemish::data::synth::SynthError;
use blemish::error::in_halves;
use blemish::features::FeatureError;
use std::path::Path;

/// Exit code of `predict --fail-on-anomaly` where anomalies were found.
const EXIT_ANOMALY: u8 = 3;

/// Any error on its way to the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    help: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ordinary,
    /// The command line asks for what there is not.
    Usage,
    Interruption,
    BrokenPipe,
    Anomaly,
}

impl miette::Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
}

impl Failure {
    /// From a message of the form `what and where; how to mend it`.
    pub fn new(text: impl std::fmt::Display) -> Self {
        let text = shown(&text.to_string()).into_owned();
        let (message, help) = in_halves(&text);
        let help = (!help.is_empty()).then(|| help.to_owned());
        Self { message: message.to_owned(), help, kind: Kind::Ordinary }
    }

    /// A command line that asks for what there is not.
    pub fn usage(text: impl std::fmt::Display) -> Self {
        Self { kind: Kind::Usage, ..Self::new(text) }
    }

    /// The same failure, if an error of this code is one of usage.
    fn of_code(self, code: &str) -> Self {
        match code {
            "unknown_method" | "setting" | "cannot_export" => Self { kind: Kind::Usage, ..self },
            "interrupted" => Self { kind: Kind::Interruption, ..self },
            _ => self,
        }
    }

    /// A file that cannot be read or written.
    pub fn io(action: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("cannot {action} `{}`: {error}", path.display()))
    }

    /// Standard output that cannot be written; a closed pipe (`| head`) is not an error.
    pub fn stdout(error: &std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        let kind = if closed { Kind::BrokenPipe } else { Kind::Ordinary };
        Self { kind, ..Self::new(format!("cannot write to standard output: {error}")) }
    }

    /// The same with the options of this program that give what the library asks for.
    fn with_options(self) -> Self {
        let text = format!("{} {}", self.message, self.help.as_deref().unwrap_or_default());
        let mut options: Vec<&str> = Vec::new();
        for (asked, option) in OPTIONS {
            if text.contains(asked) && !options.contains(option) {
                options.push(option);
            }
        }
        if options.is_empty() {
            return self;
        }
        let options = options.join(", ");
        let help = self.help.map_or_else(|| options.clone(), |help| format!("{help} ({options})"));
        Self { help: Some(help), ..self }
    }

    pub fn interrupted() -> Self {
        Error::Interrupted.into()
    }

    /// An interruption after which something can be gone on with.
    pub fn interrupted_with(text: &str) -> Self {
        Self { kind: Kind::Interruption, ..Self::new(text) }
    }

    /// Images that are anomalous, where that is to end the program.
    pub fn anomaly(anomalous: usize, images: usize) -> Self {
        Self { kind: Kind::Anomaly, ..Self::new(format!("{anomalous} of {images} images are anomalous")) }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::BrokenPipe => 0,
            Kind::Ordinary => 1,
            Kind::Usage => 2,
            Kind::Anomaly => EXIT_ANOMALY,
            Kind::Interruption => EXIT_INTERRUPTED,
        }
    }

    /// Whether it is a plain statement, not an error to mend.
    pub fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Anomaly | Kind::Interruption)
    }

    /// Whether whoever reads the output has had enough.
    pub fn is_broken_pipe(&self) -> bool {
        self.kind == Kind::BrokenPipe
    }

    #[cfg(test)]
    pub fn is_interruption(&self) -> bool {
        self.kind == Kind::Interruption
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Data(error) => error.into(),
            Error::Features(error) => error.into(),
            Error::Interrupted => Self { kind: Kind::Interruption, ..Self::new(error) },
            error => {
                let code = error.code();
                Self::new(error).with_options().of_code(code)
            }
        }
    }
}

/// What the library asks for, and the options and commands of this program that give it.
const OPTIONS: &[(&str, &str)] = &[
    ("to one size", "--size WxH"),
    ("larger images", "--size WxH"),
    ("smaller images", "--size WxH"),
    ("another size", "--size WxH"),
    ("sides that are multiples", "--size WxH"),
    ("fewer layers", "--layers NAME,..."),
    ("name layers", "--layers NAME,..."),
    ("the setting `", "--set KEY=VALUE"),
    ("memory limit", "--memory-limit SIZE"),
    ("limit of pixels", "--max-pixels N"),
    ("folder for temporary files", "--scratch DIR"),
    ("single precision", "--precision single"),
    ("same seed", "--seed N"),
    ("leave the ensemble out", "without --ensemble"),
    ("one model for all tiles", "--tile-models shared"),
    ("share one model", "--tile-models shared"),
    ("updatable", "--updatable"),
    ("do not ask for it", "leave --updatable out, or --tile, --multi-scale and --ensemble"),
    ("trim fewer", "--trim N"),
    ("good images that it has not seen", "--with-good IMAGES"),
    ("no labelled test images", "--test-dir DIR, or a labelled data set"),
    ("take all of them", "--category NAME, or --all-categories for one model of all"),
    ("there is no method", "`blemish methods` describes them"),
    ("has no such setting", "`blemish methods NAME` describes them"),
    ("find suspects with another method", "--method NAME"),
];

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let skippable =
            matches!(error, DataError::Image { .. } | DataError::Link { .. } | DataError::EmptyMask { .. });
        let is_doubtful = matches!(error, DataError::Names { .. });
        let code = error.code();
        let mut failure = Self::new(error).of_code(code).with_options();
        if is_doubtful {
            let meant = "or, if it is meant, take folders by their place with --trust-folders";
            failure.help = Some(failure.help.map_or(meant.into(), |help| format!("{help}, {meant}")));
        }
        if skippable {
            let skip = "leave it out with --skip-bad";
            failure.help = Some(match failure.help {
                Some(help) if help != "leave it out" => format!("{help}, or {skip}"),
                _ => skip.into(),
            });
        }
        failure
    }
}

impl From<FeatureError> for Failure {
    fn from(error: FeatureError) -> Self {
        if matches!(error, FeatureError::Interrupted) {
            return Self::interrupted();
        }
        let option = match &error {
            FeatureError::NoWeights { network } => Some(format!(
                " with --weights FILE (in an ensemble: --ensemble {network}:FILE), or keep one for good with `blemish weights add FILE` \
                 or `blemish weights pull {network}`"
            )),
            FeatureError::NoImageText { network, .. } => Some(format!(
                " with --weights FILE, or keep one for good with `blemish weights add FILE --name {network}` or `blemish weights pull {network}`"
            )),
            FeatureError::NoPrompted { network, .. } => Some(format!(
                ", and keep it with `blemish weights add FILE --name {network}`, or `blemish weights pull {network}`; `--set` names a file \
                 for one fit"
            )),
            FeatureError::NoOnnxLayers { path } => {
                let path = shell::path(path);
                Some(format!(
                    " with --layers TENSOR,...; `blemish info {path}` lists the tensors to choose from"
                ))
            }
            FeatureError::FixedSize { wanted, .. } => Some(format!(" with --size {wanted}")),
            FeatureError::NotPublished { network } => {
                Some(format!(" and keep it with `blemish weights add FILE --name {network}`"))
            }
            FeatureError::Pull { network, file, .. } => {
                Some(format!(", where `blemish weights add {file} --name {network}` keeps it"))
            }
            _ => None,
        };
        let code = error.code();
        let mut failure = Self::new(error).of_code(code);
        if let (Some(help), Some(option)) = (&mut failure.help, option) {
            help.push_str(&option);
        }
        failure
    }
}

impl From<blemish_report::ReportError> for Failure {
    fn from(error: blemish_report::ReportError) -> Self {
        Self::new(error)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let kind = match &error {
            ImportError::Interrupted => Kind::Interruption,
            ImportError::UnknownCellType { .. } => Kind::Usage,
            _ => Kind::Ordinary,
        };
        Self { kind, ..Self::new(error) }
    }
}

impl From<SynthError> for Failure {
    fn from(error: SynthError) -> Self {
        let kind = match error {
            SynthError::Image(error) => return error.into(),
            SynthError::Interrupted => Kind::Interruption,
            SynthError::UnknownLook { .. } | SynthError::Sides { .. } => Kind::Usage,
            _ => Kind::Ordinary,
        };
        Self { kind, ..Self::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mending_becomes_the_help() {
        let failure = Failure::new("tensor `a` is missing; bring it");
        assert_eq!(failure.to_string(), "tensor `a` is missing");
        assert_eq!(miette::Diagnostic::help(&failure).map(|help| help.to_string()), Some("bring it".into()));
    }

    #[test]
    fn the_program_names_its_options_where_the_library_says_what_is_missing() {
        let help =
            |error| miette::Diagnostic::help(&Failure::from(Error::Features(error))).map(|it| it.to_string());
        let weights = help(FeatureError::NoWeights { network: "resnet18" }).unwrap();
        assert!(
            weights.contains("timm with --weights FILE") && weights.contains("pull resnet18"),
            "{weights}"
        );
        let layers = help(FeatureError::NoOnnxLayers { path: "net.onnx".into() }).unwrap();
        assert!(
            layers.contains("feature maps with --layers") && layers.contains("info net.onnx"),
            "{layers}"
        );
        let by_hand = help(FeatureError::NotPublished { network: "alexnet" }).unwrap();
        assert!(by_hand.ends_with("`blemish weights add FILE --name alexnet`"), "{by_hand}");
    }

    #[test]
    fn options_of_the_program_follow_what_the_library_asks_for() {
        let reason = "the images have different sizes; resize all images to one size".to_owned();
        let failure = Failure::from(Error::Fit { method: "padim", reason });
        let help = miette::Diagnostic::help(&failure).map(|help| help.to_string());
        assert_eq!(help.unwrap(), "resize all images to one size (--size WxH)");
    }

    #[test]
    fn wrong_usage_has_a_kind_of_its_own() {
        let setting = || DataError::Setting("tiles overlap".into());
        let unknown = || Error::UnknownMethod { name: "x".into(), known: "y".into() };
        let usage = [
            Failure::from(setting()),
            Error::Data(setting()).into(),
            unknown().into(),
            Error::Features(FeatureError::UnknownEngine { name: "x".into(), known: "y" }).into(),
            SynthError::Sides { width: 1, height: 1 }.into(),
        ];
        assert!(usage.iter().all(|failure| failure.kind == Kind::Usage), "{usage:?}");
        let other = Failure::from(Error::Features(FeatureError::NoWeights { network: "resnet18" }));
        assert_eq!(other.kind, Kind::Ordinary);
        assert_eq!(Failure::from(DataError::Interrupted).kind, Kind::Interruption);
    }

    #[test]
    fn messages_hold_nothing_that_a_terminal_obeys() {
        let failure = Failure::new("cannot use `\x1b[31m.png`; copy `\u{202e}`");
        assert_eq!(failure.to_string(), r"cannot use `\u{1b}[31m.png`");
        assert_eq!(failure.help.as_deref(), Some(r"copy `\u{202e}`"));
    }

    #[test]
    fn limits_on_images_name_the_options_that_raise_them() {
        let fault = blemish::data::ImageFault::TooLarge { needed_mib: Some(1145), limit_mib: 1024 };
        let failure = Failure::from(DataError::Image { path: "a.png".into(), fault });
        let help = miette::Diagnostic::help(&failure).map(|help| help.to_string()).unwrap();
        assert!(
            failure.to_string().contains("1145 MiB") && help.contains("--memory-limit SIZE"),
            "{failure} {help}"
        );
        let fault = blemish::data::ImageFault::TooManyPixels { width: 9, height: 9, maximum: 80 };
        let failure = Failure::from(DataError::Image { path: "a.png".into(), fault });
        assert!(miette::Diagnostic::help(&failure).unwrap().to_string().contains("--max-pixels N"));
    }

    #[test]
    fn interruption_and_closed_pipes_are_told_apart() {
        assert!(Failure::interrupted().is_interruption());
        assert!(Failure::stdout(&std::io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
        assert!(!Failure::stdout(&std::io::ErrorKind::Other.into()).is_broken_pipe());
    }
}

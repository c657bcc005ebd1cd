//! Compilers, programs and models.

use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::data::{Files, Tiling, Transform, open_dataset};
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions, TileModels, TileOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// What every C program is compiled with; a warning is an error.
pub const C99: &[&str] = &["-Wall", "-Wextra", "-pedantic", "-std=c99", "-Werror", "-D_DEFAULT_SOURCE", "-g"];

/// A file of this crate.
pub fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether a tool can be run; said aloud where it cannot.
pub fn has(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        println!("skipped: there is no `{tool}`; install it to run this part");
    }
    is_there
}

/// The C compilers there are.
pub fn compilers() -> Vec<&'static str> {
    ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)).collect()
}

/// The library that was built with this test, under its own name and those that linkers and loaders look for.
pub fn libraries() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let built = std::env::current_exe().unwrap().with_file_name("libblemish_capi.so");
        assert!(built.exists(), "{} is missing", built.display());
        for name in ["libblemish_capi.so", "libblemish.so", "libblemish.so.0"] {
            std::os::unix::fs::symlink(&built, folder.path().join(name)).unwrap();
        }
        folder
    });
    folder.path()
}

/// A program of `tests/c/programs`, compiled into a folder of its own.
pub struct Program {
    folder: TempDir,
    name: String,
}

impl Program {
    /// Compiles a program of this crate.
    pub fn new(name: &str, compiler: &str, more: &[&str]) -> Self {
        Self::of(&own(&format!("tests/c/programs/{name}.c")), compiler, &[C99, more].concat())
    }

    /// Compiles any source.
    pub fn of(source: &Path, compiler: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut command = Command::new(compiler);
        command.args(flags).arg("-I").arg(own("include")).arg("-I").arg(own("tests/c/programs"));
        command.arg(source).arg("-o").arg(folder.path().join(&name));
        command.arg("-L").arg(libraries()).args(["-Wl,--as-needed", "-lblemish", "-lpthread", "-ldl", "-lm"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{compiler}: {}", text(&output.stderr));
        Self { folder, name }
    }

    /// The program, run by another, such as valgrind, where one is given.
    pub fn command(&self, by: &[&str]) -> Command {
        let program = self.folder.path().join(&self.name);
        let mut command = match by {
            [] => Command::new(program),
            [tool, arguments @ ..] => {
                let mut command = Command::new(tool);
                command.args(arguments).arg(program);
                command
            }
        };
        command.env("LD_LIBRARY_PATH", libraries()).current_dir(self.folder.path());
        command
    }

    /// Runs it and expects it to end well, with nothing from the library on either stream; gives standard output.
    pub fn run(&self, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
        self.run_by(&[], arguments).0
    }

    /// The same run by another program; gives both streams.
    pub fn run_by(&self, by: &[&str], arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> (String, String) {
        let mut command = self.command(by);
        for argument in arguments {
            command.arg(argument.as_ref());
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        let (out, error) = (text(&stdout), text(&stderr));
        assert!(status.success(), "{} ({by:?}) ended with {status}\n{out}{error}", self.name);
        assert!(!error.contains("panicked"), "{error}");
        (out, error)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with good and defective pictures and the models that tests use.
pub struct Models {
    folder: TempDir,
}

impl Models {
    /// Made once for all tests.
    pub fn get() -> &'static Self {
        static MODELS: OnceLock<Models> = OnceLock::new();
        MODELS.get_or_init(Self::make)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Patchcore with thresholds.
    pub fn patchcore(&self) -> PathBuf {
        self.path("patchcore.blemish")
    }

    /// One that scores in well under a millisecond.
    pub fn quick(&self) -> PathBuf {
        self.path("quick.blemish")
    }

    /// One that looks at tiles.
    pub fn tiled(&self) -> PathBuf {
        self.path("tiled.blemish")
    }

    /// Good and defective pictures that no model has seen.
    pub fn pictures(&self) -> Vec<PathBuf> {
        let dataset = open_dataset(&self.path("set"), &Default::default()).unwrap();
        dataset.test.into_iter().map(|sample| sample.path).collect()
    }

    fn make() -> Self {
        let models = Self { folder: tempfile::tempdir().unwrap() };
        let set = models.path("set");
        let looks = SynthOptions {
            train: 12,
            test_good: 8,
            test_per_defect: 3,
            height: 64,
            width: 64,
            ..SynthOptions::new(Look::Fabric)
        };
        write_synthetic_set(&set, &looks, &|_, _| {}).unwrap();
        let without = CalibrationConfig { folds: 0, ..CalibrationConfig::default() };
        let rate = CalibrationConfig { false_alarm: 0.1, folds: 3, ..CalibrationConfig::default() };
        let base =
            DetectorConfig { transform: Some(Transform::resize_to(64, 64)), ..DetectorConfig::default() };
        models.fit("patchcore", DetectorConfig { calibration: rate.clone(), ..base.clone() });
        let small = Transform::resize_to(16, 16);
        models.fit(
            "quick",
            DetectorConfig {
                method: "statistical".into(),
                transform: Some(small),
                calibration: rate,
                ..base.clone()
            },
        );
        let tiles = TileOptions { tiling: Tiling::new(64, 64), models: TileModels::Shared, per_image: None };
        let native = Some(Transform::native());
        models.fit(
            "tiled",
            DetectorConfig { tiles: Some(tiles), transform: native, calibration: without, ..base },
        );
        models
    }

    fn fit(&self, name: &str, config: DetectorConfig) {
        let dataset = open_dataset(&self.path("set"), &Default::default()).unwrap();
        let detector = Detector::fit(&config, &Files::training(&dataset), &FitOptions::default()).unwrap();
        detector.save(&self.path(&format!("{name}.blemish"))).unwrap();
    }
}

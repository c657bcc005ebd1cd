//! Runs the real binary as a user would.

use blemish::features::{Architecture, Tensor, networks, onnx};
use safetensors::{Dtype, tensor::TensorView};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary folder and the program run inside it.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blemish"));
        command.args(line.split_whitespace()).current_dir(self.folder.path());
        command.env("BLEMISH_WEIGHTS", self.path("weight-store")).env("NO_COLOR", "1").env("COLUMNS", "200");
        command
    }

    /// Runs a line and expects it to succeed; gives standard output.
    pub fn ok(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "`{line}` failed:\n{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a line and expects it to fail, with exit code 1 or for wrong usage 2, and without a panic; gives standard error on one line.
    pub fn fails(&self, line: &str) -> String {
        self.ends_with(&[1, 2], line)
    }

    /// The same for wrong usage.
    pub fn misused(&self, line: &str) -> String {
        self.ends_with(&[2], line)
    }

    fn ends_with(&self, codes: &[i32], line: &str) -> String {
        let output: Output = self.command(line).output().unwrap();
        let error = text(&output.stderr);
        let is_right = output.status.code().is_some_and(|code| codes.contains(&code));
        assert!(is_right, "`{line}` gave {}:\n{}{error}", output.status, text(&output.stdout));
        assert!(!error.contains("panicked"), "{error}");
        error.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }

    /// The pictures in a folder, by name.
    pub fn pictures(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap().map(|entry| entry.unwrap());
        let visible = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
        let mut paths: Vec<PathBuf> = visible.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    /// A small synthetic set and a model fitted on it, both quick.
    pub fn with_model() -> Self {
        let bench = Self::new();
        bench.ok("data synth set --train 6 --test-good 2 --test-per-defect 1 --size 64x64");
        bench.ok("fit set --size 64x64 -o model.blemish");
        bench
    }
}

/// Runs a script of a crate's tests by Node in Chromium; gives what it wrote, or nothing where there is no browser or no Node.
pub fn in_browser(script: &str, arguments: &[&Path]) -> Option<String> {
    let Some(chromium) = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        println!("skipped: there is no Chromium; install the package `chromium` to run this test");
        return None;
    };
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: there is no Node; install the package `nodejs` to run this test");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script);
    let output = Command::new("node").arg(script).arg(chromium).args(arguments).output().unwrap();
    let seen = text(&output.stdout);
    assert!(output.status.success(), "{seen}{}", text(&output.stderr));
    Some(seen)
}

/// Writes a weight file of SqueezeNet 1.1 with made-up values.
pub fn write_made_up_weights(path: &Path) {
    let architecture = Architecture::SqueezeNet1_1;
    let network = networks::build(architecture).cut(&architecture.layers_at(&[8, 16])).unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network
        .tensor_shapes()
        .map(|(name, shape)| {
            let inputs: usize = shape[1..].iter().product();
            let value = |at: usize| (((at * 7919) % 997) as f32 / 997.0 - 0.45) / (inputs as f32).sqrt();
            let bytes = (0..shape.iter().product()).flat_map(|at| value(at).to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Writes an ONNX file of SqueezeNet 1.1 with all weights alike that takes one image of 96 rows and 64 columns; gives the names of two
/// layers.
pub fn write_onnx_of_one_size(path: &Path) -> String {
    let architecture = Architecture::SqueezeNet1_1;
    let layers = architecture.layers_at(&[8, 16]);
    let network = networks::build(architecture).cut(&layers).unwrap();
    let weights = network.tensor_shapes().map(|(name, shape)| {
        let value = 1.0 / shape[1..].iter().product::<usize>() as f32;
        (name, Tensor { data: vec![value; shape.iter().product()], shape })
    });
    let mut bytes = onnx::emit(&network, &weights.collect());
    // The names of the free sizes give way to numbers of as many bytes.
    for (name, size) in [(b'h', 96), (b'w', 64)] {
        let at = bytes.windows(5).position(|window| window == [10, 3, 18, 1, name]).unwrap();
        bytes[at + 2..at + 5].copy_from_slice(&[8, size | 0x80, 0]);
    }
    std::fs::write(path, bytes).unwrap();
    layers.iter().map(|layer| format!("tap:{layer}")).collect::<Vec<_>>().join(",")
}

/// Sends a signal at once: a program that sends it would take its time to start on a busy machine.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, signal: libc::c_int) {
    // Safety: the process is our own child, which has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folder of shared evaluation data; `None` (and said aloud) where it is absent.
pub fn shared(what: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(what);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

//! The scripts of `benches/` start. What they measure needs data and peers that are not here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that scripts import.
const MODULES: [&str; 3] = ["blemish.py", "measures.py", "serve/server.py"];

#[test]
fn every_benchmark_script_says_how_it_is_used() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: there is no python3");
        return;
    }
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches");
    let scripts = scripts_below(&benches);
    assert!(scripts.len() >= 20, "{scripts:?}");
    for script in scripts {
        let help = Command::new("python3").arg("-B").arg(&script).arg("--help").output().unwrap();
        let (text, error) = (String::from_utf8_lossy(&help.stdout), String::from_utf8_lossy(&help.stderr));
        assert!(help.status.success() && text.starts_with("usage:"), "{}: {error}", script.display());
    }
}

fn scripts_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(scripts_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "py")
            && !MODULES.iter().any(|name| path.ends_with(name))
        {
            found.push(path);
        }
    }
    found
}

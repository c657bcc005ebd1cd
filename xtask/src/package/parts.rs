//! The crates that the program is made of.

use super::{Failure, output};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The features of the program in packages: those that are its default.
pub const FEATURES: &[&str] = &["ort", "pull", "serve"];

/// A crate of the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub name: String,
    pub version: String,
    /// An SPDX expression; empty if the crate says none.
    pub licence: String,
    pub repository: String,
    /// SHA-256 of its archive; empty for our own.
    pub checksum: String,
    /// Where its source lies.
    pub folder: PathBuf,
    pub is_ours: bool,
}

/// What `cargo tree` lists of the program with the features of packages: names and versions.
pub fn tree(root: &Path, target: &str) -> Result<BTreeSet<(String, String)>, Failure> {
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["tree", "--locked", "--package", "blemish-cli", "--no-default-features"]);
    command.args(["--features", &FEATURES.join(","), "--edges", "normal", "--target", target]);
    let text = output(command.args(["--prefix", "none", "--format", "{p}"]))?;
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    Ok(text.lines().filter_map(one).collect())
}

/// The same with what the crates say of themselves, by name.
pub fn of_program(root: &Path, target: &str) -> Result<Vec<Part>, Failure> {
    let listed = tree(root, target)?;
    let mut command = Command::new("cargo");
    let metadata = output(command.current_dir(root).args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let checksums = checksums(&std::fs::read_to_string(root.join("Cargo.lock"))?);
    let mut parts = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let key = (text("name"), text("version"));
        if !listed.contains(&key) {
            continue;
        }
        let manifest = PathBuf::from(text("manifest_path"));
        parts.push(Part {
            checksum: checksums.get(&key).cloned().unwrap_or_default(),
            name: key.0,
            version: key.1,
            // Old manifests have a slash for `OR`.
            licence: text("license").replace('/', " OR ").replace("  ", " "),
            repository: text("repository"),
            folder: manifest.parent().unwrap_or(Path::new("")).to_owned(),
            is_ours: package["source"].is_null(),
        });
    }
    parts.sort();
    match listed.len() == parts.len() {
        true => Ok(parts),
        false => {
            Err(format!("cargo tree lists {} crates, cargo metadata knows {}", listed.len(), parts.len())
                .into())
        }
    }
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.and_then(|line| line.strip_suffix('"')).map(str::to_owned)
    };
    let blocks = lock.split("[[package]]\n").skip(1);
    blocks
        .filter_map(|block| {
            Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?))
        })
        .collect()
}

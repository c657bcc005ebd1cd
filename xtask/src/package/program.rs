//! The program itself: built so that neither the machine nor the hour shows, and asked what it is.

use super::facts::Facts;
use super::parts::FEATURES;
use super::{Failure, output, write};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program by the profile `dist`; gives where it lies.
///
/// # Errors
/// If cargo fails.
pub fn build(root: &Path, facts: &Facts, notices: &str) -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    let third_party = target.join("THIRD-PARTY.md");
    write(&third_party, notices.as_bytes())?;
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let maps = [
        (root.display().to_string(), "/blemish"),
        (home, "/cargo"),
        (sysroot.trim().to_owned(), "/rust"),
        (target.display().to_string(), "/target"),
    ];
    // One separator that no path has.
    let rust: Vec<String> =
        maps.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let c: Vec<String> = maps.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    let mut command = Command::new("cargo");
    command.current_dir(root).args(["build", "--locked", "--profile", "dist", "--package", "blemish-cli"]);
    command.args(["--no-default-features", "--features", &FEATURES.join(","), "--target", &facts.target]);
    command.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}")).env("CARGO_INCREMENTAL", "0");
    command.env("CFLAGS", c.join(" ")).env("CXXFLAGS", c.join(" "));
    command.env("SOURCE_DATE_EPOCH", facts.epoch.to_string()).env("BLEMISH_COMMIT", &facts.commit);
    command.env("BLEMISH_THIRD_PARTY", &third_party);
    if !command.status()?.success() {
        return Err("the program cannot be built".into());
    }
    Ok(target.join(&facts.target).join("dist/blemish"))
}

/// What the program says of itself; it must be of this version and, where it `is_built` here, of this commit.
///
/// # Errors
/// A program that cannot be run, or is another one.
pub fn check(program: &Path, facts: &Facts, is_built: bool) -> Result<Value, Failure> {
    let told: Value = serde_json::from_str(&output(Command::new(program).args(["version", "--json"]))?)?;
    let is = |key: &str, wanted: &str| told[key].as_str().unwrap_or_default() == wanted;
    let features: Vec<&str> =
        told["features"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !is("version", &facts.version) || !is("target", &facts.target) || features != FEATURES {
        return Err(format!(
            "the program is {told}, not version {} for {} with {FEATURES:?}",
            facts.version, facts.target
        )
        .into());
    }
    if is_built && !is("commit", &facts.commit) {
        return Err(format!("the program is of commit {}, not {}", told["commit"], facts.commit).into());
    }
    Ok(told)
}

/// The newest version of the C library of which a program needs a symbol, such as (2, 28).
pub fn glibc_of(program: &[u8]) -> Option<(u32, u32)> {
    const PREFIX: &[u8] = b"GLIBC_";
    let versions = program.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    let read = |(at, _): (usize, &[u8])| {
        let rest = program[at + PREFIX.len()..]
            .iter()
            .take(8)
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
        let text: String = rest.map(|&byte| byte as char).collect();
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    versions.filter_map(read).max()
}

//! `cargo xtask package`: what is shipped, made the same way every time.
//!
//! ```text
//! facts    version, commit, target, time      parts   crates of this feature set, by `cargo tree`
//!      └─> program  built by profile dist, reproducibly      ├─> notices  THIRD-PARTY.md
//!               └─> contents  what lies in every package  <──┴─> sbom     CycloneDX
//!                        └─> archive (.tar.xz), deb, SHA256SUMS
//! ```
//! Two runs on one commit give the same bytes, in whatever folder: times are those of the commit, names are sorted, owners are 0, paths of the machine are
//! mapped away.

mod archive;
mod contents;
mod deb;
mod facts;
mod notices;
mod parts;
mod program;
mod sbom;
#[cfg(test)]
mod tests;

use clap::Args;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::path::{Path, PathBuf};

/// An error in words, whatever it came from.
pub type Failure = Box<dyn Error>;

/// What to package.
#[derive(Args)]
pub struct PackageArgs {
    /// Where packages are written.
    #[arg(short, long, default_value = "target/package")]
    output: PathBuf,
    /// A program that was built already, instead of building one; for tests of the packaging itself.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Makes the archive, the Debian package and their checksums; gives a summary.
///
/// # Errors
/// What cannot be built, run, read or written.
pub fn package(args: &PackageArgs) -> Result<String, Failure> {
    let root = root()?;
    let facts = facts::Facts::read(root)?;
    let parts = parts::of_program(root, &facts.target)?;
    let notices = notices::third_party(&parts)?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => program::build(root, &facts, &notices)?,
    };
    let told = program::check(&program, &facts, args.program.is_none())?;
    let sbom = sbom::cyclonedx(&facts, &parts, &told)?;
    let contents = contents::gather(root, &facts, &program, &notices, &sbom)?;
    std::fs::create_dir_all(&args.output)?;
    let name = facts.name();
    let packages = [
        (format!("{name}.tar.xz"), archive::tar_xz(&name, &contents, facts.epoch)?),
        (deb::file_name(&facts), deb::deb(root, &facts, &contents, &program)?),
        (format!("{name}.cdx.json"), sbom.into_bytes()),
    ];
    let (mut sums, mut summary) = (String::new(), Vec::new());
    for (name, bytes) in &packages {
        write(&args.output.join(name), bytes)?;
        sums += &format!("{}  {name}\n", digest(bytes));
        summary.push(format!("{name}: {:.1} MB", bytes.len() as f64 / 1e6));
    }
    write(&args.output.join("SHA256SUMS"), sums.as_bytes())?;
    Ok(format!("{}\nin {}", summary.join("\n"), args.output.display()))
}

/// The folder of the workspace.
fn root() -> Result<&'static Path, Failure> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask lies in no workspace")?)
}

/// SHA-256 in hexadecimal.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write `{}`: {error}", path.display()).into())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()).into())
}

/// Runs a command and gives what it wrote.
fn output(command: &mut std::process::Command) -> Result<String, Failure> {
    let done = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{command:?} failed: {}", said.trim()).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

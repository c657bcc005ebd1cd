//! What lies in every package.

use super::facts::Facts;
use super::{Failure, output, read};
use std::path::Path;
use std::process::Command;

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Below the package's folder.
    pub path: String,
    pub bytes: Vec<u8>,
    pub is_program: bool,
}

/// Shells, and where a package keeps their completions.
pub const SHELLS: [(&str, &str); 3] = [
    ("bash", "completions/blemish.bash"),
    ("zsh", "completions/_blemish"),
    ("fish", "completions/blemish.fish"),
];

/// Program, licences, notices, bill of materials, completions, manual page; sorted by path.
///
/// # Errors
/// A file that is missing, a program that does not run.
pub fn gather(
    root: &Path,
    facts: &Facts,
    program: &Path,
    notices: &str,
    sbom: &str,
) -> Result<Vec<Entry>, Failure> {
    let plain = |path: &str, bytes: Vec<u8>| Entry { path: path.into(), bytes, is_program: false };
    let mut entries = vec![
        Entry { path: "blemish".into(), bytes: read(program)?, is_program: true },
        plain("THIRD-PARTY.md", notices.into()),
        plain("sbom.cdx.json", sbom.into()),
        plain("blemish.1", (output(Command::new(program).arg("man"))?).into()),
        plain("VERSION", format!("{} {} {}\n", facts.version, facts.commit, facts.target).into()),
        plain("systemd/blemish.service", read(&root.join("packaging/blemish.service"))?),
        plain("systemd/serve.toml", read(&root.join("packaging/serve.toml"))?),
    ];
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "NOTICE", "README.md", "CHANGELOG.md"] {
        entries.push(plain(name, read(&root.join(name))?));
    }
    for (shell, path) in SHELLS {
        entries.push(plain(path, output(Command::new(program).args(["completions", shell]))?.into()));
    }
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(entries)
}

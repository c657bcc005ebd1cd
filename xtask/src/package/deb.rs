//! The Debian package: an `ar` of two tars.

use super::archive::{tar, xz};
use super::contents::{Entry, SHELLS};
use super::facts::Facts;
use super::program::glibc_of;
use super::{Failure, read};
use ar::{Builder, Header};
use flate2::{Compression, GzBuilder};
use std::io::Write;
use std::path::Path;

/// Scripts that run around an installation.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// What Debian calls the machine of a target.
fn architecture(target: &str) -> &str {
    match target.split('-').next().unwrap_or_default() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub fn file_name(facts: &Facts) -> String {
    format!("blemish_{}_{}.deb", facts.version, architecture(&facts.target))
}

/// The package.
///
/// # Errors
/// Files that are missing.
pub fn deb(root: &Path, facts: &Facts, contents: &[Entry], program: &Path) -> Result<Vec<u8>, Failure> {
    let files = files(root, facts, contents)?;
    let installed: usize = files.iter().map(|file| file.bytes.len()).sum();
    let needed =
        glibc_of(&read(program)?).ok_or("the program needs no version of the C library, which cannot be")?;
    let control = format!(
        "Package: blemish\nVersion: {}\nArchitecture: {}\nMaintainer: The Blemish developers <blemish@users.noreply.github.com>\n\
         Installed-Size: {}\nDepends: libc6 (>= {}.{}), libgcc-s1\nSection: science\nPriority: optional\n\
         Homepage: https://github.com/blemish-ad/blemish\n\
         Description: visual anomaly detection after seeing only good images\n \
         Blemish learns from a folder of good images, scores new ones and shows where\n \
         the trouble is: scratches, stains, cracks, missing print, foreign bodies. It\n \
         needs no defective images, no internet, no Python and no GPU.\n .\n \
         The package has a service that is neither enabled nor started: edit\n \
         /etc/blemish/serve.toml, then run systemctl enable --now blemish.\n",
        facts.version,
        architecture(&facts.target),
        installed.div_ceil(1024),
        needed.0,
        needed.1
    );
    let plain = |path: &str, bytes: Vec<u8>| Entry { path: path.into(), bytes, is_program: false };
    let mut around =
        vec![plain("./control", control.into()), plain("./conffiles", b"/etc/blemish/serve.toml\n".to_vec())];
    for name in SCRIPTS {
        let bytes = read(&root.join("packaging/debian").join(name))?;
        around.push(Entry { path: format!("./{name}"), bytes, is_program: true });
    }
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.xz", xz(&tar(&around, facts.epoch)?)?),
        ("data.tar.xz", xz(&tar(&files, facts.epoch)?)?),
    ];
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in &members {
        let mut header = Header::new(name.as_bytes().to_vec(), bytes.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(facts.epoch);
        builder.append(&header, bytes.as_slice())?;
    }
    Ok(builder.into_inner()?)
}

/// Where files of the archive lie on a system, and what a system has beside them.
fn files(root: &Path, facts: &Facts, contents: &[Entry]) -> Result<Vec<Entry>, Failure> {
    let document = "./usr/share/doc/blemish";
    let mut files = Vec::new();
    for entry in contents {
        let place = match entry.path.as_str() {
            "blemish" => "./usr/bin/blemish".to_owned(),
            "systemd/blemish.service" => "./usr/lib/systemd/system/blemish.service".into(),
            "systemd/serve.toml" => "./etc/blemish/serve.toml".into(),
            "NOTICE" | "THIRD-PARTY.md" | "sbom.cdx.json" => format!("{document}/{}", entry.path),
            path if path == SHELLS[0].1 => "./usr/share/bash-completion/completions/blemish".into(),
            path if path == SHELLS[1].1 => "./usr/share/zsh/vendor-completions/_blemish".into(),
            path if path == SHELLS[2].1 => "./usr/share/fish/vendor_completions.d/blemish.fish".into(),
            "blemish.1" => {
                files.push(packed("./usr/share/man/man1/blemish.1.gz", &entry.bytes)?);
                continue;
            }
            // In the copyright file, or of the archive alone.
            _ => continue,
        };
        files.push(Entry { path: place, ..entry.clone() });
    }
    let copyright = read(&root.join("packaging/debian/copyright"))?;
    files.push(Entry { path: format!("{document}/copyright"), bytes: copyright, is_program: false });
    let changes = format!(
        "blemish ({}) stable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n -- The Blemish developers \
         <blemish@users.noreply.github.com>  {}\n",
        facts.version,
        facts.mail_time()
    );
    files.push(packed(&format!("{document}/changelog.gz"), changes.as_bytes())?);
    Ok(files)
}

/// A compressed file, without a name or a time inside.
fn packed(path: &str, bytes: &[u8]) -> Result<Entry, Failure> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    writer.write_all(bytes)?;
    Ok(Entry { path: path.into(), bytes: writer.finish()?, is_program: false })
}

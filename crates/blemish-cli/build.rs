//! What `blemish version` tells and only the build knows.

use std::path::PathBuf;
use std::{env, fs};

/// A build that is no package does not collect the licences of its parts.
const ELSEWHERE: &str = "This program was built from source without a list of its parts. `cargo xtask package` makes packages that \
have it; `cargo tree` names the crates, whose licences lie beside their sources.\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=BLEMISH_COMMIT");
    println!("cargo:rerun-if-env-changed=BLEMISH_THIRD_PARTY");
    println!("cargo:rustc-env=BLEMISH_TARGET={}", env::var("TARGET").unwrap_or_default());
    let text = match env::var("BLEMISH_THIRD_PARTY") {
        Ok(path) if !path.is_empty() => {
            println!("cargo:rerun-if-changed={path}");
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
        }
        _ => ELSEWHERE.to_owned(),
    };
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("third-party.md");
    fs::write(&out, text).unwrap_or_else(|error| panic!("cannot write `{}`: {error}", out.display()));
}

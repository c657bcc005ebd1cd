//! The header: what it declares, and that it is made of the source.

use crate::support::{own, text};
use std::process::Command;

/// A function that the header declares.
#[derive(Debug)]
pub struct Function {
    pub gives: String,
    pub name: String,
    /// Types, spelled as `const char *`, and names.
    pub parameters: Vec<(String, String)>,
}

/// The functions of the header, in its order.
pub fn functions() -> Vec<Function> {
    let header = std::fs::read_to_string(own("include/blemish.h")).unwrap();
    let declared = header.split("extern \"C\" {").nth(1).unwrap().split("#ifdef __cplusplus").next().unwrap();
    let mut code = String::new();
    let mut is_comment = false;
    for line in declared.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        is_comment |= line.starts_with("/**");
        if !is_comment {
            code += line;
            code.push(' ');
        }
        is_comment &= !line.ends_with("*/");
    }
    code.split(';').map(str::trim).filter(|one| !one.is_empty()).map(function).collect()
}

fn function(declaration: &str) -> Function {
    let (head, rest) = declaration.split_once('(').unwrap();
    let (gives, name) = typed(head);
    let parameters = rest.trim_end().trim_end_matches(')').split(',').map(str::trim);
    let parameters = parameters.filter(|one| *one != "void").map(typed).collect();
    Function { gives, name, parameters }
}

/// `const char *path` as its type and its name.
fn typed(declaration: &str) -> (String, String) {
    let at = declaration.rfind(['*', ' ']).unwrap() + 1;
    (declaration[..at].trim().to_owned(), declaration[at..].to_owned())
}

#[test]
fn the_header_is_what_cbindgen_makes_of_the_source() {
    let version = Command::new("cbindgen").arg("--version").output();
    if !version.is_ok_and(|output| text(&output.stdout).contains("0.29.")) {
        println!("skipped: there is no cbindgen 0.29; `cargo install cbindgen@0.29.4` brings it");
        return;
    }
    let made = Command::new("cbindgen")
        .args(["--quiet", "--config", "cbindgen.toml", "."])
        .current_dir(own(""))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    let kept = std::fs::read_to_string(own("include/blemish.h")).unwrap();
    assert!(
        text(&made.stdout) == kept,
        "include/blemish.h is not of this source: cbindgen --quiet --config cbindgen.toml -o include/blemish.h ."
    );
}

#[test]
fn functions_of_the_header_are_read() {
    let all = functions();
    let load = all.iter().find(|function| function.name == "blemish_load").unwrap();
    assert_eq!(load.gives, "blemish_status");
    let kinds: Vec<&str> = load.parameters.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["const char *", "const blemish_load_options *", "blemish_detector **", "blemish_error **"]
    );
    let version = all.iter().find(|function| function.name == "blemish_version").unwrap();
    assert!(version.gives == "const char *" && version.parameters.is_empty());
    assert!(all.iter().all(|function| function.name.starts_with("blemish_")), "{all:?}");
}

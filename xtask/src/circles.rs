//! Import circles: files of a crate that import each other in a loop.
//!
//! A file imports another where it names a path into it (`crate::`, `super::`, `self::`), in a `use` or anywhere else; names that a file only
//! hands on count as its own. Declaring a module (`mod x;`) is no import, and tests may import anything. Between crates Cargo keeps the
//! direction.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

type Module = Vec<String>;

/// The files of a crate by their module.
struct Crate {
    files: BTreeMap<Module, PathBuf>,
}

/// The circles in words.
///
/// # Errors
/// The circles, if there are any; what reading the files returns.
pub fn report() -> Result<String, Box<dyn Error>> {
    let circles = find(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")))?;
    match circles.as_slice() {
        [] => Ok("no files import each other in a circle".into()),
        circles => Err(format!("{} circles: {circles:#?}", circles.len()).into()),
    }
}

/// Every circle of every crate below `root`, as the files that lie on it.
pub fn find(root: &Path) -> Result<Vec<Vec<PathBuf>>, Box<dyn Error>> {
    let mut circles = Vec::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root.join("crates"))?
        .map(|entry| Ok(entry?.path().join("src")))
        .collect::<Result<_, std::io::Error>>()?;
    folders.push(root.join("xtask/src"));
    folders.sort();
    for source in folders {
        let mut files = BTreeMap::new();
        collect(&source, &[], &mut files)?;
        let own = Crate { files };
        let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, path) in &own.files {
            let text = without_tests(&fs::read_to_string(path)?);
            let found = paths(&text).into_iter().filter_map(|path| own.file_of(module, &path));
            imports.insert(module.clone(), found.filter(|other| other != module).collect());
        }
        circles.extend(
            knots(&imports)
                .into_iter()
                .map(|knot| knot.iter().map(|module| own.files[module].clone()).collect()),
        );
    }
    Ok(circles)
}

fn collect(
    folder: &Path,
    module: &[String],
    files: &mut BTreeMap<Module, PathBuf>,
) -> Result<(), Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let below: Module = module.iter().cloned().chain([stem.clone()]).collect();
        if path.is_dir() {
            if stem != "tests" {
                collect(&path, &below, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && stem != "tests"
            && stem != "testing"
        {
            let is_root = matches!(stem.as_str(), "mod" | "lib") || (stem == "main" && module.is_empty());
            files.insert(if is_root { module.to_vec() } else { below }, path);
        }
    }
    Ok(())
}

/// The text without comments and without what is compiled for tests only, which stands at the end of a file here.
fn without_tests(text: &str) -> String {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// Every path that begins with `crate`, `super` or `self`, with the alternatives of braces written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            let continues = before.is_some_and(|letter| {
                letter.is_alphanumeric() || letter == '_' || letter == ':' || letter == '$'
            });
            if !continues {
                expand(&text[at..], Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Reads a path and what it branches into; returns the rest of the text.
fn expand<'t>(text: &'t str, mut path: Vec<String>, found: &mut Vec<Vec<String>>) -> &'t str {
    let mut rest = text.trim_start();
    loop {
        let name: String =
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if !name.is_empty() {
            rest = &rest[name.len()..];
            path.push(name);
        }
        match rest.strip_prefix("::") {
            Some(next) => rest = next.trim_start(),
            None => break,
        }
        if let Some(mut inner) = rest.strip_prefix('{') {
            loop {
                inner = inner.trim_start().trim_start_matches(',').trim_start();
                match inner.strip_prefix('}') {
                    Some(after) => return after,
                    None if inner.is_empty() => return inner,
                    None => {
                        let before = inner.len();
                        inner = expand(inner, path.clone(), found);
                        // `as name` and `*` are passed over.
                        if inner.len() == before {
                            let width = inner.chars().next().map_or(1, char::len_utf8);
                            inner = &inner[width..];
                        }
                    }
                }
            }
        }
    }
    if !path.is_empty() {
        found.push(path);
    }
    rest
}

impl Crate {
    /// The file that a path of the file `from` leads into.
    fn file_of(&self, from: &Module, path: &[String]) -> Option<Module> {
        let mut at: Module = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        let mut names = path[1..].iter().peekable();
        while names.peek().is_some_and(|name| *name == "super") {
            names.next();
            at.pop()?;
        }
        for name in names {
            let deeper: Module = at.iter().cloned().chain([name.clone()]).collect();
            let is_module = self.files.keys().any(|module| module.starts_with(&deeper));
            if !is_module {
                break;
            }
            at = deeper;
        }
        // A folder without a file of its own belongs to what declares it.
        while !self.files.contains_key(&at) {
            at.pop()?;
        }
        Some(at)
    }
}

/// Sets of modules that reach each other.
fn knots(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<BTreeSet<Module>> {
    let reach = |from: &Module| {
        let mut seen: BTreeSet<Module> = BTreeSet::new();
        let mut next: Vec<&Module> = imports.get(from).into_iter().flatten().collect();
        while let Some(module) = next.pop() {
            if seen.insert(module.clone()) {
                next.extend(imports.get(module).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        imports.keys().map(|module| (module, reach(module))).collect();
    let mut found: Vec<BTreeSet<Module>> = Vec::new();
    for (module, far) in &reached {
        if far.contains(*module) && !found.iter().any(|knot| knot.contains(*module)) {
            found.push(far.iter().filter(|other| reached[other].contains(*module)).cloned().collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_with_all_their_branches() {
        let text = "use crate::a::{B, c::{D as E, *}};\nlet x = super::f::g(1); mycrate::h; $crate::i";
        let found: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
        assert!(
            found.contains(&"crate::a::B".to_owned()) && found.contains(&"crate::a::c::D".to_owned()),
            "{found:?}"
        );
        assert!(
            found.contains(&"super::f::g".to_owned()) && !found.iter().any(|path| path.ends_with("::h")),
            "{found:?}"
        );
    }

    #[test]
    fn a_loop_of_three_is_one_circle_and_a_line_is_none() {
        let name = |text: &str| vec![text.to_owned()];
        let line = |pairs: &[(&str, &str)]| {
            let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
            for (from, to) in pairs {
                imports.entry(name(to)).or_default();
                imports.entry(name(from)).or_default().insert(name(to));
            }
            knots(&imports).len()
        };
        assert_eq!(line(&[("a", "b"), ("b", "c"), ("a", "c")]), 0);
        assert_eq!(line(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]), 1);
    }

    #[test]
    fn no_files_of_a_crate_import_each_other_in_a_circle() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let circles = find(root).unwrap();
        assert!(circles.is_empty(), "{circles:#?}");
    }
}

//! The documentation of a method's module, read as text.

use std::fs;
use std::path::{Path, PathBuf};

/// Where methods lie; each has a folder of its name, or shares that of its family.
const TREES: [&str; 2] = ["crates/blemish-methods/src", "crates/blemish/src/methods"];

/// The file with the documentation of a method, from the root of the workspace: `NAME/mod.rs` or `NAME.rs` anywhere below one of the
/// trees, else `FAMILY/mod.rs`, for methods that share one module.
pub fn module_file(root: &Path, name: &str, family: &str) -> Option<PathBuf> {
    let find = |wanted: &str| TREES.iter().find_map(|tree| below(root, Path::new(tree), wanted));
    find(name).or_else(|| find(family))
}

fn below(root: &Path, folder: &Path, wanted: &str) -> Option<PathBuf> {
    for file in [folder.join(wanted).join("mod.rs"), folder.join(format!("{wanted}.rs"))] {
        if root.join(&file).is_file() {
            return Some(file);
        }
    }
    let mut folders: Vec<_> = fs::read_dir(root.join(folder))
        .ok()?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name())
        .collect();
    folders.sort();
    folders.into_iter().find_map(|inner| below(root, &folder.join(inner), wanted))
}

/// The `//!` block at the head of a source text as Markdown for a section of a page: headings two levels deeper, links to items as plain
/// code.
pub fn module_docs(source: &str) -> String {
    let mut is_code = false;
    let mut text = String::new();
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            is_code = !is_code;
        }
        if line.starts_with('#') && !is_code {
            text.push_str("##");
        }
        text.push_str(&if is_code { line.to_owned() } else { without_item_links(line) });
        text.push('\n');
    }
    text
}

/// Turns the links of rustdoc, ``[`Item`]`` and ``[`Item`](path)``, into code.
fn without_item_links(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("[`") {
        let Some(length) = rest[start..].find("`]") else { break };
        let (before, after) = (&rest[..start], &rest[start + length + 2..]);
        plain.push_str(before);
        plain.push_str(&rest[start + 1..start + length + 1]);
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::module_docs;

    #[test]
    fn module_docs_become_a_section() {
        let source = "//! Title.\n//!\n//! # Deviations\n//! See [`Variant`] and [`fit`](crate::fit).\n//! ```text\n//! # [`x`]\n//! ```\n\nuse a;\n//! no\n";
        let docs = "Title.\n\n### Deviations\nSee `Variant` and `fit`.\n```text\n# [`x`]\n```\n";
        assert_eq!(module_docs(source), docs);
    }
}

//! Links, entries of the summary and paths in the text that lead nowhere.

use super::{BOOK, Pages};
use std::path::{Component, Path, PathBuf};

/// Folders of the repository; code in a page that begins like this names a file.
const FOLDERS: [&str; 6] = ["crates/", "benches/", "book/", "xtask/", "bindings/", ".ci/"];

/// A line for every link, entry or path that leads nowhere.
pub fn problems(root: &Path, pages: &Pages) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in pages {
        for (number, line) in lines_outside_code(text) {
            let mut wrong = |what: String| found.push(format!("{}:{number}: {what}", path.display()));
            for target in targets(line) {
                if let Err(reason) = follow(root, pages, path, target) {
                    wrong(format!("the link `{target}` {reason}"));
                }
            }
            for code in code_spans(line).filter(|code| is_path(code)) {
                if !root.join(code.trim_end_matches('/')).exists() {
                    wrong(format!("`{code}` does not exist"));
                }
            }
        }
    }
    let summary = Path::new(BOOK).join("SUMMARY.md");
    let listed: Vec<PathBuf> = pages
        .get(&summary)
        .map(|text| text.lines().flat_map(targets).map(|target| Path::new(BOOK).join(target)).collect())
        .unwrap_or_default();
    for path in pages.keys().filter(|path| path.starts_with(BOOK) && **path != summary) {
        if !listed.contains(path) {
            found.push(format!("{}: not in the summary", path.display()));
        }
    }
    found
}

/// The way from the page `from` to the folder or file `to`, both from the root of the workspace.
pub fn between(from: &Path, to: &Path) -> String {
    let folder: Vec<Component> = from.parent().unwrap_or(Path::new("")).components().collect();
    let target: Vec<Component> = to.components().collect();
    let common = folder.iter().zip(&target).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), folder.len() - common);
    let down = target[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

fn follow(root: &Path, pages: &Pages, from: &Path, target: &str) -> Result<(), &'static str> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        normal(&from.parent().unwrap_or(Path::new("")).join(file)).ok_or("leaves the repository")?
    };
    if from.starts_with(BOOK) && !path.starts_with(BOOK) {
        return Err("leaves the book, which is printed without the rest of the repository");
    }
    if !pages.contains_key(&path) && !root.join(&path).exists() {
        return Err("leads to no file");
    }
    match (anchor, pages.get(&path)) {
        (Some(anchor), Some(text)) if !anchors(text).iter().any(|known| known == anchor) => {
            Err("leads to no heading of that page")
        }
        _ => Ok(()),
    }
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !parts.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// Lines with their numbers, blocks of code left out.
fn lines_outside_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((at + 1, line))
    })
}

/// Names of the headings as links have them.
fn anchors(text: &str) -> Vec<String> {
    let headings = lines_outside_code(text).filter_map(|(_, line)| {
        let rest = line.trim_start_matches('#');
        (rest.len() < line.len()).then(|| rest.strip_prefix(' '))?
    });
    headings
        .map(|heading| {
            let kept = heading.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What the links of a line lead to, `[text](target)` and `![text](target)`, outside of code.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let parts: Vec<&str> = line.split('`').collect();
    // A link's text may be code; its brackets and its target are outside.
    let outside = parts.into_iter().step_by(2);
    outside.flat_map(|part| {
        part.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
    })
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    let mut parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        parts.pop();
    }
    parts.into_iter().skip(1).step_by(2)
}

/// Whether code names a file or folder of the repository, as opposed to a command or a pattern.
fn is_path(code: &str) -> bool {
    let is_placeholder =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    FOLDERS.iter().any(|folder| code.starts_with(folder))
        && !code.contains([' ', '*', '{', ':'])
        && !code.split(['/', '.']).any(|part| is_placeholder(part) && !matches!(part, "README" | "SUMMARY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(list: &[(&str, &str)]) -> Pages {
        list.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    #[test]
    fn broken_links_anchors_paths_and_orphans_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let pages = pages(&[
            ("book/src/SUMMARY.md", "- [A](a.md)\n"),
            (
                "book/src/a.md",
                "# A page\n[x](b.md) [`y`](a.md#a-page) [z](#none) `xtask/src/main.rs` `crates/none/`\n",
            ),
            ("book/src/c.md", "[up](../../README.md) `[no](link.md)` [web](https://example.org)\n"),
        ]);
        let found = problems(root, &pages);
        let expected = [
            "book/src/a.md:2: the link `b.md` leads to no file",
            "book/src/a.md:2: the link `#none` leads to no heading of that page",
            "book/src/a.md:2: `crates/none/` does not exist",
            "book/src/c.md:1: the link `../../README.md` leaves the book, which is printed without the rest of the repository",
            "book/src/c.md: not in the summary",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn code_blocks_and_patterns_are_no_links() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = "```\n[x](b.md)\n```\n`crates/blemish-methods/src/FAMILY/NAME/` `benches/runs/DATE-MACHINE/x.csv` `crates/*`\n";
        assert_eq!(problems(root, &pages(&[("README.md", text)])), Vec::<String>::new());
    }

    #[test]
    fn the_way_between_pages_is_relative() {
        let to = Path::new("book/src/methods");
        for (from, way) in [
            ("README.md", "book/src/methods"),
            ("book/src/x.md", "methods"),
            ("book/src/how-to/x.md", "../methods"),
        ] {
            assert_eq!(between(Path::new(from), to), way);
        }
    }
}

//! `book`: writes what people read from the code and from stored figures, and checks it.
//!
//! ```text
//! list of methods + module documentation -> book/src/methods/NAME.md, their list in SUMMARY.md, the tables of methods
//! benches/runs/DATE-MACHINE/*.csv        -> the tables of figures in the book and in BENCHMARKS.md
//! ```
//! A page says where a table goes by a comment, `<!-- methods -->` or `<!-- table ... -->` (see [`tables`]), and where it ends by
//! `<!-- end -->`. Everything else on such a page is written by hand.

mod links;
mod methods;
mod regions;
mod source;
mod tables;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages outside the book that have generated parts and links.
const PAGES: [&str; 4] = ["README.md", "BENCHMARKS.md", "CHANGELOG.md", "benches/runs/README.md"];
/// Where the pages of the book lie, seen from the root of the workspace.
const BOOK: &str = "book/src";

/// The text of every page by its path from the root of the workspace.
type Pages = BTreeMap<PathBuf, String>;

/// Writes all generated text, or with `check` only compares. Says what was done, file by file.
///
/// # Errors
/// What cannot be read, written or generated; with `check` also the names of the files that are not up to date; links, entries of the
/// summary and paths in the text that lead nowhere.
pub fn book(check: bool) -> Result<String, Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask lies in no workspace")?;
    let old = read_pages(root)?;
    let new = generate(root, &old)?;
    let mut problems = links::problems(root, &new);
    let stale: Vec<&PathBuf> = new
        .iter()
        .filter(|(path, text)| old.get(*path) != Some(text))
        .map(|(path, _)| path)
        .chain(old.keys().filter(|path| !new.contains_key(*path)))
        .collect();
    if check {
        problems.extend(
            stale.iter().map(|path| format!("{}: not up to date; run `cargo xtask book`", path.display())),
        );
    } else {
        for path in &stale {
            let target = root.join(path);
            match new.get(*path) {
                Some(text) => {
                    fs::create_dir_all(target.parent().unwrap_or(root))?;
                    fs::write(target, text)?;
                }
                None => fs::remove_file(target)?,
            }
        }
    }
    if problems.is_empty() {
        Ok(format!(
            "{} pages, {} of them {}",
            new.len(),
            stale.len(),
            if check { "stale" } else { "written" }
        ))
    } else {
        Err(problems.join("\n").into())
    }
}

/// Every page as it lies on the disk.
fn read_pages(root: &Path) -> Result<Pages, Box<dyn Error>> {
    let mut found = Pages::new();
    let mut folders = vec![PathBuf::from(BOOK)];
    let mut files: Vec<PathBuf> = PAGES.iter().map(PathBuf::from).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    for path in files {
        let text =
            fs::read_to_string(root.join(&path)).map_err(|error| format!("{}: {error}", path.display()))?;
        found.insert(path, text);
    }
    Ok(found)
}

/// Every page as it should be.
fn generate(root: &Path, old: &Pages) -> Result<Pages, Box<dyn Error>> {
    let listed = methods::all(root)?;
    let folder = Path::new(BOOK).join("methods");
    let mut new = Pages::new();
    for (path, text) in old.iter().filter(|(path, _)| !path.starts_with(&folder)) {
        let mut text = regions::fill(text, |order| match order.split_once(' ') {
            None if order == "methods" => Ok(Some(methods::table(&listed, &links::between(path, &folder)))),
            Some(("table", order)) => tables::table(&root.join("benches/runs"), order).map(Some),
            _ => Ok(None),
        })
        .map_err(|error| format!("{}: {error}", path.display()))?;
        if path.ends_with("SUMMARY.md") {
            text = methods::summary(&listed, &text);
        }
        new.insert(path.clone(), text);
    }
    for method in &listed {
        new.insert(folder.join(format!("{}.md", method.name)), methods::page(method));
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_people_read_is_up_to_date_and_every_link_leads_somewhere() {
        if let Err(error) = super::book(true) {
            panic!("{error}");
        }
    }
}

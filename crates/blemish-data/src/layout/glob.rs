//! Patterns of paths: `*` and `?` within a name, `[...]` for one letter, `**` for any number of folders.
//!
//! The patterns of a name are those of the crate `glob`. The walk is ours, since links to folders may form circles, in which theirs goes
//! round for ever. As in a shell a hidden name is matched by a pattern that begins with a dot.

use super::walk::Walk;
use crate::error::DataError;
use glob::{MatchOptions, Pattern};
use std::path::{Component, Path, PathBuf};

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether a path is to be read as a pattern.
pub(super) fn is_pattern(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// The files and folders that a pattern matches; faults go to `walk`.
///
/// # Errors
/// [`DataError::Dataset`] for a pattern that is none.
pub(super) fn matches(pattern: &Path, walk: &mut Walk<'_>) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        if !is_pattern(Path::new(name)) {
            found.iter_mut().for_each(|path| path.push(name));
            continue;
        }
        let name = name.to_string_lossy();
        let name = Pattern::new(&name)
            .map_err(|error| DataError::dataset(pattern, format!("the pattern is wrong: {}", error.msg)))?;
        let mut next = Vec::new();
        if name.as_str() == "**" {
            let mut folders = Walk::default();
            for folder in found.iter().filter(|folder| is_folder(folder)) {
                folders.below(folder, &mut |folder, _| next.push(folder.to_path_buf()));
            }
            walk.faults.append(&mut folders.faults);
        } else {
            for folder in found.iter().filter(|folder| is_folder(folder)) {
                let is_match = |path: &Path| {
                    path.file_name().is_some_and(|own| name.matches_with(&own.to_string_lossy(), OPTIONS))
                };
                let mut here = Walk::default();
                let entries = here.entries(folder).into_iter().map(|(path, _)| path);
                next.extend(entries.filter(|path| is_match(path)));
                // A link to nowhere matters where it was asked for.
                here.faults
                    .retain(|fault| !matches!(fault.error, DataError::Link { .. }) || is_match(&fault.path));
                walk.faults.append(&mut here.faults);
            }
        }
        found = next;
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.is_dir()
}

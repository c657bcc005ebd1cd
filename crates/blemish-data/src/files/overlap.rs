//! Outputs that would be written over inputs.

use super::place::{Identity, resolve};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// An output that is an input as well.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` would be written over `{}`, which is read; give the output another name", output.display(), input.display())]
pub struct Overlap {
    /// What was to be written.
    pub output: PathBuf,
    /// What is read.
    pub input: PathBuf,
}

/// Checks before any work that no file is both written and read, whatever names, links or letter case it is given by.
///
/// `files` are to be written; into `folders` anything may be written, so that no input may lie in them. What is not there yet is over
/// nothing, so inputs are looked at only where outputs exist.
///
/// # Errors
/// [`Overlap`] for the first.
pub fn check_outputs<'a>(
    files: &[&Path],
    folders: &[&Path],
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Overlap> {
    let mut written: HashMap<Identity, PathBuf> = HashMap::new();
    for file in files.iter().filter(|file| file.is_file()) {
        written.extend(Identity::of(file).map(|identity| (identity, file.to_path_buf())));
    }
    for entry in folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            written.extend(Identity::of(&path).map(|identity| (identity, path)));
        }
    }
    if written.is_empty() {
        return Ok(());
    }
    for input in inputs {
        if let Some(output) = Identity::of(input).and_then(|identity| written.get(&identity)) {
            return Err(Overlap { output: output.clone(), input: input.to_path_buf() });
        }
    }
    Ok(())
}

/// Whether two paths lead to one file.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    match (Identity::of(one), Identity::of(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => matches!((resolve(one), resolve(other)), (Ok(one), Ok(other)) if one == other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_over_inputs_are_found_whatever_they_are_called() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("images")).unwrap();
        std::fs::write(path("images/1.png"), "").unwrap();
        std::fs::write(path("images/2.png"), "").unwrap();
        let inputs = [path("images/1.png"), path("images/2.png")];
        let inputs = || inputs.iter().map(PathBuf::as_path);
        let check = |output: &Path| check_outputs(&[output], &[], inputs());
        assert_eq!(check(&path("model")), Ok(()));
        let found = check(&path("images/../images/2.png")).unwrap_err();
        assert_eq!(found.input, path("images/2.png"));
        assert!(found.to_string().contains("2.png` would be written over"), "{found}");
        assert!(check_outputs(&[], &[&path("images")], inputs()).is_err());
        assert_eq!(check_outputs(&[], &[&path("none"), folder.path()], inputs()), Ok(()));
        assert!(is_same_file(&path("images/./1.png"), &path("images/1.png")));
        assert!(!is_same_file(&path("images/1.png"), &path("images/2.png")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("images/1.png", path("link")).unwrap();
            std::fs::hard_link(path("images/1.png"), path("hard")).unwrap();
            assert!(check(&path("link")).is_err() && check(&path("hard")).is_err());
        }
    }
}

//! Folders of pictures that Blemish itself has written: what is in them is never taken for images to learn from or to score.

use super::place::refusal;
use super::unfinished::write;
use crate::reader::has_image_name;
use std::io;
use std::path::{Path, PathBuf};

/// The file that marks such a folder.
pub const MARKER: &str = ".blemish-results";

const CONTENT: &str = "The pictures in this folder were written by Blemish, which passes them over when it looks for images in the folders above.\n\
                       Without this file it takes them for images.\n";

/// Whether a folder is marked as one of pictures that Blemish has written.
pub fn is_results(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

/// Makes a folder for pictures, where it is missing, and marks it.
///
/// A folder that holds other pictures is not marked, since these would be passed over. That is in order unless one of the folders
/// `searched` for images holds it: the next search would take what is written there for images.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] if the pictures would lie among images that are read.
pub fn results_folder(folder: &Path, searched: &[PathBuf]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if is_results(folder) {
        return Ok(());
    }
    let real = std::fs::canonicalize(folder)?;
    let roots: Vec<PathBuf> = searched.iter().filter_map(|root| std::fs::canonicalize(root).ok()).collect();
    if !roots.contains(&real) && !holds_pictures(folder) {
        return write(&folder.join(MARKER), CONTENT.as_bytes());
    }
    match roots.iter().find(|root| real.starts_with(root)) {
        None => Ok(()),
        Some(root) => Err(refusal(&format!(
            "the pictures would lie among the images of `{}`, which are read; name another folder, best a new one",
            root.display()
        ))),
    }
}

/// Whether there is a picture anywhere in a folder, those in marked folders aside.
fn holds_pictures(folder: &Path) -> bool {
    let walk = walkdir::WalkDir::new(folder).min_depth(1).into_iter();
    let own = |entry: &walkdir::DirEntry| !(entry.file_type().is_dir() && is_results(entry.path()));
    walk.filter_entry(own)
        .filter_map(Result::ok)
        .any(|entry| !entry.file_type().is_dir() && has_image_name(entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_folders_are_marked_and_folders_of_images_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("images");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("1.png"), "").unwrap();
        let make = |name: &str| results_folder(&root.join(name), std::slice::from_ref(&root));
        make("out/overlays").unwrap();
        assert!(is_results(&root.join("out/overlays")) && !is_results(&root.join("out")));
        std::fs::write(root.join("out/overlays/1.png"), "").unwrap();
        make("out/overlays").unwrap();
        // The folder itself, and one with other images.
        std::fs::create_dir(root.join("camera")).unwrap();
        std::fs::write(root.join("camera/2.png"), "").unwrap();
        for among in ["", "camera"] {
            let error = make(among).unwrap_err().to_string();
            assert!(error.contains("among the images") && !is_results(&root.join(among)), "{among}: {error}");
        }
        // Outside of what is searched nobody is misled.
        results_folder(&root.join("camera"), &[]).unwrap();
        assert!(!is_results(&root.join("camera")));
        // One that holds nothing but own pictures further down may have more of them.
        make("out").unwrap();
        assert!(is_results(&root.join("out")));
    }
}

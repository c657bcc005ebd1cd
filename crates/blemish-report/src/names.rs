//! File names for what is written about images.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

/// Gives every image a name of its own, to which endings such as `.png` are added: the image's own name without its ending, with its
/// folder's before it where the name alone is taken, and with a number after it where that is taken too.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A name that was not given before. Equal images in equal order get equal names.
    pub fn unique(&mut self, image: &Path) -> String {
        let part = |path: Option<&OsStr>| path.map(|name| name.to_string_lossy().into_owned());
        let own = part(image.file_stem()).unwrap_or_else(|| "image".into());
        let fuller = match part(image.parent().and_then(Path::file_name)) {
            Some(folder) => format!("{folder}-{own}"),
            None => own.clone(),
        };
        let numbered = (2..).map(|number: u64| format!("{fuller}-{number}"));
        let mut candidates = [own, fuller.clone()].into_iter().chain(numbered);
        let free = candidates.find(|name| !self.taken.contains(name));
        // The numbers do not end.
        let name = free.unwrap_or(fuller);
        self.taken.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        paths.iter().map(|path| names.unique(Path::new(path))).collect()
    }

    #[test]
    fn names_never_clash() {
        let paths = ["a/1.png", "b/1.png", "c/b/1.png", "d/b/1.jpg", "a/2.png"];
        assert_eq!(names(&paths), ["1", "b-1", "b-1-2", "b-1-3", "2"]);
        // A name that looks like one that was given.
        assert_eq!(names(&["a/1.png", "b/1.png", "c/b-1.png"]), ["1", "b-1", "c-b-1"]);
    }

    #[test]
    fn images_without_a_file_have_names_too() {
        assert_eq!(names(&["", "camera 3", "camera 3"]), ["image", "camera 3", "camera 3-2"]);
    }
}

//! File names for what is written about images.

use blemish_data::digest::hexadecimal;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

/// Most bytes of a name. File systems take 255, endings and numbers among them.
const LONGEST: usize = 240;

/// Bytes of the digest that tells shortened names apart.
const DIGEST: usize = 8;

/// Gives every image a name of its own, to which endings such as `.png` are added: the image's own name without its ending, with its
/// folder's before it where the name alone is taken, and with a number after it where that is taken too. What is too long for a file
/// system is cut, and ends in a digest of the whole name.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A name that was not given before. Equal images in equal order get equal names.
    pub fn unique(&mut self, image: &Path) -> String {
        self.unique_in("", image)
    }

    /// The same with the name of a kind before it: `kind-name`.
    pub fn unique_in(&mut self, kind: &str, image: &Path) -> String {
        let part = |path: Option<&OsStr>| path.map(|name| name.to_string_lossy().into_owned());
        let kind = if kind.is_empty() { String::new() } else { format!("{kind}-") };
        let stem = part(image.file_stem()).unwrap_or_else(|| "image".into());
        let own = format!("{kind}{stem}");
        let fuller = match part(image.parent().and_then(Path::file_name)) {
            Some(folder) => format!("{kind}{folder}-{stem}"),
            None => own.clone(),
        };
        let fuller = shortened(fuller, LONGEST);
        let numbered = (2..).map(|number: u64| format!("{fuller}-{number}"));
        let mut candidates = [shortened(own, LONGEST), fuller.clone()].into_iter().chain(numbered);
        let free = candidates.find(|name| !self.taken.contains(name));
        // The numbers do not end.
        let name = free.unwrap_or(fuller);
        self.taken.insert(name.clone());
        name
    }
}

/// A name of at most so many bytes: a longer one is cut, and ends in a digest of the whole.
pub fn shortened(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    let digest = hexadecimal(&Sha256::digest(name.as_bytes())[..DIGEST]);
    let end = name.floor_char_boundary(longest.saturating_sub(1 + digest.len()));
    format!("{}-{digest}", &name[..end])
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

    #[test]
    fn a_kind_comes_first() {
        let mut names = Names::default();
        let mut name = |path: &str| names.unique_in("dent", Path::new(path));
        assert_eq!([name("left/1.png"), name("right/1.png")], ["dent-1", "dent-right-1"]);
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long =
            |letters: &str, last: &str| format!("folder/{}{last}.png", letters.repeat(250 / letters.len()));
        let paths = [long("a", "1"), long("a", "2"), long("ü", ""), long("a", "1")];
        let given = names(&paths.each_ref().map(String::as_str));
        for (at, name) in given.iter().enumerate() {
            assert!((200..=LONGEST + 10).contains(&name.len()), "{}", name.len());
            assert!(!given[..at].contains(name), "{name}");
        }
        let fits = format!("{}.png", "b".repeat(LONGEST));
        assert_eq!(names(&[&fits])[0].len(), LONGEST);
    }
}

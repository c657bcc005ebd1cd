//! Names of files as they come, made harmless.

use crate::station::pictures::Format;
use blemish_report::shortened;

/// Folders of a name that are kept, from the right.
const DEPTH: usize = 6;

/// Bytes of a part of a name, at most.
const LONGEST: usize = 100;

/// A name below a folder: no absolute path, no way up, no hidden files, no characters that some system takes for something else; its ending
/// is that of its content.
pub fn safe(name: &str, format: Format, sha256: &str) -> String {
    let parts: Vec<String> = name.split(['/', '\\']).map(part).filter(|part| !part.is_empty()).collect();
    let first = parts.len().saturating_sub(DEPTH);
    let mut parts: Vec<String> = parts.into_iter().skip(first).collect();
    let file = parts.pop().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
    let stem = if stem.is_empty() { format!("image-{}", &sha256[..8]) } else { stem.to_owned() };
    parts.push(format!("{stem}.{}", format.extension()));
    parts.join("/")
}

/// The same with digits of the content, where the name is taken by another.
pub fn told_apart(name: &str, sha256: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    format!("{stem}-{}.{extension}", &sha256[..12])
}

fn part(part: &str) -> String {
    let is_kept = |one: &char| !one.is_control() && !matches!(one, ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let kept: String = part.chars().filter(is_kept).collect();
    shortened(kept.trim_matches(['.', ' ']).to_owned(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_but_below() {
        let digest = "0123456789abcdef";
        let of = |name: &str| safe(name, Format::Png, digest);
        assert_eq!(of("part.png"), "part.png");
        assert_eq!(of("train/good/001.jpeg"), "train/good/001.png");
        assert_eq!(of("../../etc/passwd"), "etc/passwd.png");
        assert_eq!(of("/home/.ssh/id"), "home/ssh/id.png");
        assert_eq!(of("C:\\Windows\\a.bmp"), "C/Windows/a.png");
        assert_eq!(of("<img src=x onerror=alert(1)>.png"), "img src=x onerror=alert(1).png");
        assert_eq!(of("..."), "image-01234567.png");
        assert_eq!(of(""), "image-01234567.png");
        assert_eq!(of("a\0b\n.png"), "ab.png");
        assert!(of(&"x".repeat(5000)).len() < 120);
        assert_eq!(told_apart("a/b.png", digest), "a/b-0123456789ab.png");
    }
}

//! Names of files as text, whatever their bytes.
//!
//! Names on Unix are bytes. JSON and CSV hold text, and putting one character for everything that is no text makes different names equal.
//! So a byte that is not part of UTF-8 is written as `\xNN`, and a backslash that would read as such is written as `\x5c`. All other
//! names, which is nearly every one, stay as they are. [`path_of`] gives the name back.

use serde::Serializer;
use std::path::{Path, PathBuf};

/// A path as text, different for different paths.
pub fn text_of(path: &Path) -> String {
    #[cfg(unix)]
    return escaped(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
    // Backslashes part folders elsewhere; names that are no Unicode hardly exist there.
    #[cfg(not(unix))]
    return path.to_string_lossy().into_owned();
}

/// The path that [`text_of`] has written.
pub fn path_of(text: &str) -> PathBuf {
    #[cfg(unix)]
    return PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(unescaped(text)));
    #[cfg(not(unix))]
    return PathBuf::from(text);
}

/// A path as [`text_of`] has it, for `serde`, which by itself gives up on names that are not text.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text_of(path))
}

/// The same for several.
pub(crate) fn serialize_all<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| text_of(path)))
}

#[cfg(unix)]
fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(r"\x") {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            text.push_str(if escape(from.as_bytes()).is_some() { r"\x5c" } else { r"\" });
            rest = &from[1..];
        }
        text.push_str(rest);
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, r"\x{byte:02x}");
        }
    }
    text
}

#[cfg(unix)]
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        match escape(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    bytes
}

/// The byte of an escape that text begins with.
#[cfg(unix)]
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    match text {
        [b'\\', b'x', high, low, ..] => u8::try_from(16 * digit(high)? + digit(low)?).ok(),
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn every_name_has_a_text_of_its_own_and_comes_back() {
        let names: [(&[u8], &str); 9] = [
            (b"part 7.png", "part 7.png"),
            ("Stück.png".as_bytes(), "Stück.png"),
            (b"back\\slash\\xylophone.png", "back\\slash\\xylophone.png"),
            (b"\xff.png", r"\xff.png"),
            (b"\xfe.png", r"\xfe.png"),
            (br"\xff.png", r"\x5cxff.png"),
            (b"\\\xff", r"\\xff"),
            (b"\\x4\xff", r"\x4\xff"),
            (b"\xc3(\xe2\x82", r"\xc3(\xe2\x82"),
        ];
        for (bytes, text) in names {
            let path = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(text_of(path), text);
            assert_eq!(path_of(text), path, "{text}");
        }
    }
}

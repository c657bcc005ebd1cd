//! Commands as a shell takes them, to be pasted.

use crate::terminal::is_obeyed;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::OnceLock;

/// The arguments that the program was given.
static TYPED: OnceLock<Vec<OsString>> = OnceLock::new();

/// Keeps the arguments of this run, the program's own name left out.
pub fn keep(arguments: &[OsString]) {
    // There is one run in a process.
    let _ = TYPED.set(arguments.iter().skip(1).cloned().collect());
}

/// The arguments of this run.
pub fn typed() -> &'static [OsString] {
    TYPED.get().map_or(&[], Vec::as_slice)
}

/// A command line of this program.
pub fn command_line<W: AsRef<OsStr>>(arguments: impl IntoIterator<Item = W>) -> String {
    let words = arguments.into_iter().map(|word| quoted(word.as_ref()));
    std::iter::once("blemish".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A path as an argument: one that begins with a dash is not an option.
pub fn argument(path: &Path) -> OsString {
    match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => Path::new(".").join(path).into_os_string(),
        _ => path.as_os_str().to_owned(),
    }
}

/// The same, quoted.
pub fn path(path: &Path) -> String {
    quoted(&argument(path))
}

/// One word. Signs that a terminal obeys and bytes that are no text are written as `$'...'`, which bash, zsh and others read.
pub fn quoted(word: &OsStr) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    match word.to_str() {
        // Some shells take a word that begins with `=` for the path of a program.
        Some(text) if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_plain) => {
            text.to_owned()
        }
        // Backslashes part folders there, and the shell leaves them alone.
        Some(text) if cfg!(windows) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) if !text.contains(|sign| is_obeyed(sign) || sign == '\n') => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let mut quoted = "$'".to_owned();
            for &byte in word.as_encoded_bytes() {
                match byte {
                    b'\'' | b'\\' => quoted.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => quoted.push(char::from(byte)),
                    // Three octal digits, after which a digit of the name is not read along.
                    _ => quoted += &format!("\\{byte:03o}"),
                }
            }
            quoted + "'"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_needs() {
        let words = ["eval", "a b", "it's", "", "größe.png", "$HOME/*"];
        assert_eq!(command_line(words), r"blemish eval 'a b' 'it'\''s' '' größe.png '$HOME/*'");
        assert_eq!(path(Path::new("-rf")), "./-rf");
        assert_eq!(quoted(OsStr::new("a\x1b[1m\n'\u{202e}7")), r"$'a\033[1m\012\'\342\200\2567'");
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_gives_every_word_back() {
        use std::os::unix::ffi::OsStrExt;
        let words: [&[u8]; 6] =
            [b"a b", b"it's \"$x\" `y` \\z", b"\xff\xfe9.png", b"\x1b]0;\x07", b"-n", b"a\nb"];
        for word in words {
            let word = OsStr::from_bytes(word);
            let script = format!("printf %s {}", quoted(word));
            let Ok(output) = std::process::Command::new("bash").args(["-c", &script]).output() else {
                // Only systems without bash come here, and nobody pastes its words there.
                return;
            };
            assert_eq!(OsStr::from_bytes(&output.stdout), word, "{script}");
        }
    }
}

//! What people read on a terminal. Standard error may be closed or full, which changes nothing about the work; names and messages may
//! hold signs that a terminal obeys, which are shown as escapes.

use blemish::data::names::text_of;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

/// Writes a line for people to standard error. Whoever cannot be told is not told.
pub fn tell(line: &str) {
    tell_as_is(&shown(line));
}

/// The same for a line that is safe already: made for machines, or styled.
pub fn tell_as_is(line: &str) {
    // In one piece, so that lines of several threads do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Text with the signs that a terminal obeys (escape sequences, controls, changes of the direction of writing) as Rust writes them:
/// `\u{1b}`. Ends of lines stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        match is_obeyed(sign) {
            true => safe.extend(sign.escape_default()),
            false => safe.push(sign),
        }
    }
    Cow::Owned(safe)
}

/// The same for a name, which may hold ends of lines, too.
pub fn shown_name(name: &str) -> String {
    shown(name).replace('\n', "\\n")
}

/// The same for a path.
pub fn shown_path(path: &Path) -> String {
    shown_name(&text_of(path))
}

/// Controls but the end of a line, and what changes the direction of writing or ends lines unseen.
pub fn is_obeyed(sign: char) -> bool {
    let is_direction = matches!(
        sign,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_direction || (sign.is_control() && sign != '\n')
}

/// Standard error for whoever takes a failure to write amiss.
pub struct Forgiving;

impl Write for Forgiving {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stderr().write_all(shown(&String::from_utf8_lossy(bytes)).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (text, safe) in [
            ("part 7, Stück ü, 部品", "part 7, Stück ü, 部品"),
            ("two\nlines", "two\nlines"),
            ("\x1b[31mred\x1b]0;title\x07", r"\u{1b}[31mred\u{1b}]0;title\u{7}"),
            ("gpj.\u{202e}evil\u{2069}", r"gpj.\u{202e}evil\u{2069}"),
            ("back\rover\ttab\u{7f}\u{9b}1m", r"back\rover\ttab\u{7f}\u{9b}1m"),
        ] {
            assert_eq!(shown(text), safe);
        }
        assert_eq!(shown_name("a\nb\x1b"), r"a\nb\u{1b}");
    }
}

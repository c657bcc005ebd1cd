//! Which part of an image's name tells the group that it belongs to.

use blemish_core::error::Error;
use regex::Regex;

/// A pattern over names (of files their paths) that captures what images of one group share.
///
/// It is a regular expression with one capture or more, found anywhere in the name: `part(\\d+)` puts `a/part07_left.png` and
/// `a/part07_right.png` together. Or it has braces, `{}`, where the group's name stands, `*` for any text without a slash, `**` for any
/// text, `?` for a letter, and is the end of the name: `{}_*.png`, `{}/*`.
#[derive(Clone, Debug)]
pub struct GroupPattern {
    text: String,
    expression: Regex,
}

impl PartialEq for GroupPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for GroupPattern {}

impl std::str::FromStr for GroupPattern {
    type Err = Error;

    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is no regular expression or captures nothing.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| {
            Error::Setting {
            key: "groups".into(),
            reason,
            help: "allowed: none, auto, the name of a column, a regular expression with a capture such as part(\\d+), or a pattern with {} \
                   where the group's name stands, such as {}_*.png"
                .into(),
        }
        };
        let source = if text.contains("{}") { glob(text) } else { text.to_owned() };
        let wrong = |error: regex::Error| refuse(format!("`{text}` is no pattern: {error}"));
        let expression = Regex::new(&source).map_err(wrong)?;
        match expression.captures_len() {
            0 | 1 => Err(refuse(format!("`{text}` captures nothing that groups could be told by"))),
            _ => Ok(Self { text: text.to_owned(), expression }),
        }
    }
}

impl GroupPattern {
    /// What images of the group share; `None` for a name that does not fit.
    pub fn group(&self, name: &str) -> Option<String> {
        // Paths of all systems are matched with slashes.
        let name = name.replace('\\', "/");
        let found = self.expression.captures(&name)?;
        let parts: Vec<&str> = found.iter().skip(1).flatten().map(|part| part.as_str()).collect();
        (!parts.is_empty()).then(|| parts.join("\u{1f}"))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The regular expression of a pattern with braces.
fn glob(text: &str) -> String {
    let mut expression = String::from("(?:^|/)");
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (part, taken) = match letter {
            _ if rest.starts_with("{}") => ("([^/]*?)".to_owned(), 2),
            _ if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            other => (regex::escape(other.encode_utf8(&mut [0; 4])), other.len_utf8()),
        };
        expression += &part;
        rest = &rest[taken..];
    }
    expression + "$"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(pattern: &str, name: &str) -> Option<String> {
        pattern.parse::<GroupPattern>().unwrap().group(name)
    }

    #[test]
    fn expressions_and_braces_capture_what_images_of_a_group_share() {
        assert_eq!(group(r"part(\d+)", "a/part07_left.png").as_deref(), Some("07"));
        assert_eq!(group(r"part(\d+)", "a/other.png"), None);
        assert_eq!(group(r"(\d+)_(\d+)", "1_2_3").as_deref(), Some("1\u{1f}2"));
        assert_eq!(group("{}_*.png", "set/train/good/a1_left.png").as_deref(), Some("a1"));
        assert_eq!(group("{}/*", "set/part 3/left.png").as_deref(), Some("part 3"));
        assert_eq!(group("{}/*", r"set\part 3\left.png").as_deref(), Some("part 3"));
        assert_eq!(group("exp?_num_{}.jpg", "good/exp1_num_12.jpg").as_deref(), Some("12"));
        assert_eq!(group("{}_*.png", "a1.png"), None);
    }

    #[test]
    fn patterns_without_a_capture_and_wrong_ones_are_refused_with_examples() {
        for wrong in ["part", "part(", "[", "*_left.png"] {
            let error = wrong.parse::<GroupPattern>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}

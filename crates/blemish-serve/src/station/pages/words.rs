//! Every text of the pages, from one file, so that a translation is one file.

use serde_json::Value;
use std::sync::LazyLock;

/// The texts by section and name; scripts get the same.
pub(super) const JSON: &str = include_str!("words.json");

static WORDS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(JSON).unwrap_or_default());

/// The text of that name, such as `line.pause`. Empty if there is none, which a test rules out.
pub(super) fn say(name: &str) -> &'static str {
    let words: &'static Value = &WORDS;
    name.split('.').try_fold(words, |place, part| place.get(part)).and_then(Value::as_str).unwrap_or("")
}

/// The texts as a script that exports them.
pub(super) fn script() -> String {
    // JSON is JavaScript; written anew it is free of what makes the file readable.
    format!("export default {};\n", *WORDS)
}

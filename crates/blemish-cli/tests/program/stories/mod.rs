//! What a user does, end to end, on the real binary.

mod categories;
mod data;
mod decisions;
mod scores;
mod usage;
mod videos;
mod views;
mod words;

use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

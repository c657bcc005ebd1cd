//! A model as a person reads of it: what it is, what it has learnt from, what it promises, how to use it.

use super::fit::in_words;
use super::report::input;
use crate::shell;
use blemish::file::{Header, Numbers};
use blemish::registry::method;
use blemish_report::html::readable_bytes;
use serde_json::Value;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Letters of a digest that are shown.
const DIGEST: usize = 12;

/// Width of the names of lines.
const NAME: usize = 14;

/// The model of a file in a few lines.
pub fn model_in_words(path: &Path, header: &Header) -> String {
    let mut text = format!("{}: a model of {}{}", path.display(), header.method, file(path));
    if let Ok(entry) = method(&header.method) {
        text += &line("method", entry.info().summary);
    }
    let data = &header.data;
    text += &line(
        "learnt from",
        &format!(
            "{} good images of {} (sha256 {}), seed {}",
            data.images,
            data.category,
            short(&data.digest),
            header.seed
        ),
    );
    text += &line("looks at", &looks_at(header));
    for backbone in header.backbone.iter().chain(&header.ensemble) {
        let layers = backbone.layers.join(", ");
        let bytes = if backbone.precision == Numbers::Int8 { " in bytes" } else { "" };
        let digest = short(&backbone.digest);
        text += &line("through", &format!("{}{bytes} at {layers} (sha256 {digest})", backbone.name));
    }
    let settings: Vec<String> =
        header.settings.iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    text += &line("settings", &settings.join(" "));
    text += &line("decisions", &decisions(header));
    text += &line("written by", &format!("blemish {}{}", header.written_by, cover(header)));
    let model = shell::path(path);
    text += &line("to use it", &format!("blemish predict {model} IMAGES"));
    if header.settings.get("updatable") == Some(&Value::Bool(true)) && header.views.is_empty() {
        text += &line("to learn on", &format!("blemish update {model} NEW-GOOD-IMAGES"));
    }
    text += &line("to prove it", &format!("blemish verify {model}"));
    text + "\n--json has everything"
}

/// What is left unguarded in files of older programs.
fn cover(header: &Header) -> &'static str {
    match header.file_digest {
        Some(_) => "",
        None => {
            "; nothing guards its header, thresholds included, against change: `blemish calibrate` writes a file that does"
        }
    }
}

/// What the thresholds are and promise, or why there are none.
fn decisions(header: &Header) -> String {
    let Some(calibration) = &header.calibration else {
        return "none, only scores: it was not calibrated; blemish calibrate sets thresholds".into();
    };
    let mut text = in_words(calibration);
    for one in &calibration.categories {
        text += &format!("\nof {}: {}", one.category, in_words(&one.calibration));
    }
    text
}

/// Input sizes, tiles, and what of an image is left out.
fn looks_at(header: &Header) -> String {
    if header.views.is_empty() {
        return format!("whole images, {}", input(&header.transform));
    }
    let views = header.views.iter().map(|view| {
        let tiles = view.tiles.as_ref().map_or(String::new(), |tiles| {
            format!(", in tiles of {}x{}", tiles.tiling.width, tiles.tiling.height)
        });
        format!("images {}{tiles}", input(&view.transform))
    });
    let mut views: Vec<String> = views.collect();
    views.dedup();
    views.join("\n")
}

/// Size and time of the file.
fn file(path: &Path) -> String {
    let Ok(metadata) = path.metadata() else { return String::new() };
    let time = metadata.modified().ok().and_then(|time| moment(time).map(|time| format!(", written {time}")));
    format!(", {}{}", readable_bytes(metadata.len()), time.unwrap_or_default())
}

/// A moment in UTC, to the minute.
fn moment(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let minutes = seconds / 60 % 1440;
    Some(format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60))
}

/// Year, month and day of a day since 1970, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// A line with its name; further lines of the text stand under the first.
fn line(name: &str, text: &str) -> String {
    let indent = format!("\n  {:NAME$}", "");
    format!("\n  {name:NAME$}{}", text.replace('\n', &indent))
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST).unwrap_or(digest)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_dates() {
        let at = |seconds| moment(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59 UTC");
    }

    #[test]
    fn further_lines_stand_under_the_first() {
        assert_eq!(line("decisions", "one\ntwo"), "\n  decisions     one\n                two");
    }
}

//! What all pages share.

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The palette, focus and marks of charts, for pages of others that show the same things.
pub const LOOK: &str = include_str!("look.css");

/// A script with the object `decide`: what a threshold tells apart, counted in the same way on every page.
pub const DECIDE: &str = include_str!("decide.js");

const STYLE: &str = concat!(include_str!("look.css"), include_str!("page.css"));

/// Nothing may be fetched from anywhere; styles, scripts and pictures are in the page itself.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// A whole page.
pub(super) fn page(title: &str, body: &Markup, script: Option<&str>) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="color-scheme" content="light dark";
                title { (title) }
                // An icon of its own keeps browsers from asking a server for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    }
    .into_string()
}

/// A fraction as a percentage; a dash where undefined.
pub(super) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.1}", 100.0 * value))
}

/// Bytes in the unit that suits them.
pub fn readable_bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.0} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// JSON for a script element: no `<` can end the element.
pub(super) fn json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

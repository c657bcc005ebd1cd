//! Scripts, the style sheet and the icon: compiled in, compressed once, answered from memory.

use super::words;
use crate::fault::Fault;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use blemish_report::html::{DECIDE, LOOK};
use blemish_report::overlay::OPACITY;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::LazyLock;

/// A file of the pages.
pub(super) struct Asset {
    pub(super) name: &'static str,
    kind: &'static str,
    pub(super) text: String,
    pub(super) compressed: Vec<u8>,
    tag: String,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("assets/", $name)))),*]
    };
}

/// The scripts as they are written, one a screen and those that several screens share.
pub(super) const SCRIPTS: [(&str, &str); 20] = scripts![
    "api.js",
    "camera.js",
    "chart.js",
    "compare.js",
    "dom.js",
    "drift.js",
    "events.js",
    "history.js",
    "image.js",
    "line.js",
    "login.js",
    "models.js",
    "new-page.js",
    "new.js",
    "overlay.js",
    "settings.js",
    "shell.js",
    "threshold.js",
    "upload.js",
    "verdict.js",
];

/// Every file of the pages.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let made = [
        ("station.css", "text/css; charset=utf-8", format!("{LOOK}{}", include_str!("assets/station.css"))),
        ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg").into()),
        ("words.js", SCRIPT, words::script()),
        ("colours.js", SCRIPT, colours()),
        ("decide.js", SCRIPT, format!("{DECIDE}export default decide;\n")),
    ];
    let written = SCRIPTS.into_iter().map(|(name, text)| (name, SCRIPT, text.to_owned()));
    written.chain(made).map(|(name, kind, text)| Asset::new(name, kind, text)).collect()
});

impl Asset {
    fn new(name: &'static str, kind: &'static str, text: String) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Memory takes all that is written to it; were it otherwise, the plain text is answered.
        let compressed = match encoder.write_all(text.as_bytes()) {
            Ok(()) => encoder.finish().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let tag = format!("\"{}\"", hex::encode(&Sha256::digest(text.as_bytes())[..8]));
        Self { name, kind, text, compressed, tag }
    }
}

/// The colour map of the overlays as a script: red, green and blue of its 256 levels, and the opacity of the highest.
fn colours() -> String {
    let levels: Vec<String> = (0..256)
        .flat_map(|level| blemish_report::colormap(level as f32 / 255.0))
        .map(|byte| byte.to_string())
        .collect();
    format!("export const OPACITY = {OPACITY};\nexport const COLOURS = [{}];\n", levels.join(","))
}

/// The file of that name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    let assets: &'static Vec<Asset> = &ASSETS;
    assets.iter().find(|asset| asset.name == name)
}

/// The answer with the file of that name; `304` where the caller has it already.
pub(super) fn answer(name: &str, headers: &HeaderMap) -> Response {
    let Some(asset) = find(name) else {
        return Fault::new("not_found", "there is no such file").into_response();
    };
    let says = |name, what: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(what))
    };
    let is_known = says(header::IF_NONE_MATCH, &asset.tag);
    let is_compressed = says(header::ACCEPT_ENCODING, "gzip") && !asset.compressed.is_empty();
    let mut response = match (is_known, is_compressed) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => asset.compressed.as_slice().into_response(),
        (false, false) => asset.text.as_str().into_response(),
    };
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    // A new program has new files under the same names: they are asked for each time, and answered by their tag.
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        head.insert(header::ETAG, tag);
    }
    if is_compressed && !is_known {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

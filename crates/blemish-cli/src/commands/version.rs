//! `blemish version`: what this program is made of.

use crate::args::VersionArgs;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::features::backbone::embedded_digests;
use serde_json::{Value, json};

/// The texts of licences, in the order in which they are printed.
const LICENCES: [(&str, &str); 7] = [
    ("Blemish: MIT", include_str!("../../../../LICENSE-MIT")),
    ("Blemish: Apache-2.0, as are the embedded weights", include_str!("../../../../LICENSE-APACHE")),
    ("Notices", include_str!("../../../../NOTICE")),
    (
        "Weights of EfficientNet-Lite0",
        include_str!("../../../blemish-features/assets/LICENSE-efficientnet-lite0"),
    ),
    (
        "Weights of EfficientNet-Lite2",
        include_str!("../../../blemish-features/assets/LICENSE-efficientnet-lite2"),
    ),
    ("Byte pairs of CLIP", include_str!("../../../blemish-foundation/assets/LICENSE-clip")),
    ("Parts of others", include_str!(concat!(env!("OUT_DIR"), "/third-party.md"))),
];

pub fn run(args: &VersionArgs) -> Result<(), Failure> {
    if args.licences {
        let line = "=".repeat(78);
        let sections = LICENCES.map(|(name, text)| format!("{line}\n{name}\n{line}\n\n{}\n", text.trim()));
        return print(sections.join("\n").trim_end());
    }
    let version = as_json();
    match args.json {
        true => print_as_is(&serde_json::to_string_pretty(&version).map_err(Failure::new)?),
        false => print(&in_words(&version)),
    }
}

fn as_json() -> Value {
    let weights =
        embedded_digests().map(|(network, digest)| json!({"name": network.name(), "sha256": digest}));
    json!({
        "name": "blemish",
        "version": env!("CARGO_PKG_VERSION"),
        // Told by whoever builds a package; `-dirty` behind it if files differed from it.
        "commit": option_env!("BLEMISH_COMMIT").filter(|commit| !commit.is_empty()),
        "target": env!("BLEMISH_TARGET"),
        "features": features(),
        "engines": engines(),
        "embedded_backbones": weights,
    })
}

/// The features that this program was built with.
fn features() -> Vec<&'static str> {
    [
        ("ann", cfg!(feature = "ann")),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("ort", cfg!(feature = "ort")),
        ("pull", cfg!(feature = "pull")),
        ("serve", cfg!(feature = "serve")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some(name))
    .collect()
}

/// What can run a network.
fn engines() -> Vec<&'static str> {
    let ort = if cfg!(feature = "ort") { &["ort"][..] } else { &[] };
    [&["native", "rten", "burn"], ort].concat()
}

fn in_words(version: &Value) -> String {
    let text = |key: &str| version[key].as_str().unwrap_or("unknown").to_owned();
    let list = |key: &str| {
        let names = version[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![format!("blemish {}", text("version"))];
    let rows = [
        ("commit", text("commit")),
        ("target", text("target")),
        ("features", list("features")),
        ("engines", list("engines")),
    ];
    lines.extend(rows.map(|(name, value)| format!("{name:<10}{value}")));
    for weights in version["embedded_backbones"].as_array().into_iter().flatten() {
        let (name, digest) = (weights["name"].as_str(), weights["sha256"].as_str());
        lines.push(format!("weights   {}, SHA-256 {}", name.unwrap_or_default(), digest.unwrap_or_default()));
    }
    lines.push("licences  MIT OR Apache-2.0; `blemish version --licences` prints all texts".into());
    lines.join("\n")
}

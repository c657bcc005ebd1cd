//! What the program tells of itself.

use crate::support::Bench;
use serde_json::Value;

/// The names of the commands that the help lists.
fn commands(bench: &Bench) -> Vec<String> {
    let help = bench.ok("--help");
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names.filter(|name| name != "help").collect()
}

#[test]
fn version_tells_what_the_program_is_made_of() {
    let bench = Bench::new();
    let version: Value = serde_json::from_str(&bench.ok("version --json")).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(bench.ok("--version").contains(env!("CARGO_PKG_VERSION")));
    assert!(version["target"].as_str().unwrap().contains(std::env::consts::ARCH));
    let weights = version["embedded_backbones"].as_array().unwrap();
    assert_eq!(weights.len(), 2);
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/../blemish-features/assets");
    for one in weights {
        let name = one["name"].as_str().unwrap();
        let digest = blemish::data::digest::file_sha256(
            format!("{assets}/{}-trunk.safetensors", name.replace('-', "_")).as_ref(),
        );
        assert_eq!(one["sha256"], digest.unwrap(), "{name}");
    }
    let told = bench.ok("version");
    assert!(told.contains("native, rten, burn") && told.contains("efficientnet_lite0, SHA-256"), "{told}");
    let licences = bench.ok("version --licences");
    for text in ["MIT License", "Apache License", "TERMS AND CONDITIONS", "OpenAI", "Parts of others"] {
        assert!(licences.contains(text), "{text}");
    }
    assert!(bench.misused("version --json --licences").contains("cannot be used with"));
}

#[test]
fn the_manual_and_completions_have_every_command() {
    let bench = Bench::new();
    let commands = commands(&bench);
    assert!(commands.len() > 15, "{commands:?}");
    let page = bench.ok("man");
    assert!(page.contains(".TH blemish 1"), "{}", &page[..200]);
    for command in &commands {
        assert!(page.contains(&format!(".SH \"BLEMISH {}\"", command.to_uppercase())), "{command}");
    }
    assert_eq!(page.matches("EVERYWHERE").count(), 1);
    assert!(page.contains(".SH \"BLEMISH DATA SYNTH\"") && page.contains("\\-\\-false\\-alarm"));
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.ok(&format!("completions {shell}"));
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
}

//! `blemish methods`: the registry, or one method's settings.

use crate::args::MethodsArgs;
use crate::failure::Failure;
use crate::output::print;
use blemish::Preset;
use blemish::entry::MethodEntry;
use blemish::registry::{method, methods};
use serde_json::{Value, json};

pub fn run(args: &MethodsArgs) -> Result<(), Failure> {
    match (&args.name, args.json) {
        (None, false) => print(&list()),
        (None, true) => {
            print(&pretty(&Value::Array(methods().iter().map(|entry| as_json(*entry)).collect())))
        }
        (Some(name), false) => print(&one(method(name)?)),
        (Some(name), true) => print(&pretty(&as_json(method(name)?))),
    }
}

fn list() -> String {
    let mut lines: Vec<String> = methods()
        .iter()
        .map(|entry| {
            let info = entry.info();
            let abilities = match abilities(*entry)[..] {
                [] => String::new(),
                ref some => format!("\n{:24}can {}", "", some.join(", ")),
            };
            format!(
                "{:<12}{:<12}{}\n{:24}{}{abilities}",
                info.name,
                info.family.to_string(),
                info.summary,
                "",
                info.advice
            )
        })
        .collect();
    lines.push("\n`blemish methods NAME` lists a method's settings.".into());
    lines.join("\n")
}

/// What only some methods' models can do after the fit, as verbs of the command line.
fn abilities(entry: &dyn MethodEntry) -> Vec<&'static str> {
    if entry.updates().is_some() { vec!["update", "merge"] } else { Vec::new() }
}

fn one(entry: &dyn MethodEntry) -> String {
    let info = entry.info();
    let mut text = format!(
        "{}: {}\n{}\n{}\n\n{}\n\nsettings (--set KEY=VALUE):\n",
        info.name,
        info.summary,
        info.advice,
        info.citation,
        match abilities(entry)[..] {
            [] => "can neither update nor merge".to_owned(),
            ref some => format!("can {}", some.join(", ")),
        }
    );
    let published = entry.preset(Preset::Paper).unwrap_or_default();
    for setting in entry.settings() {
        let allowed =
            if setting.allowed.is_empty() { String::new() } else { format!(", {}", setting.allowed) };
        let other = published.get(&setting.name).filter(|&value| *value != setting.default);
        let other = other.map(|value| format!(" (preset=paper: {})", plain(value))).unwrap_or_default();
        text += &format!(
            "  {} = {}{other}{allowed}\n      {}\n",
            setting.name,
            plain(&setting.default),
            setting.meaning
        );
    }
    text.trim_end().to_owned()
}

/// A default as one would write it after `=`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn as_json(entry: &dyn MethodEntry) -> Value {
    let info = entry.info();
    let settings: Vec<Value> = entry
        .settings()
        .into_iter()
        .map(|setting| {
            json!({"name": setting.name, "default": setting.default, "allowed": setting.allowed, "meaning": setting.meaning})
        })
        .collect();
    let presets: Vec<(&str, _)> = [Preset::Cpu, Preset::Paper]
        .into_iter()
        .filter_map(|preset| Some((preset.name(), entry.preset(preset)?)))
        .collect();
    json!({
        "name": info.name, "family": info.family.to_string(), "summary": info.summary, "advice": info.advice,
        "citation": info.citation, "abilities": abilities(entry), "settings": settings,
        "presets": Value::Object(presets.into_iter().map(|(name, all)| (name.to_owned(), Value::Object(all))).collect()),
    })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

//! `blemish methods`: the registry, or one method's settings.

use crate::args::MethodsArgs;
use crate::failure::Failure;
use crate::output::print;
use blemish::Preset;
use blemish::entry::{MethodEntry, abilities, described};
use blemish::registry::{method, methods};
use serde_json::Value;

pub fn run(args: &MethodsArgs) -> Result<(), Failure> {
    match (&args.name, args.json) {
        (None, false) => print(&list()),
        (None, true) => {
            print(&pretty(&Value::Array(methods().iter().map(|entry| described(*entry)).collect())))
        }
        (Some(name), false) => print(&one(method(name)?)),
        (Some(name), true) => print(&pretty(&described(method(name)?))),
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

fn one(entry: &dyn MethodEntry) -> String {
    let info = entry.info();
    let mut text = format!(
        "{}: {}\n{}\n{}\n\n{}{}\n\nsettings (--set KEY=VALUE):\n",
        info.name,
        info.summary,
        info.advice,
        info.citation,
        match abilities(entry)[..] {
            [] => "can neither update, merge nor export".to_owned(),
            ref some => format!("can {}", some.join(", ")),
        },
        entry.exports().err().map(|reason| format!("\nno export: {reason}")).unwrap_or_default()
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

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

//! `blemish weights`: the local store of backbone weights.

use crate::args::WeightsCommand;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::Observer;
use blemish::data::names::text_of;
use blemish::features::backbone::EMBEDDED;
use blemish::features::weights::{Check, WeightStore, catalogue};
use serde_json::json;

pub fn run(command: &WeightsCommand, console: &Console) -> Result<(), Failure> {
    let store = WeightStore::open()?;
    match command {
        WeightsCommand::List { json } => list(&store, *json),
        WeightsCommand::Add { file, name } => {
            let entry = store.add(file, name.as_deref())?;
            print(&format!("added {} ({} bytes, sha256 {})", entry.name, entry.bytes, entry.sha256))
        }
        WeightsCommand::Pull { name } => {
            console.stage("pulling", None);
            let mut shown = 0;
            let entry = store.pull(name, &mut |received, _| {
                console.advance(received - shown);
                shown = received;
                !console.is_cancelled()
            })?;
            console.finish();
            print(&format!("pulled {} ({} bytes, sha256 {})", entry.name, entry.bytes, entry.sha256))
        }
        WeightsCommand::Verify => verify(&store),
        WeightsCommand::Path { name: None } => print_as_is(&store.path().display().to_string()),
        WeightsCommand::Path { name: Some(name) } => match store.find(name)? {
            Some(path) => print_as_is(&path.display().to_string()),
            None => Err(Failure::new(format!(
                "the store has no weights of {name}; `blemish weights pull {name}` brings them"
            ))),
        },
    }
}

fn list(store: &WeightStore, as_json: bool) -> Result<(), Failure> {
    let entries = store.list()?;
    if as_json {
        let published: Vec<_> = catalogue()
            .iter()
            .map(
                |entry| json!({"name": entry.name, "repository": entry.repository, "licence": entry.licence}),
            )
            .collect();
        let embedded = EMBEDDED
            .map(|network| json!({"name": network.name(), "licence": "apache-2.0", "reaches": "stage5"}));
        let all = json!({"store": text_of(store.path()), "here": entries, "embedded": embedded, "published": published});
        return print_as_is(&format!("{all:#}"));
    }
    let mut text = format!("in the store ({}):\n", store.path().display());
    for entry in &entries {
        text += &format!(
            "  {:<22}{:>12} bytes  sha256 {}  from {}\n",
            entry.name,
            entry.bytes,
            &entry.sha256[..16],
            entry.source
        );
    }
    if entries.is_empty() {
        text += "  nothing yet\n";
    }
    text += "in this program:\n";
    for network in EMBEDDED {
        text += &format!("  {:<22}  trunk up to stage5, apache-2.0\n", network.name());
    }
    text += "to pull (`blemish weights pull NAME`):\n";
    for entry in catalogue() {
        text += &format!("  {:<22}  {}, {}\n", entry.name, entry.repository, entry.licence);
    }
    print(text.trim_end())
}

fn verify(store: &WeightStore) -> Result<(), Failure> {
    let mut broken = Vec::new();
    for (entry, check) in store.verify()? {
        let word = match check {
            Check::Intact => "intact",
            Check::Missing => "missing",
            Check::Altered => "altered",
        };
        print(&format!("{:<22}  {word}", entry.name))?;
        if check != Check::Intact {
            broken.push(entry.name);
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => {
            Err(Failure::new(format!("damaged in the store: {}; add or pull them again", broken.join(", "))))
        }
    }
}

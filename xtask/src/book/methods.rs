//! Pages, table and list of the methods, from the registry and the documentation of their modules.

use super::source;
use blemish::Preset;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// All that is said about a method. Made in [`all`] alone, so that nothing else here knows the registry.
pub struct Described {
    /// Name on the command line and in model files.
    pub name: String,
    family: String,
    summary: String,
    advice: String,
    citation: String,
    is_default: bool,
    needs: Vec<String>,
    settings: Vec<[String; 4]>,
    module: PathBuf,
    docs: String,
}

/// Every method of the registry, families together, in the order of the registry.
pub fn all(root: &Path) -> Result<Vec<Described>, Box<dyn Error>> {
    let mut found = Vec::new();
    for (index, entry) in blemish::registry::methods().iter().enumerate() {
        let info = entry.info();
        let module = source::module_file(root, info.name, &info.family.to_string())
            .ok_or_else(|| format!("the folder of the method {} was not found", info.name))?;
        let docs = source::module_docs(&fs::read_to_string(root.join(&module))?);
        if docs.is_empty() {
            return Err(format!("{} has no documentation of its module", module.display()).into());
        }
        let known = entry.needs(&Default::default())?;
        let strides: Vec<String> = known.strides().iter().map(ToString::to_string).collect();
        let mut needs = vec![match strides.as_slice() {
            [] => "Needs no backbone.".to_owned(),
            [one] => format!("Reads feature maps of a backbone, by default of stride {one}."),
            [first @ .., last] => {
                format!(
                    "Reads feature maps of a backbone, by default of strides {} and {last}.",
                    first.join(", ")
                )
            }
        }];
        if known.trains_long() {
            needs.push(
                "Trains a network; a training can be limited in time, interrupted and resumed.".to_owned(),
            );
        }
        if entry.updates().is_some() {
            needs.push("Its models can be [updated and merged](../how-to/update.md).".to_owned());
        }
        let published = entry.preset(Preset::Paper).unwrap_or_default();
        let settings = entry.settings().into_iter().map(|setting| {
            let cell = |value: &serde_json::Value| match value {
                serde_json::Value::Null => "automatic".to_owned(),
                serde_json::Value::String(text) => code(text),
                value => code(&value.to_string()),
            };
            let default = match published.get(&setting.name).filter(|&value| *value != setting.default) {
                None => cell(&setting.default),
                Some(published) => format!("{}, paper: {}", cell(&setting.default), cell(published)),
            };
            let allowed = if setting.allowed.contains(" | ") {
                setting.allowed.split(" | ").map(code).collect::<Vec<_>>().join(", ")
            } else {
                setting.allowed
            };
            [code(&setting.name), default, allowed, setting.meaning]
        });
        found.push(Described {
            name: info.name.to_owned(),
            family: info.family.to_string(),
            summary: info.summary.to_owned(),
            advice: info.advice.to_owned(),
            citation: info.citation.to_owned(),
            is_default: index == 0,
            needs,
            settings: settings.collect(),
            module,
            docs,
        });
    }
    let families: Vec<String> = found.iter().map(|method| method.family.clone()).collect();
    found.sort_by_key(|method| families.iter().position(|family| *family == method.family));
    Ok(found)
}

/// The page of a method.
pub fn page(method: &Described) -> String {
    let Described { name, summary, advice, citation, docs, .. } = method;
    let rows: String = method
        .settings
        .iter()
        .map(|cells| format!("| {} |\n", cells.each_ref().map(|cell| cell.replace('|', "\\|")).join(" | ")))
        .collect();
    let settings = if rows.is_empty() {
        "It has no settings.\n".to_owned()
    } else {
        format!("| setting | default | allowed | meaning |\n|---|---|---|---|\n{rows}")
    };
    let module = method.module.display().to_string().replace('\\', "/");
    format!(
        "<!-- Written by `cargo xtask book` from the code. -->\n\n# {name}\n\n\
         ## Idea\n\n{}\n\n\
         ## When to pick it\n\n{}\n\n{}\n\n\
         ## Method\n\n{}\n\n\
         ## Settings\n\nGive them as `--set KEY=VALUE`. `blemish methods {name}` prints this list, too.\n\n{settings}\n\
         ## Source\n\n{}\n\nThe code begins in `{module}`.\n",
        sentence(summary),
        sentence(advice),
        method.needs.join(" "),
        linked(docs.trim()),
        sentence(&linked(citation)),
    )
}

/// The table of all methods; `folder` is the way from the page to the pages of methods.
pub fn table(methods: &[Described], folder: &str) -> String {
    let rows: String = methods
        .iter()
        .map(|method| {
            let Described { name, family, summary, advice, .. } = method;
            let default = if method.is_default { " (default)" } else { "" };
            format!("| [`{name}`]({folder}/{name}.md){default} | {family} | {summary} | {advice} |\n")
        })
        .collect();
    format!("| method | family | idea | when to pick it |\n|---|---|---|---|\n{rows}")
}

/// The summary of the book with the list of methods replaced: the run of lines whose links lead to `methods/`.
pub fn summary(methods: &[Described], text: &str) -> String {
    let mut is_listed = false;
    let mut new = String::new();
    for line in text.lines() {
        if !line.contains("](methods/") {
            new.push_str(line);
            new.push('\n');
        } else if !is_listed {
            is_listed = true;
            let indent = &line[..line.len() - line.trim_start().len()];
            for Described { name, .. } in methods {
                new.push_str(&format!("{indent}- [{name}](methods/{name}.md)\n"));
            }
        }
    }
    new
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The text with a capital letter at the start and a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', ':']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// The text with numbers of arXiv as links.
fn linked(text: &str) -> String {
    let mut parts = text.split("arXiv ");
    let mut linked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(part.len());
        let number = part[..end].trim_end_matches('.');
        if number.is_empty() {
            linked.push_str(&format!("arXiv {part}"));
            continue;
        }
        linked
            .push_str(&format!("[arXiv {number}](https://arxiv.org/abs/{number}){}", &part[number.len()..]));
    }
    linked
}

#[cfg(test)]
mod tests {
    use super::{linked, sentence};

    #[test]
    fn citations_link_to_arxiv() {
        assert_eq!(
            linked("A, arXiv 2206.04325. B"),
            "A, [arXiv 2206.04325](https://arxiv.org/abs/2206.04325). B"
        );
        assert_eq!(linked("on arXiv since 2020"), "on arXiv since 2020");
    }

    #[test]
    fn sentences_have_a_capital_and_a_stop() {
        assert_eq!(sentence("for aligned parts"), "For aligned parts.");
        assert_eq!(sentence("Done."), "Done.");
    }
}

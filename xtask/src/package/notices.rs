//! THIRD-PARTY.md: the licences of all crates that are inside the program, with their texts.

use super::Failure;
use super::parts::Part;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How files begin that hold licences or what must be said with them.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// Every crate with its licence, then every text once with the crates that it is of.
///
/// # Errors
/// A crate that says no licence, or files that cannot be read.
pub fn third_party(parts: &[Part]) -> Result<String, Failure> {
    let mut table = String::from(
        "# Parts of others\n\nThe program `blemish` contains these crates. Their texts follow the table, each once. Weights and tables that are not ours \
         are in NOTICE.\n\n| crate | version | licence | source |\n|---|---|---|---|\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for part in parts.iter().filter(|part| !part.is_ours) {
        let Part { name, version, licence, repository, .. } = part;
        if licence.is_empty() {
            return Err(format!(
                "the crate {name} {version} says no licence; look it up before it is shipped"
            )
            .into());
        }
        writeln!(table, "| {name} | {version} | {licence} | {repository} |")?;
        let found = texts_of(part)?;
        if found.is_empty() {
            without.push(format!("{name} {version} ({licence})"));
        }
        for text in found {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    if !without.is_empty() {
        writeln!(
            table,
            "\nWithout a text of their own, under the standard text of their licence: {}.",
            without.join(", ")
        )?;
    }
    // By the first crate of each, so that a new crate moves little.
    let mut sections: Vec<(Vec<String>, String)> = texts.into_iter().map(|(text, of)| (of, text)).collect();
    sections.sort();
    for (of, text) in sections {
        let fence = if text.contains("```") { "~~~~" } else { "```" };
        write!(table, "\n## {}\n\n{fence}text\n{text}\n{fence}\n", of.join(", "))?;
    }
    Ok(table)
}

/// The texts that lie beside a crate's source, with lines that end alike.
fn texts_of(part: &Part) -> Result<Vec<String>, Failure> {
    let mut files: Vec<_> = std::fs::read_dir(&part.folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut texts = Vec::new();
    for file in files {
        let name = file.file_name().to_string_lossy().to_lowercase();
        // Sources may be called so as well.
        let is_text = NAMES.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".rs");
        if is_text && file.file_type()?.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(file.path())?).replace("\r\n", "\n");
            texts.push(text.trim_matches('\n').trim_end().to_owned());
        }
    }
    texts.retain(|text| !text.is_empty());
    texts.sort();
    texts.dedup();
    Ok(texts)
}

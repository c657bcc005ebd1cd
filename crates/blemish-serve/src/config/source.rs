//! The tables `[[source]]`, with the keys of the station's `sources.toml`.

use crate::fault::Fault;
use crate::station::sources::SourceOption;
use std::path::Path;
use toml::Table;

/// All of them; their names differ.
pub fn all(file: &Path, tables: Vec<Table>) -> Result<Vec<SourceOption>, Fault> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut sources: Vec<SourceOption> = Vec::with_capacity(tables.len());
    for (at, table) in tables.into_iter().enumerate() {
        let fault = |why: &dyn std::fmt::Display| {
            Fault::new("setting", format!("`{}`, [[source]] number {}: {why}", file.display(), at + 1))
        };
        let table: Table = table.into_iter().map(|(key, value)| (key.replace('-', "_"), value)).collect();
        let source: SourceOption =
            table.try_into().map_err(|error: toml::de::Error| fault(&error.message()))?;
        if sources.iter().any(|other| other.name == source.name) {
            let why = format!("two sources are called `{}`; give one another name", source.name);
            return Err(fault(&why));
        }
        sources.push(source.resolved(folder));
    }
    Ok(sources)
}

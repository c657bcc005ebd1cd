//! A table of a TOML file whose errors name file, table and key.

use crate::fault::Fault;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What is left of a table, and where it stands.
pub struct Section<'a> {
    file: &'a Path,
    /// `[[sink]]` number 2 and the like; empty at the top.
    table: String,
    values: Table,
    /// What was asked for, to be listed where a key is unknown.
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// A table; `-` and `_` in keys are the same.
    pub fn new(file: &'a Path, table: impl Into<String>, values: Table) -> Self {
        let values = values.into_iter().map(|(key, value)| (key.replace('-', "_"), value)).collect();
        Self { file, table: table.into(), values, known: Vec::new() }
    }

    /// An error about a key.
    pub fn fault(&self, key: &str, why: impl std::fmt::Display) -> Fault {
        let (file, table) = (self.file.display(), &self.table);
        let place = if table.is_empty() { format!("`{file}`") } else { format!("`{file}`, {table}") };
        Fault::new("setting", format!("{place}, `{key}`: {why}"))
    }

    /// Takes a value out.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.values.remove(key)
    }

    /// Takes a text out.
    ///
    /// # Errors
    /// [`Fault`] for any other value; so all of these.
    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.fault(key, format!("it is {}, not a text", kind(&other)))),
        }
    }

    /// Takes a text out that must be there.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn needed(&mut self, key: &'static str, example: &str) -> Result<String, Fault> {
        self.text(key)?.ok_or_else(|| self.fault(key, format!("it is missing; write {key} = \"{example}\"")))
    }

    /// Takes a path out; one that is not absolute begins at the folder of the file.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn path(&mut self, key: &'static str) -> Result<Option<PathBuf>, Fault> {
        Ok(self.text(key)?.map(|text| self.resolve(&text)))
    }

    /// A path of the file.
    pub fn resolve(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(text)
    }

    /// Takes true or false out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(self.fault(key, format!("it is {}; write true or false", kind(&other)))),
        }
    }

    /// Takes a whole number out, from `least` on.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn count(&mut self, key: &'static str, least: u64) -> Result<Option<u64>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(value)) if u64::try_from(value).is_ok_and(|value| value >= least) => {
                Ok(Some(value as u64))
            }
            Some(_) => Err(self.fault(key, format!("it is no whole number from {least} on"))),
        }
    }

    /// Takes a number between two out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn number(&mut self, key: &'static str, (low, high): (f64, f64)) -> Result<Option<f64>, Fault> {
        let value = match self.take(key) {
            None => return Ok(None),
            Some(Value::Float(value)) => value,
            Some(Value::Integer(value)) => value as f64,
            Some(other) => return Err(self.fault(key, format!("it is {}, not a number", kind(&other)))),
        };
        if (low..=high).contains(&value) {
            return Ok(Some(value));
        }
        Err(self.fault(key, format!("{value} is not between {low} and {high}")))
    }

    /// Takes a value with a unit out: a text, or a plain number.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn unit<T>(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Fault> {
        let text = match self.take(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Integer(value)) => value.to_string(),
            Some(Value::Float(value)) => value.to_string(),
            Some(other) => {
                return Err(self.fault(key, format!("it is {}, not a text or number", kind(&other))));
            }
        };
        parse(&text).map(Some).map_err(|why| self.fault(key, why))
    }

    /// Takes one of a few words out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                Err(self.fault(key, format!("`{text}` is none of {}", names.join(", "))))
            }
        }
    }

    /// Takes a list of texts out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, Fault> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let texts = match &value {
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        texts.map(Some).ok_or_else(|| self.fault(key, "it is no list of texts; write [\"one\", \"two\"]"))
    }

    /// Takes a list of tables out.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Table>, Fault> {
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let tables = match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| if let Value::Table(table) = item { Some(table) } else { None })
                .collect(),
            _ => None,
        };
        tables.ok_or_else(|| self.fault(key, format!("it is no list of tables; head each with [[{key}]]")))
    }

    /// Checks that everything was asked for.
    ///
    /// # Errors
    /// [`Fault`] that names the first key that nobody knows, and those that there are.
    pub fn end(mut self) -> Result<(), Fault> {
        let Some(key) = self.values.keys().next().cloned() else { return Ok(()) };
        self.known.sort_unstable();
        self.known.dedup();
        let known = self.known.join(", ");
        Err(self.fault(&key, format!("there is no such key; there are: {known}")))
    }
}

/// A value's kind in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

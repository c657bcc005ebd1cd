//! Settings of a method: listed, parsed from `key=value` and checked against the ranges their type declares.
//!
//! A method's configuration is an ordinary serde struct with a `schemars::JsonSchema`; names, defaults, ranges and meanings that the
//! command line and the documentation show all come from that one definition.

use crate::error::Error;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Settings by name, as a model file stores them.
pub type Settings = Map<String, Value>;

/// One setting, described for people.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingInfo {
    /// Name in snake case.
    pub name: String,
    /// What it is and does, one or two sentences.
    pub meaning: String,
    /// Value when nothing is said; `null` means that it follows from other settings.
    pub default: Value,
    /// Range or choices in words, such as `0.001 to 1` or `max | reweighted`; empty where anything of the type is allowed.
    pub allowed: String,
    schema: Value,
}

/// Every setting of a configuration type, in the order of its fields.
pub fn describe<C: JsonSchema + Default + Serialize>() -> Vec<SettingInfo> {
    let schema = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<C>()
        .to_value();
    let defaults = serde_json::to_value(C::default()).unwrap_or_default();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    // The serialised default keeps the order of the fields; a schema's map may be sorted.
    let names: Vec<String> =
        defaults.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| {
            let schema = properties.get(&name)?.clone();
            Some(SettingInfo {
                meaning: schema.get("description").and_then(Value::as_str).unwrap_or("").replace('\n', " "),
                default: defaults.get(&name).cloned().unwrap_or(Value::Null),
                allowed: allowed(&schema),
                name,
                schema,
            })
        })
        .collect()
}

/// Reads `key=value` pairs on top of the defaults and checks every range.
///
/// # Errors
/// [`Error::Setting`] for an unknown key, a value of the wrong type or one outside its range.
pub fn parse<C: JsonSchema + Default + Serialize>(pairs: &[(String, String)]) -> Result<Settings, Error> {
    let infos = describe::<C>();
    let mut settings = Settings::new();
    for (key, text) in pairs {
        let info = infos.iter().find(|info| &info.name == key).ok_or_else(|| unknown(key, &infos))?;
        settings.insert(key.clone(), info.read(text)?);
    }
    Ok(settings)
}

/// Turns stored settings into the typed configuration, defaults filled in, every range checked.
///
/// # Errors
/// [`Error::Setting`], as for [`parse`].
pub fn typed<C: JsonSchema + Default + Serialize + DeserializeOwned>(
    settings: &Settings,
) -> Result<C, Error> {
    typed_over(C::default(), settings)
}

/// The same over other values than the defaults.
///
/// # Errors
/// [`Error::Setting`], as for [`parse`].
pub fn typed_over<C: JsonSchema + Default + Serialize + DeserializeOwned>(
    base: C,
    settings: &Settings,
) -> Result<C, Error> {
    let infos = describe::<C>();
    for (key, value) in settings {
        let info = infos.iter().find(|info| &info.name == key).ok_or_else(|| unknown(key, &infos))?;
        info.check(value)?;
    }
    let mut all = all_of(&base);
    all.extend(settings.clone());
    serde_json::from_value(Value::Object(all)).map_err(|error| Error::Setting {
        key: "settings".into(),
        reason: error.to_string(),
        help: String::new(),
    })
}

/// Every setting of a configuration.
pub fn all_of<C: Serialize>(config: &C) -> Settings {
    match serde_json::to_value(config) {
        Ok(Value::Object(all)) => all,
        // A configuration is a struct of plain values, which always serialises to an object.
        _ => Settings::new(),
    }
}

impl SettingInfo {
    fn read(&self, text: &str) -> Result<Value, Error> {
        let wants_text = has_type(&self.schema, "string") || choices(&self.schema).is_some();
        let value = if text == "null" && has_type(&self.schema, "null") {
            Value::Null
        } else if wants_text && !(takes_numbers(&self.schema) && text.parse::<f64>().is_ok()) {
            Value::String(text.to_owned())
        } else {
            serde_json::from_str(text)
                .map_err(|_| self.refuse(&format!("`{text}` is not a value of this setting")))?
        };
        self.check(&value)?;
        Ok(value)
    }

    fn check(&self, value: &Value) -> Result<(), Error> {
        if value.is_null() && has_type(&self.schema, "null") {
            return Ok(());
        }
        if let Some(choices) = choices(&self.schema)
            && !(takes_numbers(&self.schema) && value.is_number())
        {
            let fits = value.as_str().is_some_and(|text| choices.iter().any(|choice| choice == text));
            return if fits {
                Ok(())
            } else {
                Err(self.refuse(&format!("{value} is not one of its choices")))
            };
        }
        let fits = ["boolean", "integer", "number", "string", "array"].iter().any(|kind| {
            has_type(&self.schema, kind)
                && match *kind {
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    _ => value.is_array(),
                }
        });
        if !fits {
            return Err(self.refuse(&format!("{value} has the wrong type")));
        }
        if let Some(number) = value.as_f64() {
            let bound = |name: &str| find(&self.schema, name).and_then(Value::as_f64);
            let outside = bound("minimum").is_some_and(|low| number < low)
                || bound("exclusiveMinimum").is_some_and(|low| number <= low)
                || bound("maximum").is_some_and(|high| number > high);
            if outside || !number.is_finite() {
                return Err(self.refuse(&format!("{value} is out of range")));
            }
        }
        Ok(())
    }

    fn refuse(&self, reason: &str) -> Error {
        let help =
            if self.allowed.is_empty() { self.meaning.clone() } else { format!("allowed: {}", self.allowed) };
        Error::Setting { key: self.name.clone(), reason: reason.to_owned(), help }
    }
}

fn unknown(key: &str, infos: &[SettingInfo]) -> Error {
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    Error::Setting {
        key: key.to_owned(),
        reason: "this method has no such setting".into(),
        help: format!("it has: {}", names.join(", ")),
    }
}

/// Looks a keyword up in a schema or in the alternatives that an `Option` becomes.
fn find<'a>(schema: &'a Value, keyword: &str) -> Option<&'a Value> {
    schema.get(keyword).or_else(|| {
        let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
        alternatives.iter().find_map(|alternative| find(alternative, keyword))
    })
}

fn has_type(schema: &Value, kind: &str) -> bool {
    let own = match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    };
    own || ["anyOf", "oneOf"]
        .iter()
        .filter_map(|key| schema.get(key)?.as_array())
        .flatten()
        .any(|alternative| has_type(alternative, kind))
}

/// The names an enumeration allows; unit variants with doc comments come as `oneOf` of `const`s.
fn choices(schema: &Value) -> Option<Vec<String>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect());
    }
    if let Some(value) = schema.get("const").and_then(Value::as_str) {
        return Some(vec![value.to_owned()]);
    }
    let alternatives = schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()?;
    let names: Vec<String> = alternatives.iter().filter_map(choices).flatten().collect();
    (!names.is_empty()).then_some(names)
}

/// Whether a number may be given, alone or beside names.
fn takes_numbers(schema: &Value) -> bool {
    has_type(schema, "number") || has_type(schema, "integer")
}

fn allowed(schema: &Value) -> String {
    let choices = choices(schema).map(|choices| choices.join(" | "));
    match (choices, takes_numbers(schema)) {
        (Some(choices), true) => [choices, range(schema)].join(" | ").trim_end_matches(" | ").to_owned(),
        (Some(choices), false) => choices,
        (None, _) => range(schema),
    }
}

/// The range of a number in words, or what else a type allows.
fn range(schema: &Value) -> String {
    let bound = |name: &str| find(schema, name).map(short);
    match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum")) {
        (Some(low), _, Some(high)) => format!("{low} to {high}"),
        (_, Some(low), Some(high)) => format!("above {low}, to {high}"),
        // An unsigned integer declares its zero; that is the type, not a range worth words.
        (Some(low), _, None) if low != "0" => format!("at least {low}"),
        (_, Some(low), None) => format!("above {low}"),
        (_, _, Some(high)) => format!("at most {high}"),
        _ if has_type(schema, "boolean") => "true | false".into(),
        _ => String::new(),
    }
}

fn short(value: &Value) -> String {
    match value.as_f64() {
        Some(number) => format!("{number}"),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Default)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        /// Like blood.
        #[default]
        Red,
        /// Like the sea.
        DeepBlue,
    }

    #[derive(Serialize, Deserialize, JsonSchema, Debug, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        /// How much.
        #[schemars(range(min = 0.001, max = 1.0))]
        ratio: f64,
        /// How many.
        #[schemars(range(min = 1))]
        count: Option<usize>,
        /// Which.
        colour: Colour,
        /// Which, perhaps.
        other: Option<Colour>,
        /// Whether.
        fast: bool,
        /// How strong, or by itself.
        strength: Strength,
    }

    #[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Itself {
        Auto,
    }

    #[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq)]
    #[serde(untagged)]
    enum Strength {
        Chosen(Itself),
        Given(#[schemars(range(min = 0.0, max = 20.0))] f64),
    }

    impl Default for Sample {
        fn default() -> Self {
            let strength = Strength::Chosen(Itself::Auto);
            Self { ratio: 0.5, count: None, colour: Colour::Red, other: None, fast: false, strength }
        }
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_described_in_order_with_ranges_and_choices() {
        let infos = describe::<Sample>();
        let allowed: Vec<&str> = infos.iter().map(|info| info.allowed.as_str()).collect();
        assert_eq!(
            allowed,
            [
                "0.001 to 1",
                "at least 1",
                "red | deep_blue",
                "red | deep_blue",
                "true | false",
                "auto | 0 to 20"
            ]
        );
        assert_eq!(infos[0].name, "ratio");
        assert_eq!(infos[0].meaning, "How much.");
        assert_eq!(infos[0].default, Value::from(0.5));
    }

    #[test]
    fn pairs_are_read_by_the_type_of_their_setting() {
        let list =
            [("ratio", "0.25"), ("count", "3"), ("colour", "deep_blue"), ("other", "null"), ("fast", "true")];
        let read: Sample = typed(&parse::<Sample>(&pairs(&list)).unwrap()).unwrap();
        assert_eq!(
            read,
            Sample {
                ratio: 0.25,
                count: Some(3),
                colour: Colour::DeepBlue,
                other: None,
                fast: true,
                ..Sample::default()
            }
        );
    }

    #[test]
    fn a_number_may_be_left_to_a_name() {
        let read = |text: &str| typed::<Sample>(&parse::<Sample>(&pairs(&[("strength", text)]))?);
        assert_eq!(read("auto").unwrap().strength, Strength::Chosen(Itself::Auto));
        assert_eq!(read("3").unwrap().strength, Strength::Given(3.0));
        for text in ["21", "-1", "often", "nan", "true"] {
            assert!(read(text).unwrap_err().to_string().contains("auto | 0 to 20"), "{text}");
        }
    }

    #[test]
    fn wrong_settings_are_refused_with_what_is_allowed() {
        for (key, value, words) in [
            ("ratio", "2", "0.001 to 1"),
            ("ratio", "abc", "not a value"),
            ("count", "0", "at least 1"),
            ("count", "1.5", "wrong type"),
            ("colour", "green", "red | deep_blue"),
            ("fast", "1", "wrong type"),
            ("speed", "1", "it has: ratio, count"),
        ] {
            let message = parse::<Sample>(&pairs(&[(key, value)])).unwrap_err().to_string();
            assert!(message.contains(words) && message.contains(key), "{message}");
        }
    }

    #[test]
    fn what_is_not_set_comes_from_the_base() {
        let base = Sample { ratio: 0.25, count: Some(7), ..Sample::default() };
        let read: Sample = typed_over(base, &parse::<Sample>(&pairs(&[("ratio", "0.75")])).unwrap()).unwrap();
        assert_eq!(read, Sample { ratio: 0.75, count: Some(7), ..Sample::default() });
    }
}

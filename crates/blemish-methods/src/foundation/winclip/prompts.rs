//! The prompts of the compositional ensemble: every state of the object in every template.

use blemish_core::error::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What stands for the object in a state, and for a state in a template.
const PLACE: &str = "{}";

/// States of a good object.
pub(super) const NORMAL: [&str; 7] = [
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
];

/// States of a defective one.
pub(super) const ANOMALOUS: [&str; 4] = ["damaged {}", "{} with flaw", "{} with defect", "{} with damage"];

/// The templates of the paper.
const TEMPLATES: [&str; 22] = [
    "a cropped photo of the {}",
    "a cropped photo of a {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a bright photo of a {}",
    "a bright photo of the {}",
    "a dark photo of the {}",
    "a dark photo of a {}",
    "a jpeg corrupted photo of a {}",
    "a jpeg corrupted photo of the {}",
    "a blurry photo of the {}",
    "a blurry photo of a {}",
    "a photo of a {}",
    "a photo of the {}",
    "a photo of a small {}",
    "a photo of the small {}",
    "a photo of a large {}",
    "a photo of the large {}",
    "a photo of the {} for visual inspection",
    "a photo of a {} for visual inspection",
    "a photo of the {} for anomaly detection",
    "a photo of a {} for anomaly detection",
];

/// The two templates that anomalib lacks, and the one that it has twice in place of the second.
const LACKING: [&str; 2] = ["a cropped photo of a {}", "a jpeg corrupted photo of a {}"];
const TWICE: &str = "a jpeg corrupted photo of the {}";

/// Which templates prompts are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TemplateSet {
    /// The 22 of the paper.
    #[default]
    Paper,
    /// The 21 of anomalib, which end in a full stop: one is missing, one is there twice.
    Anomalib,
}

impl TemplateSet {
    /// Its templates.
    pub fn templates(self) -> Vec<String> {
        match self {
            Self::Paper => TEMPLATES.map(str::to_owned).to_vec(),
            Self::Anomalib => TEMPLATES
                .iter()
                .filter(|template| **template != LACKING[0])
                .map(|template| if *template == LACKING[1] { TWICE } else { *template })
                .map(|template| format!("{template}."))
                .collect(),
        }
    }
}

/// The prompts of an object in these states: each state in all templates, then the next.
///
/// Underscores of the object become blanks: names of folders are no words.
///
/// # Errors
/// [`Error::Setting`] if there is no object, state or template, or one that does not say where the object goes.
pub(super) fn prompts(
    object: &str,
    (key, states): (&str, &[String]),
    templates: &[String],
) -> Result<Vec<String>, Error> {
    let refuse =
        |key: &str, reason: String, help: &str| Error::Setting { key: key.into(), reason, help: help.into() };
    let object = object.replace('_', " ");
    let object = object.trim();
    if object.is_empty() {
        let help = "say in a word or two what is inspected, such as metal nut";
        return Err(refuse("object", "it is empty, so there is nothing to ask for".into(), help));
    }
    for (key, list) in [(key, states), ("templates", templates)] {
        let help = "write {} where the object goes, as in [\"a photo of a {}\"]";
        if list.is_empty() {
            return Err(refuse(key, "the list is empty".into(), help));
        }
        if let Some(wrong) = list.iter().find(|text| !text.contains(PLACE)) {
            return Err(refuse(key, format!("`{wrong}` has no {{}}"), help));
        }
    }
    let states = states.iter().map(|state| state.replace(PLACE, object));
    Ok(states
        .flat_map(|state| templates.iter().map(move |template| template.replace(PLACE, &state)))
        .collect())
}

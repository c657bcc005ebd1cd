//! Settings of WinCLIP.

use super::prompts::{ANOMALOUS, NORMAL, TemplateSet, prompts};
use blemish_core::error::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "winclip";

/// Settings of WinCLIP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WinClipConfig {
    /// What is inspected, in a word or two, such as "metal nut"; underscores become blanks. null: the name of the images' category if there is
    /// one, else "object".
    pub object: Option<String>,
    /// States of a good object, {} where the object goes: ["flawless {}", "{} without damage"].
    pub states_normal: Vec<String>,
    /// States of a defective object, such as ["damaged {}", "{} with a scratch"].
    pub states_anomalous: Vec<String>,
    /// The templates that every state is put into, where `templates` names none.
    pub template_set: TemplateSet,
    /// Templates of your own, {} where the state goes: ["a photo of a {}"]. null: those of `template_set`.
    pub templates: Option<Vec<String>>,
    /// Sides of the windows, in tokens of the image tower (of 16 pixels mostly).
    pub scales: Vec<usize>,
    /// Tokens from a window to the next; 2 takes a quarter of the time and gives coarser maps.
    #[schemars(range(min = 1, max = 16))]
    pub stride: usize,
    /// Temperature of the softmax over the two prototypes (T): smaller is more decided. 0.01 is what CLIP learnt.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub temperature: f64,
    /// The most good images whose features are kept to compare with (WinCLIP+); with more they are chosen evenly. 0 goes by words alone.
    #[schemars(range(min = 0, max = 1000))]
    pub shots: usize,
}

impl Default for WinClipConfig {
    fn default() -> Self {
        Self {
            object: None,
            states_normal: NORMAL.map(str::to_owned).to_vec(),
            states_anomalous: ANOMALOUS.map(str::to_owned).to_vec(),
            template_set: TemplateSet::Paper,
            templates: None,
            scales: vec![2, 3],
            stride: 1,
            temperature: 0.07,
            shots: 16,
        }
    }
}

impl WinClipConfig {
    /// The prompts of good and of defective objects.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn prompts(&self) -> Result<[Vec<String>; 2], Error> {
        let object = self.object.as_deref().unwrap_or("object");
        let templates = self.templates.clone().unwrap_or_else(|| self.template_set.templates());
        Ok([
            prompts(object, ("states_normal", &self.states_normal), &templates)?,
            prompts(object, ("states_anomalous", &self.states_anomalous), &templates)?,
        ])
    }

    /// Whether every scale fits on a grid of so many tokens a side.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(super) fn check_scales(&self, grid: usize) -> Result<(), Error> {
        match self.scales.iter().find(|scale| **scale == 0 || **scale > grid) {
            None => Ok(()),
            Some(wrong) => Err(Error::Setting {
                key: "scales".into(),
                reason: format!("a window of {wrong} tokens does not fit"),
                help: format!("the network sees {grid}x{grid} tokens, so 1 to {grid} are possible"),
            }),
        }
    }
}

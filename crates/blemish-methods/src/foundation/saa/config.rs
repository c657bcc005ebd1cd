//! Settings of SAA.

use blemish_core::error::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "saa";

/// How much of the method is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// SAA+: properties, saliency and confidence ranking.
    #[default]
    Plus,
    /// SAA: detector and segmenter alone.
    Plain,
}

/// Which positions saliency compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Neighbours {
    /// The most different ones, as the released code.
    #[default]
    Farthest,
    /// The most similar ones, as the paper says.
    Nearest,
}

/// How the object's name is looked for in a box's phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// Whole words: a nut is no walnut.
    #[default]
    Words,
    /// Anywhere in the text, as the released code.
    Substring,
}

/// Settings of SAA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SaaConfig {
    /// How much of the method is used.
    pub variant: Variant,
    /// The object's name, such as `metal nut`.
    pub object: String,
    /// Captions of defects, such as `["black hole", "thread. scratch."]`; full stops part the phrases of one caption. After a `|` stands what
    /// boxes must not show, if not the object. Empty: "defect on", "damage on" and "flaw on" the object.
    pub prompts: Vec<String>,
    /// Number of objects in an image. Published: 1 on MVTec AD; 4 for candle and macaroni, 20 for capsules, else 1 on VisA.
    #[schemars(range(min = 1, max = 1000))]
    pub objects: usize,
    /// Most defects that an image is said to have (K). Published: 5 on MVTec AD, 1 to 50 on VisA.
    #[schemars(range(min = 1, max = 900))]
    pub most_anomalies: usize,
    /// Largest area of a defect, as a share of the object's (theta). Published: 0.1 for screw, 0.3 for bottle, 0.5 for toothbrush and zipper, 0.6 for
    /// capsule, 1 for metal_nut, pill and transistor, else 0.9.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub largest_area: f32,
    /// Boxes count whose best token scores above it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub box_threshold: f32,
    /// Tokens are part of a box's phrase that score above it.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub text_threshold: f32,
    /// How the object's name is looked for in a box's phrase.
    pub matching: Matching,
    /// Which positions saliency compares with, for a single object.
    pub neighbours: Neighbours,
    /// How many positions saliency compares with, for a single object.
    #[schemars(range(min = 1, max = 65536))]
    pub saliency_count: usize,
    /// How strongly saliency raises a region's score; 0 leaves it out.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub saliency_exponent: f32,
    /// Side in pixels of the square image that saliency looks at. null: 256 for a single object, 1024 for several.
    #[schemars(range(min = 32, max = 4096))]
    pub saliency_side: Option<usize>,
    /// The network that finds boxes: `grounding_dino_tiny` of the weight store, or a file of its weights.
    pub detector: String,
    /// The network that draws masks: `sam_vit_b`, `sam_vit_l`, `sam_vit_h` or `mobile_sam` of the weight store, or a file of its weights.
    pub segmenter: String,
    /// The file `vocab.txt` of bert-base-uncased, which the fit needs. null: beside the detector's weights.
    pub vocabulary: Option<String>,
    /// Whether the model holds the weights of detector and segmenter (a gigabyte or more) and needs no other file.
    pub embed_weights: bool,
}

impl Default for SaaConfig {
    fn default() -> Self {
        Self {
            variant: Variant::Plus,
            object: "object".into(),
            prompts: Vec::new(),
            objects: 1,
            most_anomalies: 5,
            largest_area: 0.9,
            box_threshold: 0.1,
            text_threshold: 0.1,
            matching: Matching::Words,
            neighbours: Neighbours::Farthest,
            saliency_count: 400,
            saliency_exponent: 3.0,
            saliency_side: None,
            detector: "grounding_dino_tiny".into(),
            segmenter: "sam_vit_b".into(),
            vocabulary: None,
            embed_weights: false,
        }
    }
}

/// What the detector is asked for, and what its boxes must not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    /// Phrases, parted by full stops.
    pub caption: String,
    /// The phrase that is left out; empty for none.
    pub filter: String,
}

/// What an expert knows of the product beside words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Properties {
    /// Number of objects in an image.
    pub objects: usize,
    /// Most defects that an image is said to have (K); `None` is any number.
    pub most_anomalies: Option<usize>,
    /// Largest area of a defect, as a share of the object's (theta).
    pub largest_area: f32,
}

impl SaaConfig {
    /// The captions and what is left out of each.
    ///
    /// # Errors
    /// [`Error::Setting`] for a prompt without words.
    pub(super) fn prompts(&self) -> Result<Vec<Prompt>, Error> {
        let refuse = |key: &str, reason: String, help: &str| {
            Err(Error::Setting { key: key.into(), reason, help: help.into() })
        };
        if self.object.trim().is_empty() {
            return refuse(
                "object",
                "it has no words".into(),
                "name what the images show, such as `metal nut`",
            );
        }
        let object = self.object.trim();
        if self.prompts.is_empty() {
            let kinds = ["defect", "damage", "flaw"]
                .map(|kind| Prompt { caption: format!("{kind} on {object}"), filter: object.to_owned() });
            return Ok(kinds.to_vec());
        }
        let mut prompts = Vec::new();
        for text in &self.prompts {
            let (caption, filter) = text.split_once('|').unwrap_or((text, object));
            if !caption.chars().any(char::is_alphanumeric) {
                let reason = format!("the prompt `{text}` has no words");
                return refuse("prompts", reason, "say what a defect looks like, such as `black hole`");
            }
            prompts.push(Prompt { caption: caption.trim().to_owned(), filter: filter.trim().to_owned() });
        }
        Ok(prompts)
    }

    /// What is known of the product; of a plain variant nothing is.
    pub(super) fn properties(&self) -> Properties {
        match self.variant {
            Variant::Plus => Properties {
                objects: self.objects,
                most_anomalies: Some(self.most_anomalies),
                largest_area: self.largest_area,
            },
            Variant::Plain => Properties { objects: 1, most_anomalies: None, largest_area: 1.0 },
        }
    }

    /// The exponent of saliency; 0 for a plain variant.
    pub(super) fn exponent(&self) -> f32 {
        if self.variant == Variant::Plus { self.saliency_exponent } else { 0.0 }
    }

    /// Side of the square image that saliency looks at.
    pub(super) fn saliency_side(&self) -> usize {
        self.saliency_side.unwrap_or(if self.objects > 1 { 1024 } else { 256 })
    }
}

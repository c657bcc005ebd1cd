//! Colours by their words: what is none of the colours that a part may have is a defect. It learns from no image at all.

use super::scenes::{fit, info, plain, scores};
use blemish::data::{Memory, Transform};
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::features::EngineOptions;
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish::{Detector, DetectorConfig, FitOptions};
use blemish_core::{Input, Needs};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What words know of colours.
const WORDS: [(&str, [f32; 3]); 4] = [
    ("red", [1.0, 0.0, 0.0]),
    ("green", [0.0, 1.0, 0.0]),
    ("blue", [0.0, 0.0, 1.0]),
    ("grey", [0.5, 0.5, 0.5]),
];

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Words {
    /// What a good part looks like.
    prompts: Vec<String>,
}

impl Default for Words {
    fn default() -> Self {
        Self { prompts: vec!["grey".into()] }
    }
}

/// The colours behind the prompts.
struct Named {
    config: Words,
    colours: Vec<[f32; 3]>,
}

impl Named {
    fn new(config: Words) -> Result<Self, Error> {
        let colour = |prompt: &String| {
            let known = WORDS.iter().find(|(word, _)| prompt.contains(word)).map(|(_, colour)| *colour);
            known.ok_or_else(|| Error::Setting {
                key: "prompts".into(),
                reason: format!("`{prompt}` names no colour"),
                help: "known: red, green, blue, grey".into(),
            })
        };
        let colours = config.prompts.iter().map(colour).collect::<Result<_, _>>()?;
        Ok(Self { config, colours })
    }
}

impl Method for Named {
    type Config = Words;
    const INFO: MethodInfo = info("named", Family::Foundation);

    fn needs(_: &Words) -> Needs {
        Needs { good_images: 0, ..Needs::of_images() }
    }
    fn fit(config: &Words, _: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
        Self::new(config.clone())
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let plane = batch.height * batch.width;
        let one = |at: usize| {
            let image = batch.image(at);
            let off = |pixel: usize| {
                let to = |colour: &[f32; 3]| {
                    (0..3)
                        .map(|channel| (image[channel * plane + pixel] - colour[channel]).powi(2))
                        .sum::<f32>()
                };
                self.colours.iter().map(to).fold(f32::MAX, f32::min).sqrt()
            };
            PatchScores {
                height: batch.height,
                width: batch.width,
                values: (0..plane).map(off).collect(),
                image_score: None,
            }
        };
        Ok((0..batch.count).map(one).collect())
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        State::default()
    }
    fn config(&self) -> &Words {
        &self.config
    }
    fn restore(stored: Stored<Words>) -> Result<Self, Error> {
        Self::new(stored.config)
    }
}

static ENTRY: Entry<Named> = Entry::new();

#[test]
fn words_alone_make_a_detector() {
    let settings =
        serde_json::json!({ "prompts": ["a grey bolt", "a red nut"] }).as_object().unwrap().clone();
    let transform = Some(Transform::resize_to(32, 32));
    let config = DetectorConfig { settings, transform, ..DetectorConfig::default() };
    let none = Memory::new([]).unwrap();
    let detector = Detector::fit_with(&ENTRY, &config, &none, &FitOptions::default()).unwrap();
    assert!(detector.calibration().is_none() && detector.header().data.images == 0);
    // Noise stands in for training images where there are none.
    let bytes = Arc::new(detector.to_bytes().unwrap());
    let loaded = Detector::from_bytes_with(&ENTRY, bytes, &EngineOptions::default()).unwrap();
    let verified = loaded.verify(&EngineOptions::default()).unwrap();
    assert!(verified.passed && verified.images.len() == 1, "{verified:?}");
    let parts = Memory::new([[128; 3], [250, 0, 0], [0, 250, 0]].map(plain)).unwrap();
    let found = scores(&loaded, &parts);
    assert!(found[0].score < 0.02 && found[1].score < 0.05 && found[2].score > 0.7, "{found:?}");
    let image = blemish::data::Source::read(&parts, 2, &Default::default()).unwrap();
    let verdict = loaded.judge("green part", &image).unwrap();
    assert!(verdict.score > 0.7 && verdict.decision.is_none());
    // Other words, another detector.
    assert!(scores(&fit(&ENTRY, &none, 5).unwrap(), &parts)[1].score > 0.5);
}

#[test]
fn words_without_a_meaning_are_refused_by_the_setting() {
    let settings = serde_json::json!({ "prompts": ["a violet nut"] }).as_object().unwrap().clone();
    let config = DetectorConfig { settings, ..DetectorConfig::default() };
    let error =
        Detector::fit_with(&ENTRY, &config, &Memory::new([]).unwrap(), &FitOptions::default()).err().unwrap();
    assert!(error.to_string().contains("a violet nut"), "{error}");
}

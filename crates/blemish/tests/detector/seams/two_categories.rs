//! The mean colour of each product: a red part is good among red parts and a defect among blue ones.

use super::scenes::{NoSettings, fit, info, plain, scores, stored};
use blemish::data::{Memory, MemoryImage};
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::evaluate::{EvaluateOptions, evaluate};
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish::state::{State, StateError};
use blemish_core::{Input, Needs};
use std::collections::BTreeMap;

/// The mean colour of each category, by name.
struct Colours(BTreeMap<String, [f32; 3]>);

/// The mean of each channel.
fn colour(image: &[f32]) -> [f32; 3] {
    let plane = image.len() / 3;
    [0, 1, 2].map(|channel| image[channel * plane..][..plane].iter().sum::<f32>() / plane as f32)
}

impl Method for Colours {
    type Config = NoSettings;
    const INFO: MethodInfo = info("colours", Family::Multiclass);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(_: &NoSettings, good: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
        let mut seen: BTreeMap<String, Vec<[f32; 3]>> = BTreeMap::new();
        good.for_each(Pass::IMAGES, &mut |input| {
            let batch = input.images()?;
            for at in 0..batch.count {
                let category = input.category(at).unwrap_or_default().to_owned();
                seen.entry(category).or_default().push(colour(batch.image(at)));
            }
            Ok(())
        })?;
        let mean = |colours: Vec<[f32; 3]>| {
            [0, 1, 2]
                .map(|channel| colours.iter().map(|one| one[channel]).sum::<f32>() / colours.len() as f32)
        };
        Ok(Self(seen.into_iter().map(|(name, colours)| (name, mean(colours))).collect()))
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let one = |at: usize| {
            let category = input.category(at).and_then(|name| self.0.get(name));
            let usual = category.ok_or_else(|| Error::Score { reason: "say which product it is".into() })?;
            let found = colour(batch.image(at));
            let off = found.iter().zip(usual).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            Ok(PatchScores { height: 1, width: 1, values: vec![off], image_score: None })
        };
        (0..batch.count).map(one).collect()
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        for (name, colour) in &self.0 {
            state.set_f32(&format!("colour.{name}"), &[3], colour.to_vec());
        }
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(mut stored: Stored<NoSettings>) -> Result<Self, Error> {
        let own = stored.state.split_off_prefix("colour.");
        let colour = |name: &String| match own.f32(name, 1)?.1[..] {
            [red, green, blue] => Ok((name.clone(), [red, green, blue])),
            _ => Err(StateError { name: name.clone(), reason: "is not a colour".into() }.into()),
        };
        own.tensors().keys().map(colour).collect::<Result<_, Error>>().map(Self)
    }
}

static ENTRY: Entry<Colours> = Entry::new();

/// Ten red and ten blue parts, a little darker from part to part.
fn parts() -> Memory {
    let red = |number: u8| plain([200 - 2 * number, 0, 0]).in_category("red");
    let blue = |number: u8| plain([0, 0, 100 - number]).in_category("blue");
    Memory::new((0..10).flat_map(|number| [red(number), blue(number)])).unwrap()
}

#[test]
fn two_products_in_one_model_are_judged_each_by_its_own() {
    let detector = fit(&ENTRY, &parts(), 5).unwrap();
    let header = detector.header();
    assert_eq!(
        (header.data.category.as_str(), &header.data.categories[..]),
        ("blue+red", &["blue".to_owned(), "red".to_owned()][..])
    );
    // Every fold has two of each, so no model lacks a product, and each has a calibration of its own.
    let calibration = detector.calibration().unwrap();
    let counts: Vec<_> =
        calibration.categories.iter().map(|one| (one.category.as_str(), one.calibration.images())).collect();
    assert_eq!((calibration.images(), counts), (20, vec![("blue", 10), ("red", 10)]));
    let [blue, red] = ["blue", "red"].map(|name| calibration.of(name).image_threshold.unwrap());
    assert!(blue < red, "blue parts differ less: {blue} and {red}");

    let mixed = [
        plain([190, 0, 0]).in_category("red"),
        plain([190, 0, 0]).in_category("blue").named("red in the box of blue ones"),
        plain([0, 0, 95]).in_category("blue"),
    ];
    let mixed = Memory::new(mixed).unwrap();
    let detector = stored(&ENTRY, &detector, &mixed);
    let found = scores(&detector, &mixed);
    assert!(found[1].score > 0.5 && found[0].score < 0.01 && found[2].score < 0.01);
    // The same distance is much for a blue part and usual for a red one.
    let between = blemish::Scored { score: (blue + red) / 2.0, ..found[0].clone() };
    let is_anomalous = |name| detector.decide_in(name, &between, (32, 32), 0.0).unwrap().unwrap().anomalous;
    assert_eq!((is_anomalous("blue"), is_anomalous("red")), (Some(true), Some(false)));
    let nameless = plain([190, 0, 0]);
    let image =
        blemish::data::Source::read(&Memory::new([nameless]).unwrap(), 0, &Default::default()).unwrap();
    let error = detector.score_image(&image, &Default::default()).unwrap_err().to_string();
    assert!(error.contains("which product"), "{error}");
}

#[test]
fn an_evaluation_tells_each_product_and_the_mean() {
    let detector = fit(&ENTRY, &parts(), 5).unwrap();
    let labelled = |image: MemoryImage, category: &str, is_good: bool| {
        let image = image.in_category(category);
        if is_good { image.good() } else { image.defective("colour") }
    };
    let images = [
        labelled(plain([192, 0, 0]), "red", true),
        labelled(plain([189, 0, 0]), "red", true),
        labelled(plain([0, 90, 0]), "red", false),
        labelled(plain([0, 0, 96]), "blue", true),
        // Nearer to blue parts than a good one: half of the pairs are in order.
        labelled(plain([0, 0, 40]), "blue", true),
        labelled(plain([0, 0, 80]), "blue", false),
    ];
    let outcome =
        evaluate(&detector, &Memory::new(images).unwrap(), &EvaluateOptions::default(), &mut |_, _, _| {})
            .unwrap();
    let evaluation = outcome.evaluation;
    let found: Vec<_> =
        evaluation.categories.iter().map(|one| (one.category.as_str(), one.evaluation.image.auroc)).collect();
    assert_eq!(found, [("blue", Some(0.5)), ("red", Some(1.0))]);
    assert_eq!(evaluation.image.auroc, Some(0.75));
    let decided = |at: usize| evaluation.categories[at].evaluation.decisions.as_ref().unwrap();
    assert_eq!((decided(0).false_alarms.count, decided(0).misses.count), (1, 0));
    assert_eq!((decided(1).false_alarms.count, decided(1).misses.count), (0, 0));
    assert!(decided(0).image_threshold < decided(1).image_threshold && evaluation.decisions.is_none());
}

//! Folds, groups and held-out parts on a method whose scores a reader can check.

use super::calibrate::{Calibrated, fit_calibrated};
use super::fits::Fits;
use super::folds::{Units, deal, without};
use crate::config::{CalibrationConfig, DetectorConfig, FitOptions, check_rate};
use crate::looks::Watched;
use crate::view::{Plan, View};
use blemish_core::entry::{Entry, MethodEntry};
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, LeaveOneOut, Method, MethodInfo, Pass, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::state::State;
use blemish_data::{ImageBatch, Memory, MemoryImage, Pixels, RgbImage, Transform};
use blemish_eval::Source;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
struct NoSettings {}

/// Learns the mean brightness of images; an image scores by its distance to it. `LONG` says that it trains for long.
struct Brightness<const LONG: bool> {
    mean: f32,
    config: NoSettings,
}

fn means(batch: &ImageBatch) -> Vec<f32> {
    let mean = |image: &[f32]| image.iter().sum::<f32>() / image.len() as f32;
    (0..batch.count).map(|index| mean(batch.image(index))).collect()
}

impl<const LONG: bool> Method for Brightness<LONG> {
    type Config = NoSettings;
    const INFO: MethodInfo =
        MethodInfo { name: "brightness", summary: "", advice: "", citation: "", family: Family::Classical };
    fn needs(_: &NoSettings) -> Needs {
        if LONG { Needs::of_images().training_long() } else { Needs::of_images() }
    }
    fn fit(_: &NoSettings, train: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
        let (mut sum, mut count) = (0.0, 0.0);
        train.for_each(Pass::IMAGES, &mut |input| {
            let batch = input.images()?;
            means(batch).into_iter().for_each(|mean| sum += mean);
            count += batch.count as f32;
            Ok(())
        })?;
        Ok(Self { mean: sum / count, config: NoSettings {} })
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        let score = |mean: f32| (mean - self.mean).abs();
        let patches =
            |mean| PatchScores { height: 1, width: 1, values: vec![score(mean)], image_score: None };
        Ok(means(batch).into_iter().map(patches).collect())
    }
    fn map_stage(&self) -> MapStage {
        MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Mirror }
    }
    fn state(&self) -> State {
        State::default()
    }
    fn config(&self) -> &NoSettings {
        &self.config
    }
    fn restore(_: Stored<NoSettings>) -> Result<Self, Error> {
        Ok(Self { mean: 0.0, config: NoSettings {} })
    }
}

/// Keeps the brightness of every image; one scores by its distance to the nearest, left out by its place in the fit.
struct Nearest(Vec<(usize, f32)>);

impl Nearest {
    fn scores(&self, input: &Input<'_>, left_out: Option<&[usize]>) -> Result<Vec<PatchScores>, Error> {
        let score = |(at, mean): (usize, f32)| {
            let others = self.0.iter().filter(|(place, _)| left_out.is_none_or(|left| left[at] != *place));
            let value = others.map(|(_, known)| (mean - known).abs()).fold(f32::INFINITY, f32::min);
            PatchScores { height: 1, width: 1, values: vec![value], image_score: None }
        };
        Ok(means(input.images()?).into_iter().enumerate().map(score).collect())
    }
}

impl Method for Nearest {
    type Config = NoSettings;
    const INFO: MethodInfo =
        MethodInfo { name: "nearest", summary: "", advice: "", citation: "", family: Family::Classical };
    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(_: &NoSettings, train: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
        let mut all = Vec::new();
        train.for_each(Pass::IMAGES, &mut |input| {
            all.extend(input.indices.iter().copied().zip(means(input.images()?)));
            Ok(())
        })?;
        Ok(Self(all))
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.scores(input, None)
    }
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        Some(self)
    }
    fn map_stage(&self) -> MapStage {
        MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Mirror }
    }
    fn state(&self) -> State {
        State::default()
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(_: Stored<NoSettings>) -> Result<Self, Error> {
        Ok(Self(vec![]))
    }
}

impl LeaveOneOut for Nearest {
    fn score_left_out(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.scores(input, Some(input.indices))
    }
}

static QUICK: Entry<Brightness<false>> = Entry::new();
static NEAREST: Entry<Nearest> = Entry::new();
static LONG: Entry<Brightness<true>> = Entry::new();

/// Grey images of brightness 0, 10, 20, ... of 255; `group` may name what an image shares with others.
fn greys(count: u8, group: impl Fn(u8) -> Option<String>) -> Memory {
    let image = |number: u8| {
        let pixels = Pixels::U8(vec![10 * number; 3 * 16 * 16]);
        let image = MemoryImage::new(RgbImage { height: 16, width: 16, pixels });
        match group(number) {
            Some(group) => image.in_group(&group),
            None => image,
        }
    };
    Memory::new((0..count).map(image).collect::<Vec<_>>()).unwrap()
}

fn ungrouped(count: u8) -> Memory {
    greys(count, |_| None)
}

fn calibrated(entry: &'static dyn MethodEntry, good: &Memory, calibration: CalibrationConfig) -> Calibrated {
    let transform = Some(Transform::resize_to(16, 16));
    let config = DetectorConfig { transform, calibration, seed: 1, ..DetectorConfig::default() };
    let options = FitOptions { skip_bad: true, ..FitOptions::default() };
    let plan = Plan::of(entry, &config, &options).unwrap();
    let good = Watched::new(good);
    let fits = Fits::new(&plan, &config, &good, &options, true).unwrap();
    fit_calibrated(&fits, None).unwrap()
}

fn score_of(views: &[View], grey: f32) -> f32 {
    let batch = ImageBatch::new(1, 1, 1, vec![grey / 255.0; 3], None);
    views[0].score_batch(&batch, (&[], &[])).unwrap()[0].score
}

/// Of greys 0, 10, .. 40, the mean without one is (100 - own) / 4.
#[test]
fn leave_one_out_scores_are_those_by_hand() {
    let good = ungrouped(5);
    let outcome = calibrated(
        &QUICK,
        &good,
        CalibrationConfig { folds: 9, false_alarm: 0.2, ..CalibrationConfig::default() },
    );
    let calibration = outcome.calibration.unwrap();
    let mut expected = [0.0f32, 10.0, 20.0, 30.0, 40.0].map(|own| ((100.0 - own) / 4.0 - own).abs() / 255.0);
    expected.sort_unstable_by(f32::total_cmp);
    for (found, expected) in calibration.image_scores.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
    assert_eq!(calibration.image_scores, calibration.map_maxima);
    assert_eq!(calibration.source, Source::Folds { folds: 5, groups: None });
    // The model itself has learnt from all five: its mean is 20.
    assert!(score_of(&outcome.views, 20.0) < 1e-5);
}

/// An image that cannot be read has a place in the fit all the same.
#[test]
fn images_are_left_out_by_their_places_in_the_fit() {
    let grey = |number: u8| {
        let pixels = Pixels::U8(vec![number * number; 3 * 16 * 16]);
        MemoryImage::new(RgbImage { height: 16, width: 16, pixels })
    };
    let broken = MemoryImage::encoded(b"no picture".to_vec());
    // 0, broken, 16, 36, 64: the nearest others are 16, 16, 20 and 28 away.
    let images = [grey(0), broken, grey(4), grey(6), grey(8)];
    let good = Memory::new(images).unwrap();
    let calibration = calibrated(&NEAREST, &good, CalibrationConfig::default()).calibration.unwrap();
    let expected = [16.0f32, 16.0, 20.0, 28.0].map(|away| away / 255.0);
    assert_eq!(calibration.image_scores.len(), 4);
    for (found, expected) in calibration.image_scores.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

#[test]
fn a_method_that_trains_for_long_is_fitted_once_without_a_fifth() {
    let good = ungrouped(10);
    let outcome = calibrated(&LONG, &good, CalibrationConfig::default());
    let calibration = outcome.calibration.unwrap();
    assert_eq!(calibration.source, Source::HeldOut { refitted: false });
    assert_eq!(calibration.images(), 2);
    // The mean over all is 45; two that are not a pair around it were left out of the model.
    let held_out = deal(&good, &Units::single(), &(0..10).collect::<Vec<_>>(), 5, 1).swap_remove(0);
    let mean = (450 - 10 * held_out.iter().sum::<usize>()) as f32 / 8.0;
    assert!(score_of(&outcome.views, mean) < 1e-5);
    let none = calibrated(&LONG, &good, CalibrationConfig { folds: 0, ..CalibrationConfig::default() });
    assert!(none.calibration.is_none() && score_of(&none.views, 45.0) < 1e-5);
}

#[test]
fn images_of_a_group_are_scored_by_models_that_know_none_of_them() {
    let good = greys(6, |number| (number < 4).then(|| (number / 2).to_string()));
    let folds = deal(&good, &Units::given(&good), &[0, 1, 2, 3, 4, 5], 3, 7);
    let with = |image: usize| folds.iter().position(|fold| fold.contains(&image));
    assert!(with(0) == with(1) && with(2) == with(3) && with(0) != with(2), "{folds:?}");
    assert_eq!(folds.iter().map(Vec::len).sum::<usize>(), 6);
    let calibration = calibrated(
        &QUICK,
        &good,
        CalibrationConfig { folds: 3, false_alarm: 0.2, ..CalibrationConfig::default() },
    )
    .calibration;
    assert_eq!(calibration.unwrap().source, Source::Folds { folds: 3, groups: Some(4) });
    let all = greys(6, |_| Some("all".into()));
    assert!(calibrated(&QUICK, &all, CalibrationConfig::default()).calibration.is_none());
}

#[test]
fn folds_are_even_complete_and_fixed_by_the_seed() {
    let samples = ungrouped(13);
    let images: Vec<usize> = (0..13).collect();
    let folds = deal(&samples, &Units::single(), &images, 5, 3);
    assert_eq!(folds, deal(&samples, &Units::single(), &images, 5, 3));
    assert_ne!(folds, deal(&samples, &Units::single(), &images, 5, 4));
    let mut all = folds.concat();
    all.sort_unstable();
    assert_eq!(all, images);
    assert!(folds.iter().all(|fold| fold.len() == 2 || fold.len() == 3), "{folds:?}");
    assert_eq!(without(&images, &folds[0]).len(), 13 - folds[0].len());
}

#[test]
fn every_category_is_dealt_evenly() {
    let image = |number: u8| {
        let pixels = Pixels::U8(vec![number; 3 * 16 * 16]);
        let category = if number.is_multiple_of(5) { "rare" } else { "usual" };
        MemoryImage::new(RgbImage { height: 16, width: 16, pixels }).in_category(category)
    };
    let mixed = Memory::new((0..20).map(image)).unwrap();
    for seed in 0..5 {
        for fold in deal(&mixed, &Units::single(), &(0..20).collect::<Vec<_>>(), 4, seed) {
            let rare = fold.iter().filter(|&&image| image.is_multiple_of(5)).count();
            assert_eq!((rare, fold.len()), (1, 5), "seed {seed}");
        }
    }
}

#[test]
fn wrong_rates_and_single_folds_are_refused() {
    for rate in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(check_rate(rate).unwrap_err().to_string().contains("false_alarm"));
    }
    let one = CalibrationConfig { folds: 1, ..CalibrationConfig::default() };
    assert!(one.check().unwrap_err().to_string().contains("2 and more"));
}

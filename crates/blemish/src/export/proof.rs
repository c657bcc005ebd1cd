//! The proof that a graph gives the model's own scores: it is run, and how far it is off is said.

use super::build::{Built, IMAGE, build_input};
use super::decide::reach;
use super::options::{Depth, ExportOptions, GraphImages, Layout};
use super::trial::{Trial, Values, stored, trials};
use crate::detector::Detector;
use blemish_core::error::Error;
use blemish_eval::Calibration;
use blemish_features::EngineOptions;
use blemish_features::executors::{Fed, FedTensor, GivenTensor, ModelSource, WholeModel};
use serde::{Deserialize, Serialize};

/// The largest difference of a score, as a share of the spread of the scores of good images, and of a map as a share of its maximum.
const BOUND: f64 = 1e-4;

/// The same for pictures of which a pixel was rounded another way, as a share of the score.
const ODD_BOUND: f64 = 0.05;

/// The largest share of pixels that a resize may round another way, by one step: of bytes, and of 16-bit values, for which single precision has
/// few bits to spare and whose steps mean little.
const ODD_PIXELS: f64 = 3e-3;
const ODD_WORDS: f64 = 0.05;

/// The bound of scores and maps of graphs whose banks are in half precision, as a share of score and maximum: measured, not promised.
const HALF_BOUND: f64 = 0.01;

/// The largest difference of a p-value: engines may compute it in single precision.
const P_VALUE: f64 = 1e-6;

/// How far a graph is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// Name and version of the engine that ran it.
    pub engine: String,
    /// The precision that the engine computed in, for which alone this holds.
    pub precision: String,
    /// The images that it was tried on.
    pub images: Vec<ComparedImage>,
    /// The largest difference of a score that is allowed where the graph's image is the model's, to the last pixel.
    pub allowed_score_difference: f64,
    /// The largest that was found.
    pub largest_score_difference: f64,
    /// The largest difference of a map that is allowed, as a share of its maximum.
    pub allowed_map_difference: f64,
    /// The largest that was found.
    pub largest_map_difference: f64,
    /// The largest difference of a score of an image of which the graph's resize rounded a pixel another way than the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd_score_difference: Option<f64>,
    /// The same of a map, as a share of its maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd_map_difference: Option<f64>,
    /// How the graph's resize compares with the model's, where pictures go in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<ComparedPixels>,
    /// Whether all of it holds.
    pub passed: bool,
}

/// One image by the graph and by the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedImage {
    /// What it is.
    pub name: String,
    /// The model's score.
    pub score: f64,
    /// The graph's difference from it.
    pub score_difference: f64,
    /// The largest difference of the maps, as a share of the maximum.
    pub map_difference: f64,
    /// Whether p-value and decision are the model's, or the score is as close to where they change as it may be off.
    pub is_decision_equal: bool,
    /// Share of the pixels that the graph's resize rounds another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd_pixels: Option<f64>,
    /// Whether it is within the bounds.
    pub passed: bool,
}

/// A resize by the graph and by the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedPixels {
    /// The largest share of an image's values that differ.
    pub share: f64,
    /// By how many steps of the picture's depth at most.
    pub steps: f64,
}

impl Parity {
    /// The largest differences in a sentence.
    pub fn in_words(&self) -> String {
        let pixels = self.pixels.map_or_else(String::new, |pixels| {
            let share = format!(
                "the resize rounds {:.2} % of an image's values another way at most",
                100.0 * pixels.share
            );
            match (self.odd_score_difference, self.odd_map_difference) {
                (Some(score), Some(map)) => {
                    format!(
                        "; {share}, by {:.0} step, and such images are off by {score:.1e} and {map:.1e}",
                        pixels.steps
                    )
                }
                _ => format!("; {share}"),
            }
        });
        format!(
            "{} in {}: scores off by {:.1e} at most (allowed {:.1e}), maps by {:.1e} of their maximum (allowed {:.0e}), {} images{pixels}",
            self.engine,
            self.precision,
            self.largest_score_difference,
            self.allowed_score_difference,
            self.largest_map_difference,
            self.allowed_map_difference,
            self.images.len(),
        )
    }
}

/// Runs a graph on the images of the model and compares.
///
/// # Errors
/// [`Error::Features`] if the engine cannot run it; as scoring.
pub(super) fn prove(
    detector: &Detector,
    options: &ExportOptions,
    built: &Built,
    source: ModelSource<'_>,
    engine: &EngineOptions,
) -> Result<Parity, Error> {
    let graph = WholeModel::load(source, engine)?;
    let trials = trials(detector, options, built.size)?;
    let scale = scale(detector, built.size)?;
    let allowed = BOUND * scale;
    let resize = match options.images {
        GraphImages::Tensor => None,
        _ => Some(WholeModel::load(ModelSource::Bytes(build_input(detector, options)?.encode()), engine)?),
    };
    let mut images = Vec::new();
    let mut pixels: Option<ComparedPixels> = None;
    for trial in &trials {
        let given = graph.run(&[trial.fed()], outputs(detector, options.layout))?;
        let odd =
            resize.as_ref().map(|resize| compare_pixels(detector, options, resize, trial)).transpose()?;
        if let Some(odd) = odd {
            let most = pixels.get_or_insert(ComparedPixels { share: 0.0, steps: 0.0 });
            *most = ComparedPixels { share: most.share.max(odd.share), steps: most.steps.max(odd.steps) };
        }
        let bounds = match odd {
            Some(odd) if odd.share > 0.0 => {
                (ODD_BOUND * f64::from(trial.scored.score.abs()).max(scale), ODD_BOUND)
            }
            _ if options.half_tables => {
                (HALF_BOUND * f64::from(trial.scored.score.abs()).max(scale), HALF_BOUND)
            }
            _ => (allowed, BOUND),
        };
        let mut image = compare(detector, options.layout, trial, &given, bounds);
        image.odd_pixels = odd.map(|odd| odd.share);
        images.push(image);
    }
    if let Some(batch) = (!built.is_single).then(|| batch(&trials)).flatten() {
        for (at, given) in batch.run(&graph, outputs(detector, options.layout))?.iter().enumerate() {
            let trial = &trials[at];
            let bounds = match options.half_tables {
                true => (HALF_BOUND * f64::from(trial.scored.score.abs()).max(scale), HALF_BOUND),
                false => (allowed, BOUND),
            };
            let mut image = compare(detector, options.layout, trial, given, bounds);
            image.name = format!("{} of a batch", trial.name);
            images.push(image);
        }
    }
    let most_odd = if options.depth == Depth::Eight { ODD_PIXELS } else { ODD_WORDS };
    let are_pixels_close = pixels.is_none_or(|pixels| pixels.share <= most_odd && pixels.steps <= 1.01);
    // Of images that went in to the last pixel, where there are any.
    let is_exact = |image: &&ComparedImage| image.odd_pixels.is_none_or(|share| share == 0.0);
    let largest = |of: fn(&ComparedImage) -> f64| images.iter().filter(is_exact).map(of).fold(0.0, f64::max);
    let odd = |of: fn(&ComparedImage) -> f64| {
        images.iter().filter(|image| !is_exact(image)).map(of).reduce(f64::max)
    };
    Ok(Parity {
        engine: graph.engine().to_owned(),
        precision: "float32".into(),
        allowed_score_difference: if options.half_tables {
            HALF_BOUND * highest_score(&trials, scale)
        } else {
            allowed
        },
        largest_score_difference: largest(|image| image.score_difference),
        allowed_map_difference: if options.half_tables { HALF_BOUND } else { BOUND },
        largest_map_difference: largest(|image| image.map_difference),
        odd_score_difference: odd(|image| image.score_difference),
        odd_map_difference: odd(|image| image.map_difference),
        pixels,
        passed: are_pixels_close && !images.is_empty() && images.iter().all(|image| image.passed),
        images,
    })
}

/// The highest of scores and their scale.
fn highest_score(trials: &[Trial], scale: f64) -> f64 {
    trials.iter().map(|trial| f64::from(trial.scored.score.abs())).fold(scale, f64::max)
}

/// What differences of scores are measured by: the spread of the scores of unseen good images; where there is none, the score of noise.
fn scale(detector: &Detector, size: (usize, usize)) -> Result<f64, Error> {
    let spread = detector.calibration().map_or(0.0, |calibration| {
        let scores = &calibration.image_scores;
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().map(|&score| f64::from(score)).sum::<f64>() / count;
        (scores.iter().map(|&score| (f64::from(score) - mean).powi(2)).sum::<f64>() / count).sqrt()
    });
    if spread > 0.0 {
        return Ok(spread);
    }
    let noise = stored(detector, size)?.pop();
    let score = noise.map(|picture| picture.score(&detector.model)).transpose()?;
    Ok(score.map_or(1.0, |(score, _)| f64::from(score.abs())))
}

fn outputs(detector: &Detector, layout: Layout) -> &'static [&'static str] {
    match (layout, detector.calibration()) {
        (Layout::Anomalib, _) => &["pred_score", "anomaly_map", "pred_label"],
        (_, None) => &["score", "map"],
        (_, Some(Calibration { image_threshold: None, .. })) => &["score", "map", "p_value"],
        _ => &["score", "map", "p_value", "anomalous"],
    }
}

/// What a graph gave of one image beside what the model gives; `bounds` are those of score and map.
fn compare(
    detector: &Detector,
    layout: Layout,
    trial: &Trial,
    given: &[GivenTensor],
    (allowed, allowed_map): (f64, f64),
) -> ComparedImage {
    let first =
        |at: usize| given.get(at).and_then(|tensor| tensor.values.first()).copied().unwrap_or(f64::NAN);
    let map: &[f64] = given.get(1).map_or(&[], |tensor| &tensor.values);
    let native = f64::from(trial.scored.score);
    let values = || trial.scored.map.values.iter().map(|&value| f64::from(value));
    let highest = values().fold(0.0, |most: f64, value| most.max(value.abs()));
    let largest = |apart: &mut dyn Iterator<Item = f64>| {
        apart.fold(0.0, |most: f64, apart| if apart.is_nan() { f64::INFINITY } else { most.max(apart.abs()) })
    };
    let calibration = detector.calibration();
    let (score_difference, mut map_difference) = match (layout, calibration) {
        (Layout::Anomalib, Some(calibration)) => {
            let threshold = calibration.image_threshold.unwrap_or_default();
            let limit = calibration.pixel_threshold.unwrap_or(threshold);
            let normal = |value: f64, threshold: f32, reach: f32| {
                ((value - f64::from(threshold)) * 0.5 / f64::from(reach) + 0.5).clamp(0.0, 1.0)
            };
            let reach_of_score = reach(&calibration.image_scores, threshold);
            let reach_of_map = reach(&calibration.map_maxima, limit);
            let score =
                (first(0) - normal(native, threshold, reach_of_score)) * 2.0 * f64::from(reach_of_score);
            let mut apart = values().zip(map).map(|(own, given)| {
                (given - normal(own, limit, reach_of_map)) * 2.0 * f64::from(reach_of_map)
            });
            (largest(&mut std::iter::once(score)), largest(&mut apart))
        }
        _ => {
            let mut apart = values().zip(map).map(|(own, given)| given - own);
            (largest(&mut std::iter::once(first(0) - native)), largest(&mut apart))
        }
    };
    if map.len() != trial.scored.map.values.len() {
        map_difference = f64::INFINITY;
    }
    if highest > 0.0 {
        map_difference /= highest;
    }
    let is_decision_equal = calibration.is_none_or(|calibration| {
        let near = |known: f32| (f64::from(known) - native).abs() <= allowed;
        let is_near = calibration.image_scores.iter().any(|&known| near(known));
        let p_value = layout == Layout::Anomalib
            || is_near
            || (first(2) - calibration.p_value(trial.scored.score)).abs() <= P_VALUE;
        let decided = if layout == Layout::Anomalib { first(2) } else { first(3) };
        let decision = calibration
            .image_threshold
            .is_none_or(|threshold| near(threshold) || (decided > 0.5) == (trial.scored.score > threshold));
        p_value && decision
    });
    let passed = score_difference <= allowed && map_difference <= allowed_map && is_decision_equal;
    let name = trial.name.clone();
    ComparedImage {
        name,
        score: native,
        score_difference,
        map_difference,
        is_decision_equal,
        odd_pixels: None,
        passed,
    }
}

/// The graph's resize of a picture beside the transform's.
fn compare_pixels(
    detector: &Detector,
    options: &ExportOptions,
    resize: &WholeModel,
    trial: &Trial,
) -> Result<ComparedPixels, Error> {
    let Some(picture) = &trial.picture else { return Ok(ComparedPixels { share: 0.0, steps: 0.0 }) };
    let white = f64::from(options.depth.white());
    let mut most = ComparedPixels { share: 0.0, steps: 0.0 };
    for (number, view) in detector.model.views.iter().enumerate() {
        let native =
            view.transform().apply(picture).map_err(|fault| Error::Score { reason: fault.to_string() })?;
        let given = resize.run(&[trial.fed()], &[&format!("image.{number}")])?;
        let given: &[f64] = given.first().map_or(&[], |tensor| &tensor.values);
        let apart =
            native.pixels.iter().zip(given).map(|(&own, given)| (given - f64::from(own)).abs() * white);
        let (mut odd, mut steps) = (0usize, 0.0f64);
        for apart in apart {
            odd += usize::from(apart > 0.01);
            steps = if apart.is_nan() { f64::INFINITY } else { steps.max(apart) };
        }
        if given.len() != native.pixels.len() {
            steps = f64::INFINITY;
        }
        let share = odd as f64 / native.pixels.len().max(1) as f64;
        // Whole steps, but for what single precision leaves.
        most = ComparedPixels {
            share: most.share.max(share),
            steps: most.steps.max((steps * 1e3).round() / 1e3),
        };
    }
    Ok(most)
}

/// Tensors of several images as one.
struct Batch {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// All images in one, where they are tensors of one size.
fn batch(trials: &[Trial]) -> Option<Batch> {
    let first = trials.first()?;
    let mut values = Vec::new();
    for trial in trials {
        let Values::Planes(own) = &trial.values else { return None };
        if trial.size != first.size {
            return None;
        }
        values.extend_from_slice(own);
    }
    Some(Batch { shape: vec![trials.len(), 3, first.size.0, first.size.1], values })
}

impl Batch {
    /// What a graph gives, image by image.
    fn run(&self, graph: &WholeModel, outputs: &[&str]) -> Result<Vec<Vec<GivenTensor>>, Error> {
        let fed = FedTensor { name: IMAGE, shape: self.shape.clone(), values: Fed::F32(&self.values) };
        let given = graph.run(&[fed], outputs)?;
        let part = |tensor: &GivenTensor, at: usize| {
            let length = tensor.values.len() / self.shape[0];
            GivenTensor {
                shape: tensor.shape.clone(),
                values: tensor.values[at * length..][..length].to_vec(),
            }
        };
        Ok((0..self.shape[0]).map(|at| given.iter().map(|tensor| part(tensor, at)).collect()).collect())
    }
}

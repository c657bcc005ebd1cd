//! Which method and settings suit these good images, within a limit of time an image.
//!
//! ```text
//! good images ─┬─> to fit on ─> a few: quick fits ─> time of an image: too slow? left out
//!              │                └─> all: every other candidate fitted ─> time of an image: too slow? left out
//!              └─> held out ─> and their twins with made-up defects ─> scores ─> AUROC, resampled over held-out images
//! ```
//! No real defects are needed, and none are seen: the choice is only as good as the made-up defects are telling.

mod candidates;
mod latency;
mod ranking;

pub use candidates::{Candidate, candidates};

use crate::config::{FitOptions, ScoreOptions};
use crate::detector::{Detector, ScoredImage};
use blemish_core::error::Error;
use blemish_core::observer::Quiet;
use blemish_data::files::Scratch;
use blemish_data::synth::{PastedSet, PastedSetOptions, SynthError, write_pasted_set};
use blemish_data::{DataError, Dataset, Files, Label, Sample};
use blemish_eval::Interval;
use blemish_features::BackboneSpec;
use latency::{Estimate, Stopwatch};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use ranking::{Scores, rank};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// Fewest good images to pick with: two to fit on, two to judge by.
const FEWEST: usize = 4;
/// Most images that are held out; more would only cost time.
const MOST_HELD_OUT: usize = 40;

/// How to pick.
pub struct PickOptions<'a> {
    /// Most milliseconds an image may take, from the file to its map.
    pub latency_ms: f64,
    /// CPU threads that this time is taken with.
    pub latency_threads: usize,
    /// The backbone of the methods that need one.
    pub backbone: BackboneSpec,
    /// Further ones, for ensembles.
    pub ensemble: Vec<BackboneSpec>,
    /// Fixes the split, the defects and the resamples.
    pub seed: u64,
    /// Made-up defects laid over every held-out image.
    pub per_image: usize,
    /// Folder in which the made-up test set stays to be looked at; a temporary one without.
    pub keep: Option<PathBuf>,
    /// How fits run.
    pub fit: FitOptions<'a>,
}

/// How a candidate did.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was judged.
    pub candidate: Candidate,
    /// Median milliseconds from an image file to its map.
    pub latency_ms: f64,
    /// Whether that time was not measured but follows from quick fits on a few images, which were too slow already.
    pub is_estimate: bool,
    /// Seconds that the fit took, or the quick fits where there was no other.
    pub fit_seconds: f64,
    /// AUROC between held-out good images and their defective twins; `None` for one that was too slow.
    pub auroc: Option<f64>,
    /// Share of the resamples in which it was the best.
    pub wins: f64,
}

/// A recommendation.
#[derive(Clone, Debug)]
pub struct Pick {
    /// All candidates, the best first, those that were too slow last.
    pub judged: Vec<Judged>,
    /// 95 % interval of the best one's lead over the second, in AUROC; `None` if there is no second.
    pub margin: Option<Interval>,
    /// Good images fitted on while judging.
    pub fitted_on: usize,
    /// Good images held out.
    pub held_out: usize,
    /// Defective twins judged by.
    pub defects: usize,
}

impl Pick {
    /// The recommended candidate.
    pub fn best(&self) -> &Judged {
        &self.judged[0]
    }
}

/// Judges every candidate on made-up defects over held-out good images of `dataset.train`.
///
/// # Errors
/// [`Error::Pick`] with fewer than four good images or if every candidate is too slow; what reading and fitting return.
pub fn pick(dataset: &Dataset, candidates: &[Candidate], options: &PickOptions<'_>) -> Result<Pick, Error> {
    let observer = options.fit.observer;
    let (fit_on, held_out) = split(&dataset.train, options.seed)?;
    let temporary = Scratch::new(&std::env::temp_dir()).map_err(|source| Error::Io {
        action: "write",
        path: std::env::temp_dir(),
        source,
    })?;
    let folder = options.keep.clone().unwrap_or_else(|| temporary.path().join("set"));
    observer.stage("making defects", Some(held_out.len() as u64));
    let paste =
        PastedSetOptions { per_image: options.per_image, seed: options.seed, ..PastedSetOptions::default() };
    let watch = |_| {
        observer.advance(1);
        if observer.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let set = write_pasted_set(&folder, &held_out, &paste, &watch).map_err(synthetic)?;
    let training = Files::new(fit_on, &dataset.category);
    let model = temporary.path().join("candidate.blemish");
    let stopwatch = Stopwatch {
        model: &model,
        images: &held_out,
        limit_ms: options.latency_ms,
        threads: options.latency_threads,
        fit: &options.fit,
    };
    let (mut quick, mut slow, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for candidate in candidates {
        observer.check_cancelled()?;
        observer.stage(&candidate.spec(), None);
        let started = Instant::now();
        let mut config = candidate.config(&options.backbone, &options.ensemble, options.seed)?;
        // Ranks need no thresholds, whose folds would multiply the time.
        config.calibration.folds = 0;
        let judged = |latency_ms: f64, is_estimate: bool, fit_seconds: f64| Judged {
            candidate: candidate.clone(),
            latency_ms,
            is_estimate,
            fit_seconds,
            auroc: None,
            wins: 0.0,
        };
        // What trains for long takes as long with a few images, and its models do not grow with them.
        let estimate = match candidate.trains_long() {
            true => None,
            false => stopwatch.estimate(&config, &training)?,
        };
        if let Some(estimate) = estimate.filter(Estimate::is_too_slow) {
            slow.push(judged(estimate.latency_ms, true, started.elapsed().as_secs_f64()));
            continue;
        }
        let started = Instant::now();
        let detector = Detector::fit(&config, &training, &options.fit)?;
        let fit_seconds = started.elapsed().as_secs_f64();
        let latency_ms = stopwatch.measure(&detector, latency::TIMED)?;
        let judged = judged(latency_ms, false, fit_seconds);
        if latency_ms > options.latency_ms {
            slow.push(judged);
            continue;
        }
        scores.push(score(&detector, &set, held_out.len(), &options.fit)?);
        quick.push(judged);
    }
    if quick.is_empty() {
        let fastest = slow.iter().map(|judged| judged.latency_ms).fold(f64::INFINITY, f64::min);
        return Err(Error::Pick {
            reason: format!(
                "no candidate scores an image within {} ms here, the fastest takes {fastest:.1} ms; allow more time or threads",
                options.latency_ms
            ),
        });
    }
    let ranking = rank(&scores, options.seed);
    for (index, judged) in quick.iter_mut().enumerate() {
        (judged.auroc, judged.wins) = (Some(ranking.auroc[index]), ranking.wins[index]);
    }
    let judged = ranking.order.iter().map(|&index| quick[index].clone()).chain(slow).collect();
    let defects = set.origin.len() - held_out.len();
    let fitted_on = training.samples().len();
    Ok(Pick { judged, margin: ranking.margin, fitted_on, held_out: held_out.len(), defects })
}

/// A quarter of the images, drawn at random, is held out.
fn split(good: &[Sample], seed: u64) -> Result<(Vec<Sample>, Vec<Sample>), Error> {
    if good.len() < FEWEST {
        let reason =
            format!("{} good images are too few to judge by; bring at least {FEWEST}, better 40", good.len());
        return Err(Error::Pick { reason });
    }
    let mut order: Vec<usize> = (0..good.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let held_out = (good.len() / 4).clamp(2, MOST_HELD_OUT);
    let part = |indices: &[usize]| {
        let mut indices = indices.to_vec();
        indices.sort_unstable();
        indices.into_iter().map(|index| good[index].clone()).collect()
    };
    Ok((part(&order[held_out..]), part(&order[..held_out])))
}

/// Image scores of the good images and their twins. Masks do not matter here: the finest vanish at a small input size.
fn score(detector: &Detector, set: &PastedSet, images: usize, fit: &FitOptions<'_>) -> Result<Scores, Error> {
    let mut scores = Scores { good: vec![0.0; images], twins: vec![Vec::new(); images] };
    // Progress is by candidate, not by image.
    let observer = &Quiet(fit.observer);
    let options = ScoreOptions { batch_size: fit.batch_size, observer, ..ScoreOptions::default() };
    let test = &set.dataset.test;
    detector.score_source(
        &Files::new(test.as_slice(), ""),
        &options,
        |ScoredImage { index, scored, .. }| {
            let (origin, value) = (set.origin[index], f64::from(scored.score));
            match test[index].label {
                Label::Good | Label::Unknown => scores.good[origin] = value,
                Label::Defective => scores.twins[origin].push(value),
            }
            Ok::<(), Error>(())
        },
    )?;
    Ok(scores)
}

fn synthetic(error: SynthError) -> Error {
    match error {
        SynthError::Image(error) => Error::Data(error),
        SynthError::Interrupted => Error::Interrupted,
        error => Error::Data(DataError::Setting(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_core::observer::Observer;
    use blemish_data::synth::{Look, SynthOptions, write_synthetic_set};
    use std::sync::Mutex;

    /// Notes the stages that begin.
    #[derive(Default)]
    struct Stages(Mutex<Vec<String>>);

    impl Observer for Stages {
        fn stage(&self, name: &str, _: Option<u64>) {
            self.0.lock().unwrap().push(name.to_owned());
        }
    }

    /// What is said of a filter bank on so many small images within so many milliseconds, and the stages that it took.
    fn picked(images: usize, latency_ms: f64) -> (Result<Pick, Error>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let small = SynthOptions {
            train: images,
            test_good: 1,
            test_per_defect: 1,
            height: 32,
            width: 32,
            ..SynthOptions::new(Look::Fabric)
        };
        write_synthetic_set(folder.path(), &small, &|_, _| {}).unwrap();
        let dataset = blemish_data::open_dataset(folder.path(), &Default::default()).unwrap();
        let candidate = Candidate {
            method: "filter".into(),
            settings: vec![("bank".into(), "sobel".into())],
            side: Some(32),
        };
        let stages = Stages::default();
        let options = PickOptions {
            latency_ms,
            latency_threads: 1,
            backbone: BackboneSpec::default(),
            ensemble: Vec::new(),
            seed: 0,
            per_image: 1,
            keep: None,
            fit: FitOptions { observer: &stages, ..FitOptions::default() },
        };
        let picked = pick(&dataset, &[candidate], &options);
        (picked, stages.0.into_inner().unwrap())
    }

    #[test]
    fn what_is_too_slow_after_quick_fits_is_not_fitted_on_all_images() {
        let (failed, stages) = picked(40, 1e-6);
        assert!(failed.unwrap_err().to_string().contains("the fastest takes"));
        assert_eq!(stages, ["making defects", "filter:bank=sobel:size=32x32"], "quick fits are silent");
        let (picked_one, stages) = picked(40, 1e6);
        let judged = &picked_one.unwrap().judged[0];
        assert!(!judged.is_estimate && judged.auroc.is_some() && stages.len() > 2, "{stages:?}");
        // So few images are fitted at once.
        assert!(picked(8, 1e-6).1.len() > 2);
    }
}

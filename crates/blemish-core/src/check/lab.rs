//! What the parts of the suite share: fits and scores that survive a panic, comparisons, and the findings.

use super::{Finding, Images, Part, Subject};
use crate::entry::Fitted;
use crate::error::Error;
use crate::map::{PatchScores, Scored};
use crate::method::{FitContext, Pass, Stored};
use crate::needs::{Backing, Needs};
use crate::observer::Observer;
use crate::state::State;
use crate::training::TrainingOptions;
use blemish_features::{Backbone, Device};
use blemish_foundation::clip::Clip;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The seed of the reference model.
const SEED: u64 = 3;

/// Why there is no result.
pub(super) enum Failure {
    Error(Error),
    Panic(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => write!(f, "{error}"),
            Self::Panic(words) => write!(f, "it panics: {words}"),
        }
    }
}

/// Runs what may panic.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Failure::Error),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
            Err(Failure::Panic(words.to_owned()))
        }
    }
}

/// A method on trial: its reference model and how that was made.
pub(super) struct Lab<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) needs: Needs,
    pub(super) backbone: Option<Arc<Backbone>>,
    pub(super) reference: Box<dyn Fitted>,
    /// What its fit told the observer.
    pub(super) log: Log,
    findings: Vec<Finding>,
}

impl<'a> Lab<'a> {
    /// Fits the reference model.
    pub(super) fn new(subject: &'a Subject<'a>) -> Result<Self, String> {
        let needs =
            guard(|| subject.entry.needs(&subject.settings)).map_err(|failure| failure.to_string())?;
        let backbone = guard(|| (subject.backbone)(&needs)).map_err(|failure| failure.to_string())?;
        let watch = Watcher::default();
        let good = images_of(&needs, &backbone, subject.scene.good());
        let reference = fit(subject, &backbone, good, |context| FitContext { observer: &watch, ..context });
        let reference = reference.map_err(|failure| format!("the fit on good images fails: {failure}"))?;
        let log = watch.log.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { subject, needs, backbone, reference, log, findings: Vec::new() })
    }

    pub(super) fn report(&mut self, part: Part, reason: impl Into<String>) {
        self.findings.push(Finding { part, reason: reason.into() });
    }

    /// Reports a broken promise.
    pub(super) fn require(&mut self, part: Part, outcome: Result<(), String>) {
        if let Err(reason) = outcome {
            self.report(part, reason);
        }
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// Images as this method reads them.
    pub(super) fn images(&self, images: Vec<((usize, usize), Vec<f32>)>) -> Images<'static> {
        images_of(&self.needs, &self.backbone, images)
    }

    /// The good images.
    pub(super) fn good(&self) -> Images<'static> {
        self.images(self.subject.scene.good())
    }

    /// Fits with what `change` makes of a plain context.
    pub(super) fn fit<'c>(
        &self,
        good: Images<'c>,
        change: impl FnOnce(FitContext<'c>) -> FitContext<'c>,
    ) -> Result<Box<dyn Fitted>, Failure> {
        fit(self.subject, &self.backbone, good, change)
    }

    /// Puts a model together from tensors.
    pub(super) fn restore(&self, state: State, device: Device) -> Result<Box<dyn Fitted>, Failure> {
        let settings = self.reference.settings();
        let backbone = self.backbone.clone();
        guard(|| self.subject.entry.restore(Stored { config: &settings, state, backbone, device }))
    }

    /// The images that models are tried on: a good one, a defective one, and another good one.
    pub(super) fn probes(&self) -> Images<'static> {
        let scene = &self.subject.scene;
        let image = |(number, is_defective)| ((scene.side, scene.side), scene.image(number, is_defective));
        self.images([(20, false), (21, true), (22, false)].map(image).to_vec())
    }

    /// Patch scores of some of the images, in one batch.
    pub(super) fn score(
        &self,
        model: &dyn Fitted,
        images: &Images<'_>,
        numbers: &[usize],
    ) -> Result<Vec<PatchScores>, Failure> {
        let pass = Pass { reads: self.needs.reads, shuffle: None };
        guard(|| {
            let scores = images.with(numbers, pass, |input| model.score(input))?;
            match scores.len() == numbers.len() && scores.iter().all(is_whole) {
                true => Ok(scores),
                false => {
                    Err(Error::Score { reason: "there is not one grid of scores for each image".into() })
                }
            }
        })
    }

    /// The same as finished maps, all finite.
    pub(super) fn finish(
        &self,
        model: &dyn Fitted,
        images: &Images<'_>,
        numbers: &[usize],
    ) -> Result<Vec<Scored>, Failure> {
        let pass = Pass { reads: self.needs.reads, shuffle: None };
        guard(|| images.with(numbers, pass, |input| input.finish(model.map_stage(), model.score(input)?)))
    }

    /// Bits of the scores of all probes.
    pub(super) fn bits(&self, model: &dyn Fitted) -> Result<Vec<Vec<u32>>, Failure> {
        Ok(self.score(model, &self.probes(), &[0, 1, 2])?.iter().map(bits_of).collect())
    }
}

/// Whether the grid has as many scores as it says.
fn is_whole(scores: &PatchScores) -> bool {
    scores.values.len() == scores.height * scores.width
}

/// Bits of an image's scores.
pub(super) fn bits_of(scores: &PatchScores) -> Vec<u32> {
    scores.values.iter().chain(&scores.image_score).map(|value| value.to_bits()).collect()
}

fn images_of(
    needs: &Needs,
    backbone: &Option<Arc<Backbone>>,
    images: Vec<((usize, usize), Vec<f32>)>,
) -> Images<'static> {
    Images::new(images, backbone.clone()).in_clips(needs.clip)
}

fn fit<'c>(
    subject: &Subject<'_>,
    backbone: &Option<Arc<Backbone>>,
    good: Images<'c>,
    change: impl FnOnce(FitContext<'c>) -> FitContext<'c>,
) -> Result<Box<dyn Fitted>, Failure> {
    let needs = guard(|| subject.entry.needs(&subject.settings))?;
    let image_text = (needs.backbone == Backing::ImageText).then(|| Arc::new(Clip::tiny()));
    let context = change(FitContext { image_text, ..FitContext::new(SEED, backbone.clone()) });
    let good = good.watched(context.observer);
    guard(|| subject.entry.fit(&subject.settings, &good, &context))
}

/// A training that the clock ends at once.
pub(super) fn brief() -> TrainingOptions {
    TrainingOptions { time_limit: Some(Duration::from_nanos(1)), ..TrainingOptions::default() }
}

/// How two models differ, in words; `None` if their tensors are the same to the bit.
pub(super) fn difference(one: &State, other: &State) -> Option<String> {
    let names = |state: &State| state.tensors().keys().cloned().collect::<Vec<_>>();
    if names(one) != names(other) {
        return Some(format!("tensors {:?}, not {:?}", names(other), names(one)));
    }
    let differs = |(name, tensor): (&String, &crate::state::StateTensor)| {
        let known = &one.tensors()[name];
        let is_same = known.shape == tensor.shape && known.values.bytes() == tensor.values.bytes();
        (!is_same).then(|| format!("tensor `{name}`"))
    };
    other.tensors().iter().find_map(differs)
}

/// What a fit told its observer.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// Steps of progress.
    pub(super) steps: u64,
    /// Times that progress was told.
    pub(super) told: u64,
    /// Times that it asked whether to stop.
    pub(super) asked: u64,
    /// The stages: the name, and the steps before.
    pub(super) stages: Vec<(String, u64)>,
}

/// Notes progress, and cancels after so many steps or so many questions.
#[derive(Default)]
pub(super) struct Watcher {
    pub(super) after_steps: Option<u64>,
    pub(super) after_asked: Option<u64>,
    pub(super) steps: AtomicU64,
    pub(super) asked: AtomicU64,
    pub(super) log: Mutex<Log>,
}

impl Watcher {
    pub(super) fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn stage(&self, name: &str, _: Option<u64>) {
        let mut log = self.log();
        let steps = log.steps;
        log.stages.push((name.to_owned(), steps));
    }
    fn advance(&self, steps: u64) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
        let mut log = self.log();
        log.steps += steps;
        log.told += 1;
    }
    fn is_cancelled(&self) -> bool {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.log().asked += 1;
        let has_reached = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count >= limit);
        has_reached(self.after_asked, asked)
            || has_reached(self.after_steps, self.steps.load(Ordering::Relaxed))
    }
}

//! Between the methods that train networks and the one training loop: progress, limits, checkpoints, weights in model files.

use crate::shared::tensors::scoring_device;
use blemish_core::error::Error;
use blemish_core::memory;
use blemish_core::method::FitContext;
use blemish_core::preset::Preset;
use blemish_core::training::with_ending;
use blemish_data::loader::order_of;
use blemish_features::burn_device::guarded;
use blemish_nn::train::{
    Checkpoints, Course, Draw, Plan, Selection, TrainError, Trained, TrainedByTurns, Turn, Verdict, Watch,
    train_by_turns, train_selecting,
};
use blemish_nn::weights::trained_values;
use blemish_nn::{Device, Module, Tensor};
use rand::{Rng, RngExt};
use serde::Serialize;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// What to do about a training that does not fit into memory.
const SMALLER: &str = "set a smaller batch or hidden width, use smaller images or fewer layers";

/// Runs the trainings of one fit.
pub struct Trainer<'a> {
    method: &'static str,
    context: &'a FitContext<'a>,
    fingerprint: String,
    /// Where networks are trained, with gradients.
    device: Device,
    started: Instant,
    /// Trainings there will be, and those that have begun.
    networks: usize,
    begun: Cell<usize>,
    /// The preset that was not taken, and how many times the work of this fit it is.
    other: Option<(Preset, f64)>,
}

impl<'a> Trainer<'a> {
    /// For a fit of `networks` trainings one after the other; `data` is a checksum of what they learn from.
    ///
    /// # Errors
    /// [`Error::Features`] if there is no such device, [`Error::Train`] if it cannot multiply in the bits that are asked for.
    pub fn new(
        method: &'static str,
        settings: &impl Serialize,
        data: u32,
        networks: usize,
        context: &'a FitContext<'a>,
    ) -> Result<Self, Error> {
        let settings = serde_json::to_string(settings).unwrap_or_default();
        let place = context.device;
        let device = scoring_device(place)?.autodiff();
        let precision = context.training.precision;
        if precision.products().is_some_and(|dtype| place.is_cpu() || !device.supports_dtype(dtype)) {
            let reason = format!(
                "mixed precision needs a GPU with bfloat16, and the device {place} has none; train in single precision"
            );
            return Err(Error::Train { method, reason });
        }
        let mut fingerprint = format!("{method} {settings} seed {} data {data:08x}", context.seed);
        // Not all of what methods learn from shows which backbone it went through.
        if let Some(backbone) = &context.backbone {
            fingerprint += &format!(" backbone {}", backbone.digest());
        }
        // Files of older programs do not say where they were trained: on a CPU in single precision.
        if !place.is_cpu() {
            fingerprint += &format!(" {place} {precision:?}");
        }
        let started = Instant::now();
        Ok(Self { method, context, fingerprint, device, started, networks, begun: Cell::new(0), other: None })
    }

    /// Says with the time that the trainings will take what another preset would, `ratio` times as much work: multiply-adds of all steps.
    pub fn beside(self, other: Preset, ratio: f64) -> Self {
        Self { other: Some((other, ratio)), ..self }
    }

    /// The device that networks are trained on.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// The preset of this fit, where its method has presets.
    fn preset(&self) -> Option<Preset> {
        self.other.map(|(other, _)| other.other())
    }

    fn is_on_cpu(&self) -> bool {
        self.device == Device::flex()
    }

    /// Trains a network called `name` by a plan, to which the checkpoints and the precision of this fit are added.
    ///
    /// `activations` is about how many values a step keeps for its gradients, `batch` gives what step number s (from 0) learns from, `loss`
    /// what that costs, one number.
    ///
    /// # Errors
    /// [`Error::Train`] if a step does not fit into memory or the loss is not finite, [`Error::Interrupted`], what `batch` returns.
    pub fn run<M: Module, B>(
        &self,
        name: &str,
        network: M,
        plan: Plan,
        activations: usize,
        batch: impl FnMut(u64) -> Result<B, Error>,
        loss: impl Fn(&M, B) -> Tensor<1>,
    ) -> Result<Trained<M>, Error> {
        self.run_selecting(name, network, plan, activations, batch, loss, None)
    }

    /// The same, with the weights that `selection` found best.
    ///
    /// # Errors
    /// As [`Self::run`].
    #[expect(clippy::too_many_arguments, reason = "those of a training, each of its own kind")]
    pub fn run_selecting<M: Module, B>(
        &self,
        name: &str,
        network: M,
        plan: Plan,
        activations: usize,
        batch: impl FnMut(u64) -> Result<B, Error>,
        loss: impl Fn(&M, B) -> Tensor<1>,
        selection: Option<Selection<'_, M>>,
    ) -> Result<Trained<M>, Error> {
        let weights = trained_values(&network);
        // Weights, gradients and two moments (and the average).
        let copies = 4 + usize::from(plan.average.is_some());
        let work = Work {
            name,
            preset: self.preset(),
            steps: plan.steps,
            weights,
            values: copies * weights,
            activations,
        };
        let trained = self.supervise(&work, |checkpoints, watch| {
            let plan = Plan { checkpoints, precision: self.context.training.precision, ..plan };
            let batch = batch_errors(batch);
            train_selecting(network, &plan, &self.device, batch, loss, selection, watch)
        })?;
        self.warn_if_short(&work, trained.steps);
        Ok(trained)
    }

    /// Trains parts of a network called `name` by turns, each by its own loss, rule and schedule, as the two sides of a GAN. The course gets
    /// the checkpoints and the precision of this fit.
    ///
    /// `activations` is about how many values the largest turn keeps for its gradients, `batch` gives what each update learns from.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Train`] as well for a turn without weights.
    pub fn run_turns<M: Module, B>(
        &self,
        name: &str,
        network: M,
        course: Course,
        turns: &[Turn<'_, M, B>],
        activations: usize,
        batch: impl FnMut(Draw) -> Result<B, Error>,
    ) -> Result<TrainedByTurns<M>, Error> {
        let weights = trained_values(&network);
        // Weights, gradients and two moments (and the averages of all turns that have one).
        let copies = 4 + usize::from(turns.iter().any(|turn| turn.average.is_some()));
        let work = Work {
            name,
            preset: self.preset(),
            steps: course.steps,
            weights,
            values: copies * weights,
            activations,
        };
        let trained = self.supervise(&work, |checkpoints, watch| {
            let course = Course { checkpoints, precision: self.context.training.precision, ..course };
            let batch = batch_errors(batch);
            train_by_turns(network, &course, turns, &self.device, batch, None, watch)
        })?;
        self.warn_if_short(&work, trained.steps);
        Ok(trained)
    }

    /// Runs a training with all that surrounds one: memory, time, progress, checkpoints, what a GPU says by panics.
    fn supervise<T>(
        &self,
        work: &Work<'_>,
        train: impl FnOnce(Option<Checkpoints>, &dyn Watch) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        if self.is_on_cpu() {
            self.check_memory(work.bytes())?;
        }
        let begun = self.begun.get();
        self.begun.set(begun + 1);
        let share = (begun + 1) as f64 / self.networks as f64;
        let watch = Progress {
            trainer: self,
            work,
            ends: self.context.training.time_limit.map(|limit| self.started + limit.mul_f64(share)),
            ran: Cell::new(0),
            ended: Cell::new(Instant::now()),
            reported: Cell::new(0),
        };
        self.context.observer.stage(&work.describe(""), Some(work.steps));
        let checkpoints = self.context.training.checkpoint.as_ref().map(|path| Checkpoints {
            path: with_ending(path, &work.name.replace(' ', "-")),
            every: CHECKPOINT_EVERY,
            resume: self.context.training.resume,
            fingerprint: format!("{} {} {} steps", self.fingerprint, work.name, work.steps),
        });
        let train = || train(checkpoints, &watch);
        let trained = if self.is_on_cpu() {
            train()
        } else {
            // A GPU that has run out of memory says so by a panic.
            guarded(train).map_err(|error| {
                let reason = format!("{error}; where memory ran out: {SMALLER}");
                Error::Train { method: self.method, reason }
            })?
        };
        trained.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Train(TrainError::Interrupted) => Error::Interrupted,
            Failure::Train(error) => Error::Train { method: self.method, reason: error.to_string() },
        })
    }

    fn warn_if_short(&self, work: &Work<'_>, steps: u64) {
        if steps < work.steps {
            self.context.observer.warn(&format!(
                "{} was ended by the time limit after {steps} of {} steps",
                work.name, work.steps
            ));
        }
    }

    /// Checks that a step fits into memory.
    fn check_memory(&self, bytes: u64) -> Result<(), Error> {
        let available = self.context.memory_limit.or_else(memory::available);
        let Some(available) = available.filter(|&available| bytes > available) else { return Ok(()) };
        let reason = format!(
            "a training step needs about {:.1} GB and {:.1} GB are free; {SMALLER}, or raise the memory limit",
            bytes as f64 / 1e9,
            available as f64 / 1e9
        );
        Err(Error::Train { method: self.method, reason })
    }
}

/// What a training is about to do.
struct Work<'a> {
    name: &'a str,
    preset: Option<Preset>,
    steps: u64,
    /// Values that are trained.
    weights: usize,
    /// Weights, their gradients and what the optimiser remembers of them.
    values: usize,
    /// What a step keeps for its gradients.
    activations: usize,
}

impl Work<'_> {
    /// Memory of a step: also activations have gradients.
    fn bytes(&self) -> u64 {
        4 * (self.values + 2 * self.activations) as u64
    }

    /// The name of its stage; `time` says how long it will take, where that is known.
    fn describe(&self, time: &str) -> String {
        let preset = self.preset.map_or(String::new(), |preset| format!(" (preset={preset})"));
        format!(
            "training {}{preset}: {:.1} M weights, about {:.1} GB{time}",
            self.name,
            self.weights as f64 / 1e6,
            self.bytes() as f64 / 1e9
        )
    }
}

enum Failure {
    Train(TrainError),
    Other(Error),
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self::Train(error)
    }
}

fn batch_errors<D, B>(mut batch: impl FnMut(D) -> Result<B, Error>) -> impl FnMut(D) -> Result<B, Failure> {
    move |draw| batch(draw).map_err(Failure::Other)
}

struct Progress<'a> {
    trainer: &'a Trainer<'a>,
    work: &'a Work<'a>,
    ends: Option<Instant>,
    /// Steps of this run, and when the last one ended.
    ran: Cell<u64>,
    ended: Cell<Instant>,
    /// Steps that the observer knows of.
    reported: Cell<u64>,
}

impl Watch for Progress<'_> {
    fn verdict(&self) -> Verdict {
        if self.trainer.context.observer.is_cancelled() {
            return Verdict::Stop;
        }
        // A limit too short for anything still gives a model of one step.
        let is_over = self.ends.is_some_and(|ends| Instant::now() >= ends);
        if is_over && self.ran.get() > 0 { Verdict::Finish } else { Verdict::Go }
    }

    fn step(&self, done: u64, loss: f64, rate: f64) {
        let observer = self.trainer.context.observer;
        let seconds =
            self.ended.replace(Instant::now()).elapsed().as_secs_f64() * (self.work.steps - done) as f64;
        self.ran.set(self.ran.get() + 1);
        // The first step finds caches cold, and the first ones of a GPU compile and tune its kernels.
        if self.ran.get() == if self.trainer.is_on_cpu() { 2 } else { 10 } && seconds > 10.0 {
            let mut time = format!(", about {}", spelt(seconds));
            if let Some((other, ratio)) = self.trainer.other {
                time += &format!(" (preset={other} would take about {})", spelt(seconds * ratio));
            }
            observer.stage(&self.work.describe(&time), Some(self.work.steps));
            self.reported.set(0);
        }
        observer.status(&format!("loss {loss:.4}, rate {rate:.1e}"));
        observer.advance(done - self.reported.get());
        self.reported.set(done);
    }
}

/// A time for people.
fn spelt(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// What step number `step` learns from: a batch of `size` of `count` samples, shuffled anew by the seed in every epoch, the last
/// incomplete batch of an epoch left out.
pub fn batch_of(step: u64, count: usize, size: usize, seed: u64) -> Vec<usize> {
    let size = size.min(count).max(1);
    let per_epoch = (count / size).max(1) as u64;
    let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
    // Neighbouring seeds give unrelated orders, so that the sum is as good as any other mixture.
    let order = order_of(count, Some(seed.wrapping_add(epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    order[within * size..][..size].to_vec()
}

/// A standard normal value (Box and Muller), for noise that training adds.
pub fn gaussian(random: &mut impl Rng) -> f32 {
    let (radius, angle): (f32, f32) = (random.random(), random.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}

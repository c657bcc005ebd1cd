//! Between the methods that train networks and the one training loop: progress, limits, checkpoints, weights in model files.

use crate::shared::tensors::scoring_device;
use blemish_core::error::Error;
use blemish_core::memory;
use blemish_core::method::FitContext;
use blemish_core::state::{State, StateError};
use blemish_core::training::with_ending;
use blemish_data::loader::order_of;
use blemish_features::burn_device::guarded;
use blemish_nn::flow::Ordered;
use blemish_nn::train::{
    Checkpoints, Curve, Plan, Selection, TrainError, Trained, Verdict, Watch, train_selecting,
};
use blemish_nn::weights::{self, Values, WeightError, trained_values};
use blemish_nn::{Device, Module, Tensor};
use rand::{Rng, RngExt};
use serde::Serialize;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// What to do about a training that does not fit into memory.
const SMALLER: &str = "set a smaller batch or hidden width, use a smaller --size or fewer --layers";

/// Runs the trainings of one fit.
pub(crate) struct Trainer<'a> {
    method: &'static str,
    context: &'a FitContext<'a>,
    fingerprint: String,
    /// Where networks are trained, with gradients.
    device: Device,
    started: Instant,
    /// Trainings there will be, and those that have begun.
    networks: usize,
    begun: Cell<usize>,
}

impl<'a> Trainer<'a> {
    /// For a fit of `networks` trainings one after the other; `data` is a checksum of what they learn from.
    ///
    /// # Errors
    /// [`Error::Features`] if there is no such device, [`Error::Train`] if it cannot multiply in the bits that are asked for.
    pub(crate) fn new(
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
        Ok(Self { method, context, fingerprint, device, started, networks, begun: Cell::new(0) })
    }

    /// The device that networks are trained on.
    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    fn is_on_cpu(&self) -> bool {
        self.device == Device::flex()
    }

    /// Trains a network called `name` by a plan, to which the checkpoints of this fit are added; see [`train`]. `activations` is about how many values a step keeps for its gradients.
    pub(crate) fn run<M: Module, B>(
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
    #[expect(clippy::too_many_arguments, reason = "those of a training, each of its own kind")]
    pub(crate) fn run_selecting<M: Module, B>(
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
        // Weights, gradients and two moments (and the average), and what is kept for the gradients, with their own gradients.
        let bytes = 4 * ((4 + usize::from(plan.average.is_some())) * weights + 2 * activations) as u64;
        if self.is_on_cpu() {
            self.check_memory(bytes)?;
        }
        let describe = |time: &str| {
            format!(
                "training {name}: {:.1} M weights, about {:.1} GB{time}",
                weights as f64 / 1e6,
                bytes as f64 / 1e9
            )
        };
        let begun = self.begun.get();
        self.begun.set(begun + 1);
        let share = (begun + 1) as f64 / self.networks as f64;
        let watch = Progress {
            trainer: self,
            describe: &describe,
            steps: plan.steps,
            ends: self.context.training.time_limit.map(|limit| self.started + limit.mul_f64(share)),
            ran: Cell::new(0),
            ended: Cell::new(Instant::now()),
            told: Cell::new(0),
        };
        self.context.observer.stage(&describe(""), Some(plan.steps));
        let checkpoints = self.context.training.checkpoint.as_ref().map(|path| Checkpoints {
            path: with_ending(path, &name.replace(' ', "-")),
            every: CHECKPOINT_EVERY,
            resume: self.context.training.resume,
            fingerprint: format!("{} {name} {} steps", self.fingerprint, plan.steps),
        });
        let plan = Plan { checkpoints, precision: self.context.training.precision, ..plan };
        let batch = batch_errors(batch);
        let train = || train_selecting(network, &plan, &self.device, batch, loss, selection, &watch);
        let trained = if self.is_on_cpu() {
            train()
        } else {
            // A GPU that has run out of memory says so by a panic.
            guarded(train).map_err(|error| {
                let reason = format!("{error}; where memory ran out: {SMALLER}");
                Error::Train { method: self.method, reason }
            })?
        };
        let trained = trained.map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Train(TrainError::Interrupted) => Error::Interrupted,
            Failure::Train(error) => Error::Train { method: self.method, reason: error.to_string() },
        })?;
        if trained.steps < plan.steps {
            self.context.observer.warn(&format!(
                "{name} was ended by the time limit after {} of {} steps",
                trained.steps, plan.steps
            ));
        }
        Ok(trained)
    }

    /// Refuses what would run out of memory.
    fn check_memory(&self, bytes: u64) -> Result<(), Error> {
        let available = self.context.memory_limit.or_else(memory::available);
        let Some(available) = available.filter(|&available| bytes > available) else { return Ok(()) };
        let reason = format!(
            "a training step needs about {:.1} GB and {:.1} GB are free; {SMALLER}, or raise --memory-limit",
            bytes as f64 / 1e9,
            available as f64 / 1e9
        );
        Err(Error::Train { method: self.method, reason })
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

fn batch_errors<B>(mut batch: impl FnMut(u64) -> Result<B, Error>) -> impl FnMut(u64) -> Result<B, Failure> {
    move |step| batch(step).map_err(Failure::Other)
}

struct Progress<'a> {
    trainer: &'a Trainer<'a>,
    describe: &'a dyn Fn(&str) -> String,
    steps: u64,
    ends: Option<Instant>,
    /// Steps of this run, and when the last one ended.
    ran: Cell<u64>,
    ended: Cell<Instant>,
    /// Steps told to the observer.
    told: Cell<u64>,
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
        let seconds = self.ended.replace(Instant::now()).elapsed().as_secs_f64() * (self.steps - done) as f64;
        self.ran.set(self.ran.get() + 1);
        // The first step finds caches cold, and the first ones of a GPU compile and tune its kernels.
        if self.ran.get() == if self.trainer.is_on_cpu() { 2 } else { 10 } && seconds > 10.0 {
            let time = match seconds {
                ..120.0 => format!(", about {seconds:.0} s"),
                ..7200.0 => format!(", about {:.0} min", seconds / 60.0),
                _ => format!(", about {:.1} h", seconds / 3600.0),
            };
            observer.stage(&(self.describe)(&time), Some(self.steps));
            self.told.set(0);
        }
        observer.status(&format!("loss {loss:.4}, rate {rate:.1e}"));
        observer.advance(done - self.told.get());
        self.told.set(done);
    }
}

/// What step number `step` learns from: a batch of `size` of `count` samples, shuffled anew by the seed in every epoch, the last
/// incomplete batch of an epoch left out.
pub(crate) fn batch_of(step: u64, count: usize, size: usize, seed: u64) -> Vec<usize> {
    let size = size.min(count).max(1);
    let per_epoch = (count / size).max(1) as u64;
    let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
    // Neighbouring seeds give unrelated orders, so that the sum is as good as any other mixture.
    let order = order_of(count, Some(seed.wrapping_add(epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
    order[within * size..][..size].to_vec()
}

/// A standard normal value (Box and Muller), for noise that training adds.
pub(crate) fn gaussian(random: &mut impl Rng) -> f32 {
    let (radius, angle): (f32, f32) = (random.random(), random.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f32::consts::TAU * angle).cos()
}

/// Puts a network's weights, its orders of channels (which no seed need make again) and the loss curve of its training into a model's
/// state.
pub(crate) fn store<M: Module + Ordered>(network: &M, prefix: &str, curve: &Curve, state: &mut State) {
    for (name, (shape, values)) in weights::collect(network) {
        state.set_f32(&format!("{prefix}{name}"), &shape, values);
    }
    for (number, order) in network.clone().orders().into_iter().enumerate() {
        let values: Vec<u32> = order.iter().map(|&channel| channel as u32).collect();
        state.set_u32(&format!("{prefix}order.{number}"), &[values.len()], values);
    }
    let losses: Vec<f32> = curve.losses.iter().map(|&loss| loss as f32).collect();
    state.set_f32(&format!("loss_curve.{prefix}values"), &[losses.len()], losses);
    state.set_count(&format!("loss_curve.{prefix}part"), curve.part);
}

/// A loss curve as [`store`] keeps it: mean losses, and the steps of each.
fn load_curve(prefix: &str, state: &State) -> Result<Curve, StateError> {
    let (_, losses) = state.f32(&format!("loss_curve.{prefix}values"), 1)?;
    let part = state.count(&format!("loss_curve.{prefix}part"))?;
    Ok(Curve::of(part, losses.iter().map(|&loss| f64::from(loss)).collect()))
}

/// All loss curves in a model's state, each with the name of its network ("" for an only one).
pub fn loss_curves(state: &State) -> Vec<(String, Curve)> {
    let name_of = |name: &String| Some(name.strip_prefix("loss_curve.")?.strip_suffix("values")?.to_owned());
    let prefixes = state.tensors().keys().filter_map(name_of);
    prefixes
        .filter_map(|prefix| {
            let curve = load_curve(&prefix, state).ok()?;
            Some((prefix.trim_end_matches('.').replace('.', " "), curve))
        })
        .collect()
}

/// A network with what [`store`] has kept of it, and its loss curve.
pub(crate) fn load<M: Module + Ordered>(blank: M, prefix: &str, state: &State) -> Result<(M, Curve), Error> {
    let mut network = weights::load(blank, |name: &str| -> Result<Values, LoadError> {
        let name = format!("{prefix}{name}");
        let rank = state.tensors().get(&name).map_or(1, |tensor| tensor.shape.len());
        let (shape, values) = state.f32(&name, rank).map_err(LoadError)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(LoadError(StateError {
                name,
                reason: "holds values that are no finite numbers".into(),
            }));
        }
        Ok((shape.to_vec(), values.to_vec()))
    })
    .map_err(|LoadError(error)| Error::State(error))?;
    for (number, order) in network.orders().into_iter().enumerate() {
        let name = format!("{prefix}order.{number}");
        let values: Vec<usize> = state.u32(&name, 1)?.1.iter().map(|&channel| channel as usize).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        if values.len() != order.len() || !sorted.into_iter().eq(0..order.len()) {
            let reason = format!("is no order of {} channels", order.len());
            return Err(StateError { name, reason }.into());
        }
        *order = values;
    }
    Ok((network, load_curve(prefix, state)?))
}

struct LoadError(StateError);

impl From<WeightError> for LoadError {
    fn from(error: WeightError) -> Self {
        Self(StateError { name: error.name, reason: error.reason })
    }
}

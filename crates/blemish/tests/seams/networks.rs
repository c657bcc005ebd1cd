//! What the trained examples share: patches as rows, the training loop, weights in a state.

use super::scenes::SIDE;
use blemish::data::ImageBatch;
use blemish::error::Error;
use blemish::features::{Device as Place, burn_device};
use blemish::map::PatchScores;
use blemish::method::{FitContext, Pass, TrainingSet};
use blemish::state::{State, StateError};
use blemish_nn::train::{Optimiser, Plan, Schedule, TrainError, Verdict, Watch, train};
use blemish_nn::weights::{self, WeightError};
use blemish_nn::{Device, Module, Tensor, TensorData};

/// Side of a patch, in pixels.
pub const PATCH: usize = 4;

/// Values of a patch.
pub const LENGTH: usize = PATCH * PATCH;

/// The patches of a plane, row by row of its grid, with grey values from -2 to 2.
pub fn patches(plane: &[f32]) -> Vec<f32> {
    let side = SIDE / PATCH;
    let value = |patch: usize, at: usize| {
        let (y, x) = (patch / side * PATCH + at / PATCH, patch % side * PATCH + at % PATCH);
        4.0 * (plane[y * SIDE + x] - 0.5)
    };
    (0..side * side).flat_map(|patch| (0..LENGTH).map(move |at| value(patch, at))).collect()
}

/// The first channels of the good images.
pub fn planes(good: &dyn TrainingSet) -> Result<Vec<Vec<f32>>, Error> {
    let mut planes = Vec::new();
    good.for_each(Pass::IMAGES, &mut |input| {
        let batch = input.images()?;
        planes.extend((0..batch.count).map(|at| batch.image(at)[..SIDE * SIDE].to_vec()));
        Ok(())
    })?;
    Ok(planes)
}

/// Rows as a tensor.
pub fn rows(values: Vec<f32>, device: &Device) -> Tensor<2> {
    let count = values.len() / LENGTH;
    Tensor::from_data(TensorData::new(values, [count, LENGTH]), device)
}

/// The device behind the one that is asked for.
pub fn open(place: Place) -> Result<Device, Error> {
    Ok(burn_device::open(place)?)
}

/// One score a patch of every image.
pub fn score(batch: &ImageBatch, of: impl Fn(Vec<f32>) -> Tensor<2>) -> Result<Vec<PatchScores>, Error> {
    let side = SIDE / PATCH;
    let one = |at: usize| {
        let values = of(patches(&batch.image(at)[..SIDE * SIDE])).into_data().try_into_vec::<f32>();
        let values = values.map_err(|error| Error::Score { reason: format!("{error:?}") })?;
        Ok(PatchScores { height: side, width: side, values, image_score: None })
    };
    (0..batch.count).map(one).collect()
}

struct Watching<'a>(&'a FitContext<'a>);

impl Watch for Watching<'_> {
    fn verdict(&self) -> Verdict {
        if self.0.observer.is_cancelled() { Verdict::Stop } else { Verdict::Go }
    }
    fn step(&self, _: u64, _: f64, _: f64) {
        self.0.observer.advance(1);
    }
}

/// Trains a network for some steps.
pub fn learn<M: Module, B>(
    network: M,
    steps: u64,
    context: &FitContext<'_>,
    mut batch: impl FnMut(u64) -> B,
    loss: impl Fn(&M, B) -> Tensor<1>,
) -> Result<M, Error> {
    let device = open(context.device)?.autodiff();
    let plan = Plan::new(steps, Optimiser::ADAM, Schedule::constant(0.01));
    let trained =
        train(network, &plan, &device, |step| Ok::<B, TrainError>(batch(step)), loss, &Watching(context));
    match trained {
        Ok(trained) => Ok(trained.network),
        Err(TrainError::Interrupted) => Err(Error::Interrupted),
        Err(error) => Err(Error::Train { method: "example", reason: error.to_string() }),
    }
}

/// Puts a network's weights into a state.
pub fn store<M: Module>(network: &M, prefix: &str, state: &mut State) {
    for (name, (shape, values)) in weights::collect(network) {
        state.set_f32(&format!("{prefix}.{name}"), &shape, values);
    }
}

/// The network with the weights that [`store`] has kept.
pub fn load<M: Module>(blank: M, prefix: &str, state: &State) -> Result<M, Error> {
    let take = |name: &str| -> Result<weights::Values, WeightError> {
        let name = format!("{prefix}.{name}");
        let rank = state.tensors().get(&name).map_or(1, |tensor| tensor.shape.len());
        let (shape, values) =
            state.f32(&name, rank).map_err(|error| WeightError { name: error.name, reason: error.reason })?;
        Ok((shape.to_vec(), values.to_vec()))
    };
    weights::load(blank, take)
        .map_err(|WeightError { name, reason }| Error::State(StateError { name, reason }))
}

//! What the trained examples share: patches as rows, and a plan.

use super::scenes::SIDE;
use blemish::data::ImageBatch;
use blemish::error::Error;
use blemish::map::PatchScores;
use blemish::method::{FitContext, Pass, TrainingSet};
use blemish_methods::shared::kept::{Kept, Planes};
use blemish_methods::shared::tensors::values_of;
use blemish_nn::train::{Optimiser, Plan, Schedule};
use blemish_nn::{Device, Tensor, TensorData};

/// Side of a patch, in pixels.
pub const PATCH: usize = 4;

/// Values of a patch.
pub const LENGTH: usize = PATCH * PATCH;

/// The patches of an image's first channel, row by row of its grid, with grey values from -2 to 2.
pub fn patches(image: &[f32]) -> Vec<f32> {
    let side = SIDE / PATCH;
    let value = |patch: usize, at: usize| {
        let (y, x) = (patch / side * PATCH + at / PATCH, patch % side * PATCH + at % PATCH);
        4.0 * (image[y * SIDE + x] - 0.5)
    };
    (0..side * side).flat_map(|patch| (0..LENGTH).map(move |at| value(patch, at))).collect()
}

/// The pixels of the good images.
pub fn keep(method: &'static str, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Kept, Error> {
    Kept::collect(method, good, Pass::IMAGES, context, "reading images", |input| {
        Ok(vec![Planes::of_images(input.images()?)])
    })
}

/// Rows as a tensor.
pub fn rows(values: Vec<f32>, device: &Device) -> Tensor<2> {
    let count = values.len() / LENGTH;
    Tensor::from_data(TensorData::new(values, [count, LENGTH]), device)
}

/// One score a patch of every image.
pub fn score(batch: &ImageBatch, of: impl Fn(Vec<f32>) -> Tensor<2>) -> Result<Vec<PatchScores>, Error> {
    let side = SIDE / PATCH;
    let one = |at: usize| {
        let values = values_of(of(patches(batch.image(at))))?;
        Ok(PatchScores { height: side, width: side, values, image_score: None })
    };
    (0..batch.count).map(one).collect()
}

/// So many steps of Adam at a rate of 0.01.
pub fn plan(steps: u64) -> Plan {
    Plan::new(steps, Optimiser::ADAM, Schedule::constant(0.01))
}

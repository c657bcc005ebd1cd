//! The images that a bank is made of, where they are to be few.

use super::config::{AnomalyDinoConfig, NAME};
use super::memory::Memory;
use super::patches::Patches;
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_kernels::k_centre::{self, KCentreOptions, Start};
use blemish_kernels::simd::squared_distances;
use std::ops::ControlFlow;

/// Which images to take, those that are remembered first: all, or the few that differ most from each other.
///
/// # Errors
/// What reading the images returns.
pub(super) fn reference_images(
    config: &AnomalyDinoConfig,
    known: &[&Memory],
    good: Option<&dyn TrainingSet>,
    context: &FitContext<'_>,
) -> Result<Vec<bool>, Error> {
    let remembered: usize = known.iter().map(|memory| memory.images()).sum();
    let total = remembered + good.map_or(0, |good| good.len());
    let most = config.most_images();
    if total <= most {
        return Ok(vec![true; total]);
    }
    context.observer.stage("choosing images", Some((total - remembered) as u64));
    let (mut numbers, mut wholes, mut first) = (Vec::new(), Vec::new(), 0);
    for memory in known {
        for (image, whole) in memory.wholes() {
            numbers.push(first + image);
            wholes.push(whole.to_vec());
        }
        first += memory.images();
    }
    let mut each = |input: &Input<'_>| {
        for (&image, patches) in input.indices.iter().zip(Patches::of_batch(input.maps()?, true)) {
            numbers.push(remembered + image);
            wholes.push(patches.whole);
        }
        context.observer.advance(input.count() as u64);
        Ok(())
    };
    good.map_or(Ok(()), |good| good.for_each(Pass::MAPS, &mut each))?;
    if wholes.len() <= most {
        return Ok(vec![true; total]);
    }
    let length = wholes.first().map_or(0, Vec::len);
    let rows = wholes.concat();
    // The first is the image that is farthest from all others together.
    let mut distances = vec![0.0; wholes.len()];
    let mut first = (0, -1.0f64);
    for (image, whole) in wholes.iter().enumerate() {
        squared_distances(whole, &rows, &mut distances);
        let norm: f64 = distances.iter().map(|&squared| f64::from(squared).powi(2)).sum();
        if norm > first.1 {
            first = (image, norm);
        }
    }
    let options = KCentreOptions { start: Start::Index(first.0), ..KCentreOptions::new(most) };
    let picks = k_centre::select(&rows, length, &options, &mut |_| ControlFlow::Continue(()))
        .map_err(|error| Error::Fit { method: NAME, reason: error.to_string() })?;
    let mut is_chosen = vec![false; total];
    picks.indices.iter().for_each(|&image| is_chosen[numbers[image]] = true);
    Ok(is_chosen)
}

//! A fitted bank: one expert a filter, calibrated and combined into one map.

use super::bank::Filter;
use super::config::{Align, ClassicalConfig, Colour, Combine};
use super::normality::Normality;
use super::planes::{Planes, planes};
use super::responses;
use super::tables::{self, Tables};
use blemish_core::error::Error;
use blemish_core::map::PatchScores;
use blemish_core::state::{Shared, State, StateError};
use blemish_data::ImageBatch;
use blemish_kernels::image::Size;
use blemish_kernels::image::convolve::blur;
use blemish_kernels::image::windows::Windows;
use blemish_kernels::map::resize_bilinear;
use rayon::prelude::*;

/// Cells up to this many pixels apart make a map fine enough to need smoothing; coarser ones are smooth by interpolation.
const FINE: usize = 2;

/// A good image that the others are brought onto.
#[derive(Clone)]
pub(super) struct Reference {
    pub(super) size: Size,
    /// Brightness, H x W.
    pub(super) values: Shared<f32>,
}

/// What is usual on good images that a filter has not seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calibration {
    /// Mean of the map.
    pub(super) usual: f32,
    /// Mean image score, less that.
    pub(super) spread: f32,
}

impl Calibration {
    /// Changes nothing.
    pub(super) const NONE: Self = Self { usual: 0.0, spread: 1.0 };
}

/// A filter with all that it has learnt.
pub(super) struct Expert {
    pub(super) filter: Filter,
    pub(super) tables: Tables,
    pub(super) normality: Normality,
    pub(super) calibration: Calibration,
}

/// A fitted bank.
pub(super) struct Detecting {
    pub(super) config: ClassicalConfig,
    pub(super) windows: Windows,
    pub(super) reference: Option<Reference>,
    pub(super) experts: Vec<Expert>,
}

/// The planes of an image, registered if there is a reference.
///
/// # Errors
/// [`Error::Score`] if the image is not of the reference's size.
pub(super) fn planes_of(
    config: &ClassicalConfig,
    reference: Option<&Reference>,
    image: &[f32],
    size: Size,
) -> Result<Planes, Error> {
    if let Some(reference) = reference.filter(|reference| reference.size != size) {
        let reason = format!(
            "an image of {}x{} pixels cannot be registered with one of {}x{}; resize all images to one size, or fit with `none` for the setting `align`",
            size.1, size.0, reference.size.1, reference.size.0
        );
        return Err(Error::Score { reason });
    }
    let reference = reference.map(|reference| (&*reference.values, config.align.unwrap_or(Align::None)));
    Ok(planes(image, size, config.colour, reference))
}

impl Detecting {
    /// Scores of every pixel of every image; an image of no anomaly scores about 1 at its worst pixels and about 0 elsewhere.
    ///
    /// # Errors
    /// [`Error::Score`] if an image does not fit the model.
    pub(super) fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error> {
        let size = (batch.height, batch.width);
        let inside = batch.region_of_interest.as_ref().map(|mask| mask.marked.as_slice());
        let one = |index: usize| {
            let planes = planes_of(&self.config, self.reference.as_ref(), batch.image(index), size)?;
            let mut values: Vec<f32> = Vec::new();
            for expert in &self.experts {
                let map = self.expert_map(expert, &planes)?;
                let Calibration { usual, spread } = expert.calibration;
                let scale = 1.0 / spread;
                let calibrated = map.iter().map(|value| (value - usual) * scale);
                if values.is_empty() {
                    values.extend(calibrated);
                    continue;
                }
                let pairs = values.iter_mut().zip(calibrated);
                match self.config.combine {
                    Combine::Max => pairs.for_each(|(value, other)| *value = value.max(other)),
                    Combine::Mean => pairs.for_each(|(value, other)| *value += other),
                }
            }
            if self.config.combine == Combine::Mean {
                let share = 1.0 / self.experts.len() as f32;
                values.iter_mut().for_each(|value| *value *= share);
            }
            let (_, score) = self.summary(&values, inside);
            Ok(PatchScores { height: size.0, width: size.1, values, image_score: Some(score) })
        };
        (0..batch.count).into_par_iter().map(one).collect()
    }

    /// The map of one filter in its own units, H x W, in the image's frame.
    ///
    /// # Errors
    /// [`Error::Score`] if the image does not fit the model.
    pub(super) fn expert_map(&self, expert: &Expert, planes: &Planes) -> Result<Vec<f32>, Error> {
        let size = planes.size;
        let features =
            responses::features(expert.filter, &self.config, self.windows, &expert.tables, planes)?;
        // Windows of features pooled over steps are out of place by less than their own step.
        let tolerance = if features.step == 1 { self.config.tolerance } else { 0 };
        let distances = expert.normality.distances(&features, tolerance)?;
        let mut map = enlarge(distances, features.grid, features.step, size);
        if features.step <= FINE {
            map = blur(&map, size, self.config.sigma);
        }
        if let Some(placed) = &planes.placed {
            map = placed.restore(map, size, expert.calibration.usual);
        }
        Ok(map)
    }

    /// Mean of a map, and the image score: the mean of its worst pixels; inside the region of interest.
    pub(super) fn summary(&self, map: &[f32], inside: Option<&[bool]>) -> (f32, f32) {
        let mut values: Vec<f32> = match inside {
            None => map.to_vec(),
            Some(inside) => {
                map.iter().zip(inside).filter(|(_, inside)| **inside).map(|(value, _)| *value).collect()
            }
        };
        if values.is_empty() {
            return (0.0, 0.0);
        }
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
        let count = ((values.len() as f64 * self.config.top) as usize).max(1);
        let worst = match count {
            1 => values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            _ => {
                let cut = values.len() - count;
                let (_, _, _) = values.select_nth_unstable_by(cut, f32::total_cmp);
                let mut worst = values[cut..].to_vec();
                // In order, so that the sum does not depend on how the selection went.
                worst.sort_unstable_by(f32::total_cmp);
                (worst.iter().map(|&value| f64::from(value)).sum::<f64>() / count as f64) as f32
            }
        };
        (mean as f32, worst)
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::default();
        if let Some(reference) = &self.reference {
            state.set_f32("reference", &[reference.size.0, reference.size.1], reference.values.clone());
        }
        for expert in &self.experts {
            let name = expert.filter.name();
            for (plane, table) in expert.tables.iter().enumerate() {
                state.set_f32(&format!("{name}.table.{plane}"), &[table.len()], table.clone());
            }
            expert.normality.save(&mut state, name);
            let Calibration { usual, spread } = expert.calibration;
            state.set_f32(&format!("{name}.calibration"), &[2], vec![usual, spread]);
        }
        state
    }

    /// # Errors
    /// [`Error`] naming the tensor that is missing or misshapen.
    pub(super) fn restore(
        config: ClassicalConfig,
        filters: &[Filter],
        windows: Windows,
        state: &State,
    ) -> Result<Self, Error> {
        let reference = match state.tensors().contains_key("reference") {
            true => {
                let (shape, values) = state.f32("reference", 2)?;
                Some(Reference { size: (shape[0], shape[1]), values })
            }
            false => None,
        };
        let experts = filters
            .iter()
            .map(|&filter| {
                let name = filter.name();
                let model = filter.model(config.model)?;
                let normality = Normality::restore(model, &config, state, name)?;
                let table = |plane: usize| format!("{name}.table.{plane}");
                let tables = (0..).take_while(|&plane| state.tensors().contains_key(&table(plane)));
                let tables: Tables = tables
                    .map(|plane| Ok(state.f32(&table(plane), 1)?.1.to_vec()))
                    .collect::<Result<_, Error>>()?;
                let planes = if config.colour == Colour::Grey { 1 } else { 3 };
                tables::check(filter, &config, &tables, planes)
                    .map_err(|reason| StateError { name: table(0), reason })?;
                let calibration = format!("{name}.calibration");
                let (_, values) = state.f32(&calibration, 1)?;
                let &[usual, spread] = &*values else {
                    let reason = format!("has {} values, not 2", values.len());
                    return Err(StateError { name: calibration, reason }.into());
                };
                Ok(Expert { filter, tables, normality, calibration: Calibration { usual, spread } })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { config, windows, reference, experts })
    }
}

/// From a grid whose cells are `step` pixels apart to the image's size.
fn enlarge(values: Vec<f32>, grid: Size, step: usize, size: Size) -> Vec<f32> {
    if step == 1 {
        return values;
    }
    let whole = (grid.0 * step, grid.1 * step);
    let large = resize_bilinear(&values, grid, whole);
    if whole == size {
        return large;
    }
    large.chunks_exact(whole.1).take(size.0).flat_map(|row| &row[..size.1]).copied().collect()
}

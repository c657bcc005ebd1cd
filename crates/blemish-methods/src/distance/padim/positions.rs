//! The Gaussians of a grid: feature maps in, distances out.

use super::config::{PadimConfig, Precision, Variant};
use super::gather::gather;
use super::left_out::squared_distances;
use super::summary::{Summary, fit_error};
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::map::PatchScores;
use blemish_core::region::cells_inside;
use blemish_core::state::{Shared, State, StateError};
use blemish_features::FeatureMap;
use blemish_kernels::gaussian::{self, Factors, GaussianAccumulator, OwnedGaussians, PositionGaussians};
use rayon::prelude::*;

/// Images that are left out together at most: the time of it grows with the square of their number.
const TOGETHER: usize = 12;

/// What anomalib adds to the diagonal beside epsilon.
const ANOMALIB_EXTRA: f64 = 1e-5;

/// Gaussians whose storage may lie in a file.
type Gaussians = PositionGaussians<Shared<f32>, Shared<u16>, Shared<u8>>;

/// Drawn channels and the Gaussian of every position.
pub(super) struct PositionModel {
    config: PadimConfig,
    /// Channels of the layers' concatenation, ascending.
    channels: Shared<u32>,
    height: usize,
    width: usize,
    gaussians: Gaussians,
    /// Of updatable models.
    summary: Option<Summary>,
    /// Of a model that comes from a fit and not from a file.
    fit: Option<Fit>,
}

/// What leaving images out takes beside the model.
struct Fit {
    images: u64,
    /// Factors before they were rounded to bytes, of which leaving out would magnify the rounding.
    precise: Option<OwnedGaussians>,
}

/// Takes feature maps in while a fit streams them.
pub(super) struct Positions {
    channels: Vec<u32>,
    height: usize,
    width: usize,
    moments: GaussianAccumulator,
}

impl Positions {
    /// For the drawn channels on a height x width grid.
    pub(super) fn new(channels: Vec<u32>, height: usize, width: usize) -> Result<Self, Error> {
        let moments = GaussianAccumulator::new(height * width, channels.len()).map_err(fit_error)?;
        Ok(Self { channels, height, width, moments })
    }

    /// Goes on from a fitted model, which must be updatable.
    pub(super) fn resume(model: &PositionModel, action: &'static str) -> Result<Self, Error> {
        let summary = model.summary.as_ref().ok_or_else(|| Error::Living {
            action,
            reason: "this PaDiM model keeps no moments; fit it with the setting `updatable`".into(),
        })?;
        let moments = summary.moments()?;
        let (positions, dimensions) = (moments.positions(), moments.dimensions());
        if (positions, dimensions) != (model.gaussians.positions(), model.gaussians.dimensions()) {
            let reason =
                format!("are of {positions} positions and {dimensions} dimensions, the factors are not");
            return Err(StateError { name: "moments.mean".into(), reason }.into());
        }
        Ok(Self { channels: model.channels.to_vec(), height: model.height, width: model.width, moments })
    }

    /// Takes in what another model has learnt.
    pub(super) fn merge(&mut self, mut other: Self) -> Result<(), Error> {
        let fail = |reason: String| Error::Living { action: "merge", reason };
        if self.channels != other.channels {
            return Err(fail("the models drew other channels; fit all parts with the same seed".into()));
        }
        if (self.height, self.width) != (other.height, other.width) {
            return Err(fail(format!(
                "the models have grids of {}x{} and {}x{}; fit all parts on images of one size",
                self.height, self.width, other.height, other.width
            )));
        }
        self.moments.merge(&mut other.moments).map_err(fit_error)
    }

    /// Whether the first feature maps of an update have this grid and enough channels.
    pub(super) fn fits(&self, maps: &[FeatureMap]) -> bool {
        let available: usize = maps.iter().map(|map| map.channels).sum();
        maps.first().is_some_and(|map| (map.height, map.width) == (self.height, self.width))
            && self.channels.last().is_none_or(|&last| (last as usize) < available)
    }

    /// Takes the feature maps of `count` images in.
    pub(super) fn add(&mut self, maps: &[FeatureMap], count: usize) -> Result<(), Error> {
        let values = gather(maps, &self.channels, count);
        self.moments.add_batch(&values).map_err(fit_error)
    }

    /// Images seen.
    pub(super) fn count(&self) -> u64 {
        self.moments.count()
    }

    /// Number of drawn channels.
    pub(super) fn dimensions(&self) -> usize {
        self.channels.len()
    }

    /// Factors the covariances.
    pub(super) fn finish(mut self, config: PadimConfig) -> Result<PositionModel, Error> {
        let epsilon = match config.variant {
            Variant::Official => config.epsilon,
            Variant::Anomalib => config.epsilon + ANOMALIB_EXTRA,
        };
        let precision = match config.precision {
            Precision::Single => gaussian::Precision::Single,
            Precision::Half | Precision::Byte => gaussian::Precision::Half,
        };
        let factored = self.moments.factor(epsilon, precision).map_err(fit_error)?;
        let (fitted, precise) = match config.precision {
            Precision::Byte => (factored.in_bytes(), Some(factored)),
            Precision::Single | Precision::Half => (factored, None),
        };
        let fit = Some(Fit { images: self.moments.count(), precise });
        let (positions, dimensions) = (fitted.positions(), fitted.dimensions());
        let (means, factors) = fitted.into_parts();
        let factors = match factors {
            Factors::Single(values) => Factors::Single(values.into()),
            Factors::Half(values) => Factors::Half(values.into()),
            Factors::Bytes { values, steps, unit } => {
                Factors::Bytes { values: values.into(), steps: steps.into(), unit }
            }
        };
        let gaussians =
            PositionGaussians::from_parts(positions, dimensions, means.into(), factors).map_err(fit_error)?;
        let summary = config.updatable.then(|| Summary::of(self.moments));
        Ok(PositionModel {
            config,
            channels: self.channels.into(),
            height: self.height,
            width: self.width,
            gaussians,
            summary,
            fit,
        })
    }
}

fn square(distance: f32) -> f64 {
    f64::from(distance).powi(2)
}

impl PositionModel {
    /// Images that were learnt from; known of updatable models.
    pub(super) fn count(&self) -> Option<u64> {
        self.summary.as_ref().map(Summary::count)
    }

    pub(super) fn config(&self) -> &PadimConfig {
        &self.config
    }

    /// Rows and columns.
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The drawn channels of the layers' concatenation, ascending.
    pub(super) fn channels(&self) -> &[u32] {
        &self.channels
    }

    pub(super) fn gaussians(&self) -> &Gaussians {
        &self.gaussians
    }

    /// Distances of images from the feature maps of their layers; 0 outside the region.
    ///
    /// # Errors
    /// [`Error::Score`] if the grid or the channels are not those of the fit.
    pub(super) fn score(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let maps = &features.maps;
        let (height, width) = maps.first().map_or((0, 0), |map| (map.height, map.width));
        let available: usize = maps.iter().map(|map| map.channels).sum();
        if (height, width) != (self.height, self.width)
            || self.channels.last().is_some_and(|&last| last as usize >= available)
        {
            let reason = format!(
                "the images give a {height}x{width} grid of {available} channels, the model was fitted on {}x{}; use its own image size",
                self.height, self.width
            );
            return Err(Error::Score { reason });
        }
        let values = gather(maps, &self.channels, features.count);
        let distances = self
            .gaussians
            .mahalanobis(&values)
            .map_err(|error| Error::Score { reason: error.to_string() })?;
        let inside = cells_inside(features.region_of_interest.as_deref(), height, width);
        let patches = |scores: &[f32]| {
            let values =
                scores.iter().zip(&inside).map(|(&score, &is_inside)| if is_inside { score } else { 0.0 });
            PatchScores { height, width, values: values.collect(), image_score: None }
        };
        Ok(distances.chunks_exact(height * width).map(patches).collect())
    }

    /// Images of the fit where [`Self::score_left_out`] is defined and accurate: right after a fit on at least three images; with half
    /// precision, whose rounding it magnifies the more the fewer images there are, on at least fifty.
    fn left_out_of(&self) -> Option<u64> {
        let fewest = self.fewest();
        self.fit.as_ref().map(|fit| fit.images).filter(|&images| images >= fewest)
    }

    fn fewest(&self) -> u64 {
        if self.config.precision == Precision::Single { 3 } else { 50 }
    }

    /// Whether images of the fit can be left out of it.
    pub(super) fn can_leave_one_out(&self) -> bool {
        self.left_out_of().is_some()
    }

    /// The Gaussians before their factors became bytes.
    fn precise(&self) -> Option<&OwnedGaussians> {
        self.fit.as_ref()?.precise.as_ref()
    }

    /// Squared distances to the Gaussians as they were before their factors became bytes.
    fn precise_squares(&self, samples: &[f32]) -> Result<Vec<f64>, Error> {
        let distances = match self.precise() {
            Some(precise) => precise.mahalanobis(samples),
            None => self.gaussians.mahalanobis(samples),
        };
        let distances = distances.map_err(|error| Error::Score { reason: error.to_string() })?;
        Ok(distances.into_iter().map(square).collect())
    }

    /// Distances of images of the fit to Gaussians fitted without them.
    ///
    /// With n images, mean m, scatter S / (n - 1) and d = x - m, the scatter without x is S - n / (n - 1) d d', and x lies
    /// n / (n - 1) d from the mean of the others. By Sherman and Morrison its squared distance is
    /// (n / (n - 1))^2 q / (1 - n q / (n - 1)^2), q = d' C^-1 d being the distance that the model itself gives. The covariance of the
    /// others is here divided by n - 1 instead of n - 2. For any epsilon that is added the result is never below that of another fit, and
    /// above it by at most the factor sqrt((n - 1) / (n - 2)).
    ///
    /// The factor by which leaving out moves a distance is that of the factors before they became bytes: rounding would be magnified. The
    /// distance that it moves is the model's.
    pub(super) fn score_left_out(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let mut scored = self.score(features)?;
        let squares = match self.precise() {
            Some(_) => self.precise_squares(&gather(&features.maps, &self.channels, features.count))?,
            None => {
                scored.iter().flat_map(|patches| &patches.values).map(|&distance| square(distance)).collect()
            }
        };
        let images = self.left_out_of().unwrap_or(0) as f64;
        let shift = images / (images - 1.0);
        for (distance, squared) in scored.iter_mut().flat_map(|patches| &mut patches.values).zip(squares) {
            // Only rounding of the stored factors brings it to 0.
            let left = (1.0 - squared * shift / (images - 1.0)).max(1e-6);
            *distance *= (shift / left.sqrt()) as f32;
        }
        Ok(scored)
    }

    /// How many images can be left out together: enough for groups of a few shots, and as many as leave an accurate fit.
    pub(super) fn most_together(&self) -> usize {
        let spare = |images: u64| (images - self.fewest()) as usize;
        self.left_out_of().map_or(0, |images| spare(images).clamp(1, TOGETHER))
    }

    /// Distances of images of the fit to Gaussians fitted without any of them, see [`super::left_out`].
    pub(super) fn score_left_out_together(&self, features: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let mut scored = self.score(features)?;
        let (count, positions) = (features.count, self.height * self.width);
        let (values, means) =
            (gather(&features.maps, &self.channels, count), self.gaussians.means().as_ref());
        let stride = values.len() / count.max(1);
        let own = self.precise_squares(&values)?;
        // 2 d_i' C^-1 d_j is the square of d_i + d_j without those of d_i and d_j; row by row of the lower triangle.
        let mut grams = vec![0.0f64; positions * count * count];
        for i in 0..count {
            let of = |image: usize| &values[image * stride..][..stride];
            let pair = |j: usize| of(i).iter().zip(of(j)).zip(means).map(|((a, b), mean)| a + b - mean);
            let together = self.precise_squares(&(0..i).flat_map(pair).collect::<Vec<f32>>())?;
            for position in 0..positions {
                let gram = &mut grams[position * count * count..][..count * count];
                let square = |image: usize| own[image * positions + position];
                gram[i * count + i] = square(i);
                for j in 0..i {
                    let product = (together[j * positions + position] - square(i) - square(j)) / 2.0;
                    (gram[i * count + j], gram[j * count + i]) = (product, product);
                }
            }
        }
        let samples = self.left_out_of().unwrap_or(0) as usize;
        let distances: Vec<Vec<f64>> =
            grams.par_chunks(count * count).map(|gram| squared_distances(gram, samples)).collect();
        for (image, patches) in scored.iter_mut().enumerate() {
            let before = &own[image * positions..][..positions];
            for ((value, squared), before) in patches.values.iter_mut().zip(&distances).zip(before) {
                // Cells outside the region stay 0, and so does what lies on the mean.
                if *value > 0.0 {
                    *value *= (squared[image] / before).sqrt() as f32;
                }
            }
        }
        Ok(scored)
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::default();
        let (positions, dimensions) = (self.gaussians.positions(), self.gaussians.dimensions());
        let packed = dimensions * (dimensions + 1) / 2;
        state.set_u32("channels", &[dimensions], self.channels.clone());
        state.set_u32("grid", &[2], vec![self.height as u32, self.width as u32]);
        state.set_f32("means", &[positions, dimensions], self.gaussians.means().clone());
        match self.gaussians.factors() {
            Factors::Single(values) => state.set_f32("factors", &[positions, packed], values.clone()),
            Factors::Half(values) => state.set_f16("factors", &[positions, packed], values.clone()),
            Factors::Bytes { values, steps, unit } => {
                state.set_u8("factors", &[positions, packed], values.clone());
                state.set_f16("factors.steps", &[positions, dimensions], steps.clone());
                state.set_f32("factors.unit", &[1], vec![*unit]);
            }
        }
        if let Some(summary) = &self.summary {
            summary.store(&mut state);
        }
        state
    }

    pub(super) fn restore(config: PadimConfig, state: &State) -> Result<Self, Error> {
        let (_, channels) = state.u32("channels", 1)?;
        let (_, grid) = state.u32("grid", 1)?;
        let (shape, means) = state.f32("means", 2)?;
        let wrong = |name: &str, reason: String| StateError { name: name.into(), reason };
        let factors = match config.precision {
            Precision::Single => Factors::Single(state.f32("factors", 2)?.1),
            Precision::Half => Factors::Half(state.f16("factors", 2)?.1),
            Precision::Byte => Factors::Bytes {
                values: state.u8("factors", 2)?.1,
                steps: state.f16("factors.steps", 2)?.1,
                unit: match &state.f32("factors.unit", 1)?.1[..] {
                    &[unit] if unit.is_finite() => unit,
                    _ => return Err(wrong("factors.unit", "does not hold one number".into()).into()),
                },
            },
        };
        let &[height, width] = &grid[..] else {
            return Err(wrong("grid", "does not hold height and width".into()).into());
        };
        let (height, width) = (height as usize, width as usize);
        if height.checked_mul(width) != Some(shape[0]) || channels.len() != shape[1] {
            return Err(
                wrong("means", format!("has shape {shape:?}, which fits neither grid nor channels")).into()
            );
        }
        let gaussians = PositionGaussians::from_parts(shape[0], shape[1], means, factors)
            .map_err(|error| wrong("factors", error.to_string()))?;
        let summary = Summary::restore(state)?;
        Ok(Self { config, channels, height, width, gaussians, summary, fit: None })
    }
}

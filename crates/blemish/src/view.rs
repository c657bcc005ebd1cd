//! What a detector looks at: whole images or tiles of them, at one input size or at several, through one backbone or an ensemble.
//!
//! A view is one backbone at one input size with the models fitted for it: one for whole images, one that all tiles share, or one for
//! each place of a tile. Several views make one outcome: their maps and scores are brought to a common scale, the mean and the spread
//! they had on good images at fit time, and averaged at the size of the largest.

use crate::detector::{DetectorConfig, FitOptions};
use crate::prepared::Prepared;
use crate::tiled::{self, Sizes, TileModels, TiledSet, score_batch};
use crate::training::LoadedSet;
use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::map::{AnomalyMap, Scored};
use blemish_core::method::{FitContext, TrainingSet};
use blemish_core::observer::{Named, Observer};
use blemish_core::settings::Settings;
use blemish_core::state::State;
use blemish_data::{
    Canvas, DataError, Dataset, DecodedImages, ImageBatch, ImageFault, RgbImage, Sample, Skipped, TilePlan,
    Tiling, Transform, read_size,
};
use blemish_features::Backbone;
use blemish_kernels::map::resize_bilinear;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::sync::Arc;

/// Good images that the scale of a view is measured on.
const MEASURED: usize = 32;

/// Pixels that are looked at beside the fit itself, for scales and colours.
const AFFORDABLE: usize = 32 << 20;

/// What a model file says of a view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewHeader {
    /// How images become input.
    pub transform: Transform,
    /// How the transformed image is cut; absent for whole images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TilesHeader>,
    /// Its scale on good images; absent in a model with one view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// The settings of its models where they are not the model's own: some choices follow from the input and the backbone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Which of the model's backbones it looks through; absent for the first.
    #[serde(default, skip_serializing_if = "is_first")]
    pub backbone: usize,
}

fn is_first(backbone: &usize) -> bool {
    *backbone == 0
}

impl ViewHeader {
    /// What is known of whole images that become input in this way and go through the first backbone.
    pub(crate) fn of_whole_images(transform: Transform) -> Self {
        Self { transform, tiles: None, spread: None, settings: None, backbone: 0 }
    }
}

/// What a model file says of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TilesHeader {
    /// Size and overlap.
    #[serde(flatten)]
    pub tiling: Tiling,
    /// One model or many.
    pub models: TileModels,
    /// Height and width of the images, where each place has a model of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<(usize, usize)>,
}

/// Mean and standard deviation of a view's scores on good training images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Over the pixels of all maps.
    pub map: (f32, f32),
    /// Over the image scores.
    pub score: (f32, f32),
}

/// One backbone at one input size and the models fitted for it.
pub(crate) struct View {
    header: ViewHeader,
    transform: Arc<Transform>,
    /// One, or one a tile; `None` for a tile that lies outside the region of interest.
    models: Vec<Option<Box<dyn Fitted>>>,
}

/// How images are scored; none of it changes a score.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) batch_size: usize,
    pub(crate) observer: &'a dyn Observer,
}

/// Whether a configuration asks for more than whole images at one size through one backbone.
pub(crate) fn is_composed(config: &DetectorConfig) -> bool {
    config.tiles.is_some() || config.input_sizes.len() > 1 || !config.ensemble.is_empty()
}

/// A view that is to be fitted.
struct Planned {
    transform: Arc<Transform>,
    /// Its number among the fit's; 0 for a method without any.
    backbone: usize,
    /// What its progress is told under.
    name: String,
}

/// The views that a configuration asks for: the largest input first, and for each the backbones in their order.
///
/// # Errors
/// [`Error::Data`] for an impossible size.
fn planned(prepared: &Prepared, config: &DetectorConfig) -> Result<Vec<Planned>, Error> {
    let mut sides = config.input_sizes.clone();
    sides.sort_unstable_by(|a, b| b.cmp(a));
    sides.dedup();
    let sizes: Vec<(Option<String>, Transform)> = match sides.as_slice() {
        [] => vec![(None, (*prepared.transform).clone())],
        [side] => vec![(None, prepared.transform.at_side(*side))],
        sides => {
            let named = |&side: &usize| (Some(format!("size {side}")), prepared.transform.at_side(side));
            sides.iter().map(named).collect()
        }
    };
    let backbones = prepared.backbones.len();
    let mut planned = Vec::new();
    for (size, transform) in sizes {
        transform.check()?;
        let transform = Arc::new(transform);
        for backbone in 0..backbones.max(1) {
            let network = (backbones > 1).then(|| prepared.backbone_name(backbone));
            let parts: Vec<String> = network.into_iter().chain(size.clone()).collect();
            let name = if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(", ")) };
            planned.push(Planned { transform: transform.clone(), backbone, name });
        }
    }
    Ok(planned)
}

/// Fits every view that a configuration asks for on the training images of a dataset, the largest first. Also what was left out.
///
/// # Errors
/// As [`crate::Detector::fit`].
pub(crate) fn fit(
    prepared: &Prepared,
    config: &DetectorConfig,
    dataset: &Dataset,
    options: &FitOptions<'_>,
) -> Result<(Vec<View>, Vec<Skipped>), Error> {
    if let Some(tiles) = &config.tiles {
        tiles.tiling.check()?;
    }
    let planned = planned(prepared, config)?;
    let count = planned.len();
    let mut views = Vec::with_capacity(count);
    let models = Cell::new(0);
    let mut skipped = Vec::new();
    for Planned { transform, backbone: number, name } in planned {
        let observer = Named { name, inner: options.observer };
        let options = FitOptions { observer: &observer, ..options.clone() };
        let backbone = prepared.backbones.get(number).cloned();
        let fitting = Fitting { prepared, backbone, config, dataset, options: &options, models: &models };
        let (mut view, left_out) = fitting.view(&transform)?;
        view.header.backbone = number;
        if count > 1 {
            let work = Work { batch_size: options.batch_size, observer: &observer };
            view.header.spread = Some(view.measure(&dataset.train, work)?);
        }
        views.push(view);
        skipped = left_out;
    }
    Ok((views, skipped))
}

/// What the fits of all models of a view share.
struct Fitting<'a> {
    prepared: &'a Prepared,
    backbone: Option<Arc<Backbone>>,
    config: &'a DetectorConfig,
    dataset: &'a Dataset,
    options: &'a FitOptions<'a>,
    /// Models fitted so far, of earlier views, too.
    models: &'a Cell<usize>,
}

impl Fitting<'_> {
    fn view(&self, transform: &Arc<Transform>) -> Result<(View, Vec<Skipped>), Error> {
        let Some(tiles) = &self.config.tiles else {
            let set = LoadedSet::new(self.dataset, transform, self.options);
            let model = self.model(&set, self.options.observer)?;
            return Ok((View::of_whole_images(transform.clone(), model), set.skipped()));
        };
        let mut set = TiledSet::new(self.dataset, transform, tiles, self.options, self.config.seed)?;
        let (models, image) = match tiles.models {
            TileModels::Shared => (vec![Some(self.model(&set, self.options.observer)?)], None),
            TileModels::Each => {
                let sizes = set.common_size()?;
                let models = self.models_of_places(&mut set, transform, &tiles.tiling, sizes)?;
                (models, sizes.map(|sizes| sizes.transformed))
            }
        };
        let tiles = TilesHeader { tiling: tiles.tiling, models: tiles.models, image };
        let header = ViewHeader { tiles: Some(tiles), ..ViewHeader::of_whole_images((**transform).clone()) };
        Ok((View { header, transform: transform.clone(), models }, set.skipped()))
    }

    /// One model a tile; none where a tile lies outside the region of interest.
    fn models_of_places(
        &self,
        set: &mut TiledSet<'_>,
        transform: &Transform,
        tiling: &Tiling,
        sizes: Option<Sizes>,
    ) -> Result<Vec<Option<Box<dyn Fitted>>>, Error> {
        // Without images the method itself says so.
        let one_tile = (tiling.height, tiling.width);
        let Sizes { original, transformed: (height, width) } =
            sizes.unwrap_or(Sizes { original: one_tile, transformed: one_tile });
        let plan = plan(tiling, height, width)?;
        let region = transform.region_at(original.0, original.1).map_err(unfit)?;
        let mut models = Vec::with_capacity(plan.count());
        for tile in 0..plan.count() {
            let (rows, columns) = plan.window(tile);
            let is_seen = region.as_ref().is_none_or(|mask| {
                let columns = columns.start..columns.end.min(width);
                (rows.start..rows.end.min(height))
                    .any(|y| mask.marked[y * width..][columns.clone()].contains(&true))
            });
            set.only(tile);
            let name = format!("tile {} of {}: ", tile + 1, plan.count());
            let observer = Named { name, inner: self.options.observer };
            models.push(if is_seen { Some(self.model(set, &observer)?) } else { None });
        }
        Ok(models)
    }

    fn model(&self, set: &dyn TrainingSet, observer: &dyn Observer) -> Result<Box<dyn Fitted>, Error> {
        let context = self.options.context(self.config.seed, self.backbone.clone());
        let number = self.models.replace(self.models.get() + 1);
        let training = context.training.of_model(number);
        let context = FitContext { observer, training, ..context };
        self.prepared.entry.fit(&self.config.settings, set, &context)
    }
}

fn plan(tiling: &Tiling, height: usize, width: usize) -> Result<TilePlan, Error> {
    tiling.plan(height, width).map_err(unfit)
}

fn unfit(fault: ImageFault) -> Error {
    Error::Score { reason: fault.to_string() }
}

impl View {
    /// A view of whole images by one model.
    pub(crate) fn of_whole_images(transform: Arc<Transform>, model: Box<dyn Fitted>) -> Self {
        let header = ViewHeader::of_whole_images((*transform).clone());
        Self { header, transform, models: vec![Some(model)] }
    }

    /// How images become input.
    pub(crate) fn transform(&self) -> &Arc<Transform> {
        &self.transform
    }

    /// What a model file says of it, but for its settings.
    pub(crate) fn header(&self) -> &ViewHeader {
        &self.header
    }

    /// The model of whole images, if that is what it looks at.
    pub(crate) fn whole(&self) -> Option<&dyn Fitted> {
        match self.header.tiles {
            None => self.models.first()?.as_deref(),
            Some(_) => None,
        }
    }

    /// Whether it takes images of that size, whatever the size of those it was fitted on.
    pub(crate) fn takes(&self, (height, width): (usize, usize)) -> bool {
        let is_shared = matches!(self.header.tiles, Some(TilesHeader { models: TileModels::Shared, .. }));
        is_shared && self.transform.output_size(height, width).is_ok()
    }

    /// The settings that its models were fitted with.
    pub(crate) fn settings(&self) -> Settings {
        self.models.iter().flatten().next().map(|model| model.settings()).unwrap_or_default()
    }

    /// The tensors of all its models.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (number, model) in self.models.iter().enumerate() {
            if let Some(model) = model {
                state.absorb(&self.prefix(number), model.state());
            }
        }
        state
    }

    fn prefix(&self, number: usize) -> String {
        match self.header.tiles {
            Some(TilesHeader { models: TileModels::Each, .. }) => format!("tile.{number}."),
            _ => String::new(),
        }
    }

    /// Puts a view together again; `restore` does so with a model.
    ///
    /// # Errors
    /// [`Error::State`] for tensors; [`Error::Data`] if the header makes no sense.
    pub(crate) fn restore(
        header: ViewHeader,
        mut state: State,
        restore: &dyn Fn(State) -> Result<Box<dyn Fitted>, Error>,
    ) -> Result<Self, Error> {
        header.transform.check()?;
        let transform = Arc::new(header.transform.clone());
        let mut view = Self { header, transform, models: Vec::new() };
        let count = match view.header.tiles {
            None => 1,
            Some(TilesHeader { tiling, models, image }) => {
                tiling.check()?;
                match (models, image) {
                    (TileModels::Shared, _) => 1,
                    (TileModels::Each, Some((height, width))) => plan(&tiling, height, width)?.count(),
                    (TileModels::Each, None) => {
                        let reason = "one model a tile needs the size of the images".to_owned();
                        return Err(DataError::Setting(reason).into());
                    }
                }
            }
        };
        for number in 0..count {
            let prefix = view.prefix(number);
            let own =
                if prefix.is_empty() { std::mem::take(&mut state) } else { state.split_off_prefix(&prefix) };
            let is_absent = own.tensors().is_empty() && !prefix.is_empty();
            view.models.push(if is_absent { None } else { Some(restore(own)?) });
        }
        Ok(view)
    }

    /// Scores one decoded image.
    ///
    /// # Errors
    /// [`Error::Score`] if it does not fit the model, [`Error::Features`], [`Error::Interrupted`].
    pub(crate) fn score(&self, image: &RgbImage, work: Work<'_>) -> Result<Scored, Error> {
        let canvas = self.transform.canvas(image).map_err(unfit)?;
        let (height, width) = canvas.size();
        let Some(tiles) = &self.header.tiles else { return self.score_whole(&canvas) };
        if let (TileModels::Each, Some((known_height, known_width))) = (tiles.models, tiles.image)
            && (known_height, known_width) != (height, width)
        {
            let reason = format!(
                "the image is {width}x{height} pixels, but the model has one part for each place in images of \
                 {known_width}x{known_height}; bring the image to that size, or fit with --tile-models shared"
            );
            return Err(Error::Score { reason });
        }
        let model = |tile: usize| {
            let model =
                if tiles.models == TileModels::Each { self.models.get(tile) } else { self.models.first() };
            model.and_then(|model| model.as_deref()).ok_or_else(|| Error::Score {
                reason: format!("the model knows nothing of tile {tile}; fit it anew"),
            })
        };
        let batch_size = if tiles.models == TileModels::Each { 1 } else { work.batch_size };
        tiled::score(&canvas, &plan(&tiles.tiling, height, width)?, &model, batch_size, work.observer)
    }

    fn score_whole(&self, canvas: &Canvas<'_>) -> Result<Scored, Error> {
        let nothing = || Error::Score { reason: "the method returned nothing".into() };
        let (height, width) = canvas.size();
        let image = canvas.cut(0..height, 0..width);
        let batch = ImageBatch {
            count: 1,
            height,
            width,
            pixels: image.pixels,
            region_of_interest: image.region_of_interest,
        };
        let scored = score_batch(self.whole().ok_or_else(nothing)?, &batch)?.pop();
        scored.map(|(scored, _)| scored).ok_or_else(nothing)
    }

    /// Mean and spread of its scores on some of the good images.
    fn measure(&self, samples: &[Sample], work: Work<'_>) -> Result<Spread, Error> {
        let order = some_of(samples, MEASURED, &self.transform);
        work.observer.stage("measuring good images", Some(order.len() as u64));
        let (mut pixels, mut scores) = (Moments::default(), Moments::default());
        for image in DecodedImages::new(samples, order, &self.transform, true, false) {
            if work.observer.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let scored = self.score(&image?.image, work)?;
            scored.map.values.iter().for_each(|&value| pixels.add(value));
            scores.add(scored.score);
            work.observer.advance(1);
        }
        Ok(Spread { map: pixels.finish(), score: scores.finish() })
    }
}

/// Up to `count` samples, evenly chosen; fewer, but one at least, where their transformed images are large.
pub(crate) fn some_of(samples: &[Sample], count: usize, transform: &Transform) -> Vec<usize> {
    let pixels = |sample: &Sample| {
        let (height, width) = read_size(&sample.path, &transform.read_options()).unwrap_or_default();
        let (height, width) = transform.output_size(height, width).unwrap_or_default();
        height * width
    };
    let mut seen = 0;
    let step = samples.len().div_ceil(count).max(1);
    (0..samples.len())
        .step_by(step)
        .take_while(|&index| {
            let is_affordable = seen < AFFORDABLE;
            seen += pixels(&samples[index]);
            is_affordable
        })
        .collect()
}

/// Sums for a mean and a standard deviation.
#[derive(Default)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f32) {
        let value = f64::from(value);
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    /// Mean and standard deviation; without any spread, 1 in its place.
    fn finish(&self) -> (f32, f32) {
        let mean = self.sum / self.count.max(1.0);
        let deviation = (self.squares / self.count.max(1.0) - mean * mean).max(0.0).sqrt();
        // Rounding leaves traces of a spread where there is none.
        (mean as f32, if deviation > 1e-6 * mean.abs() { deviation as f32 } else { 1.0 })
    }
}

/// Scores one decoded image with all views, the largest first.
///
/// # Errors
/// As [`View::score`]; [`Error::Score`] if the outcome is not finite.
pub(crate) fn score(views: &[View], image: &RgbImage, work: Work<'_>) -> Result<Scored, Error> {
    let (first, others) =
        views.split_first().ok_or_else(|| Error::Score { reason: "the model is empty".into() })?;
    let scored = first.score(image, work)?;
    let Some(spread) = &first.header.spread else { return Ok(scored) };
    let part = 1.0 / views.len() as f32;
    let size = (scored.map.height, scored.map.width);
    let mut merged = scored;
    merged.score = part * (merged.score - spread.score.0) / spread.score.1;
    let (mean, factor) = (spread.map.0, part / spread.map.1);
    merged.map.values.iter_mut().for_each(|value| *value = (*value - mean) * factor);
    for view in others {
        let Scored { score, map } = view.score(image, work)?;
        let Some(spread) = &view.header.spread else { continue };
        merged.score += part * (score - spread.score.0) / spread.score.1;
        let (mean, factor) = (spread.map.0, part / spread.map.1);
        let AnomalyMap { height, width, mut values } = map;
        if (height, width) != size {
            values = resize_bilinear(&values, (height, width), size);
        }
        merged.map.values.iter_mut().zip(&values).for_each(|(sum, value)| *sum += (value - mean) * factor);
    }
    if let Some(mask) = first.transform.region_at(image.height, image.width).map_err(unfit)? {
        let outside = merged.map.values.iter_mut().zip(&mask.marked).filter(|&(_, &is_inside)| !is_inside);
        outside.for_each(|(value, _)| *value = 0.0);
    }
    if !merged.score.is_finite() || merged.map.values.iter().any(|value| !value.is_finite()) {
        let reason = "the merged scores are not finite numbers; the model's values are out of range".into();
        return Err(Error::Score { reason });
    }
    Ok(merged)
}

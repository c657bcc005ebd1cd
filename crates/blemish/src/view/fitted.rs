//! A fitted view, and how a model file describes it.

use super::plan::PlannedView;
use super::set::Sizes;
use crate::config::TileModels;
use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::settings::Settings;
use blemish_core::state::State;
use blemish_data::{DataError, ImageFault, Source, TilePlan, Tiling, Transform};
use blemish_features::Backbone;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    pub(super) header: ViewHeader,
    pub(super) transform: Arc<Transform>,
    pub(super) backbone: Option<Arc<Backbone>>,
    /// One, or one a tile; `None` for a tile that lies outside the region of interest.
    pub(super) models: Vec<Option<Box<dyn Fitted>>>,
}

pub(super) fn plan_of(tiling: &Tiling, height: usize, width: usize) -> Result<TilePlan, Error> {
    tiling.plan(height, width).map_err(unfit)
}

pub(super) fn unfit(fault: ImageFault) -> Error {
    Error::Score { reason: fault.to_string() }
}

/// Which tiles of an image see any of the region of interest.
///
/// # Errors
/// [`Error::Score`] if the image is too small for the tiles.
pub(crate) fn seen_tiles(transform: &Transform, tiling: &Tiling, sizes: Sizes) -> Result<Vec<bool>, Error> {
    let Sizes { original, transformed: (height, width) } = sizes;
    let plan = plan_of(tiling, height, width)?;
    let region = transform.region_at(original.0, original.1).map_err(unfit)?;
    let is_seen = |tile: usize| {
        let (rows, columns) = plan.window(tile);
        region.as_ref().is_none_or(|mask| {
            let columns = columns.start..columns.end.min(width);
            (rows.start..rows.end.min(height))
                .any(|y| mask.marked[y * width..][columns.clone()].contains(&true))
        })
    };
    Ok((0..plan.count()).map(is_seen).collect())
}

impl View {
    /// A view of models that were fitted for it.
    pub(crate) fn new(
        planned: &PlannedView,
        backbone: Option<Arc<Backbone>>,
        tiles: Option<TilesHeader>,
        models: Vec<Option<Box<dyn Fitted>>>,
    ) -> Self {
        let header = ViewHeader {
            tiles,
            backbone: planned.backbone,
            ..ViewHeader::of_whole_images((*planned.transform).clone())
        };
        Self { header, transform: planned.transform.clone(), backbone, models }
    }

    /// The same view around another model of whole images.
    pub(crate) fn with_model(&self, model: Box<dyn Fitted>) -> Self {
        let (header, transform) = (self.header.clone(), self.transform.clone());
        Self { header, transform, backbone: self.backbone.clone(), models: vec![Some(model)] }
    }

    /// How images become input.
    pub(crate) fn transform(&self) -> &Arc<Transform> {
        &self.transform
    }

    /// The backbone that it looks through.
    pub(crate) fn backbone(&self) -> Option<&Backbone> {
        self.backbone.as_deref()
    }

    /// What a model file says of it, but for its settings.
    pub(crate) fn header(&self) -> &ViewHeader {
        &self.header
    }

    /// The models, one or one a place.
    pub(crate) fn models(&self) -> impl Iterator<Item = &dyn Fitted> {
        self.models.iter().flatten().map(|model| &**model)
    }

    /// Whether it takes images of that size, whatever the size of those it was fitted on.
    pub(crate) fn takes(&self, (height, width): (usize, usize)) -> bool {
        let is_shared = matches!(self.header.tiles, Some(TilesHeader { models: TileModels::Shared, .. }));
        is_shared && self.transform.output_size(height, width).is_ok()
    }

    /// Frames that its models look at with each image.
    pub(crate) fn clip(&self) -> usize {
        self.models().next().map_or(1, |model| model.needs().clip)
    }

    /// The settings that its models were fitted with.
    pub(crate) fn settings(&self) -> Settings {
        self.models().next().map(|model| model.settings()).unwrap_or_default()
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
        backbone: Option<Arc<Backbone>>,
        restore: &dyn Fn(State) -> Result<Box<dyn Fitted>, Error>,
    ) -> Result<Self, Error> {
        header.transform.check()?;
        let transform = Arc::new(header.transform.clone());
        let mut view = Self { header, transform, backbone, models: Vec::new() };
        let count = match view.header.tiles {
            None => 1,
            Some(TilesHeader { tiling, models, image }) => {
                tiling.check()?;
                match (models, image) {
                    (TileModels::Shared, _) => 1,
                    (TileModels::Each, Some((height, width))) => plan_of(&tiling, height, width)?.count(),
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
}

/// Up to `count` images, evenly chosen; fewer, but one at least, where their transformed images are large.
pub(crate) fn some_of(source: &dyn Source, count: usize, transform: &Transform) -> Vec<usize> {
    let pixels = |image: usize| {
        let (height, width) = source.size(image, &transform.read_options()).unwrap_or_default();
        let (height, width) = transform.output_size(height, width).unwrap_or_default();
        height * width
    };
    let mut seen = 0;
    let step = source.len().div_ceil(count).max(1);
    (0..source.len())
        .step_by(step)
        .take_while(|&image| {
            let is_affordable = seen < AFFORDABLE;
            seen += pixels(image);
            is_affordable
        })
        .collect()
}

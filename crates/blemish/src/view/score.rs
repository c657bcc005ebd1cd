//! From an image, or from what was kept of it, through all views to its outcome.

use super::fitted::{Spread, TilesHeader, View, plan_of, some_of, unfit};
use super::gather::{Gather, cut_tile};
use super::merge::{Assembly, Moments, merge};
use super::scorer::Scorer;
use super::set::{KeptTiles, ViewSet};
use crate::config::TileModels;
use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::Scored;
use blemish_core::observer::Observer;
use blemish_data::{
    DecodedImage, DecodedImages, Facts, ImageBatch, LoadedBatch, Mask, RgbImage, Skipped, Source, TilePlan,
};
use std::borrow::Cow;

/// Good images that the scale of a view is measured on.
const MEASURED: usize = 32;

/// How images are scored. Scores do not depend on it.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) batch_size: usize,
    pub(crate) observer: &'a dyn Observer,
}

/// The outcome of an image of a source.
pub(crate) struct Outcome {
    /// Index in the source.
    pub(crate) index: usize,
    /// Height and width of the upright image before the transform; (0, 0) where only kept features were looked at.
    pub(crate) size: (usize, usize),
    pub(crate) scored: Scored,
    pub(crate) mask: Option<Mask>,
}

/// Takes outcomes in the order of the images.
pub(crate) type EachOutcome<'a> = dyn FnMut(Outcome) -> Result<(), Error> + 'a;

/// What was left out of the images of a source, and what is known of its sequences as a whole.
pub(crate) struct Passed {
    pub(crate) skipped: Vec<Skipped>,
    /// Scores of frames by the method's rule for whole sequences, if it has one: indices in the source and scores.
    pub(crate) wholes: Vec<(usize, f32)>,
}

impl Passed {
    fn of_images(skipped: Vec<Skipped>) -> Self {
        Self { skipped, wholes: Vec::new() }
    }
}

/// Scores images of a source.
///
/// Whole images at one size are read ahead and scored in batches; otherwise one image at a time is in memory. What the sets have kept is
/// not looked at again.
///
/// # Errors
/// [`Error::Score`] if an image does not fit the model, [`Error::Features`], [`Error::Data`], [`Error::Interrupted`]; what `each` returns.
pub(crate) fn score_source(
    views: &[View],
    sets: &[ViewSet<'_>],
    images: &[usize],
    with_masks: bool,
    work: Work<'_>,
    each: &mut EachOutcome<'_>,
) -> Result<Passed, Error> {
    match (views, sets) {
        ([view], [set]) if view.header.tiles.is_none() => {
            score_batches(view, set, images, with_masks, work, each)
        }
        _ => score_one_by_one(views, sets, images, with_masks, work, each).map(Passed::of_images),
    }
}

/// Scores whole images in batches, from what was kept of them where the method reads feature maps alone.
fn score_batches(
    view: &View,
    set: &ViewSet<'_>,
    images: &[usize],
    with_masks: bool,
    work: Work<'_>,
    each: &mut EachOutcome<'_>,
) -> Result<Passed, Error> {
    let model = view.model(0)?;
    let source = set.source();
    let mut scorer = Scorer::new(model);
    let mut tell =
        |positions: &[usize], scored: Vec<Scored>, sizes: &[(usize, usize)], masks: Vec<Option<Mask>>| {
            let masks = masks.into_iter().chain(std::iter::repeat(None));
            for ((at, (&position, scored)), mask) in positions.iter().zip(scored).enumerate().zip(masks) {
                let size = sizes.get(at).copied().unwrap_or_default();
                each(Outcome { index: images[position], size, scored, mask })?;
            }
            work.observer.advance(positions.len() as u64);
            Ok(())
        };
    if let Some(kept) = set.kept_maps(images).filter(|_| !with_masks && !model.needs().reads.images()) {
        kept.for_each(work.batch_size, &mut |positions, maps| {
            work.observer.check_cancelled()?;
            let input = Input { indices: positions, ..Input::of_maps(maps) };
            tell(positions, scorer.score(&input, source, images)?, &[], Vec::new())
        })?;
        return Ok(Passed { skipped: Vec::new(), wholes: scorer.finish() });
    }
    set.for_each_batch(images, None, with_masks, &mut |batch| {
        let LoadedBatch { indices, images: pixels, masks, original_sizes } = batch;
        let maps = view.maps_of(model, &pixels)?;
        // The backbone may have taken most of the time that a deadline leaves.
        work.observer.check_cancelled()?;
        let input = Input { indices: &indices, maps: maps.as_ref(), ..Input::of_images(&pixels) };
        tell(&indices, scorer.score(&input, source, images)?, &original_sizes, masks)
    })?;
    Ok(Passed { skipped: set.skipped().into_values().collect(), wholes: scorer.finish() })
}

/// Scores one image after another with all views.
fn score_one_by_one(
    views: &[View],
    sets: &[ViewSet<'_>],
    images: &[usize],
    with_masks: bool,
    work: Work<'_>,
    each: &mut EachOutcome<'_>,
) -> Result<Vec<Skipped>, Error> {
    let (Some(view), Some(set)) = (views.first(), sets.first()) else { return Ok(Vec::new()) };
    let source = set.source();
    let mut rest = Vec::new();
    for &index in images {
        match score_kept(views, sets, source, index, work)?.filter(|_| !with_masks) {
            Some(scored) if rest.is_empty() => {
                each(Outcome { index, size: (0, 0), scored, mask: None })?;
                work.observer.advance(1);
            }
            _ => rest.push(index),
        }
    }
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let mut decoded = DecodedImages::over(source, rest, &view.transform, set.skips_bad(), with_masks);
    while let Some(image) = decoded.next().transpose()? {
        work.observer.check_cancelled()?;
        let DecodedImage { index, image, mask } = image;
        let size = (image.height, image.width);
        let scored = score_image(views, &image, Some((source.facts(index), source.categories())), work)?;
        // A large image and the picture drawn of it need not be in memory together.
        drop(image);
        each(Outcome { index, size, scored, mask })?;
        work.observer.advance(1);
    }
    Ok(decoded.skipped().to_vec())
}

/// The outcome of an image by the features that all sets have kept of it, if they have.
fn score_kept(
    views: &[View],
    sets: &[ViewSet<'_>],
    source: &dyn Source,
    index: usize,
    work: Work<'_>,
) -> Result<Option<Scored>, Error> {
    let mut parts = Vec::with_capacity(views.len());
    let facts = (source.facts(index), source.categories());
    for (view, set) in views.iter().zip(sets) {
        let Some(kept) = set.kept_tiles(index) else { return Ok(None) };
        let Some(scored) = view.score_kept(&kept, facts, work)? else { return Ok(None) };
        parts.push(scored);
    }
    work.observer.check_cancelled()?;
    let Some(first) = views.first() else { return Ok(None) };
    let original = match first.transform.region_at(8, 8) {
        // Without a region of interest the image's own size does not matter.
        Ok(None) => (8, 8),
        _ => source.size(index, &first.transform.read_options())?,
    };
    merge(views, parts, original).map(Some)
}

/// Scores one decoded image with all views, the largest first; `facts` are what is known of it.
///
/// # Errors
/// [`Error::Score`] if it does not fit the model or the outcome is not finite, [`Error::Features`], [`Error::Interrupted`].
pub(crate) fn score_image(
    views: &[View],
    image: &RgbImage,
    facts: Option<(&Facts, &[String])>,
    work: Work<'_>,
) -> Result<Scored, Error> {
    let parts =
        views.iter().map(|view| view.score(image, facts, work)).collect::<Result<Vec<Scored>, Error>>()?;
    merge(views, parts, (image.height, image.width))
}

/// Single images as clips of so many frames: each stands still.
fn still(batch: &ImageBatch, clip: usize) -> Cow<'_, ImageBatch> {
    if clip == batch.frames || batch.frames != 1 {
        return Cow::Borrowed(batch);
    }
    let pixels = (0..batch.count).flat_map(|at| batch.image(at).repeat(clip)).collect();
    let region_of_interest = batch.region_of_interest.clone();
    Cow::Owned(ImageBatch { frames: clip, pixels, region_of_interest, ..*batch })
}

/// The finished maps of a batch, and whether each score is of the method's own rule.
fn score_batch(model: &dyn Fitted, input: &Input<'_>) -> Result<Vec<(Scored, bool)>, Error> {
    let patches = model.score(input)?;
    let is_own: Vec<bool> = patches.iter().map(|patches| patches.image_score.is_some()).collect();
    Ok(input.finish(model.map_stage(), patches)?.into_iter().zip(is_own).collect())
}

impl View {
    /// The model of a tile.
    fn model(&self, tile: usize) -> Result<&dyn Fitted, Error> {
        let number = if self.has_places() { tile } else { 0 };
        self.models.get(number).and_then(|model| model.as_deref()).ok_or_else(|| Error::Score {
            reason: format!("the model knows nothing of tile {tile}; fit it anew"),
        })
    }

    /// Whether each place of a tile has a model of its own.
    fn has_places(&self) -> bool {
        matches!(self.header.tiles, Some(TilesHeader { models: TileModels::Each, .. }))
    }

    /// What the backbone makes of a batch, for a model that reads it.
    fn maps_of(&self, model: &dyn Fitted, batch: &ImageBatch) -> Result<Option<FeatureBatch>, Error> {
        if !model.needs().reads.maps() {
            return Ok(None);
        }
        match &self.backbone {
            Some(backbone) => FeatureBatch::extract(backbone, batch).map(Some),
            None => Err(Error::Score { reason: "the model has no backbone to look through".into() }),
        }
    }

    /// Scores a batch of whole images that its transform has made; `facts` are what is known of each, and the names of categories. A single
    /// image stands still for a model of clips.
    ///
    /// # Errors
    /// As [`score_image`].
    pub(crate) fn score_batch(
        &self,
        batch: &ImageBatch,
        (facts, categories): (&[&Facts], &[String]),
    ) -> Result<Vec<Scored>, Error> {
        let model = self.model(0)?;
        let batch = &*still(batch, model.needs().clip);
        let maps = self.maps_of(model, batch)?;
        let input = Input { facts, categories, maps: maps.as_ref(), ..Input::of_images(batch) };
        Ok(score_batch(model, &input)?.into_iter().map(|(scored, _)| scored).collect())
    }

    /// Scores one decoded image.
    fn score(
        &self,
        image: &RgbImage,
        facts: Option<(&Facts, &[String])>,
        work: Work<'_>,
    ) -> Result<Scored, Error> {
        let canvas = self.transform.canvas(image).map_err(unfit)?;
        let (height, width) = canvas.size();
        let tiles = self.header.tiles.as_ref();
        if let Some(TilesHeader {
            models: TileModels::Each, image: Some((known_height, known_width)), ..
        }) = tiles
            && (*known_height, *known_width) != (height, width)
        {
            let reason = format!(
                "the image is {width}x{height} pixels, but the model has one part for each place in images of \
                 {known_width}x{known_height}; bring the image to that size, or fit one model for all tiles"
            );
            return Err(Error::Score { reason });
        }
        let plan = tiles.map(|tiles| plan_of(&tiles.tiling, height, width)).transpose()?;
        let mut assembly = Assembly::new(plan.as_ref());
        let mut each = |numbers: &[usize], batch: &ImageBatch| {
            work.observer.check_cancelled()?;
            let model = self.model(numbers[0])?;
            let batch = &*still(batch, model.needs().clip);
            let maps = self.maps_of(model, batch)?;
            let known: Vec<&Facts> =
                facts.iter().flat_map(|(facts, _)| vec![*facts; numbers.len()]).collect();
            let input = Input {
                facts: &known,
                categories: facts.map_or(&[], |(_, categories)| categories),
                maps: maps.as_ref(),
                ..Input::of_images(batch)
            };
            assembly.add(numbers, score_batch(model, &input)?);
            Ok(())
        };
        match &plan {
            None => {
                let whole = canvas.cut(0..height, 0..width);
                each(&[0], &ImageBatch::new(1, height, width, whole.pixels, whole.region_of_interest))?;
            }
            Some(plan) => {
                let capacity = if self.has_places() { 1 } else { work.batch_size.max(1) };
                let mut gather = Gather::new(capacity);
                for tile in 0..plan.count() {
                    gather.push(tile, cut_tile(&canvas, plan, tile), &mut each)?;
                }
                gather.flush(&mut each)?;
            }
        }
        assembly.finish()
    }

    /// Scores one image by the maps that were kept of it; `None` if they are not all of it or the models read more.
    fn score_kept(
        &self,
        kept: &KeptTiles,
        (facts, categories): (&Facts, &[String]),
        work: Work<'_>,
    ) -> Result<Option<Scored>, Error> {
        if self.has_places() || self.models().any(|model| model.needs().reads.images()) {
            return Ok(None);
        }
        let (height, width) = kept.transformed;
        let tiles = self.header.tiles.as_ref();
        let plan = tiles.map(|tiles| plan_of(&tiles.tiling, height, width)).transpose()?;
        if !kept.covers(plan.as_ref().map_or(1, TilePlan::count)) {
            return Ok(None);
        }
        let mut assembly = Assembly::new(plan.as_ref());
        kept.for_each(work.batch_size.max(1), &mut |numbers, maps| {
            let known = vec![facts; numbers.len()];
            let input = Input { facts: &known, categories, ..Input::of_maps(maps) };
            assembly.add(numbers, score_batch(self.model(0)?, &input)?);
            Ok(())
        })?;
        assembly.finish().map(Some)
    }

    /// Measures mean and spread of its scores on some good images: its scale among the other views.
    ///
    /// # Errors
    /// As [`score_image`], and what reading the images returns.
    pub(crate) fn measure(&mut self, source: &dyn Source, work: Work<'_>) -> Result<(), Error> {
        let order = some_of(source, MEASURED, &self.transform);
        work.observer.stage("measuring good images", Some(order.len() as u64));
        let (mut pixels, mut scores) = (Moments::default(), Moments::default());
        for image in DecodedImages::over(source, order, &self.transform, true, false) {
            work.observer.check_cancelled()?;
            let image = image?;
            let facts = (source.facts(image.index), source.categories());
            let scored = self.score(&image.image, Some(facts), work)?;
            scored.map.values.iter().for_each(|&value| pixels.add(value));
            scores.add(scored.score);
            work.observer.advance(1);
        }
        self.header.spread = Some(Spread { map: pixels.finish(), score: scores.finish() });
        Ok(())
    }
}

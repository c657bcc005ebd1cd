//! Tiles in fit and score. Methods know nothing of them: they get batches of tiles as they would of images.
//!
//! In memory are one decoded image at its own depth, one batch of tiles and, when scoring, the map that they are merged into.

use crate::error::Error;
use crate::map::{AnomalyMap, Scored};
use crate::method::{EachBatch, Fitted, TrainingSet};
use crate::observer::Observer;
use crate::training::SetOptions;
use blemish_data::loader::order_of;
use blemish_data::transform::PlanarImage;
use blemish_data::{
    Canvas, DataError, DecodedImages, ImageBatch, MapMerger, Mask, RgbImage, Sample, Skipped, TilePlan, Tiling,
    Transform, read_size,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of decoded images that a shuffled pass mixes tiles from.
const MIXED: usize = 256 << 20;

/// How images are cut into tiles, and what is learnt from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileOptions {
    /// Size and overlap.
    pub tiling: Tiling,
    /// One model or many.
    pub models: TileModels,
    /// Learn from so many tiles of each image, drawn by the seed, where it has more; `None` is all. Only with a shared model.
    pub per_image: Option<usize>,
}

/// Which tiles share a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TileModels {
    /// One model learns all tiles: for textures and parts anywhere in the image. Images may differ in size.
    #[default]
    Shared,
    /// Each place has a model of its own: for aligned parts. All images have one size.
    Each,
}

/// The tiles of the training images: all of them, or those in one place.
pub(crate) struct TiledSet<'a> {
    samples: &'a [Sample],
    transform: Arc<Transform>,
    tiling: Tiling,
    options: SetOptions<'a>,
    /// Tile numbers, image by image.
    tiles: Vec<usize>,
    /// Where each image's tiles begin in `tiles`, and the end of the last.
    starts: Vec<usize>,
    /// Of each image; `None` for those that cannot be read.
    sizes: Vec<Option<Sizes>>,
    skipped: Mutex<Vec<Skipped>>,
}

/// Height and width of an image.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) original: (usize, usize),
    pub(crate) transformed: (usize, usize),
}

impl<'a> TiledSet<'a> {
    /// All tiles of `samples`, or `per_image` of each, drawn by `seed`.
    ///
    /// # Errors
    /// Unreadable images unless they are to be skipped.
    pub(crate) fn new(
        samples: &'a [Sample],
        transform: &Arc<Transform>,
        tiles: &TileOptions,
        options: SetOptions<'a>,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut set = Self {
            samples,
            transform: transform.clone(),
            tiling: tiles.tiling,
            options,
            tiles: Vec::new(),
            starts: vec![0],
            sizes: Vec::with_capacity(samples.len()),
            skipped: Mutex::default(),
        };
        for (number, sample) in samples.iter().enumerate() {
            let count = match set.measure(sample) {
                Ok((sizes, count)) => {
                    set.sizes.push(Some(sizes));
                    count
                }
                // The passes will list it.
                Err(_) if set.options.loader.skip_bad => {
                    set.sizes.push(None);
                    0
                }
                Err(error) => return Err(error.into()),
            };
            match tiles.per_image.filter(|&most| most < count) {
                None => set.tiles.extend(0..count),
                Some(most) => {
                    let mut drawn = order_of(count, Some(seed.wrapping_add(number as u64)));
                    drawn.truncate(most);
                    drawn.sort_unstable();
                    set.tiles.extend(drawn);
                }
            }
            set.starts.push(set.tiles.len());
        }
        Ok(set)
    }

    fn measure(&self, sample: &Sample) -> Result<(Sizes, usize), DataError> {
        let at_image = |fault| DataError::Image { path: sample.path.clone(), fault };
        let original = read_size(&sample.path, &self.transform.read_options())?;
        let transformed = self.transform.output_size(original.0, original.1).map_err(at_image)?;
        let count = self.tiling.plan(transformed.0, transformed.1).map_err(at_image)?.count();
        Ok((Sizes { original, transformed }, count))
    }

    /// The one transformed size that all images have, with the original size of the first.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first image that differs.
    pub(crate) fn common_size(&self) -> Result<Option<Sizes>, Error> {
        let mut known =
            self.samples.iter().zip(&self.sizes).filter_map(|(sample, sizes)| Some((sample, (*sizes)?)));
        let Some((_, first)) = known.next() else { return Ok(None) };
        match known.find(|(_, sizes)| sizes.transformed != first.transformed) {
            None => Ok(Some(first)),
            Some((sample, Sizes { transformed: (height, width), .. })) => Err(DataError::Setting(format!(
                "image `{}` is {width}x{height} pixels, others {}x{}, so tiles do not lie in the same places; \
                 bring all to one size with --size, or share one model with --tile-models shared",
                sample.path.display(),
                first.transformed.1,
                first.transformed.0
            ))
            .into()),
        }
    }

    /// Keeps only the tile of that number of every image.
    pub(crate) fn only(&mut self, tile: usize) {
        let sizes = self.sizes.iter().flatten();
        self.tiles = sizes.map(|_| tile).collect();
        let mut seen = 0;
        self.starts = std::iter::once(0)
            .chain(self.sizes.iter().map(|size| {
                seen += usize::from(size.is_some());
                seen
            }))
            .collect();
    }

    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Images in the order of a pass, in groups whose tiles are mixed: single images, or as many as fit the memory for it.
    fn groups(&self, shuffle_seed: Option<u64>) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut bytes = usize::MAX;
        for index in order_of(self.samples.len(), shuffle_seed) {
            let (height, width) = self.sizes[index].map_or((0, 0), |sizes| sizes.original);
            bytes = bytes.saturating_add(3 * height * width);
            match groups.last_mut() {
                Some(group) if shuffle_seed.is_some() && bytes <= MIXED => group.push(index),
                _ => {
                    bytes = 3 * height * width;
                    groups.push(vec![index]);
                }
            }
        }
        groups
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.options.observer.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Hands the tiles of decoded images on, mixed if there is a seed.
    fn pass_group(
        &self,
        images: &[(usize, RgbImage)],
        shuffle_seed: Option<u64>,
        gather: &mut Gather,
        each: &mut EachBatch<'_>,
    ) -> Result<(), Error> {
        let fault = |index: usize| {
            move |fault| DataError::Image { path: self.samples[index].path.clone(), fault }
        };
        let mut cut = Vec::with_capacity(images.len());
        for (index, image) in images {
            let canvas = self.transform.canvas(image).map_err(fault(*index))?;
            let plan = self.tiling.plan(canvas.size().0, canvas.size().1).map_err(fault(*index))?;
            cut.push((canvas, plan));
        }
        let pieces: Vec<(usize, usize)> = images
            .iter()
            .enumerate()
            .flat_map(|(at, (index, _))| (self.starts[*index]..self.starts[index + 1]).map(move |piece| (at, piece)))
            .collect();
        let seed = shuffle_seed.map(|seed| seed.wrapping_add(images.first().map_or(0, |(index, _)| *index as u64)));
        for next in order_of(pieces.len(), seed) {
            self.check_cancelled()?;
            let (at, piece) = pieces[next];
            let (canvas, plan) = &cut[at];
            let tile = self.tiles[piece];
            if tile < plan.count() {
                gather.push(piece, cut_tile(canvas, plan, tile), each)?;
            }
        }
        Ok(())
    }
}

impl TrainingSet for TiledSet<'_> {
    fn len(&self) -> usize {
        self.tiles.len()
    }

    fn category(&self, _index: usize) -> &str {
        self.options.category
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        let groups = self.groups(shuffle_seed);
        let loader = &self.options.loader;
        let mut gather = Gather::new(loader.batch_size.max(1));
        let mut images = DecodedImages::new(self.samples, groups.concat(), &self.transform, loader.skip_bad, false);
        for group in &groups {
            self.check_cancelled()?;
            let mut decoded = Vec::with_capacity(group.len());
            for _ in group {
                // One image fewer comes for each that is left out, so a group may borrow from the next; nothing depends on it.
                match images.next().transpose()? {
                    Some(image) => decoded.push((image.index, image.image)),
                    None => break,
                }
            }
            self.pass_group(&decoded, shuffle_seed, &mut gather, each)?;
        }
        gather.flush(each)?;
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner) = images.skipped().to_vec();
        Ok(())
    }
}

/// A tile; its region of interest is `None` where it sees only what is inside.
fn cut_tile(canvas: &Canvas<'_>, plan: &TilePlan, tile: usize) -> PlanarImage {
    let (rows, columns) = plan.window(tile);
    let mut image = canvas.cut(rows, columns);
    image.region_of_interest = image.region_of_interest.filter(|mask| mask.marked.contains(&false));
    image
}

/// Whether any of a tile lies in the region of interest.
fn is_seen(region: Option<&Mask>) -> bool {
    region.is_none_or(|mask| mask.marked.contains(&true))
}

/// Gathers tiles into batches. Those whose regions of interest differ do not share one; those wholly outside are dropped.
struct Gather {
    capacity: usize,
    indices: Vec<usize>,
    batch: ImageBatch,
}

impl Gather {
    fn new(capacity: usize) -> Self {
        let batch =
            ImageBatch { count: 0, height: 0, width: 0, pixels: Vec::new(), region_of_interest: None };
        Self { capacity, indices: Vec::with_capacity(capacity), batch }
    }

    fn push(&mut self, index: usize, tile: PlanarImage, each: &mut EachBatch<'_>) -> Result<(), Error> {
        if !is_seen(tile.region_of_interest.as_deref()) {
            return Ok(());
        }
        if tile.region_of_interest != self.batch.region_of_interest {
            self.flush(each)?;
            self.batch.region_of_interest = tile.region_of_interest;
        }
        (self.batch.height, self.batch.width) = (tile.height, tile.width);
        self.batch.count += 1;
        self.batch.pixels.extend_from_slice(&tile.pixels);
        self.indices.push(index);
        if self.batch.count == self.capacity { self.flush(each) } else { Ok(()) }
    }

    fn flush(&mut self, each: &mut EachBatch<'_>) -> Result<(), Error> {
        if self.batch.count > 0 {
            each(&self.indices, &self.batch)?;
        }
        self.indices.clear();
        self.batch.pixels.clear();
        self.batch.count = 0;
        Ok(())
    }
}

/// Scores an image tile by tile; `model` gives the one that knows a tile.
///
/// The image score is the highest that the method's own rule gives a tile; for a method without a rule it is, as for whole images, the
/// highest value of the (merged) map, in which the edges of tiles hardly count.
///
/// # Errors
/// [`Error::Score`] and [`Error::Features`] as for whole images; [`Error::Interrupted`].
pub(crate) fn score<'m>(
    canvas: &Canvas<'_>,
    plan: &TilePlan,
    model: &dyn Fn(usize) -> Result<&'m dyn Fitted, Error>,
    batch_size: usize,
    observer: &dyn Observer,
) -> Result<Scored, Error> {
    let mut merger = MapMerger::new(plan);
    let mut own_score: Option<f32> = None;
    let mut each = |indices: &[usize], batch: &ImageBatch| {
        if observer.is_cancelled() {
            return Err(Error::Interrupted);
        }
        for (&index, (scored, is_own)) in indices.iter().zip(score_batch(model(indices[0])?, batch)?) {
            merger.add(index, &scored.map.values);
            if is_own {
                own_score = Some(own_score.map_or(scored.score, |highest| highest.max(scored.score)));
            }
        }
        Ok(())
    };
    let mut gather = Gather::new(batch_size.max(1));
    for tile in 0..plan.count() {
        gather.push(tile, cut_tile(canvas, plan, tile), &mut each)?;
    }
    gather.flush(&mut each)?;
    let (height, width) = plan.image_size();
    let values = merger.finish();
    let score = own_score.unwrap_or_else(|| values.par_iter().copied().reduce(|| f32::NEG_INFINITY, f32::max));
    Ok(Scored { score, map: AnomalyMap { height, width, values } })
}

/// Scores a batch with one method: the finished maps, and whether each score is of the method's own rule.
pub(crate) fn score_batch(method: &dyn Fitted, batch: &ImageBatch) -> Result<Vec<(Scored, bool)>, Error> {
    let stage = method.map_stage();
    let inside = batch.region_of_interest.as_deref().map(|mask| mask.marked.as_slice());
    let patches = method.score(batch)?;
    // A score that is no number would be passed on as neither good nor bad.
    if let Some(at) = patches.iter().position(|patches| !patches.is_finite()) {
        let reason = format!(
            "image {at} of the batch has a score that is not a finite number; its pixels or the model's values are out of range"
        );
        return Err(Error::Score { reason });
    }
    let finish = |patches: crate::map::PatchScores| {
        let is_own = patches.image_score.is_some();
        (stage.finish(patches, batch.height, batch.width, inside), is_own)
    };
    Ok(patches.into_par_iter().map(finish).collect())
}

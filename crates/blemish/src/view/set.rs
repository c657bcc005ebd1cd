//! The one training set: the images of a source as a view sees them, whole or cut into tiles, with features kept for later passes.

use super::cache::{Cache, EachMaps, Kept};
use super::gather::{Gather, cut_tile};
use crate::config::TileOptions;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{EachInput, Pass, TrainingSet};
use blemish_core::needs::Reads;
use blemish_core::observer::Observer;
use blemish_data::loader::order_of;
use blemish_data::{
    DataError, DecodedImages, Facts, ImageBatch, ImageFault, LoadedBatch, Loader, LoaderOptions, RgbImage,
    Skipped, Source, Tiling, Transform,
};
use blemish_features::Backbone;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of decoded images that a shuffled pass mixes tiles from.
const MIXED: usize = 256 << 20;

/// How a set reads images.
#[derive(Clone)]
pub(crate) struct Reading<'a> {
    pub(crate) transform: Arc<Transform>,
    /// Runs where a pass reads feature maps.
    pub(crate) backbone: Option<Arc<Backbone>>,
    /// Frames that come with each image.
    pub(crate) clip: usize,
    pub(crate) batch_size: usize,
    pub(crate) skip_bad: bool,
    pub(crate) observer: &'a dyn Observer,
}

/// The images of a source as a view sees them.
pub(crate) struct ViewSet<'a> {
    source: &'a dyn Source,
    reading: Reading<'a>,
    /// `None` looks at whole images.
    tiles: Option<Tiles>,
    /// Where later passes will want the features again.
    cache: Option<Cache>,
    /// What passes have left out, by image.
    skipped: Mutex<BTreeMap<usize, Skipped>>,
}

/// How images are cut.
struct Tiles {
    tiling: Tiling,
    /// Tile numbers, image by image.
    numbers: Vec<usize>,
    /// Where each image's tiles begin in `numbers`, and the end of the last.
    starts: Vec<usize>,
    /// Of each image; `None` for those that cannot be read.
    sizes: Vec<Option<Sizes>>,
}

/// Height and width of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) original: (usize, usize),
    pub(crate) transformed: (usize, usize),
}

impl<'a> ViewSet<'a> {
    /// Whole images.
    pub(crate) fn whole(source: &'a dyn Source, reading: Reading<'a>) -> Self {
        Self { source, reading, tiles: None, cache: None, skipped: Mutex::default() }
    }

    /// All tiles of the images, or `tiles.per_image` of each, drawn by `seed`.
    ///
    /// # Errors
    /// Unreadable images unless they are to be skipped.
    pub(crate) fn tiled(
        source: &'a dyn Source,
        reading: Reading<'a>,
        options: &TileOptions,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut tiles = Tiles {
            tiling: options.tiling,
            numbers: Vec::new(),
            starts: vec![0],
            sizes: Vec::with_capacity(source.len()),
        };
        for image in 0..source.len() {
            let count = match measure(source, image, &reading.transform, &options.tiling) {
                Ok((sizes, count)) => {
                    tiles.sizes.push(Some(sizes));
                    count
                }
                // The passes will list it.
                Err(_) if reading.skip_bad => {
                    tiles.sizes.push(None);
                    0
                }
                Err(error) => return Err(error.into()),
            };
            match options.per_image.filter(|&most| most < count) {
                None => tiles.numbers.extend(0..count),
                Some(most) => {
                    let mut drawn = order_of(count, Some(seed.wrapping_add(image as u64)));
                    drawn.truncate(most);
                    drawn.sort_unstable();
                    tiles.numbers.extend(drawn);
                }
            }
            tiles.starts.push(tiles.numbers.len());
        }
        Ok(Self { source, reading, tiles: Some(tiles), cache: None, skipped: Mutex::default() })
    }

    /// The same images, only the tile of one place of each.
    pub(crate) fn only(&self, tile: usize) -> Self {
        let tiles = self.tiles.as_ref().map(|all| {
            let mut starts = vec![0];
            for sizes in &all.sizes {
                starts.push(starts[starts.len() - 1] + usize::from(sizes.is_some()));
            }
            let numbers = vec![tile; starts[starts.len() - 1]];
            Tiles { tiling: all.tiling, numbers, starts, sizes: all.sizes.clone() }
        });
        let skipped = Mutex::new(self.lock().clone());
        Self { source: self.source, reading: self.reading.clone(), tiles, cache: None, skipped }
    }

    /// The same, with feature maps kept within limits for later passes.
    pub(crate) fn keeping(self, limits: CacheLimits) -> Self {
        Self { cache: Some(Cache::new(limits)), ..self }
    }

    /// All the images, as a training set.
    pub(crate) fn all(&self) -> Part<'_> {
        Part { set: self, images: None }
    }

    /// Some of the images, as a training set of their own.
    pub(crate) fn part(&self, images: Vec<usize>) -> Part<'_> {
        Part { set: self, images: Some(images) }
    }

    pub(crate) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// Why the features of a whole pass were not kept, if they were not.
    pub(crate) fn declined(&self) -> Option<String> {
        self.cache.as_ref()?.declined()
    }

    /// What passes have left out, by image.
    pub(crate) fn skipped(&self) -> BTreeMap<usize, Skipped> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Skipped>> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one transformed size that all images of a tiled set have, with the original size of the first.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first image that differs.
    pub(crate) fn common_size(&self) -> Result<Option<Sizes>, Error> {
        let sizes = self.tiles.iter().flat_map(|tiles| tiles.sizes.iter().enumerate());
        let mut known = sizes.filter_map(|(image, sizes)| Some((image, (*sizes)?)));
        let Some((_, first)) = known.next() else { return Ok(None) };
        match known.find(|(_, sizes)| sizes.transformed != first.transformed) {
            None => Ok(Some(first)),
            Some((image, Sizes { transformed: (height, width), .. })) => Err(DataError::Setting(format!(
                "image `{}` is {width}x{height} pixels, others {}x{}, so tiles do not lie in the same places; \
                 resize all images to one size, or share one model between all tiles",
                self.source.facts(image).name,
                first.transformed.1,
                first.transformed.0
            ))
            .into()),
        }
    }

    /// The feature maps of one image that an earlier pass kept, tile by tile in batches, if it kept all that `tiles` names.
    pub(super) fn kept_tiles(&self, image: usize) -> Option<KeptTiles> {
        let kept = self.cache.as_ref()?.kept()?;
        let pieces = match &self.tiles {
            None => vec![(0, image)],
            Some(tiles) => {
                let own = tiles.starts[image]..tiles.starts[image + 1];
                own.map(|piece| (tiles.numbers[piece], piece)).collect()
            }
        };
        let transformed = match &self.tiles {
            Some(tiles) => tiles.sizes[image]?.transformed,
            None => (0, 0),
        };
        Some(KeptTiles { kept, pieces, transformed })
    }

    /// The feature maps of whole images that an earlier pass kept, with positions in `images`.
    pub(super) fn kept_maps(&self, images: &[usize]) -> Option<KeptTiles> {
        let kept = self.cache.as_ref().filter(|_| self.tiles.is_none())?.kept()?;
        let pieces = images.iter().copied().enumerate().collect();
        Some(KeptTiles { kept, pieces, transformed: (0, 0) })
    }

    /// Whether broken images are left out.
    pub(super) fn skips_bad(&self) -> bool {
        self.reading.skip_bad
    }

    /// Passes over whole images in batches; `each` gets positions in `images`.
    pub(super) fn for_each_batch(
        &self,
        images: &[usize],
        shuffle: Option<u64>,
        with_masks: bool,
        each: &mut dyn FnMut(LoadedBatch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Reading { transform, clip, batch_size, skip_bad, .. } = &self.reading;
        let options = LoaderOptions {
            batch_size: (*batch_size).max(1),
            shuffle_seed: shuffle,
            skip_bad: *skip_bad,
            with_masks,
            clip: *clip,
            ..LoaderOptions::default()
        };
        Loader::over(self.source, images, transform, &options, |loader| {
            for batch in loader.by_ref() {
                self.reading.observer.check_cancelled()?;
                each(batch?)?;
            }
            let left_out = loader.left_out().iter().map(|&position| images[position]);
            self.lock().extend(left_out.zip(loader.skipped().iter().cloned()));
            Ok(())
        })
    }

    /// Passes over tiles in batches; `each` gets positions among the tiles of `images`.
    fn for_each_tiles(
        &self,
        tiles: &Tiles,
        images: &[usize],
        shuffle: Option<u64>,
        each: &mut super::gather::EachTiles<'_>,
    ) -> Result<(), Error> {
        let Reading { transform, batch_size, skip_bad, .. } = &self.reading;
        let groups = self.groups(tiles, images, shuffle);
        let mut firsts = Vec::with_capacity(images.len());
        let mut before = 0;
        for &image in images {
            firsts.push(before);
            before += tiles.starts[image + 1] - tiles.starts[image];
        }
        let mut gather = Gather::new((*batch_size).max(1));
        let order: Vec<usize> = groups.concat();
        let chosen = order.iter().map(|&position| images[position]).collect();
        let mut decoded = DecodedImages::over(self.source, chosen, transform, *skip_bad, false);
        let mut places = order.iter().copied();
        for group in &groups {
            self.reading.observer.check_cancelled()?;
            let mut mixed = Vec::with_capacity(group.len());
            for _ in group {
                // One image fewer comes for each that is left out, so a group may borrow from the next; nothing depends on it.
                match decoded.next().transpose()? {
                    Some(image) => {
                        // Images come in order, those left out are passed over.
                        let at = places.by_ref().find(|&position| images[position] == image.index);
                        mixed.push((at.map_or(0, |position| firsts[position]), image.index, image.image));
                    }
                    None => break,
                }
            }
            self.pass_group(tiles, &mixed, shuffle, &mut gather, each)?;
        }
        gather.flush(each)?;
        let mut skipped = self.lock();
        for (&image, one) in decoded.left_out().iter().zip(decoded.skipped()) {
            skipped.entry(image).or_insert_with(|| one.clone());
        }
        Ok(())
    }

    /// Positions in `images` in the order of a pass, in groups whose tiles are mixed: single images, or as many as fit the memory for it.
    fn groups(&self, tiles: &Tiles, images: &[usize], shuffle: Option<u64>) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut bytes = usize::MAX;
        for position in order_of(images.len(), shuffle) {
            let (height, width) = tiles.sizes[images[position]].map_or((0, 0), |sizes| sizes.original);
            bytes = bytes.saturating_add(3 * height * width);
            match groups.last_mut() {
                Some(group) if shuffle.is_some() && bytes <= MIXED => group.push(position),
                _ => {
                    bytes = 3 * height * width;
                    groups.push(vec![position]);
                }
            }
        }
        groups
    }

    /// Hands the tiles of decoded images on, mixed if there is a seed; each image comes with the position of its first tile.
    fn pass_group(
        &self,
        tiles: &Tiles,
        images: &[(usize, usize, Arc<RgbImage>)],
        shuffle: Option<u64>,
        gather: &mut Gather,
        each: &mut super::gather::EachTiles<'_>,
    ) -> Result<(), Error> {
        let fault = |image: usize| move |fault| at_image(self.source, image, fault);
        let mut cut = Vec::with_capacity(images.len());
        for (_, index, image) in images {
            let canvas = self.reading.transform.canvas(image).map_err(fault(*index))?;
            let plan = tiles.tiling.plan(canvas.size().0, canvas.size().1).map_err(fault(*index))?;
            cut.push((canvas, plan));
        }
        let pieces: Vec<(usize, usize, usize)> = images
            .iter()
            .enumerate()
            .flat_map(|(at, (first, index, _))| {
                let own = &tiles.numbers[tiles.starts[*index]..tiles.starts[index + 1]];
                own.iter().enumerate().map(move |(nth, &tile)| (at, first + nth, tile))
            })
            .collect();
        // Each group has an order of its own.
        let seed =
            shuffle.map(|seed| seed.wrapping_add(images.first().map_or(0, |(_, index, _)| *index as u64)));
        for next in order_of(pieces.len(), seed) {
            self.reading.observer.check_cancelled()?;
            let (at, position, tile) = pieces[next];
            let (canvas, plan) = &cut[at];
            if tile < plan.count() {
                gather.push(position, cut_tile(canvas, plan, tile), each)?;
            }
        }
        Ok(())
    }
}

/// The feature maps of one image that an earlier pass kept.
pub(super) struct KeptTiles {
    kept: Arc<Kept>,
    /// Tile number and piece.
    pieces: Vec<(usize, usize)>,
    /// Height and width of the transformed image.
    pub(super) transformed: (usize, usize),
}

impl KeptTiles {
    /// Whether `count` tiles from 0 on are all there.
    pub(super) fn covers(&self, count: usize) -> bool {
        self.pieces.iter().map(|(tile, _)| *tile).eq(0..count)
            && self.kept.has_all(self.pieces.iter().map(|(_, piece)| *piece))
    }

    /// Calls `each` with the numbers of tiles and their maps.
    pub(super) fn for_each(&self, batch_size: usize, each: &mut EachMaps<'_>) -> Result<(), Error> {
        self.kept.replay(self.pieces.iter().copied(), batch_size, each)
    }
}

fn at_image(source: &dyn Source, image: usize, fault: ImageFault) -> DataError {
    DataError::Image { path: Path::new(&source.facts(image).name).to_owned(), fault }
}

fn measure(
    source: &dyn Source,
    image: usize,
    transform: &Transform,
    tiling: &Tiling,
) -> Result<(Sizes, usize), DataError> {
    let fault = |fault| at_image(source, image, fault);
    let original = source.size(image, &transform.read_options())?;
    let transformed = transform.output_size(original.0, original.1).map_err(fault)?;
    let count = tiling.plan(transformed.0, transformed.1).map_err(fault)?.count();
    Ok((Sizes { original, transformed }, count))
}

/// Images of a set, or their tiles, as a method learns from them.
pub(crate) struct Part<'a> {
    set: &'a ViewSet<'a>,
    /// `None` is all of them.
    images: Option<Vec<usize>>,
}

impl Part<'_> {
    fn images(&self) -> Vec<usize> {
        self.images.clone().unwrap_or_else(|| (0..self.set.source.len()).collect())
    }

    /// The image of every piece, and its number in the set.
    fn pieces(&self) -> Vec<(usize, usize)> {
        let images = self.images().into_iter();
        match &self.set.tiles {
            None => images.map(|image| (image, image)).collect(),
            Some(tiles) => {
                let of =
                    |image: usize| (tiles.starts[image]..tiles.starts[image + 1]).map(move |at| (image, at));
                images.flat_map(of).collect()
            }
        }
    }

    /// Runs over the pixels; `each` gets positions in the part.
    fn for_each_images(
        &self,
        shuffle: Option<u64>,
        each: &mut super::gather::EachTiles<'_>,
    ) -> Result<(), Error> {
        let images = self.images();
        match &self.set.tiles {
            None => self
                .set
                .for_each_batch(&images, shuffle, false, &mut |batch| each(&batch.indices, &batch.images)),
            Some(tiles) => self.set.for_each_tiles(tiles, &images, shuffle, each),
        }
    }

    fn extract(&self, batch: &ImageBatch) -> Result<FeatureBatch, Error> {
        match &self.set.reading.backbone {
            Some(backbone) => FeatureBatch::extract(backbone, batch),
            None => Err(Error::Score { reason: "there is no backbone to look through".into() }),
        }
    }
}

impl TrainingSet for Part<'_> {
    fn len(&self) -> usize {
        match (&self.set.tiles, &self.images) {
            (None, Some(images)) => images.len(),
            (None, None) => self.set.source.len(),
            (Some(_), _) => self.pieces().len(),
        }
    }

    fn categories(&self) -> &[String] {
        self.set.source.categories()
    }

    fn for_each(&self, pass: Pass, each: &mut EachInput<'_>) -> Result<(), Error> {
        let pieces = self.pieces();
        let categories = self.categories();
        let source = self.set.source;
        let mut hand_on = |indices: &[usize], images: Option<&ImageBatch>, maps: Option<&FeatureBatch>| {
            let facts: Vec<&Facts> = indices.iter().map(|&at| source.facts(pieces[at].0)).collect();
            each(&Input { indices, facts: &facts, categories, images, maps })
        };
        let cache = self.set.cache.as_ref().filter(|_| pass.reads == Reads::Maps);
        if let Some(kept) = cache.and_then(Cache::kept) {
            let order = order_of(pieces.len(), pass.shuffle).into_iter().map(|at| (at, pieces[at].1));
            return kept.replay(order, self.set.reading.batch_size.max(1), &mut |indices, maps| {
                self.set.reading.observer.check_cancelled()?;
                hand_on(indices, None, Some(maps))
            });
        }
        // Only a pass over everything is kept.
        let mut recorder = cache
            .filter(|cache| cache.is_empty() && self.images.is_none())
            .map(|cache| cache.record(pieces.len()));
        self.for_each_images(pass.shuffle, &mut |indices, batch| {
            let maps = if pass.reads.maps() { Some(self.extract(batch)?) } else { None };
            if let (Some(recorder), Some(maps)) = (&mut recorder, &maps) {
                recorder.keep(indices, maps);
            }
            hand_on(indices, pass.reads.images().then_some(batch), maps.as_ref())
        })?;
        if let Some(recorder) = recorder {
            recorder.finish();
        }
        Ok(())
    }
}

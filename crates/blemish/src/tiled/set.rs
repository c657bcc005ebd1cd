//! Tiles as training images.

use super::TileOptions;
use super::gather::{Gather, cut_tile};
use crate::detector::FitOptions;
use blemish_core::error::Error;
use blemish_core::method::{EachBatch, TrainingSet};
use blemish_core::observer::Observer;
use blemish_data::loader::order_of;
use blemish_data::{
    DataError, Dataset, DecodedImages, RgbImage, Sample, Skipped, Tiling, Transform, read_size,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of decoded images that a shuffled pass mixes tiles from.
const MIXED: usize = 256 << 20;

/// The tiles of the training images: all of them, or those in one place.
pub(crate) struct TiledSet<'a> {
    samples: &'a [Sample],
    transform: Arc<Transform>,
    tiling: Tiling,
    category: &'a str,
    batch_size: usize,
    skip_bad: bool,
    observer: &'a dyn Observer,
    /// Tile numbers, image by image.
    tiles: Vec<usize>,
    /// Where each image's tiles begin in `tiles`, and the end of the last.
    starts: Vec<usize>,
    /// Of each image; `None` for those that cannot be read.
    sizes: Vec<Option<Sizes>>,
    skipped: Mutex<Vec<Skipped>>,
}

/// Height and width of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) original: (usize, usize),
    pub(crate) transformed: (usize, usize),
}

impl<'a> TiledSet<'a> {
    /// All tiles of the training images, or `per_image` of each, drawn by `seed`.
    ///
    /// # Errors
    /// Unreadable images unless they are to be skipped.
    pub(crate) fn new(
        dataset: &'a Dataset,
        transform: &Arc<Transform>,
        tiles: &TileOptions,
        options: &FitOptions<'a>,
        seed: u64,
    ) -> Result<Self, Error> {
        let samples = dataset.train.as_slice();
        let mut set = Self {
            samples,
            transform: transform.clone(),
            tiling: tiles.tiling,
            category: &dataset.category,
            batch_size: options.batch_size.max(1),
            skip_bad: options.skip_bad,
            observer: options.observer,
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
                Err(_) if set.skip_bad => {
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
        if self.observer.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Hands the tiles of decoded images on, mixed if there is a seed.
    fn pass_group(
        &self,
        images: &[(usize, RgbImage)],
        shuffle_seed: Option<u64>,
        gather: &mut Gather,
        each: &mut EachBatch<'_>,
    ) -> Result<(), Error> {
        let fault =
            |index: usize| move |fault| DataError::Image { path: self.samples[index].path.clone(), fault };
        let mut cut = Vec::with_capacity(images.len());
        for (index, image) in images {
            let canvas = self.transform.canvas(image).map_err(fault(*index))?;
            let plan = self.tiling.plan(canvas.size().0, canvas.size().1).map_err(fault(*index))?;
            cut.push((canvas, plan));
        }
        let pieces: Vec<(usize, usize)> = images
            .iter()
            .enumerate()
            .flat_map(|(at, (index, _))| {
                (self.starts[*index]..self.starts[index + 1]).map(move |piece| (at, piece))
            })
            .collect();
        let seed =
            shuffle_seed.map(|seed| seed.wrapping_add(images.first().map_or(0, |(index, _)| *index as u64)));
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
        self.category
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        let groups = self.groups(shuffle_seed);
        let mut gather = Gather::new(self.batch_size);
        let mut images =
            DecodedImages::new(self.samples, groups.concat(), &self.transform, self.skip_bad, false);
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

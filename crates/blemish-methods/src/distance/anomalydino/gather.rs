//! Building the banks: patches are collected image by image, and thinned where they are too many.

use super::config::{AnomalyDinoConfig, Mode, NAME};
use super::memory::{LayerBank, Memory};
use super::patches::Patches;
use super::thin::thinned;
use crate::shared::bank::Bank;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_core::rows::RowStore;

/// Why images are refused where places count.
const UNEQUAL: &str =
    "good images differ in size; the mode retrieval compares places, so resize them to one size";

/// Collects patches of images that are numbered in ascending order.
pub(super) struct Gathering<'a> {
    config: &'a AnomalyDinoConfig,
    context: &'a FitContext<'a>,
    layers: Vec<Rows>,
    wholes: Vec<f32>,
}

/// What is collected of a layer.
struct Rows {
    store: RowStore,
    dimensions: usize,
    count: usize,
    /// Where the rows of each image begin.
    starts: Vec<usize>,
    /// Height and width of the first map.
    size: Option<[usize; 2]>,
}

impl Rows {
    fn push(&mut self, image: usize, rows: &[f32]) -> Result<(), Error> {
        let next = self.starts.len().max(image + 1);
        self.starts.resize(next, self.count);
        self.count += rows.len() / self.dimensions.max(1);
        self.store.push(rows)
    }
}

impl<'a> Gathering<'a> {
    pub(super) fn new(config: &'a AnomalyDinoConfig, context: &'a FitContext<'a>) -> Self {
        Self { config, context, layers: Vec::new(), wholes: Vec::new() }
    }

    /// Adds the patches of an image that are `inside`, one mark a patch of each layer; all of them where the mode needs whole images.
    ///
    /// # Errors
    /// [`Error::Fit`] if layers change their lengths, or sizes where places count; [`Error::Io`].
    pub(super) fn push(
        &mut self,
        image: usize,
        patches: &Patches,
        inside: &dyn Fn([usize; 2]) -> Vec<bool>,
    ) -> Result<(), Error> {
        self.begin(patches.layers.iter().map(|layer| layer.dimensions))?;
        for (rows, layer) in self.layers.iter_mut().zip(&patches.layers) {
            if self.config.mode == Mode::Retrieval && *rows.size.get_or_insert(layer.size) != layer.size {
                return Err(Error::Fit { method: NAME, reason: UNEQUAL.into() });
            }
            let marks = inside(layer.size);
            if self.config.keeps_all() || marks.iter().all(|&is_inside| is_inside) {
                rows.push(image, &layer.rows)?;
            } else {
                let all = layer.rows.chunks_exact(layer.dimensions.max(1)).zip(&marks);
                let kept = all.filter(|(_, is_inside)| **is_inside).flat_map(|(row, _)| row);
                rows.push(image, &kept.copied().collect::<Vec<f32>>())?;
            }
        }
        self.push_whole(image, &patches.whole);
        Ok(())
    }

    /// Adds what is remembered of the images that `is_chosen`, numbered from `first` on.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn push_memory(
        &mut self,
        first: usize,
        memory: &Memory,
        is_chosen: &[bool],
    ) -> Result<(), Error> {
        self.begin(memory.layers.iter().map(|layer| layer.bank.dimensions()))?;
        for (rows, layer) in self.layers.iter_mut().zip(&memory.layers) {
            for (image, entries) in layer.images().filter(|(image, _)| is_chosen[*image]) {
                rows.push(first + image, layer.rows(entries))?;
            }
        }
        for (image, whole) in memory.wholes().filter(|(image, _)| is_chosen[*image]) {
            self.push_whole(first + image, whole);
        }
        Ok(())
    }

    /// Makes room for layers of these lengths, or checks that they are those before.
    fn begin(&mut self, lengths: impl ExactSizeIterator<Item = usize>) -> Result<(), Error> {
        let fail = |reason: String| Err(Error::Fit { method: NAME, reason });
        if self.layers.is_empty() {
            let limit = self.context.memory_limit.map(|limit| limit / 2 / lengths.len().max(1) as u64);
            let scratch = self.context.scratch.as_deref();
            let empty = |dimensions| {
                let store = RowStore::new(dimensions, limit, scratch);
                Rows { store, dimensions, count: 0, starts: Vec::new(), size: None }
            };
            self.layers = lengths.map(empty).collect();
            return Ok(());
        }
        if lengths.len() != self.layers.len() {
            return fail("the backbone gives another number of maps than before".into());
        }
        for (found, rows) in lengths.zip(&self.layers) {
            if found != rows.dimensions {
                let before = rows.dimensions;
                return fail(format!("features have {found} values, those before had {before}"));
            }
        }
        Ok(())
    }

    /// Keeps the vector of an image, of its first patches if it comes in several.
    fn push_whole(&mut self, image: usize, whole: &[f32]) {
        if self.config.keeps_wholes() && self.wholes.len() <= image * whole.len() {
            self.wholes.resize(image * whole.len(), 0.0);
            self.wholes.extend_from_slice(whole);
        }
    }

    /// The banks of `images` images, thinned where they are too large.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is too little in them or memory does not suffice; [`Error::Interrupted`].
    pub(super) fn finish(self, images: usize) -> Result<Memory, Error> {
        let Self { config, context, layers, mut wholes } = self;
        let fail = |reason: &str| Err(Error::Fit { method: NAME, reason: reason.into() });
        if layers.is_empty() || layers.iter().any(|rows| rows.count == 0) {
            return fail("no patch of the good images lies where the model is to look");
        }
        // So far there are as many as the last image's number says.
        let known = layers[0].starts.len();
        wholes.resize(wholes.len() / known * images, 0.0);
        let mut banks = Vec::new();
        for (at, rows) in layers.into_iter().enumerate() {
            let Rows { store, dimensions, count, mut starts, .. } = rows;
            starts.resize(images + 1, count);
            let most = if config.keeps_all() { usize::MAX } else { config.bank_max };
            let seed = context.seed.wrapping_add(at as u64);
            let all = store.finish()?;
            let kept = thinned(all.as_slice(), dimensions, most, config.thinning(), seed, context)?;
            if kept.len() < count {
                let kept = kept.len();
                context
                    .observer
                    .warn(&format!("the bank keeps {kept} of {count} patches (setting `bank_max`)"));
            }
            // Numbers of kept rows ascend, so that those of an image stay together.
            let starts = starts.into_iter().map(|start| kept.partition_point(|&row| row < start)).collect();
            let bank = Bank::new(NAME, all.gather(&kept).into(), dimensions, None)?;
            banks.push(LayerBank::new(config, bank, starts, context.device)?);
        }
        if config.mode == Mode::Retrieval && !banks.iter().all(LayerBank::is_even) {
            return fail(UNEQUAL);
        }
        if config.mode == Mode::Batch && banks[0].images().count() < 2 {
            return fail("the mode batch compares images with each other: give at least two");
        }
        Ok(Memory { layers: banks, wholes })
    }
}

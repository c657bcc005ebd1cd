//! The banks: one a layer, what they were made of, and distances to them.

use super::config::{AnomalyDinoConfig, Mode, NAME};
use super::patches::{Layer, Patches};
use super::thin::thinned;
use crate::shared::bank::Bank;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_core::rows::RowStore;
use blemish_core::state::{State, StateError};
use blemish_features::Device;
use blemish_kernels::bits::BitRows;
use blemish_kernels::map::resize_bilinear;
use blemish_kernels::simd::squared_distances;
use rayon::prelude::*;

/// The bank of a layer.
pub(super) struct LayerBank {
    pub bank: Bank,
    /// The good image that each entry is of; known after a fit alone.
    owners: Vec<u32>,
}

/// All that is remembered of good images.
pub(super) struct Memory {
    pub layers: Vec<LayerBank>,
    /// One vector an image, for the mode retrieval; entries then lie image by image, all patches of each.
    wholes: Vec<f32>,
}

/// Collects patches of good images.
pub(super) struct Gathering<'a> {
    context: &'a FitContext<'a>,
    stores: Vec<(RowStore, usize)>,
    owners: Vec<Vec<u32>>,
    wholes: Vec<f32>,
    /// Sizes of the layers' maps in the first image.
    sizes: Vec<[usize; 2]>,
    keeps_places: bool,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(config: &AnomalyDinoConfig, context: &'a FitContext<'a>) -> Self {
        let keeps_places = config.mode == Mode::Retrieval;
        let (stores, owners, wholes, sizes) = Default::default();
        Self { context, stores, owners, wholes, sizes, keeps_places }
    }

    /// Adds the patches of good image number `image` that are `inside`, one mark a patch of each layer.
    ///
    /// # Errors
    /// [`Error::Fit`] if layers change their lengths, or sizes where places count; [`Error::Io`].
    pub(super) fn push(
        &mut self,
        image: usize,
        patches: &Patches,
        inside: &dyn Fn([usize; 2]) -> Vec<bool>,
    ) -> Result<(), Error> {
        let fail = |reason: String| Error::Fit { method: NAME, reason };
        if self.stores.is_empty() {
            let limit = self.context.memory_limit.map(|limit| limit / 2 / patches.layers.len().max(1) as u64);
            let store = |layer: &Layer| {
                let store = RowStore::new(layer.dimensions, limit, self.context.scratch.as_deref());
                (store, layer.dimensions)
            };
            self.stores = patches.layers.iter().map(store).collect();
            self.owners = vec![vec![]; patches.layers.len()];
            self.sizes = patches.layers.iter().map(|layer| layer.size).collect();
        }
        if patches.layers.len() != self.stores.len() {
            return Err(fail("the backbone gives another number of maps than before".into()));
        }
        for (at, layer) in patches.layers.iter().enumerate() {
            let (store, dimensions) = &mut self.stores[at];
            if layer.dimensions != *dimensions {
                let found = layer.dimensions;
                return Err(fail(format!("features have {found} values, those before had {dimensions}")));
            }
            if self.keeps_places && layer.size != self.sizes[at] {
                let reason = "good images differ in size; the mode retrieval compares places, so resize them to one size";
                return Err(fail(reason.into()));
            }
            let marks = inside(layer.size);
            let before = self.owners[at].len();
            if self.keeps_places || marks.iter().all(|&is_inside| is_inside) {
                store.push(&layer.rows)?;
                self.owners[at].resize(before + marks.len(), image as u32);
            } else {
                let rows = layer.rows.chunks_exact(layer.dimensions).zip(&marks);
                let kept: Vec<f32> =
                    rows.filter(|(_, is_inside)| **is_inside).flat_map(|(row, _)| row).copied().collect();
                store.push(&kept)?;
                self.owners[at].resize(before + kept.len() / layer.dimensions.max(1), image as u32);
            }
        }
        if self.keeps_places {
            self.wholes.extend_from_slice(&patches.whole);
        }
        Ok(())
    }

    /// The banks, thinned where they are too large.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is nothing in them or memory does not suffice; [`Error::Interrupted`].
    pub(super) fn finish(self, config: &AnomalyDinoConfig) -> Result<Memory, Error> {
        if self.owners.iter().any(Vec::is_empty) || self.stores.is_empty() {
            let reason = "no patch of the good images lies where the model is to look".into();
            return Err(Error::Fit { method: NAME, reason });
        }
        let most = if self.keeps_places { usize::MAX } else { config.bank_max };
        let mut layers = Vec::new();
        for (at, ((store, dimensions), owners)) in self.stores.into_iter().zip(self.owners).enumerate() {
            let rows = store.finish()?;
            let seed = self.context.seed.wrapping_add(at as u64);
            let kept = thinned(rows.as_slice(), dimensions, most, config.thinning(), seed, self.context)?;
            if kept.len() < rows.len() {
                let (kept, all) = (kept.len(), rows.len());
                self.context
                    .observer
                    .warn(&format!("the bank keeps {kept} of {all} patches (setting `bank_max`)"));
            }
            let owners = kept.iter().map(|&row| owners[row]).collect();
            let bank = Bank::new(NAME, rows.gather(&kept).into(), dimensions, None)?;
            layers.push(LayerBank { bank: bank.on(self.context.device)?, owners });
        }
        Ok(Memory { layers, wholes: self.wholes })
    }
}

impl Memory {
    /// A score for each patch of the finest layer's grid, the mean over layers; without the entries of `left_out`, if given.
    ///
    /// # Errors
    /// [`Error::Score`] if the features do not fit the banks.
    pub(super) fn scores(
        &self,
        config: &AnomalyDinoConfig,
        patches: &Patches,
        left_out: Option<usize>,
    ) -> Result<Vec<f32>, Error> {
        if patches.layers.len() != self.layers.len() {
            let (found, own) = (patches.layers.len(), self.layers.len());
            let reason = format!("the backbone gives {found} maps, the model has banks for {own}");
            return Err(Error::Score { reason });
        }
        let finest = patches.layers.first().map_or([0, 0], |layer| layer.size);
        let mut sums = vec![0.0f32; finest[0] * finest[1]];
        for (layer, bank) in patches.layers.iter().zip(&self.layers) {
            bank.bank.check_length(layer.dimensions)?;
            let near = match config.mode {
                Mode::Retrieval => self.retrieved(config, patches, layer, bank, left_out)?,
                _ => bank.nearest(&layer.rows, config.neighbours, left_out)?,
            };
            let scores: Vec<f32> = match config.has_unit_rows() {
                // Half the squared distance of unit rows is 1 - cosine.
                true => near.into_iter().map(|squared| 0.5 * squared).collect(),
                false => near.into_iter().map(|squared| squared.sqrt() / layer.dimensions as f32).collect(),
            };
            let [height, width] = layer.size;
            let scores = match layer.size == finest {
                true => scores,
                false => resize_bilinear(&scores, (height, width), (finest[0], finest[1])),
            };
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        let count = self.layers.len().max(1) as f32;
        Ok(sums.into_iter().map(|sum| sum / count).collect())
    }

    /// The squared distance of each patch to the nearest within `radius` of its place in the most similar good images.
    fn retrieved(
        &self,
        config: &AnomalyDinoConfig,
        patches: &Patches,
        layer: &Layer,
        bank: &LayerBank,
        left_out: Option<usize>,
    ) -> Result<Vec<f32>, Error> {
        let [height, width] = layer.size;
        let (cells, dimensions) = (height * width, layer.dimensions);
        let length = patches.whole.len().max(1);
        let images = self.wholes.len() / length;
        if images * length != self.wholes.len() || images * cells != bank.bank.len() {
            let reason = format!(
                "the image has {width}x{height} patches, the good images had another number; use the size it was fitted with"
            );
            return Err(Error::Score { reason });
        }
        let mut by_similarity: Vec<(f32, usize)> = self
            .wholes
            .chunks_exact(length)
            .map(|whole| whole.iter().zip(&patches.whole).map(|(a, b)| a * b).sum())
            .zip(0..)
            .filter(|&(_, image): &(f32, usize)| left_out.is_none_or(|left| !bank.is_of(image * cells, left)))
            .collect();
        by_similarity.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        by_similarity.truncate(config.similar_images);
        let near = |at: usize, side: usize| match config.radius {
            Some(radius) => at.saturating_sub(radius)..(at + radius + 1).min(side),
            None => 0..side,
        };
        let nearest = |(cell, row): (usize, &[f32])| {
            let (rows, columns) = (near(cell / width, height), near(cell % width, width));
            let mut distances = vec![0.0; columns.len()];
            let mut least = f32::INFINITY;
            for &(_, image) in &by_similarity {
                for y in rows.clone() {
                    let first = (image * cells + y * width + columns.start) * dimensions;
                    let entries = &bank.bank.entries()[first..][..columns.len() * dimensions];
                    squared_distances(row, entries, &mut distances);
                    least = distances.iter().copied().fold(least, f32::min);
                }
            }
            least
        };
        Ok(layer.rows.par_chunks_exact(dimensions).enumerate().map(nearest).collect())
    }

    /// Whether images of the fit can be scored without their own entries.
    pub(super) fn knows_owners(&self) -> bool {
        self.layers.iter().all(|layer| {
            let first = layer.owners.first();
            layer.bank.has_rules() && layer.owners.iter().any(|owner| Some(owner) != first)
        })
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::default();
        for (at, layer) in self.layers.iter().enumerate() {
            state.absorb(&prefix(at), layer.bank.state());
        }
        if !self.wholes.is_empty() {
            state.set_f32("wholes", &[self.wholes.len()], self.wholes.clone());
        }
        state
    }

    /// Of layers with these lengths and whole images of `whole` values.
    ///
    /// # Errors
    /// [`Error::State`] naming the tensor that is missing or misshapen.
    pub(super) fn restore(
        config: &AnomalyDinoConfig,
        state: &State,
        lengths: &[usize],
        whole: usize,
        device: Device,
    ) -> Result<Self, Error> {
        let wrong = |name: String, reason: String| Error::from(StateError { name, reason });
        let mut state = state.clone();
        let wholes = match config.mode {
            Mode::Retrieval => state.f32("wholes", 1)?.1.to_vec(),
            _ => vec![],
        };
        let images = wholes.len() / whole.max(1);
        if images * whole != wholes.len() || (config.mode == Mode::Retrieval && images == 0) {
            return Err(wrong("wholes".into(), format!("is not of whole images of {whole} values")));
        }
        let mut layers = Vec::new();
        for (at, &length) in lengths.iter().enumerate() {
            let bank = Bank::restore(NAME, &state.split_off_prefix(&prefix(at)))?.on(device)?;
            if bank.dimensions() != length || (images > 0 && !bank.len().is_multiple_of(images)) {
                let reason = format!("is not of rows of {length} values, as many for each good image");
                return Err(wrong(format!("{}bank", prefix(at)), reason));
            }
            layers.push(LayerBank { bank, owners: Vec::new() });
        }
        Ok(Self { layers, wholes })
    }
}

impl LayerBank {
    /// Whether an entry is of this good image.
    fn is_of(&self, entry: usize, image: usize) -> bool {
        self.owners.get(entry).is_some_and(|&owner| owner as usize == image)
    }

    /// The mean of the squared distances of each row to its `k` nearest entries; the nearest not of `left_out`, if given.
    fn nearest(&self, rows: &[f32], k: usize, left_out: Option<usize>) -> Result<Vec<f32>, Error> {
        let found = match left_out {
            None => self.bank.nearest(rows, k)?,
            Some(image) => {
                let count = rows.len() / self.bank.dimensions();
                let rule = self.others(image, count);
                self.bank.nearest_allowed(rows, &rule)?
            }
        };
        let mean = |near: &[f32]| near.iter().sum::<f32>() / near.len() as f32;
        Ok(found.squared_distances.chunks_exact(found.k).map(mean).collect())
    }

    /// For each of `count` rows the entries of other images than this one.
    fn others(&self, image: usize, count: usize) -> BitRows {
        let mut row = vec![0u8; self.owners.len().div_ceil(8)];
        for entry in (0..self.owners.len()).filter(|&entry| !self.is_of(entry, image)) {
            row[entry / 8] |= 1 << (entry % 8);
        }
        // Bytes of the right length without a stray bit.
        BitRows::from_bytes(&row.repeat(count), count, self.owners.len())
            .unwrap_or_else(|| BitRows::new(count, self.owners.len()))
    }
}

/// What the tensors of a layer's bank are stored under.
fn prefix(layer: usize) -> String {
    format!("layer.{layer}.")
}

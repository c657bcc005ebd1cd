//! The banks: one a layer, what they were made of, and distances to them.

use super::config::{AnomalyDinoConfig, Mode, NAME};
use super::patches::{Layer, Patches};
use crate::shared::bank::Bank;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_features::Device;
use blemish_kernels::KernelError;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::MemoryBank;
use blemish_kernels::map::resize_bilinear;
use blemish_kernels::simd::squared_distances;
use rayon::prelude::*;
use std::ops::Range;

/// Squared distance of unit rows below which two patches show the same: what engines differ by is far less, what images do far more.
const SAME: f32 = 1e-6;

/// The bank of a layer.
pub(super) struct LayerBank {
    pub bank: Bank,
    /// Where the entries of each image begin, and the end of the last; empty in files of older programs.
    starts: Vec<usize>,
}

/// All that is remembered of images.
pub(super) struct Memory {
    pub layers: Vec<LayerBank>,
    /// One vector an image where the mode compares images, zeros for those left out.
    pub wholes: Vec<f32>,
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
                Mode::Batch => bank.mutual(&layer.rows, config.batch_share, left_out)?,
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
        let count = bank.images().next().map_or(0, |(_, entries)| entries.len());
        if self.images() * length != self.wholes.len() || count != cells {
            let reason = format!(
                "the image has {width}x{height} patches, the good images had another number; use the size it was fitted with"
            );
            return Err(Error::Score { reason });
        }
        let similarity = |image: usize| -> f32 {
            let whole = &self.wholes[image * length..][..length];
            whole.iter().zip(&patches.whole).map(|(a, b)| a * b).sum()
        };
        let others = bank.images().filter(|(image, _)| Some(*image) != left_out);
        let mut by_similarity: Vec<(f32, usize)> =
            others.map(|(image, entries)| (similarity(image), entries.start)).collect();
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
            for &(_, first) in &by_similarity {
                for y in rows.clone() {
                    let first = first + y * width + columns.start;
                    squared_distances(row, bank.rows(first..first + columns.len()), &mut distances);
                    least = distances.iter().copied().fold(least, f32::min);
                }
            }
            least
        };
        Ok(layer.rows.par_chunks_exact(dimensions).enumerate().map(nearest).collect())
    }

    /// Images that were learnt from, with those left out; none in files of older programs.
    pub(super) fn images(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.starts.len().saturating_sub(1))
    }

    /// The vectors of images by their numbers, where they are kept.
    pub(super) fn wholes(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let length = self.wholes.len() / self.images().max(1);
        let all = self.wholes.chunks_exact(length.max(1)).enumerate();
        all.filter(|(_, whole)| whole.iter().any(|&value| value != 0.0))
    }

    /// Whether images of the fit can be scored without their own entries.
    pub(super) fn knows_owners(&self) -> bool {
        self.layers.iter().all(|layer| layer.bank.has_rules() && layer.images().nth(1).is_some())
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::default();
        for (at, layer) in self.layers.iter().enumerate() {
            state.absorb(&prefix(at), layer.bank.state());
            if !layer.starts.is_empty() {
                let starts: Vec<u32> = layer.starts.iter().map(|&start| start as u32).collect();
                state.set_u32(&format!("{}starts", prefix(at)), &[starts.len()], starts);
            }
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
        let wrong = |name: String, reason: &str| Error::from(StateError { name, reason: reason.into() });
        let mut state = state.clone();
        let wholes = match config.mode == Mode::Retrieval || state.has("wholes") {
            true => state.f32("wholes", 1)?.1.to_vec(),
            false => vec![],
        };
        let vectors = wholes.len() / whole.max(1);
        let mut layers = Vec::new();
        for (at, &length) in lengths.iter().enumerate() {
            let name = |tensor: &str| format!("{}{tensor}", prefix(at));
            let own = state.split_off_prefix(&prefix(at));
            let bank = Bank::restore(NAME, &own)?;
            if bank.dimensions() != length {
                return Err(wrong(name("bank"), "has rows of another length than the backbone's maps"));
            }
            let starts: Vec<usize> = match own.has("starts") {
                true => own.u32("starts", 1)?.1.iter().map(|&start| start as usize).collect(),
                // Older programs kept as many entries of every image.
                false if config.mode == Mode::Retrieval && vectors > 0 => {
                    (0..=vectors).map(|image| image * (bank.len() / vectors)).collect()
                }
                false => vec![],
            };
            let is_whole = starts.is_sorted()
                && starts.first().is_none_or(|&first| first == 0)
                && starts.last().is_none_or(|&end| end == bank.len());
            let layer = LayerBank::new(config, bank, starts, device)?;
            let is_able = match config.mode {
                Mode::Retrieval => layer.is_even() && layer.starts.len() == vectors + 1,
                Mode::Batch => layer.images().nth(1).is_some(),
                _ => true,
            };
            if !is_whole || !is_able {
                return Err(wrong(name("starts"), "does not divide the bank into its images"));
            }
            layers.push(layer);
        }
        let memory = Self { layers, wholes };
        if memory.images() * whole != memory.wholes.len() && !memory.wholes.is_empty() {
            return Err(wrong("wholes".into(), "has not one vector for each image"));
        }
        Ok(memory)
    }
}

impl LayerBank {
    /// A bank whose entries lie image by image, searched on the device where the search is for the nearest of all.
    ///
    /// # Errors
    /// [`Error::Features`] if the device cannot be opened or gives up.
    pub(super) fn new(
        config: &AnomalyDinoConfig,
        bank: Bank,
        starts: Vec<usize>,
        device: Device,
    ) -> Result<Self, Error> {
        let bank = if config.keeps_all() { bank } else { bank.on(device)? };
        Ok(Self { bank, starts })
    }

    /// The images that have entries, by number, and where these are.
    pub(super) fn images(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let all = self.starts.windows(2).map(|ends| ends[0]..ends[1]).enumerate();
        all.filter(|(_, entries)| !entries.is_empty())
    }

    /// Whether all images have as many entries.
    pub(super) fn is_even(&self) -> bool {
        let mut lengths = self.images().map(|(_, entries)| entries.len());
        let first = lengths.next();
        lengths.all(|length| Some(length) == first)
    }

    /// The values of some entries.
    pub(super) fn rows(&self, entries: Range<usize>) -> &[f32] {
        let length = self.bank.dimensions();
        &self.bank.entries()[entries.start * length..entries.end * length]
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

    /// The squared distance of each row to the nearest of each image, the mean of the lowest `share` of them, of one at least.
    ///
    /// Neither `left_out` counts nor an image that shows the same everywhere: one of the batch is not to speak for itself.
    fn mutual(&self, rows: &[f32], share: f64, left_out: Option<usize>) -> Result<Vec<f32>, Error> {
        let nearest_of = |entries: Range<usize>| {
            let bank = MemoryBank::plain(self.rows(entries), self.bank.dimensions())?;
            Ok(bank.search(rows, 1)?.squared_distances)
        };
        let others = self.images().filter(|(image, _)| Some(*image) != left_out);
        let mut all = others
            .map(|(_, entries)| nearest_of(entries))
            .collect::<Result<Vec<Vec<f32>>, KernelError>>()
            .map_err(|error| Error::Score { reason: error.to_string() })?;
        let is_same = |near: &Vec<f32>| near.iter().all(|&squared| squared <= SAME);
        // Where all are the same, none differs.
        if !all.iter().all(is_same) {
            all.retain(|near| !is_same(near));
        }
        // A share such as 0.3 is a little off in binary.
        let count = ((all.len() as f64 * share + 1e-9) as usize).clamp(1, all.len().max(1));
        let mean = |row: usize| {
            let mut column: Vec<f32> = all.iter().map(|near| near[row]).collect();
            column.sort_unstable_by(f32::total_cmp);
            column.iter().take(count).sum::<f32>() / count as f32
        };
        Ok((0..rows.len() / self.bank.dimensions()).map(mean).collect())
    }

    /// For each of `count` rows the entries of other images than this one.
    fn others(&self, image: usize, count: usize) -> BitRows {
        let own = self.starts.get(image..image + 2).map_or(0..0, |ends| ends[0]..ends[1]);
        let entries = self.bank.len();
        let mut row = vec![0u8; entries.div_ceil(8)];
        for entry in (0..entries).filter(|entry| !own.contains(entry)) {
            row[entry / 8] |= 1 << (entry % 8);
        }
        // Bytes of the right length without a stray bit.
        BitRows::from_bytes(&row.repeat(count), count, entries)
            .unwrap_or_else(|| BitRows::new(count, entries))
    }
}

/// What the tensors of a layer's bank are stored under.
fn prefix(layer: usize) -> String {
    format!("layer.{layer}.")
}

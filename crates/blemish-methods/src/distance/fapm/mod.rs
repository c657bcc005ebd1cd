//! FAPM: a memory bank for every region of the image and every layer.
//!
//! Kim et al., "FAPM: Fast Adaptive Patch Memory for Real-time Industrial Anomaly Detection", ICASSP 2023, arXiv 2211.07381. PatchCore
//! split into many small banks: a feature is compared only with those of its own region and layer, so search costs next to nothing and
//! layers are neither resized nor joined. Regions whose normal features are spread out keep more of them.
//!
//! Flow: feature maps -> `regions` (which cells go together) -> a `Bank` each -> the k nearest distances of every cell, deep layers
//! added to the cells they cover. The paper's fitting code was never released: a region is spread out where its covering radius exceeds
//! the mean of all regions of its layer, and then its greedy selection goes on to `adaptive_ratio` times the picks.

mod config;
mod export;
mod regions;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{Correspondence, FapmConfig, Sizing, Weighting};

use crate::shared::bank::{Bank, Collector, reweighted};
use crate::shared::embedding::{check_patch_size, patch_means};
use crate::shared::kept::{Kept, Planes};
use crate::shared::map_size::{MapSize, load_sizes, sizes_of, store_sizes};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores, worst_of};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Pass, Stored, TrainingSet, Updates};
use blemish_core::needs::Needs;
use blemish_core::observer::Quiet;
use blemish_core::region::cells_inside;
use blemish_core::state::{State, StateError};
use blemish_data::Transform;
use config::NAME;
use rayon::prelude::*;
use regions::Regions;

/// A fitted FAPM.
pub struct Fapm {
    memory: Memory,
}

/// The banks of all layers and regions, and what turns distances to them into scores.
struct Memory {
    config: FapmConfig,
    sizes: Vec<MapSize>,
    regions: Regions,
    /// By layer and region.
    banks: Vec<Vec<Bank>>,
}

impl Memory {
    /// A memory for maps of some sizes with banks that `bank` makes for each layer and region; the banks of spread-out regions grow.
    fn build(
        config: &FapmConfig,
        sizes: Vec<MapSize>,
        context: &FitContext<'_>,
        bank: impl Fn(&Regions, usize, usize, &FitContext<'_>) -> Result<Bank, Error> + Sync,
    ) -> Result<Self, Error> {
        let regions = divide(config, &sizes).map_err(|reason| Error::Fit { method: NAME, reason })?;
        let total = sizes.len() * regions.count();
        context.observer.stage("selecting the coresets", Some(total as u64));
        let mut banks = Vec::new();
        for layer in 0..sizes.len() {
            let one = |region| {
                let quiet = Quiet(context.observer);
                // The work of a region is small; memory and progress are those of all together.
                let own = FitContext {
                    seed: context.seed.wrapping_add((layer * regions.count() + region) as u64),
                    memory_limit: None,
                    observer: &quiet,
                    ..context.clone()
                };
                let bank = bank(&regions, layer, region, &own);
                context.observer.advance(1);
                bank
            };
            let found: Result<Vec<Bank>, Error> = (0..regions.count()).into_par_iter().map(one).collect();
            banks.push(grow(found?, config)?);
        }
        Ok(Self { config: config.clone(), sizes, regions, banks })
    }

    /// The k smallest distances of every cell of the first layer, ascending, summed over the layers: cells x k, image after image.
    fn distances(&self, batch: &FeatureBatch) -> Result<(Vec<f32>, usize), Error> {
        let found = sizes_of(batch);
        if found != self.sizes {
            let words = |sizes: &[MapSize]| {
                let words = |size: &MapSize| format!("{}x{}x{}", size.channels, size.height, size.width);
                sizes.iter().map(words).collect::<Vec<_>>().join(", ")
            };
            let reason = format!(
                "the backbone gives maps of {}, the model was fitted on {}; use the size it was fitted with",
                words(&found),
                words(&self.sizes)
            );
            return Err(Error::Score { reason });
        }
        let k = self.neighbours();
        let cells = self.sizes[0].height * self.sizes[0].width;
        let mut sums = vec![0.0f32; batch.count * cells * k];
        let means = patch_means(batch, self.config.patch_size);
        for (layer, (map, banks)) in means.maps.iter().zip(&self.banks).enumerate() {
            let near = |(region, bank): (usize, &Bank)| {
                let rows = rows_of(&map.data, self.sizes[layer], &self.regions.cells[layer][region]);
                Ok(bank.nearest(&rows, k)?.distances())
            };
            let near: Vec<Vec<f32>> = banks.par_iter().enumerate().map(near).collect::<Result<_, Error>>()?;
            for (region, near) in near.iter().enumerate() {
                let own = self.regions.cells[layer][region].len();
                let firsts = &self.regions.cells[0][region];
                for image in 0..batch.count {
                    for (&cell, &partner) in firsts.iter().zip(&self.regions.partners[layer][region]) {
                        let sums = &mut sums[(image * cells + cell) * k..][..k];
                        let near = &near[(image * own + partner) * k..][..k];
                        sums.iter_mut().zip(near).for_each(|(sum, near)| *sum += near);
                    }
                }
            }
        }
        Ok((sums, k))
    }

    /// Neighbours that every bank has.
    fn neighbours(&self) -> usize {
        let least = self.banks.iter().flatten().map(Bank::len).min().unwrap_or(1);
        self.config.neighbours.min(least)
    }

    fn score(&self, batch: &FeatureBatch) -> Result<Vec<PatchScores>, Error> {
        let (sums, k) = self.distances(batch)?;
        let (height, width) = (self.sizes[0].height, self.sizes[0].width);
        let inside = cells_inside(batch.region_of_interest.as_deref(), height, width);
        let images = sums.chunks_exact(height * width * k);
        Ok(images.map(|near| self.scores_of(near, k, &inside, (height, width))).collect())
    }

    fn scores_of(
        &self,
        near: &[f32],
        k: usize,
        inside: &[bool],
        (height, width): (usize, usize),
    ) -> PatchScores {
        let values: Vec<f32> = near
            .chunks_exact(k)
            .zip(inside)
            .map(|(near, &is_inside)| if is_inside { near[0] } else { 0.0 })
            .collect();
        let worst = worst_of(&values);
        let image_score = image_score(values[worst], &near[worst * k..][..k], self.config.weighting);
        PatchScores { height, width, values, image_score: Some(image_score) }
    }
}

/// The score of the worst cell, weighted: w = 1 - exp(n) / sum exp(N_b), n the farthest or the nearest of its k summed distances N_b.
fn image_score(score: f32, near: &[f32], weighting: Weighting) -> f32 {
    let (Some(&nearest), Some(&farthest)) = (near.first(), near.last()) else { return score };
    // A single neighbour has nothing to be weighed against.
    if near.len() < 2 {
        return score;
    }
    match weighting {
        Weighting::Official => reweighted(score, farthest, near),
        Weighting::Nearest => reweighted(score, nearest, near),
    }
}

fn divide(config: &FapmConfig, sizes: &[MapSize]) -> Result<Regions, String> {
    Regions::new(sizes, config.regions, config.margin, config.correspondence)
}

/// Whether each region is spread out: its covering radius exceeds `threshold` times the mean.
fn far(radii: &[f32], threshold: f32) -> Vec<bool> {
    let mean = radii.iter().map(|&radius| f64::from(radius)).sum::<f64>() / radii.len().max(1) as f64;
    radii.iter().map(|&radius| f64::from(radius) > f64::from(threshold) * mean).collect()
}

/// The banks of a layer, those of spread-out regions with their reserves; the other reserves are given up.
fn grow(banks: Vec<Bank>, config: &FapmConfig) -> Result<Vec<Bank>, Error> {
    let radii: Vec<f32> = banks.iter().map(|bank| bank.covering_radius().unwrap_or(0.0)).collect();
    let is_far = far(&radii, config.far_threshold);
    banks
        .into_iter()
        .zip(is_far)
        .map(|(bank, is_far)| if is_far { bank.with_reserve(NAME) } else { Ok(bank.without_reserve()) })
        .collect()
}

/// The features around every cell of good images.
fn collect(config: &FapmConfig, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Kept, Error> {
    Kept::collect(NAME, train, Pass::MAPS, context, "extracting features", |input| {
        Ok(patch_means(input.maps()?, config.patch_size).maps.into_iter().map(Planes::from).collect())
    })
}

/// Hands the features of some cells of all images to a collector.
fn push_cells(
    features: &Kept,
    layer: usize,
    cells: &[usize],
    collector: &mut Collector<'_>,
) -> Result<(), Error> {
    let size = features.sizes()[layer];
    let rows = rows_of(features.layer(layer), size, cells);
    collector.push(&rows, size.channels, features.len() * cells.len())
}

/// Features of some cells of all images, image after image, out of those of all cells.
fn rows_of(maps: &[f32], size: MapSize, cells: &[usize]) -> Vec<f32> {
    let row = |map: &[f32], cell: usize| map[cell * size.channels..][..size.channels].to_vec();
    maps.chunks_exact(size.values()).flat_map(|map| cells.iter().flat_map(|&cell| row(map, cell))).collect()
}

impl Fapm {
    /// Every bank is updated on its own; which regions are spread out is settled anew.
    fn update(&self, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let memory = &self.memory;
        let features = collect(&memory.config, train, context)?;
        if features.sizes() != memory.sizes {
            let reason = "the new images give maps of other sizes than those it was fitted on".into();
            return Err(Error::Living { action: "update", reason });
        }
        let options = memory.config.bank();
        let sizes = features.sizes().to_vec();
        let memory = Memory::build(&memory.config, sizes, context, |regions, layer, region, context| {
            memory.banks[layer][region].update(&options, context, |collector| {
                push_cells(&features, layer, &regions.pools[layer][region], collector)
            })
        })?;
        Ok(Self { memory })
    }

    fn merge(parts: &[&Self], context: &FitContext<'_>) -> Result<Self, Error> {
        let [first, ..] = parts else {
            return Err(Error::Living { action: "merge", reason: "there are no models".into() });
        };
        if parts.iter().any(|part| part.memory.sizes != first.memory.sizes) {
            let reason = "the models were fitted on images of different sizes".into();
            return Err(Error::Living { action: "merge", reason });
        }
        let options = first.memory.config.bank();
        let Memory { config, sizes, .. } = &first.memory;
        let memory = Memory::build(config, sizes.clone(), context, |_, layer, region, context| {
            let banks: Vec<&Bank> = parts.iter().map(|part| &part.memory.banks[layer][region]).collect();
            Bank::merge(&options, &banks, context)
        })?;
        Ok(Self { memory })
    }

    fn coverage(&self) -> String {
        let banks = || self.memory.banks.iter().flatten();
        let entries: usize = banks().map(Bank::len).sum();
        let widest = banks().filter_map(Bank::covering_radius).fold(0.0, f32::max);
        format!("{entries} entries in {} banks, each patch at most {widest:.4} away", banks().count())
    }
}

impl Method for Fapm {
    type Config = FapmConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "distance to small memory banks, one for every region of the image and every layer",
        advice: "for the fastest scoring of parts that always lie alike; misses what a shift by a region would explain, so align or use patchcore",
        citation: "Kim et al., FAPM: Fast Adaptive Patch Memory for Real-time Industrial Anomaly Detection, ICASSP 2023, arXiv 2211.07381",
        family: Family::Distance,
    };

    const UPDATES: Option<Updates<Self>> =
        Some(Updates { update: Self::update, merge: Self::merge, coverage: Self::coverage });

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[8, 16])
    }

    /// As many pixels as published, of the whole image: the released code's crop would not look at the border.
    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(224, 224)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        check_patch_size(config.patch_size)?;
        let features = collect(config, train, context)?;
        let options = config.bank();
        let sizes = features.sizes().to_vec();
        let memory = Memory::build(config, sizes, context, |regions, layer, region, context| {
            Bank::build(&options, context, |collector| {
                push_cells(&features, layer, &regions.pools[layer][region], collector)
            })
        })?;
        Ok(Self { memory })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.memory.score(input.maps()?)
    }

    fn map_stage(&self) -> MapStage {
        let sigma = self.memory.config.sigma;
        MapStage { interpolation: Interpolation::Bilinear, sigma, border: BlurBorder::Repeat }
    }

    fn state(&self) -> State {
        let mut state = State::default();
        store_sizes(&self.memory.sizes, &mut state);
        for (layer, banks) in self.memory.banks.iter().enumerate() {
            for (region, bank) in banks.iter().enumerate() {
                state.absorb(&prefix(layer, region), bank.state());
            }
        }
        state
    }

    fn config(&self) -> &Self::Config {
        &self.memory.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, .. } = stored;
        check_patch_size(config.patch_size)?;
        let sizes = load_sizes(&state)?;
        let wrong = |name: &str, reason: String| Error::from(StateError { name: name.to_owned(), reason });
        let regions = divide(&config, &sizes).map_err(|reason| wrong("sizes", reason))?;
        let mut state = state;
        let mut banks = Vec::new();
        for (layer, size) in sizes.iter().enumerate() {
            let mut own = Vec::new();
            for region in 0..regions.count() {
                let prefix = prefix(layer, region);
                let bank = Bank::restore(NAME, &state.split_off_prefix(&prefix))?;
                if bank.dimensions() != size.channels {
                    let reason = format!(
                        "has rows of {} values, the layer has {} channels",
                        bank.dimensions(),
                        size.channels
                    );
                    return Err(wrong(&format!("{prefix}bank"), reason));
                }
                own.push(bank);
            }
            banks.push(own);
        }
        Ok(Self { memory: Memory { config, sizes, regions, banks } })
    }
}

/// What the tensors of a bank are stored under.
fn prefix(layer: usize, region: usize) -> String {
    format!("layer.{layer}.region.{region}.")
}

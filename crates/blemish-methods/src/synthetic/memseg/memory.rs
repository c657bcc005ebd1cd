//! The memory: features of good images, the most similar of them, and how what is seen differs from it.
//!
//! All of it comes before the first weight that is trained, so it is plain arithmetic on the host, without gradients, and one pass over each
//! level's values for the item that was found: difference, its mean over the channels and what enters the network.

use super::config::{Difference, NAME, Rules, Selection};
use super::network::Seen;
use crate::shared::map_size::MapSize;
use crate::shared::tensors::finite;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::state::{Shared, State, StateError};
use blemish_kernels::map::resize_aligned;
use blemish_nn::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// Values whose squares are summed in single precision, before the sums are in double.
const SUMMED: usize = 1024;

/// What the backbone's layers are used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layers {
    /// Of all taps that are read, shallow to deep: the stem's, if there is one, then the levels'.
    pub(super) sizes: Vec<MapSize>,
    /// Whether the first of them is the stem's.
    pub(super) has_stem: bool,
}

impl Layers {
    /// Sizes of the levels' maps, shallow to deep.
    pub(super) fn levels(&self) -> &[MapSize] {
        &self.sizes[usize::from(self.has_stem)..]
    }
}

/// Features of good images, and the means of their maps of differences.
pub(super) struct Memory {
    layers: Layers,
    pub(super) count: usize,
    /// Of each level, count x C_l x H_l x W_l.
    items: Vec<Shared<f32>>,
    /// What each level's map of differences is divided by.
    pub(super) scales: Vec<f32>,
}

/// What one image shows beside the memory, a level each, shallow to deep.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    /// Number of the item.
    pub(super) items: Vec<usize>,
    /// CI_l = (f_l, D_l), 2 C_l x H_l x W_l.
    pub(super) information: Vec<Vec<f32>>,
    /// M_l, H_l x W_l.
    pub(super) spatial: Vec<Vec<f32>>,
}

/// Mean of the squared differences of two lists.
fn mean_square(a: &[f32], b: &[f32]) -> f64 {
    let part = |(a, b): (&[f32], &[f32])| {
        let mut lanes = [0.0f32; 16];
        let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
        let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
        for (a, b) in a.zip(b) {
            lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += (a - b) * (a - b));
        }
        f64::from(lanes.iter().sum::<f32>() + rest)
    };
    a.chunks(SUMMED).zip(b.chunks(SUMMED)).map(part).sum::<f64>() / a.len().max(1) as f64
}

impl Memory {
    /// Of each level's features, count x C_l x H_l x W_l.
    pub(super) fn new(layers: Layers, count: usize, items: Vec<Vec<f32>>) -> Self {
        let scales = vec![1.0; items.len()];
        Self { layers, count, items: items.into_iter().map(Shared::from).collect(), scales }
    }

    /// The same with the maps of differences divided by these values.
    pub(super) fn scaled(self, scales: Vec<f32>) -> Self {
        Self { scales, ..self }
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(super) fn item(&self, level: usize, number: usize) -> &[f32] {
        let length = self.layers.levels()[level].values();
        &self.items[level][number * length..][..length]
    }

    /// The most similar item for each level, `hidden` never being one; the first of equals.
    fn select(&self, features: &[&[f32]], rules: &Rules, hidden: Option<usize>) -> Vec<usize> {
        let distance = |level: usize, number: usize| mean_square(features[level], self.item(level, number));
        let nearest = |distance: &dyn Fn(usize) -> f64| {
            let shown = (0..self.count).filter(|&number| Some(number) != hidden);
            let mut best = (0, f64::INFINITY);
            for number in shown {
                let found = distance(number);
                if found < best.1 {
                    best = (number, found);
                }
            }
            best.0
        };
        let levels = 0..self.items.len();
        match rules.selection {
            Selection::Joint => {
                let joint = |number: usize| levels.clone().map(|level| distance(level, number)).sum();
                vec![nearest(&joint); self.items.len()]
            }
            Selection::PerLevel => levels.map(|level| nearest(&|number| distance(level, number))).collect(),
        }
    }

    /// Compares the features of one image, C_l x H_l x W_l of each level, with the memory; item `hidden` is not looked at.
    pub(super) fn compare(&self, features: &[&[f32]], rules: &Rules, hidden: Option<usize>) -> Compared {
        let items = self.select(features, rules, hidden);
        let (mut information, mut means) = (Vec::new(), Vec::new());
        for (level, size) in self.layers.levels().iter().enumerate() {
            let (seen, known) = (features[level], self.item(level, items[level]));
            let mut both = Vec::with_capacity(2 * seen.len());
            both.extend_from_slice(seen);
            both.extend(seen.iter().zip(known).map(|(seen, known)| match rules.difference {
                Difference::Squared => (seen - known) * (seen - known),
                Difference::Absolute => (seen - known).abs(),
            }));
            let mut mean = vec![0.0f32; size.cells()];
            for channel in both[seen.len()..].chunks_exact(size.cells()) {
                mean.iter_mut().zip(channel).for_each(|(sum, value)| *sum += value);
            }
            mean.iter_mut().for_each(|sum| *sum /= size.channels as f32);
            information.push(both);
            means.push(mean);
        }
        let mut spatial = self.maps_of(&means, rules.is_cascade);
        for (map, scale) in spatial.iter_mut().zip(&self.scales) {
            map.iter_mut().for_each(|value| *value /= scale);
        }
        Compared { items, information, spatial }
    }

    /// M_l of the channel means of D_l: the deepest is the mean itself; in a cascade, each other is its mean times the enlarged M below it,
    /// else times every enlarged mean below it.
    fn maps_of(&self, means: &[Vec<f32>], is_cascade: bool) -> Vec<Vec<f32>> {
        let levels = self.layers.levels();
        let times = |map: &mut [f32], level: usize, other: &[f32], from: usize| {
            let enlarged = resize_aligned(other, levels[from].grid(), levels[level].grid());
            map.iter_mut().zip(enlarged).for_each(|(value, other)| *value *= other);
        };
        let mut maps = means.to_vec();
        for level in (0..levels.len().saturating_sub(1)).rev() {
            let deeper = if is_cascade { level + 1..level + 2 } else { level + 1..levels.len() };
            for from in deeper {
                let other = if is_cascade { maps[from].clone() } else { means[from].clone() };
                times(&mut maps[level], level, &other, from);
            }
        }
        maps
    }

    /// What the network is given of some images of a batch of features, on a device; `hidden` says for each image which item it does not
    /// look at.
    ///
    /// # Errors
    /// [`Error::Score`] if the maps are not of the sizes that the memory has.
    pub(super) fn look(
        &self,
        batch: &FeatureBatch,
        images: std::ops::Range<usize>,
        rules: &Rules,
        hidden: &(dyn Fn(usize) -> Option<usize> + Sync),
        device: &Device,
    ) -> Result<Seen, Error> {
        self.check(batch)?;
        let first = usize::from(self.layers.has_stem);
        let (count, levels) = (images.len(), self.layers.levels());
        let of_image = |layer: usize, image: usize| {
            let length = self.layers.sizes[layer].values();
            &batch.maps[layer].data[image * length..][..length]
        };
        let compared: Vec<Compared> = images
            .clone()
            .into_par_iter()
            .map(|image| {
                let features: Vec<&[f32]> =
                    (0..levels.len()).map(|level| of_image(first + level, image)).collect();
                self.compare(&features, rules, hidden(image))
            })
            .collect();
        let tensor = |channels: usize, size: MapSize, values: Vec<f32>| {
            let shape = [count, channels, size.height, size.width];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let joined = |of: &dyn Fn(&Compared) -> &[f32]| compared.iter().flat_map(of).copied().collect();
        let stem = self.layers.has_stem.then(|| {
            let values = images.clone().flat_map(|image| of_image(0, image)).copied().collect();
            tensor(self.layers.sizes[0].channels, self.layers.sizes[0], values)
        });
        let information = levels.iter().enumerate();
        let information = information
            .map(|(level, &size)| tensor(2 * size.channels, size, joined(&|one| &one.information[level])))
            .collect();
        let spatial = levels.iter().enumerate();
        let spatial =
            spatial.map(|(level, &size)| tensor(1, size, joined(&|one| &one.spatial[level]))).collect();
        Ok(Seen { stem, information, spatial, size: [batch.height, batch.width] })
    }

    fn check(&self, batch: &FeatureBatch) -> Result<(), Error> {
        let found: Vec<MapSize> = batch.maps.iter().take(self.layers.sizes.len()).map(MapSize::of).collect();
        if found == self.layers.sizes {
            return Ok(());
        }
        let words = |sizes: &[MapSize]| {
            let one = |size: &MapSize| format!("{} x {}x{}", size.channels, size.width, size.height);
            sizes.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let reason = format!(
            "the backbone gives maps of {}, the memory has {}: each position is compared with the same one of good images, so images \
             must be of the size of the fit",
            words(&found),
            words(&self.layers.sizes)
        );
        Err(Error::Score { reason })
    }

    pub(super) fn store(&self, state: &mut State) {
        crate::shared::map_size::store_sizes(&self.layers.sizes, state);
        state.set_count("stem", u64::from(self.layers.has_stem));
        state.set_f32("spatial_scales", &[self.scales.len()], self.scales.clone());
        for (level, (items, size)) in self.items.iter().zip(self.layers.levels()).enumerate() {
            state.set_f32(&format!("memory.{level}"), &[self.count, size.values()], items.clone());
        }
    }

    pub(super) fn restore(state: &State) -> Result<Self, Error> {
        let wrong = |name: &str, reason: &str| StateError { name: name.into(), reason: reason.into() };
        let sizes = crate::shared::map_size::load_sizes(state)?;
        let has_stem = state.count("stem")? == 1;
        let layers = Layers { sizes, has_stem };
        if layers.levels().is_empty() {
            return Err(wrong("sizes", "holds no level beside the stem's").into());
        }
        let mut items = Vec::new();
        let mut count = None;
        for (level, size) in layers.levels().iter().enumerate() {
            let name = format!("memory.{level}");
            let (shape, values) = state.f32(&name, 2)?;
            let (rows, length) = (shape[0], shape[1]);
            if rows == 0 || *count.get_or_insert(rows) != rows || length != size.values() {
                return Err(
                    wrong(&name, &format!("is not a memory of {} values an image", size.values())).into()
                );
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(wrong(&name, "holds values that are not finite").into());
            }
            items.push(values);
        }
        let scales = finite("spatial_scales", items.len(), state)?;
        if !scales.iter().all(|&scale| scale > 0.0) {
            return Err(wrong("spatial_scales", "holds a scale that is not positive").into());
        }
        Ok(Self { layers, count: count.unwrap_or(0), items, scales })
    }
}

/// Checks the taps of a backbone and says what each is for: one of stride 2, if it comes first, is the stem; those of stride 4 to 16 are the
/// levels; one of twice the deepest level's stride, if it comes last, ends the part that is trained, and true is returned.
///
/// # Errors
/// [`Error::Fit`] if there is no level or strides do not double from each to the next.
pub(super) fn check_taps(strides: &[usize]) -> Result<(bool, bool), Error> {
    let has_stem = strides.first() == Some(&2);
    let is_last_trained = strides.len() > 1 + usize::from(has_stem) && strides.last() == Some(&32);
    let levels = &strides[usize::from(has_stem)..strides.len() - usize::from(is_last_trained)];
    let doubles = strides.windows(2).all(|pair| pair[1] == 2 * pair[0]);
    let is_sound = levels.iter().all(|stride| (2..=16).contains(stride));
    if levels.is_empty() || !doubles || !is_sound {
        let reason = format!(
            "it needs layers of strides that double from each to the next, such as 2, 4, 8 and 16, and was given {strides:?}; of \
             ResNet-18 stem, layer1, layer2, layer3, with layer4 as well where that is to be trained from its own weights"
        );
        return Err(Error::Fit { method: NAME, reason });
    }
    Ok((has_stem, is_last_trained))
}

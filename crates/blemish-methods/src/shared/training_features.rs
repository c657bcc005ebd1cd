//! Feature maps of all training images, by image and layer, for trainings that pass over them more than once.

use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::input::Input;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_core::rows::{RowStore, Rows};
use blemish_core::state::{State, StateError};
use blemish_nn::{Device, Tensor, TensorData};
use std::borrow::Cow;

/// Most bytes of features that are kept at all.
const LARGEST: u64 = 64 << 30;

/// Channels, height and width of a layer's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapSize {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl MapSize {
    pub(crate) fn values(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// The maps of all training images.
pub(crate) struct TrainingFeatures {
    /// One a layer, shallow to deep.
    pub(crate) sizes: Vec<MapSize>,
    layers: Vec<Rows>,
    /// Checksum of all values.
    pub(crate) digest: u32,
}

/// Keeps the sizes of the maps that a model is for.
pub(crate) fn store_sizes(sizes: &[MapSize], state: &mut State) {
    let values: Vec<u32> = sizes
        .iter()
        .flat_map(|size| [size.channels, size.height, size.width])
        .map(|side| side as u32)
        .collect();
    state.set_u32("sizes", &[sizes.len(), 3], values);
}

/// The sizes that [`store_sizes`] kept, at least one.
///
/// # Errors
/// [`Error::State`] if they are missing or out of range.
pub(crate) fn load_sizes(state: &State) -> Result<Vec<MapSize>, Error> {
    let (shape, values) = state.u32("sizes", 2)?;
    // Weights of such a size could not be in a file; only a corrupt one has them.
    let is_sound = |&value: &u32| (1..=1 << 16).contains(&value);
    if shape[1] != 3 || !values.iter().all(is_sound) || !(1..=64).contains(&shape[0]) {
        return Err(StateError { name: "sizes".into(), reason: "does not hold sizes of maps".into() }.into());
    }
    let size = |sides: &[u32]| MapSize {
        channels: sides[0] as usize,
        height: sides[1] as usize,
        width: sides[2] as usize,
    };
    Ok(values.chunks_exact(3).map(size).collect())
}

/// Sizes of a batch's maps.
pub(crate) fn sizes_of(batch: &FeatureBatch) -> Vec<MapSize> {
    let size = |map: &blemish_features::FeatureMap| MapSize {
        channels: map.channels,
        height: map.height,
        width: map.width,
    };
    batch.maps.iter().map(size).collect()
}

/// Refuses maps that a network was not made for.
pub(crate) fn check_channels(batch: &FeatureBatch, sizes: &[MapSize]) -> Result<(), Error> {
    let channels = |sizes: &[MapSize]| sizes.iter().map(|size| size.channels).collect::<Vec<_>>();
    let (found, expected) = (channels(&sizes_of(batch)), channels(sizes));
    if found != expected {
        let reason = format!("the backbone gives maps of {found:?} channels, the model is for {expected:?}");
        return Err(Error::Score { reason });
    }
    Ok(())
}

impl TrainingFeatures {
    /// The backbone's maps, in one pass over the images.
    pub(crate) fn collect(
        method: &'static str,
        train: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        Self::gather(method, train, Pass::MAPS, context, |input| Ok(Cow::Borrowed(input.maps()?)))
    }

    /// What `of` makes of every batch of one pass.
    pub(crate) fn gather(
        method: &'static str,
        train: &dyn TrainingSet,
        pass: Pass,
        context: &FitContext<'_>,
        of: impl for<'i> Fn(&Input<'i>) -> Result<Cow<'i, FeatureBatch>, Error>,
    ) -> Result<Self, Error> {
        let count = train.len();
        context.observer.stage("extracting features", Some(count as u64));
        let mut sizes: Vec<MapSize> = Vec::new();
        let mut stores: Vec<RowStore> = Vec::new();
        let limit = CacheLimits::in_memory(context.memory_limit);
        let mut hasher = crc32fast::Hasher::new();
        train.for_each(pass, &mut |input| {
            let batch = &*of(input)?;
            let found = sizes_of(batch);
            if sizes.is_empty() {
                let all: usize = found.iter().map(|size| size.values()).sum();
                let bytes = 4 * (all * count) as u64;
                if bytes > LARGEST {
                    let reason = format!(
                        "the features of {} images take {} GiB, more than the {} GiB that are kept; use a smaller --size, fewer --layers or \
                         fewer images",
                        count,
                        bytes >> 30,
                        LARGEST >> 30
                    );
                    return Err(Error::Fit { method, reason });
                }
                // Each layer gets its part of the memory.
                let part = |size: &MapSize| limit * size.values() as u64 / all.max(1) as u64;
                let store = |size: &MapSize| {
                    RowStore::new(size.values(), Some(part(size)), context.scratch.as_deref())
                };
                stores = found.iter().map(store).collect();
                sizes = found.clone();
            }
            if sizes != found {
                let reason =
                    "the images give maps of different sizes; resize them all alike with --size WxH".into();
                return Err(Error::Fit { method, reason });
            }
            for (store, map) in stores.iter_mut().zip(&batch.maps) {
                hasher.update(bytemuck::cast_slice(&map.data));
                store.push(&map.data)?;
            }
            context.observer.advance(batch.count as u64);
            Ok(())
        })?;
        if stores.is_empty() {
            return Err(Error::Fit { method, reason: "there are no training images".into() });
        }
        let layers = stores.into_iter().map(RowStore::finish).collect::<Result<_, _>>()?;
        Ok(Self { sizes, layers, digest: hasher.finalize() })
    }

    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.layers.first().map_or(0, Rows::len)
    }

    /// A layer's maps of all images.
    pub(crate) fn layer(&self, layer: usize) -> &[f32] {
        self.layers[layer].as_slice()
    }

    /// A layer's maps of some images, on the host.
    pub(crate) fn values(&self, layer: usize, images: &[usize]) -> Vec<f32> {
        self.layers[layer].gather(images)
    }

    /// A layer's maps of some images, images x channels x height x width.
    pub(crate) fn batch(&self, layer: usize, images: &[usize], device: &Device) -> Tensor<4> {
        let MapSize { channels, height, width } = self.sizes[layer];
        Tensor::from_data(
            TensorData::new(self.values(layer, images), [images.len(), channels, height, width]),
            device,
        )
    }
}

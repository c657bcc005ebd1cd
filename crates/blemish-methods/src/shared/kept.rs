//! What trainings keep of all training images, so that they may look at it as often as they like: pixels, feature maps, vectors.
//!
//! Rows lie in memory, beyond a share of the memory limit in a temporary file. Nothing that is learned depends on where they lie.

use super::map_size::MapSize;
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_core::rows::{RowStore, Rows};
use blemish_data::ImageBatch;
use blemish_features::FeatureMap;
use blemish_nn::{Device, Tensor, TensorData};
use std::borrow::Cow;

/// Most bytes that are kept at all.
const LARGEST: u64 = 64 << 30;

/// What is kept of some images in one layer: rows x channels x height x width, mostly a row an image.
#[derive(Clone, Debug)]
pub struct Planes<'a> {
    /// Of a row.
    pub size: MapSize,
    /// Row after row.
    pub values: Cow<'a, [f32]>,
}

impl<'a> Planes<'a> {
    /// The pixels of images.
    pub fn of_images(batch: &'a ImageBatch) -> Self {
        let size = MapSize { channels: 3, height: batch.height, width: batch.width };
        Self { size, values: Cow::Borrowed(&batch.pixels) }
    }

    /// Vectors of one length.
    pub fn of_vectors(values: Vec<f32>, length: usize) -> Self {
        let size = MapSize { channels: length, height: 1, width: 1 };
        Self { size, values: Cow::Owned(values) }
    }

    /// A layer of all that `maps` holds.
    pub fn of_maps(maps: &'a [FeatureMap]) -> Vec<Self> {
        let layer = |map: &'a FeatureMap| Self { size: MapSize::of(map), values: Cow::Borrowed(&map.data) };
        maps.iter().map(layer).collect()
    }
}

impl From<FeatureMap> for Planes<'static> {
    fn from(map: FeatureMap) -> Self {
        Self { size: MapSize::of(&map), values: Cow::Owned(map.data) }
    }
}

/// What is kept of all training images, by layer and row.
pub struct Kept {
    sizes: Vec<MapSize>,
    layers: Vec<Rows>,
    digest: u32,
}

impl Kept {
    /// The backbone's feature maps, a layer a tap.
    ///
    /// # Errors
    /// As [`Self::collect`].
    pub fn maps(
        method: &'static str,
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        Self::collect(method, good, Pass::MAPS, context, "extracting features", |input| {
            Ok(Planes::of_maps(&input.maps()?.maps))
        })
    }

    /// What `of` makes of every batch of one pass: the same number of layers each time, of the same sizes.
    ///
    /// `stage` says what is done, for progress.
    ///
    /// # Errors
    /// [`Error::Fit`] if there are no images, if they differ in size or if there is too much to keep; [`Error::Io`] if the temporary file
    /// cannot be written; what the pass and `of` return.
    pub fn collect(
        method: &'static str,
        good: &dyn TrainingSet,
        pass: Pass,
        context: &FitContext<'_>,
        stage: &str,
        mut of: impl for<'i> FnMut(&Input<'i>) -> Result<Vec<Planes<'i>>, Error>,
    ) -> Result<Self, Error> {
        let mut keeper = Keeper::new(method, stage, good.len(), context);
        good.for_each(pass, &mut |input| keeper.push(input.count(), &of(input)?))?;
        keeper.finish()
    }

    /// Sizes of a row, one a layer.
    pub fn sizes(&self) -> &[MapSize] {
        &self.sizes
    }

    /// Checksum of all values, batch by batch and within a batch layer by layer.
    pub fn digest(&self) -> u32 {
        self.digest
    }

    /// Number of rows of each layer, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, Rows::len)
    }

    /// All rows of a layer.
    pub fn layer(&self, layer: usize) -> &[f32] {
        self.layers[layer].as_slice()
    }

    /// One row of a layer, channels x height x width.
    pub fn row(&self, layer: usize, row: usize) -> &[f32] {
        let length = self.sizes[layer].values();
        &self.layer(layer)[row * length..][..length]
    }

    /// Copies of some rows of a layer, one after another.
    pub fn values(&self, layer: usize, rows: &[usize]) -> Vec<f32> {
        self.layers[layer].gather(rows)
    }

    /// Some rows of a layer on a device, rows x channels x height x width.
    pub fn batch(&self, layer: usize, rows: &[usize], device: &Device) -> Tensor<4> {
        let MapSize { channels, height, width } = self.sizes[layer];
        let shape = [rows.len(), channels, height, width];
        Tensor::from_data(TensorData::new(self.values(layer, rows), shape), device)
    }
}

/// Takes rows in, batch by batch.
pub struct Keeper<'a> {
    method: &'static str,
    context: &'a FitContext<'a>,
    /// How many images are expected.
    images: usize,
    sizes: Vec<MapSize>,
    stores: Vec<RowStore>,
    hasher: crc32fast::Hasher,
}

impl<'a> Keeper<'a> {
    /// For a method's rows of so many images; begins a stage of that name.
    pub fn new(method: &'static str, stage: &str, images: usize, context: &'a FitContext<'a>) -> Self {
        context.observer.stage(stage, Some(images as u64));
        let (sizes, stores, hasher) = (Vec::new(), Vec::new(), crc32fast::Hasher::new());
        Self { method, context, images, sizes, stores, hasher }
    }

    /// Takes the rows of some more images in, a layer each; the first ones settle the sizes.
    ///
    /// # Errors
    /// [`Error::Fit`] for other sizes than before, or if all images together would be too much to keep; [`Error::Io`] if the temporary
    /// file cannot be written.
    pub fn push(&mut self, images: usize, planes: &[Planes<'_>]) -> Result<(), Error> {
        let found: Vec<MapSize> = planes.iter().map(|layer| layer.size).collect();
        if self.stores.is_empty() {
            self.start(images, planes, &found)?;
            self.sizes = found;
        } else if self.sizes != found {
            return Err(self.fail("the images differ in size; resize all images to one size".into()));
        }
        for (store, layer) in self.stores.iter_mut().zip(planes) {
            self.hasher.update(bytemuck::cast_slice(&layer.values));
            store.push(&layer.values)?;
        }
        self.context.observer.advance(images as u64);
        Ok(())
    }

    fn start(&mut self, images: usize, planes: &[Planes<'_>], sizes: &[MapSize]) -> Result<(), Error> {
        let values: usize = planes.iter().map(|layer| layer.values.len()).sum();
        let bytes = 4 * (values / images.max(1) * self.images) as u64;
        if bytes > LARGEST {
            return Err(self.fail(format!(
                "what is kept of {} images takes {} GiB, more than the {} GiB that can be kept; use smaller images, fewer layers or fewer \
                 images",
                self.images,
                bytes >> 30,
                LARGEST >> 30
            )));
        }
        // Each layer gets its part of the memory.
        let limit = CacheLimits::in_memory(self.context.memory_limit);
        let all: usize = sizes.iter().map(|size| size.values()).sum();
        let part = |size: &MapSize| limit * size.values() as u64 / all.max(1) as u64;
        let scratch = self.context.scratch.as_deref();
        let store = |size: &MapSize| RowStore::new(size.values(), Some(part(size)), scratch);
        self.stores = sizes.iter().map(store).collect();
        Ok(())
    }

    /// All that was taken in.
    ///
    /// # Errors
    /// [`Error::Fit`] if that is nothing, [`Error::Io`] if the temporary file cannot be read.
    pub fn finish(self) -> Result<Kept, Error> {
        if self.stores.is_empty() {
            return Err(self.fail("there are no training images".into()));
        }
        let layers = self.stores.into_iter().map(RowStore::finish).collect::<Result<_, _>>()?;
        Ok(Kept { sizes: self.sizes, layers, digest: self.hasher.finalize() })
    }

    fn fail(&self, reason: String) -> Error {
        Error::Fit { method: self.method, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Images;

    fn image(number: usize, side: usize) -> ((usize, usize), Vec<f32>) {
        ((side, side), (0..3 * side * side).map(|at| (at * (number + 1)) as f32).collect())
    }

    fn collect(images: Vec<((usize, usize), Vec<f32>)>, memory_limit: Option<u64>) -> Result<Kept, Error> {
        let context = FitContext { memory_limit, ..FitContext::new(0, None) };
        // The pixels, and two vectors an image.
        Kept::collect("made up", &Images::new(images, None), Pass::IMAGES, &context, "reading", |input| {
            let batch = input.images()?;
            let vectors = vec![batch.pixels[1], 10.0, batch.pixels[2], 20.0];
            Ok(vec![Planes::of_images(batch), Planes::of_vectors(vectors, 2)])
        })
    }

    #[test]
    fn rows_come_back_by_image_in_memory_and_from_a_file() {
        let images: Vec<_> = (0..5).map(|number| image(number, 4)).collect();
        let mut checksum = crc32fast::Hasher::new();
        for (_, pixels) in &images {
            checksum.update(bytemuck::cast_slice(pixels));
            checksum.update(bytemuck::cast_slice(&[pixels[1], 10.0, pixels[2], 20.0]));
        }
        let checksum = checksum.finalize();
        for memory_limit in [None, Some(0), Some(1000)] {
            let kept = collect(images.clone(), memory_limit).unwrap();
            assert_eq!(kept.sizes()[0], MapSize { channels: 3, height: 4, width: 4 });
            assert_eq!((kept.len(), kept.layer(1).len()), (5, 20));
            assert_eq!(kept.row(0, 3), images[3].1);
            assert_eq!(kept.values(0, &[4, 0]), [&images[4].1[..], &images[0].1].concat());
            // Pixels 1 and 2 of image n are n + 1 and 2 (n + 1).
            assert_eq!(kept.values(1, &[1, 6]), [2.0, 20.0, 4.0, 10.0]);
            let tensor = kept.batch(1, &[1, 6, 0], &Device::flex());
            assert_eq!(tensor.dims(), [3, 2, 1, 1]);
            assert_eq!(kept.digest(), checksum, "{memory_limit:?}");
        }
    }

    #[test]
    fn no_images_and_images_of_two_sizes_are_errors() {
        let message = |images| collect(images, None).err().unwrap().to_string();
        assert!(message(Vec::new()).contains("there are no training images"));
        assert!(message(vec![image(0, 4), image(1, 5)]).contains("resize all images to one size"));
    }

    #[test]
    fn what_would_not_fit_a_disk_is_an_error_at_the_first_image() {
        let context = FitContext::new(0, None);
        let mut keeper = Keeper::new("made up", "reading", 1 << 30, &context);
        let error = keeper.push(1, &[Planes::of_vectors(vec![0.0; 64], 64)]).unwrap_err().to_string();
        assert!(error.contains("256 GiB") && error.contains("64 GiB"), "{error}");
    }
}

//! Feature maps of the training images, kept from the first pass for all later ones.
//!
//! The backbone is frozen, so its maps of an image are the same in every fit: the model's own, those of the folds, every epoch. They
//! stay in memory up to a limit and go to an unnamed temporary file beyond it; if even that would grow past the limit of all, nothing is
//! kept and every pass runs the backbone again.

use crate::training::LoadedSet;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{EachBatch, EachFeatures, TrainingSet};
use blemish_core::rows::{RowStore, Rows};
use blemish_data::Mask;
use blemish_data::loader::order_of;
use blemish_features::{Backbone, FeatureMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A training set that keeps what the backbone makes of it.
pub(crate) struct CachingSet<'a> {
    loaded: &'a LoadedSet<'a>,
    limits: CacheLimits,
    state: Mutex<State>,
}

#[derive(Clone)]
enum State {
    /// No pass over features has ended yet.
    Empty,
    Kept(Arc<Kept>),
    /// Too large to be kept.
    Declined,
}

/// Feature maps of all usable images.
struct Kept {
    values: Rows,
    /// By image; `None` for one that cannot be read.
    images: Vec<Option<Entry>>,
}

#[derive(Clone)]
struct Entry {
    start: usize,
    shape: Arc<Shape>,
}

/// Everything of a [`FeatureBatch`] but the number of images and their values.
#[derive(PartialEq)]
struct Shape {
    height: usize,
    width: usize,
    /// Channels, height and width of every map.
    maps: Vec<[usize; 3]>,
    region_of_interest: Option<Arc<Mask>>,
}

impl Shape {
    fn of(batch: &FeatureBatch) -> Self {
        Self {
            height: batch.height,
            width: batch.width,
            maps: batch.maps.iter().map(|map| [map.channels, map.height, map.width]).collect(),
            region_of_interest: batch.region_of_interest.clone(),
        }
    }

    /// Values of one image.
    fn length(&self) -> usize {
        self.maps.iter().map(|sizes| sizes.iter().product::<usize>()).sum()
    }
}

impl<'a> CachingSet<'a> {
    pub(crate) fn new(loaded: &'a LoadedSet<'a>, limits: CacheLimits) -> Self {
        Self { loaded, limits, state: Mutex::new(State::Empty) }
    }

    pub(crate) fn loaded(&self) -> &'a LoadedSet<'a> {
        self.loaded
    }

    /// Whether the features of a whole pass were too many to keep.
    pub(crate) fn has_declined(&self) -> bool {
        matches!(self.state(), State::Declined)
    }

    /// Whether a pass has left features that later ones need not extract.
    pub(crate) fn has_kept(&self) -> bool {
        matches!(self.state(), State::Kept(_))
    }

    /// Some of the images, as a training set of their own.
    pub(crate) fn subset(&'a self, indices: &'a [usize]) -> Subset<'a> {
        Subset { set: self, indices }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A pass that runs the backbone and keeps what it gives.
    fn record(
        &self,
        backbone: &Backbone,
        shuffle_seed: Option<u64>,
        each: &mut EachFeatures<'_>,
    ) -> Result<(), Error> {
        let mut store = Some(RowStore::new(1, Some(self.limits.in_memory), self.limits.folder.as_deref()));
        let mut images: Vec<Option<Entry>> = vec![None; self.len()];
        let (mut start, mut shape): (usize, Option<Arc<Shape>>) = (0, None);
        self.loaded.for_each_batch(shuffle_seed, &mut |indices, batch| {
            let features = FeatureBatch::extract(backbone, batch)?;
            let this = Shape::of(&features);
            let shape: &Arc<Shape> = match &mut shape {
                Some(known) if **known == this => known,
                other => other.insert(Arc::new(this)),
            };
            // Judged by the first batch, so that hours of extraction do not end in a full disk.
            let expected = (shape.length() * self.len() * size_of::<f32>()) as u64;
            if store.is_some() && expected.max((start * size_of::<f32>()) as u64) > self.limits.largest {
                store = None;
            }
            if let Some(writer) = &mut store {
                for &index in indices {
                    images[index] = Some(Entry { start, shape: shape.clone() });
                    start += shape.length();
                }
                if let Err(error) = keep(writer, &features) {
                    self.warn(&error);
                    store = None;
                }
            }
            each(indices, &features)
        })?;
        let kept = match store.map(RowStore::finish) {
            Some(Ok(values)) => State::Kept(Arc::new(Kept { values, images })),
            Some(Err(error)) => {
                self.warn(&error);
                State::Declined
            }
            None => State::Declined,
        };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }

    /// Keeping features saves time only, so a full disk does not end the fit.
    fn warn(&self, error: &Error) {
        self.loaded.observer().warn(&format!(
            "feature maps are not kept, so fewer images calibrate: {error}; another folder may have room (--scratch)"
        ));
    }

    /// A pass over what was kept of some images; `each` gets positions in `indices`.
    fn replay(
        &self,
        kept: &Kept,
        indices: &[usize],
        shuffle_seed: Option<u64>,
        each: &mut EachFeatures<'_>,
    ) -> Result<(), Error> {
        let mut pending: Vec<(usize, &Entry)> = Vec::new();
        let mut deliver = |pending: &mut Vec<(usize, &Entry)>| {
            if self.loaded.observer().is_cancelled() {
                return Err(Error::Interrupted);
            }
            let positions: Vec<usize> = pending.iter().map(|(position, _)| *position).collect();
            let entries: Vec<&Entry> = pending.drain(..).map(|(_, entry)| entry).collect();
            let batch = kept.assemble(&entries);
            // What was copied out of the file need not stay in memory.
            kept.values.release();
            batch.map_or(Ok(()), |batch| each(&positions, &batch))
        };
        for position in order_of(indices.len(), shuffle_seed) {
            let Some(entry) = &kept.images[indices[position]] else { continue };
            // Images of different sizes come in batches of their own.
            let is_other = pending.last().is_some_and(|(_, last)| last.shape != entry.shape);
            if is_other || pending.len() == self.loaded.batch_size() {
                deliver(&mut pending)?;
            }
            pending.push((position, entry));
        }
        deliver(&mut pending)
    }
}

/// Appends the maps of every image of a batch, one image after the other.
fn keep(store: &mut RowStore, features: &FeatureBatch) -> Result<(), Error> {
    for at in 0..features.count {
        for map in &features.maps {
            let length = map.data.len() / features.count;
            store.push(&map.data[at * length..][..length])?;
        }
    }
    Ok(())
}

impl Kept {
    /// A batch of images of one shape; `None` of none.
    fn assemble(&self, entries: &[&Entry]) -> Option<FeatureBatch> {
        let shape = &entries.first()?.shape;
        let values = self.values.as_slice();
        let mut before = 0;
        let maps = shape.maps.iter().map(|&[channels, height, width]| {
            let length = channels * height * width;
            let mut data = Vec::with_capacity(entries.len() * length);
            for entry in entries {
                data.extend_from_slice(&values[entry.start + before..][..length]);
            }
            before += length;
            FeatureMap { channels, height, width, data }
        });
        Some(FeatureBatch {
            count: entries.len(),
            height: shape.height,
            width: shape.width,
            maps: maps.collect(),
            region_of_interest: shape.region_of_interest.clone(),
        })
    }
}

impl TrainingSet for CachingSet<'_> {
    fn len(&self) -> usize {
        self.loaded.len()
    }

    fn category(&self, index: usize) -> &str {
        self.loaded.category(index)
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        self.loaded.for_each_batch(shuffle_seed, each)
    }

    fn for_each_features(
        &self,
        backbone: &Backbone,
        shuffle_seed: Option<u64>,
        each: &mut EachFeatures<'_>,
    ) -> Result<(), Error> {
        match self.state() {
            State::Empty => self.record(backbone, shuffle_seed, each),
            State::Kept(kept) => self.replay(&kept, &(0..self.len()).collect::<Vec<_>>(), shuffle_seed, each),
            State::Declined => self.loaded.for_each_features(backbone, shuffle_seed, each),
        }
    }
}

/// Some of the images of a caching set.
pub(crate) struct Subset<'a> {
    set: &'a CachingSet<'a>,
    indices: &'a [usize],
}

impl TrainingSet for Subset<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn category(&self, index: usize) -> &str {
        self.set.category(self.indices[index])
    }

    fn for_each_batch(&self, shuffle_seed: Option<u64>, each: &mut EachBatch<'_>) -> Result<(), Error> {
        self.set.loaded.for_each_batch_of(self.indices, shuffle_seed, each)
    }

    fn for_each_features(
        &self,
        backbone: &Backbone,
        shuffle_seed: Option<u64>,
        each: &mut EachFeatures<'_>,
    ) -> Result<(), Error> {
        match self.set.state() {
            State::Kept(kept) => self.set.replay(&kept, self.indices, shuffle_seed, each),
            _ => self.for_each_batch(shuffle_seed, &mut |indices, batch| {
                each(indices, &FeatureBatch::extract(backbone, batch)?)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::FitOptions;
    use blemish_data::synth::{Look, SynthOptions, write_synthetic_set};
    use blemish_data::{Transform, open_dataset};
    use blemish_features::{BackboneSpec, EngineOptions};

    /// What a pass gives: for every image its index and values.
    fn pass(set: &dyn TrainingSet, backbone: &Backbone, seed: Option<u64>) -> Vec<(usize, Vec<f32>)> {
        let mut all = Vec::new();
        set.for_each_features(backbone, seed, &mut |indices, batch| {
            for (at, &index) in indices.iter().enumerate() {
                let maps = batch.maps.iter().flat_map(|map| {
                    let length = map.data.len() / batch.count;
                    map.data[at * length..][..length].to_vec()
                });
                all.push((index, maps.collect()));
            }
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn later_passes_give_the_same_values_and_need_no_images() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("set");
        let size = SynthOptions {
            train: 5,
            test_good: 1,
            test_per_defect: 1,
            height: 64,
            width: 64,
            ..SynthOptions::new(Look::Fabric)
        };
        write_synthetic_set(&root, &size, &|_, _| {}).unwrap();
        let mut dataset = open_dataset(&root, &Default::default()).unwrap();
        std::fs::write(&dataset.train[3].path, "broken").unwrap();
        dataset.test.clear();
        let transform = Arc::new(Transform::resize_to(64, 64));
        let options = FitOptions { batch_size: 2, skip_bad: true, ..FitOptions::default() };
        let loaded = LoadedSet::new(&dataset, &transform, &options);
        let backbone = Backbone::load(&BackboneSpec::default(), &[8, 16], &EngineOptions::default()).unwrap();
        let limits = |in_memory, largest| CacheLimits { in_memory, largest, folder: None };
        let full = CacheLimits { folder: Some("/nowhere/at/all".into()), ..limits(0, u64::MAX) };
        let sets = [limits(u64::MAX, u64::MAX), limits(0, u64::MAX), limits(u64::MAX, 0), full]
            .map(|limits| CachingSet::new(&loaded, limits));
        let first = pass(&sets[0], &backbone, None);
        assert_eq!(first.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 4]);
        // The first pass may be shuffled: what is kept is known by its image.
        let mut spilled = pass(&sets[1], &backbone, Some(1));
        spilled.sort_unstable_by_key(|(index, _)| *index);
        assert_eq!((&spilled, loaded.usable()), (&first, vec![0, 1, 2, 4]));
        assert_eq!(pass(&sets[2], &backbone, None), first);
        assert!(sets[2].has_declined() && !sets[1].has_declined());
        assert_eq!(pass(&sets[2], &backbone, None), first, "what is not kept is extracted again");
        assert_eq!(pass(&sets[3], &backbone, None), first, "a disk that cannot be written ends nothing");
        assert!(sets[3].has_declined());

        std::fs::remove_dir_all(&root).unwrap();
        for set in &sets[..2] {
            assert_eq!(pass(set, &backbone, None), first);
            assert_eq!(pass(set, &backbone, Some(5)).len(), 4);
            let part = pass(&set.subset(&[4, 1]), &backbone, None);
            assert_eq!(part, [(0, first[3].1.clone()), (1, first[1].1.clone())]);
        }
    }
}

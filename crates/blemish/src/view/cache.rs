//! Feature maps of training images, kept from the first pass for all later ones.
//!
//! The backbone is frozen, so its maps of an image are the same in every fit: the model's own, those of the folds, every epoch. They
//! stay in memory up to a limit and go to an unnamed temporary file beyond it; if even that would grow past the limit of all, nothing is
//! kept and every pass runs the backbone again. What decides are counts and bytes, so the same images always end alike.

use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::limits::CacheLimits;
use blemish_core::rows::{RowStore, Rows};
use blemish_data::Mask;
use blemish_features::FeatureMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What takes a batch of feature maps, with a number of each piece.
pub(super) type EachMaps<'a> = dyn FnMut(&[usize], &FeatureBatch) -> Result<(), Error> + 'a;

/// Room for the feature maps of the pieces (whole images or tiles) of a training set.
pub(super) struct Cache {
    limits: CacheLimits,
    state: Mutex<State>,
}

#[derive(Clone)]
enum State {
    /// No pass over features has ended yet.
    Empty,
    Kept(Arc<Kept>),
    /// Too large to be kept; why, in words.
    Declined(String),
}

/// Feature maps of all pieces.
pub(super) struct Kept {
    values: Rows,
    /// By piece; `None` for one that was not seen: it cannot be read, or lies outside the region of interest.
    pieces: Vec<Option<Entry>>,
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

    /// Values of one piece.
    fn length(&self) -> usize {
        self.maps.iter().map(|sizes| sizes.iter().product::<usize>()).sum()
    }
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self { limits, state: Mutex::new(State::Empty) }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no pass over features has ended yet.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.state(), State::Empty)
    }

    /// Why the features of a whole pass were not kept, if they were not.
    pub(super) fn declined(&self) -> Option<String> {
        match self.state() {
            State::Declined(reason) => Some(reason),
            State::Empty | State::Kept(_) => None,
        }
    }

    /// What a pass has left, if it has.
    pub(super) fn kept(&self) -> Option<Arc<Kept>> {
        match self.state() {
            State::Kept(kept) => Some(kept),
            State::Empty | State::Declined(_) => None,
        }
    }

    /// Begins a pass over `pieces` pieces that keeps what it sees.
    pub(super) fn record(&self, pieces: usize) -> Recorder<'_> {
        let store = RowStore::new(1, Some(self.limits.in_memory), self.limits.folder.as_deref());
        Recorder { cache: self, store: Ok(store), pieces: vec![None; pieces], start: 0, shape: None }
    }
}

/// A pass that keeps what it sees.
pub(super) struct Recorder<'a> {
    cache: &'a Cache,
    /// Or why nothing is kept.
    store: Result<RowStore, String>,
    pieces: Vec<Option<Entry>>,
    start: usize,
    shape: Option<Arc<Shape>>,
}

impl Recorder<'_> {
    /// Keeps the maps of a batch of pieces with these numbers.
    pub(super) fn keep(&mut self, numbers: &[usize], features: &FeatureBatch) {
        let Ok(store) = &mut self.store else { return };
        let this = Shape::of(features);
        let shape = match &self.shape {
            Some(known) if **known == this => known.clone(),
            _ => self.shape.insert(Arc::new(this)).clone(),
        };
        // Judged by the first batch, so that hours of extraction do not end in a full disk.
        let expected = (shape.length() * self.pieces.len() * size_of::<f32>()) as u64;
        let found = expected.max((self.start * size_of::<f32>()) as u64);
        if found > self.cache.limits.largest {
            let gib = |bytes: u64| bytes as f64 / f64::from(1u32 << 30);
            self.store = Err(format!(
                "they would take {:.1} GiB, and {:.1} GiB are kept at most",
                gib(found),
                gib(self.cache.limits.largest)
            ));
            return;
        }
        for &number in numbers {
            self.pieces[number] = Some(Entry { start: self.start, shape: shape.clone() });
            self.start += shape.length();
        }
        // Keeping features saves time only, so a full disk does not end the fit.
        if let Err(error) = append(store, features) {
            self.store = Err(format!("{error}; another folder for temporary files may have room"));
        }
    }

    /// Ends the pass.
    pub(super) fn finish(self) {
        let kept = self.store.and_then(|store| store.finish().map_err(|error| error.to_string()));
        let state = match kept {
            Ok(values) => State::Kept(Arc::new(Kept { values, pieces: self.pieces })),
            Err(reason) => State::Declined(reason),
        };
        *self.cache.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// Appends the maps of every piece of a batch, one piece after the other.
fn append(store: &mut RowStore, features: &FeatureBatch) -> Result<(), Error> {
    for at in 0..features.count {
        for map in &features.maps {
            let length = map.data.len() / features.count;
            store.push(&map.data[at * length..][..length])?;
        }
    }
    Ok(())
}

impl Kept {
    /// Whether all of these pieces are kept.
    pub(super) fn has_all(&self, mut numbers: impl Iterator<Item = usize>) -> bool {
        numbers.all(|number| self.pieces.get(number).is_some_and(Option::is_some))
    }

    /// Hands on batches of up to `batch_size` of the pieces that `order` gives as (position, number); `each` gets positions. Pieces of
    /// different shapes come in batches of their own.
    pub(super) fn replay(
        &self,
        order: impl Iterator<Item = (usize, usize)>,
        batch_size: usize,
        each: &mut EachMaps<'_>,
    ) -> Result<(), Error> {
        let mut pending: Vec<(usize, &Entry)> = Vec::new();
        let mut deliver = |pending: &mut Vec<(usize, &Entry)>| {
            let positions: Vec<usize> = pending.iter().map(|(position, _)| *position).collect();
            let entries: Vec<&Entry> = pending.drain(..).map(|(_, entry)| entry).collect();
            let batch = self.assemble(&entries);
            // What was copied out of the file need not stay in memory.
            self.values.release();
            batch.map_or(Ok(()), |batch| each(&positions, &batch))
        };
        for (position, number) in order {
            let Some(entry) = &self.pieces[number] else { continue };
            let is_other = pending.last().is_some_and(|(_, last)| last.shape != entry.shape);
            if is_other || pending.len() == batch_size {
                deliver(&mut pending)?;
            }
            pending.push((position, entry));
        }
        deliver(&mut pending)
    }

    /// A batch of pieces of one shape; `None` of none.
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

//! Frames of sequences (videos, scans): in the order of time, kept together, with the frames before each.

use super::{Facts, Moment, Source};
use crate::error::DataError;
use crate::mask::Mask;
use crate::natural::natural_order;
use crate::reader::{ReadOptions, RgbImage};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The images of a source as frames of sequences, one sequence after another, each in the natural order of names (`frame2` before
/// `frame10`). Every frame has a [`Moment`], and its group is its sequence, so that folds keep a sequence together.
pub struct Frames<S> {
    images: S,
    /// Index here to index in `images`.
    order: Vec<usize>,
    facts: Vec<Facts>,
    names: Vec<String>,
    sequences: Vec<Range<usize>>,
}

impl<S: Source> Frames<S> {
    /// One sequence a folder: the frames of a video lie together in one folder.
    ///
    /// # Errors
    /// [`DataError::Setting`] for more frames or sequences than 32 bits count.
    pub fn by_folder(images: S) -> Result<Self, DataError> {
        let folder_of = |facts: &Facts| {
            let folder = Path::new(&facts.name).parent().unwrap_or(Path::new(""));
            Ok(folder.to_string_lossy().into_owned())
        };
        Self::by(images, folder_of)
    }

    /// One sequence a [`Facts::group`].
    ///
    /// # Errors
    /// [`DataError::Setting`] naming an image without a group.
    pub fn by_group(images: S) -> Result<Self, DataError> {
        let group_of = |facts: &Facts| {
            facts.group.clone().ok_or_else(|| {
                let reason = "has no group; name the sequence of every frame in its group";
                DataError::Setting(format!("image `{}` {reason}", facts.name))
            })
        };
        Self::by(images, group_of)
    }

    fn by(images: S, sequence_of: impl Fn(&Facts) -> Result<String, DataError>) -> Result<Self, DataError> {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for index in 0..images.len() {
            by_name.entry(sequence_of(images.facts(index))?).or_default().push(index);
        }
        let mut by_name: Vec<(String, Vec<usize>)> = by_name.into_iter().collect();
        by_name.sort_by(|(one, _), (other, _)| natural_order(one, other));
        let (mut order, mut facts) = (Vec::with_capacity(images.len()), Vec::with_capacity(images.len()));
        let (mut names, mut sequences) = (Vec::new(), Vec::new());
        for (sequence, (name, mut indices)) in (0..).zip(by_name) {
            indices.sort_by(|&one, &other| natural_order(&images.facts(one).name, &images.facts(other).name));
            sequences.push(order.len()..order.len() + indices.len());
            for (frame, &index) in (0..).zip(&indices) {
                let moment = Some(Moment { sequence: counted(sequence)?, frame: counted(frame)? });
                facts.push(Facts { group: Some(name.clone()), moment, ..images.facts(index).clone() });
            }
            order.extend(indices);
            names.push(name);
        }
        Ok(Self { images, order, facts, names, sequences })
    }

    /// The names of the sequences, in natural order: their folders or groups.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The frames of each sequence, in the order of time.
    pub fn sequences(&self) -> &[Range<usize>] {
        &self.sequences
    }
}

fn counted(number: usize) -> Result<u32, DataError> {
    u32::try_from(number)
        .map_err(|_| DataError::Setting("there are more than 2^32 frames; split the data".into()))
}

impl<S: Source> Source for Frames<S> {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        &self.facts[index]
    }

    fn categories(&self) -> &[String] {
        self.images.categories()
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        self.images.size(self.order[index], options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        self.images.read(self.order[index], options)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.images.mask(self.order[index])
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        self.images.mask_name(self.order[index])
    }

    /// Never crosses the border of a sequence: before the first frame stands the first frame, so that every frame has a clip.
    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        // Every frame was given a moment above.
        let age = self.facts[index].moment.map_or(0, |moment| moment.frame as usize);
        (0..length).rev().map(|back| index - back.min(age)).collect()
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        self.images.digest(self.order[index])
    }
}

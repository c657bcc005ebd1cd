//! Image files, of one category or several.

use super::{Facts, Moment, Source};
use crate::digest::file_digest;
use crate::error::DataError;
use crate::ground_truth::read_union;
use crate::layout::{Dataset, Label, Layout, Sample};
use crate::mask::Mask;
use crate::names::text_of;
use crate::reader::{ReadOptions, RgbImage, read_image, read_size};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Images that are files; each is opened when it is asked for.
#[derive(Clone, Debug)]
pub struct Files {
    samples: Vec<Sample>,
    facts: Vec<Facts>,
    categories: Vec<String>,
    /// Masks read so far whose values above half were taken.
    soft_masks: Arc<AtomicUsize>,
}

impl Files {
    /// Files in the order given, of that category where they do not know their own.
    pub fn new(samples: impl Into<Vec<Sample>>, category: &str) -> Self {
        let samples = samples.into();
        let categories = names_in(&samples, category);
        Self::of_categories(samples, categories, category, false)
    }

    /// Frames of videos, in the order of [`in_sequences`](crate::layout::in_sequences): those of a group one after another.
    pub fn frames(samples: impl Into<Vec<Sample>>, category: &str) -> Self {
        let samples = samples.into();
        let categories = names_in(&samples, category);
        Self::of_categories(samples, categories, category, true)
    }

    /// Samples that count in these categories; those that do not know theirs are of `category`.
    fn of_categories(
        samples: Vec<Sample>,
        categories: Vec<String>,
        category: &str,
        are_frames: bool,
    ) -> Self {
        let (facts, soft_masks) = (Vec::new(), Arc::default());
        let mut files = Self { samples: Vec::new(), facts, categories, soft_masks };
        files.add(samples, category, are_frames);
        files
    }

    /// The training images of a dataset. They and the test images count in the same categories.
    pub fn training(dataset: &Dataset) -> Self {
        Self::of(dataset, &dataset.train)
    }

    /// The test images of a dataset.
    pub fn test(dataset: &Dataset) -> Self {
        Self::of(dataset, &dataset.test)
    }

    fn of(dataset: &Dataset, samples: &[Sample]) -> Self {
        let are_frames = dataset.layout == Layout::Videos;
        Self::of_categories(samples.to_vec(), dataset.categories(), &dataset.category, are_frames)
    }

    /// The training images and the test images of several categories, one dataset after another. Both know all categories, in the
    /// order of the datasets; datasets of one name are one category.
    ///
    /// # Errors
    /// [`DataError::Setting`] if there are no datasets.
    pub fn of_datasets(datasets: &[Dataset]) -> Result<(Self, Self), DataError> {
        if datasets.is_empty() {
            return Err(DataError::Setting("there are no datasets; give at least one".into()));
        }
        let mut categories: Vec<String> = Vec::new();
        for name in datasets.iter().flat_map(Dataset::categories) {
            if !categories.contains(&name) {
                categories.push(name);
            }
        }
        let mut train =
            Self { samples: Vec::new(), facts: Vec::new(), categories, soft_masks: Arc::default() };
        let mut test = Self { soft_masks: Arc::default(), ..train.clone() };
        for dataset in datasets {
            let are_frames = dataset.layout == Layout::Videos;
            train.add(dataset.train.clone(), &dataset.category, are_frames);
            test.add(dataset.test.clone(), &dataset.category, are_frames);
        }
        Ok((train, test))
    }

    fn add(&mut self, samples: Vec<Sample>, category: &str, are_frames: bool) {
        for (at, sample) in samples.iter().enumerate() {
            let moment = are_frames.then(|| {
                let last = self.facts.last().and_then(|facts| facts.moment);
                let goes_on = at > 0 && samples[at - 1].group == sample.group;
                match last {
                    Some(last) if goes_on => Moment { frame: last.frame.saturating_add(1), ..last },
                    Some(last) => Moment { sequence: last.sequence.saturating_add(1), frame: 0 },
                    None => Moment { sequence: 0, frame: 0 },
                }
            });
            let own = sample.category.as_deref().unwrap_or(category);
            self.facts.push(Facts {
                name: text_of(&sample.path),
                label: sample.label,
                defect: sample.defect.clone(),
                category: self.categories.iter().position(|name| name == own).unwrap_or_default(),
                group: sample.group.clone(),
                moment,
            });
        }
        self.samples.extend(samples);
    }

    /// How many images had masks with a spread of grey values when these were read last, of which the values above half were taken; a
    /// mask that is read twice counts twice.
    pub fn soft_masks(&self) -> usize {
        self.soft_masks.load(Ordering::Relaxed)
    }

    /// The files as they were given.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

/// The categories of samples, sorted; those that do not know theirs are of the given one.
fn names_in(samples: &[Sample], category: &str) -> Vec<String> {
    let mut names: Vec<String> =
        samples.iter().map(|sample| sample.category.as_deref().unwrap_or(category).to_owned()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() { vec![category.to_owned()] } else { names }
}

impl Source for Files {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        &self.facts[index]
    }

    fn categories(&self) -> &[String] {
        &self.categories
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        read_size(&self.samples[index].path, options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        read_image(&self.samples[index].path, options).map(Arc::new)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let sample = &self.samples[index];
        let Some((mask, soft)) = read_union(&sample.masks)? else { return Ok(None) };
        if soft > 0 {
            self.soft_masks.fetch_add(1, Ordering::Relaxed);
        }
        match sample.label == Label::Defective && !mask.marked.contains(&true) {
            true => Err(DataError::EmptyMask { image: sample.path.clone(), mask: sample.masks[0].clone() }),
            false => Ok(Some(mask)),
        }
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        self.samples[index].masks.first().map(|path| text_of(path))
    }

    /// Never crosses the border of a sequence: before the first frame stands the first frame.
    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        let age = self.facts[index].moment.map_or(0, |moment| moment.frame as usize);
        (0..length).rev().map(|back| index - back.min(age)).collect()
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        file_digest(&self.samples[index].path)
    }
}

//! Image files, of one category or several.

use super::{Facts, Source};
use crate::digest::file_digest;
use crate::error::DataError;
use crate::ground_truth::read_union;
use crate::layout::{Dataset, Label, Sample};
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
    /// Files of one category, in the order given.
    pub fn new(samples: impl Into<Vec<Sample>>, category: &str) -> Self {
        let mut files = Self {
            samples: Vec::new(),
            facts: Vec::new(),
            categories: vec![category.to_owned()],
            soft_masks: Arc::default(),
        };
        files.add(samples.into(), 0);
        files
    }

    /// The training images of a dataset.
    pub fn training(dataset: &Dataset) -> Self {
        Self::new(dataset.train.as_slice(), &dataset.category)
    }

    /// The test images of a dataset.
    pub fn test(dataset: &Dataset) -> Self {
        Self::new(dataset.test.as_slice(), &dataset.category)
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
        let numbers: Vec<usize> = datasets
            .iter()
            .map(|dataset| {
                let known = categories.iter().position(|name| *name == dataset.category);
                known.unwrap_or_else(|| {
                    categories.push(dataset.category.clone());
                    categories.len() - 1
                })
            })
            .collect();
        let mut train =
            Self { samples: Vec::new(), facts: Vec::new(), categories, soft_masks: Arc::default() };
        let mut test = Self { soft_masks: Arc::default(), ..train.clone() };
        for (dataset, category) in datasets.iter().zip(numbers) {
            train.add(dataset.train.clone(), category);
            test.add(dataset.test.clone(), category);
        }
        Ok((train, test))
    }

    fn add(&mut self, samples: Vec<Sample>, category: usize) {
        self.facts.extend(samples.iter().map(|sample| Facts {
            name: text_of(&sample.path),
            label: sample.label,
            defect: sample.defect.clone(),
            category,
            group: sample.group.clone(),
            moment: None,
        }));
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

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        file_digest(&self.samples[index].path)
    }
}

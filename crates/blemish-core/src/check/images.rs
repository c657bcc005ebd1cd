//! The images that methods are tried on.

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::input::Input;
use crate::method::{EachInput, Pass, TrainingSet};
use crate::observer::{Observer, Silent};
use blemish_data::loader::order_of;
use blemish_data::{Facts, ImageBatch, Label, Moment};
use blemish_features::Backbone;
use std::ops::Range;
use std::sync::Arc;

/// Stripes that lie a little differently in every image, with noise; a defective image has a bright patch.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Height and width of the images, in pixels; a multiple of 32.
    pub side: usize,
    /// Good images to learn from.
    pub count: usize,
}

impl Default for Scene {
    fn default() -> Self {
        Self { side: 96, count: 6 }
    }
}

impl Scene {
    /// 3 x side x side values in [0, 1].
    pub fn image(&self, number: usize, is_defective: bool) -> Vec<f32> {
        let (side, (rows, columns)) = (self.side, self.defect());
        let plane: Vec<f32> = (0..side * side)
            .map(|at| {
                let (y, x) = (at / side, at % side);
                let noise = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0 * 0.05;
                let stripes = 0.4 + 0.2 * ((x + 2 * number) as f32 * 0.4).sin();
                let is_inside = is_defective && rows.contains(&y) && columns.contains(&x);
                if is_inside { 0.95 - noise } else { stripes + noise }
            })
            .collect();
        plane.repeat(3)
    }

    /// The good images to learn from.
    pub fn good(&self) -> Vec<((usize, usize), Vec<f32>)> {
        (0..self.count).map(|number| ((self.side, self.side), self.image(number, false))).collect()
    }

    /// Rows and columns of the defect.
    pub fn defect(&self) -> (Range<usize>, Range<usize>) {
        let part = self.side / 32;
        (10 * part..18 * part, 14 * part..22 * part)
    }

    /// Whether a pixel (y, x) lies in the defect or near it.
    pub(super) fn is_near_defect(&self, (y, x): (usize, usize)) -> bool {
        let (rows, columns) = self.defect();
        let near = |range: Range<usize>, at: usize| {
            (range.start..range.end + self.side / 4).contains(&(at + self.side / 8))
        };
        near(rows, y) && near(columns, x)
    }
}

/// Good images in memory as a training set, and the backbone whose maps a pass may ask for.
///
/// Clips are of one sequence, in the order given. Images may differ in size.
pub struct Images<'a> {
    images: Vec<((usize, usize), Vec<f32>)>,
    facts: Vec<Facts>,
    categories: Vec<String>,
    backbone: Option<Arc<Backbone>>,
    clip: usize,
    batch: usize,
    observer: &'a dyn Observer,
}

impl<'a> Images<'a> {
    /// Images of height x width, 3 x height x width values each.
    pub fn new(images: Vec<((usize, usize), Vec<f32>)>, backbone: Option<Arc<Backbone>>) -> Self {
        let facts =
            (0..images.len()).map(|number| Facts::new(format!("image {number}"), Label::Good)).collect();
        let categories = vec!["images".to_owned()];
        Self { images, facts, categories, backbone, clip: 1, batch: 1, observer: &Silent }
    }

    /// The same as clips of so many frames; 1 is single images.
    pub fn in_clips(mut self, clip: usize) -> Self {
        self.clip = clip.max(1);
        for (frame, facts) in (0..).zip(&mut self.facts) {
            facts.moment = (self.clip > 1).then_some(Moment { sequence: 0, frame });
        }
        self
    }

    /// The same in batches of so many images; those of a batch have one size.
    pub fn in_batches(self, batch: usize) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// The same, passed over until the observer cancels.
    pub fn watched<'b>(self, observer: &'b dyn Observer) -> Images<'b> {
        let Self { images, facts, categories, backbone, clip, batch, .. } = self;
        Images { images, facts, categories, backbone, clip, batch, observer }
    }

    /// The clips of some images, N x T x 3 x H x W.
    fn batch_of(&self, numbers: &[usize]) -> ImageBatch {
        let (height, width) = numbers.first().map_or((0, 0), |&first| self.images[first].0);
        let frames = |&number: &usize| {
            let before = move |back: usize| number.saturating_sub(back);
            // A frame of another size cannot stand before this one.
            let fits = move |frame: &usize| self.images[*frame].0 == self.images[number].0;
            (0..self.clip).rev().map(move |back| Some(before(back)).filter(fits).unwrap_or(number))
        };
        let pixels = numbers.iter().flat_map(frames).flat_map(|frame| self.images[frame].1.iter().copied());
        let single = ImageBatch::new(numbers.len(), height, width, pixels.collect(), None);
        ImageBatch { frames: self.clip, ..single }
    }

    /// Batches of images of one size, in the order given.
    fn batches(&self, order: &[usize]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for &number in order {
            match batches.last_mut() {
                Some(last) if last.len() < self.batch && self.images[last[0]].0 == self.images[number].0 => {
                    last.push(number);
                }
                _ => batches.push(vec![number]),
            }
        }
        batches
    }

    /// Gives `each` the images of `numbers` as one batch.
    ///
    /// # Errors
    /// [`Error::Features`]; what `each` returns.
    pub fn with<T>(
        &self,
        numbers: &[usize],
        pass: Pass,
        each: impl FnOnce(&Input<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let batch = self.batch_of(numbers);
        let maps = match (&self.backbone, pass.reads.maps()) {
            (Some(backbone), true) => Some(FeatureBatch::extract(backbone, &batch)?),
            _ => None,
        };
        let facts: Vec<&Facts> = numbers.iter().map(|&number| &self.facts[number]).collect();
        let images = pass.reads.images().then_some(&batch);
        each(&Input {
            indices: numbers,
            facts: &facts,
            categories: &self.categories,
            images,
            maps: maps.as_ref(),
        })
    }
}

impl TrainingSet for Images<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn categories(&self) -> &[String] {
        &self.categories
    }

    fn for_each(&self, pass: Pass, each: &mut EachInput<'_>) -> Result<(), Error> {
        for numbers in self.batches(&order_of(self.images.len(), pass.shuffle)) {
            self.observer.check_cancelled()?;
            self.with(&numbers, pass, |input| each(input))?;
        }
        Ok(())
    }
}

//! What is learned from: good images, every second one with a made-up defect on the product.

use super::config::{MemSegConfig, NAME};
use super::foreground::{Foregrounds, median_image};
use crate::shared::defects::{DefectSample, Maker, digest_of, textures};
use crate::shared::kept::{Kept, Planes};
use crate::shared::sheet::sheet;
use crate::shared::trainer::batch_of;
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_data::synth::kit::{Simulation, Textures};
use rayon::prelude::*;

/// Defective samples in the picture of the foreground.
const SHOWN: u64 = 4;

/// The good images, and what defects are made of.
pub(super) struct Samples {
    pub(super) images: Kept,
    maker: OnProduct,
}

/// Lays simulated defects over the product.
struct OnProduct {
    simulation: Simulation,
    textures: Textures,
    foregrounds: Foregrounds,
    seed: u64,
}

impl Maker for OnProduct {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn lay(&self, good: &[f32], size: (usize, usize), number: u64) -> DefectSample {
        // Good samples need no mask, and finding it takes time.
        if number.is_multiple_of(2) {
            return DefectSample::of(good, None);
        }
        let mask = self.foregrounds.mask(good);
        let textures = Some(&self.textures);
        DefectSample::of(
            good,
            self.simulation.simulate(good, size, (self.seed, number), textures, Some(&mask)),
        )
    }
}

impl Samples {
    /// Reads the images, finds the product, reads or makes the textures; shows the observer what came of it.
    ///
    /// # Errors
    /// As [`Kept::collect`], [`Foregrounds::of`] and [`textures`].
    pub(super) fn collect(
        config: &MemSegConfig,
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let mut region = None;
        let images = Kept::collect(NAME, good, Pass::IMAGES, context, "reading images", |input| {
            let batch = input.images()?;
            region.get_or_insert_with(|| batch.region_of_interest.clone());
            Ok(vec![Planes::of_images(batch)])
        })?;
        let region = region.flatten().map(|region| (*region).clone());
        let size = images.sizes()[0].grid();
        let median = median_image(&images);
        let foregrounds = Foregrounds::of(config, &images, &median, region)?;
        let textures = textures(NAME, size, context)?;
        let maker = OnProduct { simulation: config.simulation(), textures, foregrounds, seed: context.seed };
        let samples = Self { images, maker };
        samples.show(&median, context);
        Ok(samples)
    }

    /// Height and width.
    pub(super) fn size(&self) -> (usize, usize) {
        self.images.sizes()[0].grid()
    }

    /// Of images and textures.
    pub(super) fn digest(&self) -> u32 {
        self.images.digest() ^ digest_of(&self.maker.textures).rotate_left(1)
    }

    /// Sample number `number` and the good image that it is made of: each once in as many samples as there are images.
    fn sample(&self, number: u64) -> (usize, DefectSample) {
        let image = batch_of(number, self.images.len(), 1, self.maker.seed)[0];
        (image, self.maker.lay(self.images.row(0, image), self.size(), number))
    }

    /// The samples of step number `step`, made on all threads.
    pub(super) fn batch(&self, step: u64, count: usize) -> Vec<(usize, DefectSample)> {
        let first = step.wrapping_mul(count as u64);
        (0..count as u64).into_par_iter().map(|at| self.sample(first.wrapping_add(at))).collect()
    }

    /// Gives the observer a picture: the median image and its foreground, then defective samples and their masks, a row each.
    fn show(&self, median: &[f32], context: &FitContext<'_>) {
        let (height, width) = self.size();
        let plane = height * width;
        let dimmed = |image: &[f32], mask: &[bool]| -> Vec<f32> {
            let dim = |(at, value): (usize, &f32)| if mask[at % plane] { *value } else { value * 0.25 };
            image.iter().enumerate().map(dim).collect()
        };
        let mut rows = vec![vec![median.to_vec(), dimmed(median, &self.maker.foregrounds.mask(median))]];
        for number in (1..).step_by(2).take(SHOWN as usize) {
            let (_, sample) = self.sample(number);
            rows.push(vec![sample.image, sample.mask.repeat(3)]);
        }
        let (size, planes) = sheet(&rows, (height, width));
        let name = format!("{NAME}-foreground");
        context.observer.picture(&name, size, &planes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Images;

    const SIDE: usize = 64;

    /// A bright square on black, of another brightness in every image.
    fn image(number: usize) -> ((usize, usize), Vec<f32>) {
        let is_inside = |at: usize| (16..48).contains(&(at / SIDE)) && (16..48).contains(&(at % SIDE));
        let bright = 0.6 + 0.02 * number as f32;
        let grey = |at: usize| if is_inside(at) { bright - 0.3 * (at % 7) as f32 / 7.0 } else { 0.05 };
        ((SIDE, SIDE), (0..SIDE * SIDE).map(grey).collect::<Vec<_>>().repeat(3))
    }

    fn samples(config: &MemSegConfig) -> Result<Samples, Error> {
        let images = Images::new((0..5).map(image).collect(), None);
        Samples::collect(config, &images, &FitContext::new(3, None))
    }

    #[test]
    fn every_second_sample_has_a_defect_and_it_lies_on_the_product() {
        let samples = samples(&MemSegConfig::default()).unwrap();
        let mut defective = 0;
        for number in 0..40 {
            let (image, DefectSample { good, image: changed, mask }) = samples.sample(number);
            assert_eq!(good, samples.images.row(0, image));
            let plane = SIDE * SIDE;
            let differs =
                |at: usize| (0..3).any(|channel| good[channel * plane + at] != changed[channel * plane + at]);
            for at in 0..plane {
                let is_product = (15..49).contains(&(at / SIDE)) && (15..49).contains(&(at % SIDE));
                assert!(mask[at] == 0.0 || is_product, "{number}: {at}");
                assert!(mask[at] == 1.0 || !differs(at), "{number}: {at}");
            }
            assert!(number % 2 == 1 || !mask.contains(&1.0));
            defective += usize::from(mask.contains(&1.0));
        }
        // Noise may by chance be high nowhere on the product.
        assert!((10..=20).contains(&defective), "{defective}");
    }

    #[test]
    fn a_full_opacity_shows_the_source_alone_and_a_low_one_most_of_the_image() {
        let difference = |opacity: f32, beta: f32| {
            let config = MemSegConfig { opacity, texture_share: 0.0, ..MemSegConfig::default() };
            let mut samples = samples(&config).unwrap();
            samples.maker.simulation.beta = (beta, beta + 1e-6);
            (0..20).map(|number| samples.sample(number).1).collect::<Vec<_>>()
        };
        let (full, faint) = (difference(1.0, 0.0), difference(0.15, 0.85));
        let mut compared = 0;
        for (full, faint) in full.iter().zip(&faint) {
            assert_eq!(full.mask, faint.mask);
            for (at, good) in full.good.iter().enumerate() {
                let (source, mixed) = (full.image[at], faint.image[at]);
                assert!((mixed - (0.85 * good + 0.15 * source)).abs() < 1e-4);
                compared += usize::from(source != *good);
            }
        }
        assert!(compared > 1000, "{compared}");
    }

    #[test]
    fn batches_are_samples_in_order() {
        let samples = samples(&MemSegConfig::default()).unwrap();
        let expected: Vec<_> = (6..9).map(|number| samples.sample(number)).collect();
        assert_eq!(samples.batch(2, 3), expected);
    }

    #[test]
    fn a_foreground_that_leaves_nothing_is_refused() {
        let mut config = MemSegConfig::default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        image::GrayImage::new(9, 9).save(&path).unwrap();
        config.foreground_mask = Some(path);
        let message = samples(&config).err().unwrap().to_string();
        assert!(message.contains("foreground is empty"), "{message}");
    }
}

//! Defective images with exact masks, made from good ones: what methods learn from that tell defects from a good surface.
//!
//! A [`Maker`] says which defect sample number n gets and lays it over any good image: [`Defects`] by turns, [`Simulated`] as DRAEM and
//! MemSeg publish it. A [`DefectStream`] keeps the good images itself. Samples are functions of a seed and of their number alone, so a
//! training may be interrupted and goes on with the same ones.

use super::augment::{Augmentation, seed_of};
use super::kept::{Kept, Planes};
use super::trainer::batch_of;
use blemish_core::error::Error;
use blemish_core::method::{FitContext, Pass, TrainingSet};
use blemish_data::synth::SynthError;
use blemish_data::synth::kit::{
    ColourJitter, DefectRequest, Kind, MadeDefect, Simulation, Textures, make_defect,
};
use blemish_nn::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::path::Path;

/// Lays defects over good images.
pub trait Maker: Sync {
    /// Fixes the defects.
    fn seed(&self) -> u64;

    /// Sample number `number` on a good image of 3 x H x W values in [0, 1], which may stay good.
    ///
    /// # Panics
    /// If the image does not have 3 x H x W values.
    fn lay(&self, good: &[f32], size: (usize, usize), number: u64) -> DefectSample;
}

/// Which defects are made, kind by kind.
#[derive(Clone, Debug)]
pub struct Defects {
    /// What sample number n gets is entry n, over and over; `None` stays good.
    pub cycle: Vec<Option<Kind>>,
    /// Change of colour of what is cut and pasted.
    pub jitter: ColourJitter,
    /// Sources of [`Kind::Texture`], of the images' size; `None` takes the image itself, in disorder.
    pub textures: Option<Textures>,
    /// Fixes them.
    pub seed: u64,
}

/// An image that may have a defect.
#[derive(Clone, Debug, PartialEq)]
pub struct DefectSample {
    /// Without the defect, 3 x H x W in [0, 1].
    pub good: Vec<f32>,
    /// With it; equal to `good` to the bit where nothing is marked.
    pub image: Vec<f32>,
    /// H x W: 1 where the two differ, 0 elsewhere.
    pub mask: Vec<f32>,
}

impl Defects {
    /// Kinds by turns, the first of every `good_every` samples staying good; 0 leaves none good.
    pub fn new(kinds: &[Kind], good_every: usize, seed: u64) -> Self {
        let turns = kinds.iter().copied().map(Some);
        let cycle = match good_every {
            0 => turns.collect(),
            1 => vec![None],
            _ => {
                let mut turns = turns.cycle();
                // After as many rounds as there are kinds each of them has been in every place.
                let round = |_| std::iter::once(None).chain(turns.by_ref().take(good_every - 1)).collect();
                (0..kinds.len()).map(round).collect::<Vec<Vec<_>>>().concat()
            }
        };
        Self { cycle, jitter: DefectRequest::new(Kind::CutPaste, 0, 0).jitter, textures: None, seed }
    }

    /// The defect of sample number `number`; `None` where it stays good.
    pub fn kind(&self, number: u64) -> Option<Kind> {
        *self.cycle.get((number % self.cycle.len().max(1) as u64) as usize)?
    }
}

impl Maker for Defects {
    fn seed(&self) -> u64 {
        self.seed
    }

    /// The image stays good as well where no visible defect can be made, as on an image of a single colour.
    fn lay(&self, good: &[f32], size: (usize, usize), number: u64) -> DefectSample {
        let made = self.kind(number).and_then(|kind| {
            let request =
                DefectRequest { jitter: self.jitter, ..DefectRequest::new(kind, self.seed, number) };
            make_defect(good, size, &request, self.textures.as_ref())
        });
        DefectSample::of(good, made)
    }
}

impl DefectSample {
    /// A good image and its defective twin, if there is one.
    pub fn of(good: &[f32], made: Option<MadeDefect>) -> Self {
        match made {
            None => Self { good: good.to_vec(), image: good.to_vec(), mask: vec![0.0; good.len() / 3] },
            Some(made) => Self {
                good: good.to_vec(),
                image: made.pixels,
                mask: made.mask.marked.into_iter().map(|marked| f32::from(u8::from(marked))).collect(),
            },
        }
    }
}

/// Defects as DRAEM and MemSeg simulate them.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// How.
    pub simulation: Simulation,
    /// Where textures come from; without any the image itself serves, in disorder.
    pub textures: Option<Textures>,
    /// Where defects may be.
    pub foreground: Foreground,
    /// Fixes them.
    pub seed: u64,
}

/// Where on an image defects may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Foreground {
    /// Anywhere.
    #[default]
    Everywhere,
    /// The same on every image, H x W.
    Fixed(Vec<bool>),
    /// Where the image is brighter than this, of 1.
    Brighter(f32),
    /// Where it is as bright as this or darker.
    Darker(f32),
}

impl Foreground {
    /// H x W: true in the foreground of an image of 3 x H x W values; `None` for all of it. Brightness is
    /// 0.299 red + 0.587 green + 0.114 blue.
    pub fn of(&self, image: &[f32]) -> Option<Vec<bool>> {
        let plane = image.len() / 3;
        let grey = |at: usize| 0.299 * image[at] + 0.587 * image[plane + at] + 0.114 * image[2 * plane + at];
        match self {
            Self::Everywhere => None,
            Self::Fixed(inside) => Some(inside.clone()),
            Self::Brighter(limit) => Some((0..plane).map(|at| grey(at) > *limit).collect()),
            Self::Darker(limit) => Some((0..plane).map(|at| grey(at) <= *limit).collect()),
        }
    }
}

impl Maker for Simulated {
    fn seed(&self) -> u64 {
        self.seed
    }

    fn lay(&self, good: &[f32], size: (usize, usize), number: u64) -> DefectSample {
        let foreground = self.foreground.of(good);
        let numbers = (self.seed, number);
        let textures = self.textures.as_ref();
        let made = self.simulation.simulate(good, size, numbers, textures, foreground.as_deref());
        DefectSample::of(good, made)
    }
}

/// Textures that are made up where the user has none.
const MADE_UP: usize = 120;

/// Bytes that textures may take.
const TEXTURE_BYTES: usize = 1 << 30;

/// The textures of a fit: of the folder that its options name, or made up by its seed.
///
/// # Errors
/// [`Error::Fit`] if there are no images in the folder or one cannot be read.
pub fn textures(
    method: &'static str,
    size: (usize, usize),
    context: &FitContext<'_>,
) -> Result<Textures, Error> {
    let most = Textures::most(size, TEXTURE_BYTES).max(1);
    match &context.training.textures {
        Some(folder) => {
            context.observer.stage("reading textures", None);
            Textures::of_folder(folder, size, most).map_err(unreadable(method))
        }
        None => {
            context.observer.stage("making textures", None);
            Ok(Textures::made_up(size, MADE_UP.min(most), context.seed))
        }
    }
}

/// A checksum of textures, which with that of the images tells trainings apart.
pub fn digest_of(textures: &Textures) -> u32 {
    let mut digest = crc32fast::Hasher::new();
    (0..textures.len()).for_each(|number| digest.update(bytemuck::cast_slice(textures.values(number))));
    digest.finalize()
}

fn unreadable(method: &'static str) -> impl FnOnce(SynthError) -> Error {
    move |error| Error::Fit { method, reason: format!("its textures cannot be read: {error}") }
}

/// Samples without end from the good images of a training set.
pub struct DefectStream<M = Defects> {
    method: &'static str,
    images: Kept,
    augmentation: Augmentation,
    maker: M,
}

/// Samples of a training step.
pub struct DefectBatch {
    /// Without defects, count x 3 x H x W in [0, 1].
    pub good: Tensor<4>,
    /// With them.
    pub images: Tensor<4>,
    /// count x 1 x H x W, 1 where there is a defect.
    pub masks: Tensor<4>,
}

impl<M: Maker> DefectStream<M> {
    /// Keeps the good images; each is changed anew by the augmentation before a defect is laid over it, so that masks stay exact.
    ///
    /// # Errors
    /// As [`Kept::collect`].
    pub fn collect(
        method: &'static str,
        good: &dyn TrainingSet,
        augmentation: Augmentation,
        maker: M,
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        let images = Kept::collect(method, good, Pass::IMAGES, context, "reading images", |input| {
            Ok(vec![Planes::of_images(input.images()?)])
        })?;
        Ok(Self { method, images, augmentation, maker })
    }

    /// The same with what `of` makes of the maker, for one that needs the size of samples or the good images.
    pub fn with_maker<N: Maker>(self, of: impl FnOnce(M, &Kept) -> N) -> DefectStream<N> {
        let Self { method, images, augmentation, maker } = self;
        let maker = of(maker, &images);
        DefectStream { method, images, augmentation, maker }
    }

    /// What lays the defects.
    pub fn maker(&self) -> &M {
        &self.maker
    }

    /// The good images.
    pub fn images(&self) -> &Kept {
        &self.images
    }

    /// Height and width of samples.
    pub fn size(&self) -> (usize, usize) {
        self.augmentation.output_size(self.images.sizes()[0].grid())
    }

    /// Sample number `number`: every image once in as many samples as there are images, in an order that changes from round to round.
    pub fn sample(&self, number: u64) -> DefectSample {
        let seed = self.maker.seed();
        let image = batch_of(number, self.images.len(), 1, seed)[0];
        let whole = self.images.sizes()[0].grid();
        let good = match self.augmentation == Augmentation::NONE {
            true => self.images.row(0, image).to_vec(),
            false => self.augmentation.apply(self.images.row(0, image), whole, seed_of(seed, number)),
        };
        self.maker.lay(&good, self.size(), number)
    }

    /// The samples of step number `step`: those from `step * count` on, made on all threads.
    pub fn batch(&self, step: u64, count: usize, device: &Device) -> DefectBatch {
        let first = step.wrapping_mul(count as u64);
        let samples: Vec<DefectSample> =
            (0..count as u64).into_par_iter().map(|at| self.sample(first.wrapping_add(at))).collect();
        let (height, width) = self.size();
        let tensor = |channels: usize, of: fn(&DefectSample) -> &[f32]| {
            let values: Vec<f32> = samples.iter().flat_map(of).copied().collect();
            Tensor::from_data(TensorData::new(values, [count, channels, height, width]), device)
        };
        DefectBatch {
            good: tensor(3, |sample| &sample.good),
            images: tensor(3, |sample| &sample.image),
            masks: tensor(1, |sample| &sample.mask),
        }
    }
}

impl DefectStream {
    /// The same with textures of the images in a folder and those below it, `most` of them at most.
    ///
    /// # Errors
    /// [`Error::Fit`] if there are no images or one cannot be read.
    pub fn with_textures_of(mut self, folder: &Path, most: usize) -> Result<Self, Error> {
        let textures = Textures::of_folder(folder, self.size(), most);
        self.maker.textures = Some(textures.map_err(unreadable(self.method))?);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::tensors::values_of;
    use crate::testing::Images;
    use std::collections::BTreeSet;

    const SIDE: usize = 48;

    /// Ramps whose first value is the image's number over 10.
    fn stream(count: usize, augmentation: Augmentation, defects: Defects) -> DefectStream {
        let value = |number: usize, at: usize| {
            if at == 0 { number as f32 / 10.0 } else { (at * (number + 3) % 97) as f32 / 97.0 }
        };
        let image = |number| ((SIDE, SIDE), (0..3 * SIDE * SIDE).map(|at| value(number, at)).collect());
        let images = Images::new((0..count).map(image).collect(), None);
        DefectStream::collect("made up", &images, augmentation, defects, &FitContext::new(0, None)).unwrap()
    }

    #[test]
    fn kinds_take_turns_and_the_first_of_a_round_stays_good() {
        use Kind::{CutPaste, Scar, Texture};
        let kinds = |defects: &Defects, count: u64| (0..count).map(|n| defects.kind(n)).collect::<Vec<_>>();
        let defects = Defects::new(&[Texture, CutPaste], 0, 1);
        assert_eq!(kinds(&defects, 3), [Some(Texture), Some(CutPaste), Some(Texture)]);
        // Where every second sample is good, every kind still comes.
        let defects = Defects::new(&[Texture, CutPaste, Scar], 2, 1);
        let expected = [None, Some(Texture), None, Some(CutPaste), None, Some(Scar), None, Some(Texture)];
        assert_eq!(kinds(&defects, 8), expected);
        let defects = Defects::new(&[Texture, CutPaste], 4, 1);
        let round = [None, Some(Texture), Some(CutPaste), Some(Texture)];
        let next = [None, Some(CutPaste), Some(Texture), Some(CutPaste)];
        assert_eq!(kinds(&defects, 8), [round, next].concat());
        assert_eq!(kinds(&Defects::new(&[Texture], 1, 1), 3), [None; 3]);
    }

    #[test]
    fn masks_mark_exactly_what_differs_from_the_good_image() {
        let defects = Defects::new(&Kind::ALL, 3, 9);
        let stream =
            stream(4, Augmentation { mirrored: true, rotation: 10.0, ..Augmentation::NONE }, defects);
        let plane = SIDE * SIDE;
        for number in 0..12 {
            let DefectSample { good, image, mask } = stream.sample(number);
            let differs =
                |at: usize| (0..3).any(|channel| good[channel * plane + at] != image[channel * plane + at]);
            assert!((0..plane).all(|at| differs(at) == (mask[at] == 1.0)), "{number}");
            assert!(mask.iter().all(|&value| value == 0.0 || value == 1.0));
            assert_eq!(mask.contains(&1.0), number % 3 != 0, "{number}");
        }
    }

    #[test]
    fn every_image_comes_once_a_round_in_changing_orders() {
        let stream = stream(7, Augmentation::NONE, Defects::new(&[], 1, 4));
        let number_of = |sample: u64| (stream.sample(sample).good[0] * 10.0).round() as usize;
        let rounds: Vec<Vec<usize>> =
            (0..4).map(|round| (0..7).map(|at| number_of(7 * round + at)).collect()).collect();
        let all: BTreeSet<usize> = (0..7).collect();
        assert!(rounds.iter().all(|round| round.iter().copied().collect::<BTreeSet<_>>() == all));
        assert!(rounds[1..].iter().any(|round| *round != rounds[0]));
    }

    #[test]
    fn batches_are_samples_in_order_on_any_number_of_threads() {
        let make = |seed| {
            let jitter = ColourJitter::even(0.2);
            let augmentation = Augmentation { crop: Some((40, 32)), jitter, ..Augmentation::NONE };
            stream(3, augmentation, Defects::new(&Kind::ALL, 5, seed))
        };
        let stream = make(2);
        assert_eq!(stream.size(), (40, 32));
        let device = Device::flex();
        let batch = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| stream.batch(2, 3, &device))
        };
        let (one, three) = (batch(1), batch(3));
        assert_eq!((one.images.dims(), one.masks.dims()), ([3, 3, 40, 32], [3, 1, 40, 32]));
        let expected: Vec<f32> = (6..9).flat_map(|number| stream.sample(number).image).collect();
        assert_eq!(values_of(one.images).unwrap(), expected);
        assert_eq!(values_of(three.images).unwrap(), expected);
        assert_eq!(values_of(one.masks).unwrap(), values_of(three.masks).unwrap());
        assert_ne!(values_of(one.good).unwrap(), expected);
        assert_ne!(make(3).sample(6), stream.sample(6));
    }

    #[test]
    fn textures_come_from_memory_or_from_a_folder() {
        let mut defects = Defects::new(&[Kind::Texture], 0, 1);
        let own = stream(1, Augmentation::NONE, defects.clone()).sample(0);
        let black = vec![0.0; 3 * SIDE * SIDE];
        defects.textures = Some(Textures::of_images([&black[..]], (SIDE, SIDE)));
        let foreign = stream(1, Augmentation::NONE, defects.clone()).sample(0);
        assert_eq!(own.good, foreign.good);
        assert_ne!(own.image, foreign.image);
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(20, 20).save(folder.path().join("black.png")).unwrap();
        defects.textures = None;
        let stored =
            stream(1, Augmentation::NONE, defects.clone()).with_textures_of(folder.path(), 10).unwrap();
        assert_eq!(stored.sample(0), foreign);
        let error = stream(1, Augmentation::NONE, defects).with_textures_of(&folder.path().join("none"), 10);
        assert!(error.err().unwrap().to_string().contains("textures"));
    }
}

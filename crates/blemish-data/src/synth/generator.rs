//! One image at a time: the scene, the defect, the camera, and the mask that follows from them.

use super::canvas::{Canvas, light, sensor_noise};
use super::error::SynthError;
use super::fabric::Cloth;
use super::look::{Defect, Look};
use super::metal::Sheet;
use super::print::Artwork;
use super::random::Random;
use crate::mask::Mask;
use crate::reader::{Pixels, RgbImage};
use std::ops::RangeInclusive;

/// Allowed sides of an image, in pixels.
pub(crate) const SIDES: RangeInclusive<usize> = 32..=16_384;
/// The most pixels of an image: painting one takes about 40 bytes for each.
pub(crate) const MOST_PIXELS: usize = 1 << 25;

/// A pixel belongs to the mask if a channel changed by more than this many standard deviations of its noise.
pub const VISIBLE_SIGMAS: f32 = 3.0;

/// Attempts at a defect that can be seen, before giving up.
const ATTEMPTS: u64 = 24;

/// A defective image and the pixels that its defect changed.
#[derive(Clone, Debug, PartialEq)]
pub struct DefectiveImage {
    /// The 8-bit image.
    pub image: RgbImage,
    /// Marks exactly the pixels that differ from the same scene without the defect by more than [`VISIBLE_SIGMAS`] standard
    /// deviations of the sensor's noise in some channel.
    pub mask: Mask,
}

/// Makes the images of one set, in any order and on any thread.
///
/// An image depends only on the seed, the look, the size and its number. (Sines and exponentials come from the platform, so images
/// may differ in the last bit between platforms.)
///
/// ```
/// use blemish_data::synth::{Generator, Look};
/// let generator = Generator::new(Look::Metal, 7, (64, 96))?;
/// let images: Vec<_> = generator.good_images().take(3).collect();
/// assert_eq!((images[2].height, images[2].width), (64, 96));
/// # Ok::<(), blemish_data::synth::SynthError>(())
/// ```
pub struct Generator {
    look: Look,
    seed: u64,
    size: (usize, usize),
    product: Product,
}

enum Product {
    Fabric(Cloth),
    Metal(Sheet),
    Print(Artwork),
}

/// What a stream of random numbers is for; the lowest bits of its number.
enum Purpose {
    Scene = 0,
    Sensor = 1,
    Defect = 2,
    Product = 3,
    Lamp = 4,
}

impl Generator {
    /// A generator of images of `size` = (height, width).
    ///
    /// # Errors
    /// [`SynthError::Sides`] if a side is out of range, [`SynthError::Pixels`] if there are too many of them.
    pub fn new(look: Look, seed: u64, size: (usize, usize)) -> Result<Self, SynthError> {
        let (height, width) = size;
        if !(SIDES.contains(&height) && SIDES.contains(&width)) {
            return Err(SynthError::Sides { width, height });
        }
        if height * width > MOST_PIXELS {
            return Err(SynthError::Pixels { width, height });
        }
        let product = match look {
            Look::Fabric => Product::Fabric(Cloth::new(seed)),
            Look::Metal => Product::Metal(Sheet::new(seed)),
            Look::Print => {
                Product::Print(Artwork::new(seed, &mut stream(look, seed, 0, None, Purpose::Product)))
            }
        };
        Ok(Self { look, seed, size, product })
    }

    /// The good image number `index`.
    pub fn good(&self, index: u64) -> RgbImage {
        let canvas = self.photograph(index, None, None);
        self.expose(&canvas, &mut self.stream(index, None, Purpose::Sensor))
    }

    /// Good images without end: number 0, 1, 2 and so on.
    pub fn good_images(&self) -> impl Iterator<Item = RgbImage> + '_ {
        (0..).map(|index| self.good(index))
    }

    /// The defective image number `index` with its mask.
    ///
    /// # Errors
    /// [`SynthError::ForeignDefect`] if the look does not have the defect; [`SynthError::Invisible`] if none of several attempts
    /// stands out from the noise.
    pub fn defective(&self, defect: Defect, index: u64) -> Result<DefectiveImage, SynthError> {
        let (_, canvas, mask) = self.stage(defect, index)?;
        Ok(DefectiveImage { image: self.expose(&canvas, &mut self.sensor(defect, index)), mask })
    }

    /// The same scene and noise twice: without its defect, and with it.
    ///
    /// # Errors
    /// As for [`Self::defective`].
    pub fn twins(&self, defect: Defect, index: u64) -> Result<(RgbImage, DefectiveImage), SynthError> {
        let (good, canvas, mask) = self.stage(defect, index)?;
        let [good, image] =
            [good, canvas].map(|canvas| self.expose(&canvas, &mut self.sensor(defect, index)));
        Ok((good, DefectiveImage { image, mask }))
    }

    fn sensor(&self, defect: Defect, index: u64) -> Random {
        self.stream(index, Some(defect), Purpose::Sensor)
    }

    /// The scene without and with its defect as the lens projects it, and where the two differ.
    fn stage(&self, defect: Defect, index: u64) -> Result<(Canvas, Canvas, Mask), SynthError> {
        if !self.look.defects().contains(&defect) {
            return Err(SynthError::ForeignDefect { look: self.look, defect });
        }
        let good = self.photograph(index, Some(defect), None);
        let mut random = self.stream(index, Some(defect), Purpose::Defect);
        let (height, width) = self.size;
        let enough = (height * width / 4000).max(8);
        for _ in 0..ATTEMPTS {
            let canvas = self.photograph(index, Some(defect), Some((defect, &mut random)));
            let mask = Mask { height, width, marked: changed(&good, &canvas) };
            if mask.marked.iter().filter(|&&is_marked| is_marked).count() >= enough {
                return Ok((good, canvas, mask));
            }
        }
        Err(SynthError::Invisible { look: self.look, defect, seed: self.seed, index, width, height })
    }

    fn stream(&self, index: u64, defect: Option<Defect>, purpose: Purpose) -> Random {
        stream(self.look, self.seed, index, defect, purpose)
    }

    /// A scene of its kind as the lens projects it, with the defect if one is given. The scene and its lamp have their own random
    /// numbers, so a defect changes nothing but what it covers.
    fn photograph(&self, index: u64, kind: Option<Defect>, defect: Option<(Defect, &mut Random)>) -> Canvas {
        let mut random = self.stream(index, kind, Purpose::Scene);
        let mut canvas = match &self.product {
            Product::Fabric(cloth) => cloth.paint(&mut random, self.size, defect),
            Product::Metal(sheet) => sheet.paint(&mut random, self.size, defect),
            Product::Print(artwork) => artwork.paint(&mut random, self.size, defect),
        };
        light(&mut canvas, &mut self.stream(index, kind, Purpose::Lamp));
        canvas.through_lens()
    }

    fn expose(&self, canvas: &Canvas, random: &mut Random) -> RgbImage {
        let (height, width) = self.size;
        RgbImage { height, width, pixels: Pixels::U8(canvas.expose(random)) }
    }
}

/// The random numbers of one purpose of one image.
fn stream(look: Look, seed: u64, index: u64, defect: Option<Defect>, purpose: Purpose) -> Random {
    // Good images are kind 0; the enum's order only ever grows at its end.
    let kind = defect.map_or(0, |defect| defect as u64 + 1);
    Random::new(seed, look as u64, index << 8 | kind << 3 | purpose as u64)
}

/// Which pixels differ by more than the noise, as the sensor will clip them.
fn changed(good: &Canvas, defective: &Canvas) -> Vec<bool> {
    let is_changed = |(before, after): (&f32, &f32)| {
        let (before, after) = (before.clamp(0.0, 1.0), after.clamp(0.0, 1.0));
        (before - after).abs() > VISIBLE_SIGMAS * sensor_noise(before)
    };
    good.pixels
        .iter()
        .zip(&defective.pixels)
        .map(|(one, other)| one.iter().zip(other).any(is_changed))
        .collect()
}

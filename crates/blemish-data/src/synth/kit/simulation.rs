//! Defects as DRAEM and the methods after it simulate them.

use super::MadeDefect;
use super::operations::{Operation, apply_some};
use super::perlin::Perlin;
use super::picture::Picture;
use super::pixels::{brightness, canvas_of, planes_of};
use super::texture::Textures;
use crate::mask::Mask;
use crate::synth::canvas::{Canvas, mix};
use crate::synth::random::{Random, shuffle};

/// Which samples get a defect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Each with this probability.
    Chance(f32),
    /// Those of odd numbers.
    EverySecond,
}

/// Simulated defects: foreign texture, or the image's own structure in disorder, where Perlin noise is high.
///
/// With noise N on a lattice of 2^i x 2^j cells (i and j random), turned by a random angle, the mask is M = N > threshold, within the
/// foreground where one is given. With a source A and a random beta: (1 - M) I + M ((1 - beta) A + beta I).
///
/// Zavrtanik et al., DRAEM, arXiv 2108.07610, section 3.3, as its released code has it; the source from the image itself is MemSeg's (Yang
/// et al., arXiv 2205.00908).
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    /// Which samples get a defect.
    pub rate: Rate,
    /// Share of the image that shows through the defect, from the first to below the second.
    pub beta: (f32, f32),
    /// The lattice has 2^0 to 2^(scales - 1) cells along each side.
    pub scales: usize,
    /// Noise above it is defective.
    pub threshold: f32,
    /// The noise is turned by up to this angle either way, in degrees.
    pub rotation: f32,
    /// Changes of sources.
    pub operations: Vec<Operation>,
    /// How many different ones of them a texture gets.
    pub texture_operations: usize,
    /// Share of defects whose source is the image itself; all are where there are no textures.
    pub structure: f32,
    /// How many different changes the image as a source gets.
    pub structure_operations: usize,
    /// Rows and columns of the cells whose order the image as a source loses.
    pub grid: (usize, usize),
    /// Whether defects of grey images are grey. Published codes paste colours, which a grey camera never sees.
    pub keeps_grey: bool,
}

impl Simulation {
    /// DRAEM's: half of the samples, textures only.
    pub fn draem() -> Self {
        Self {
            rate: Rate::Chance(0.5),
            beta: (0.0, 0.8),
            scales: 6,
            threshold: 0.5,
            rotation: 90.0,
            operations: Operation::PUBLISHED.to_vec(),
            texture_operations: 3,
            structure: 0.0,
            structure_operations: 3,
            grid: (8, 8),
            keeps_grey: true,
        }
    }

    /// MemSeg's: every second sample, textures as they are and the image itself in turn by chance.
    pub fn memseg() -> Self {
        Self {
            rate: Rate::EverySecond,
            beta: (0.0, 0.85),
            texture_operations: 0,
            structure: 0.5,
            ..Self::draem()
        }
    }

    /// Sample number `number` on an image of 3 x H x W values in [0, 1]; `None` where it stays good, as with an empty mask.
    ///
    /// `foreground`, H x W, says where defects may be. Outside the mask the image stays to the bit; within it, it may by chance, too.
    ///
    /// # Panics
    /// If the image does not have 3 x H x W values, or the foreground not H x W.
    pub fn simulate(
        &self,
        image: &[f32],
        size: (usize, usize),
        (seed, number): (u64, u64),
        textures: Option<&Textures>,
        foreground: Option<&[bool]>,
    ) -> Option<MadeDefect> {
        let mut random = Random::new(seed, 0x51d4, number);
        let is_made = match self.rate {
            Rate::Chance(probability) => random.chance(probability),
            Rate::EverySecond => number % 2 == 1,
        };
        if !is_made {
            return None;
        }
        let mask = self.mask(size, &mut random, foreground);
        if !mask.marked.contains(&true) {
            return None;
        }
        let good = canvas_of(image, size);
        let source = self.source(&good, &mut random, textures);
        let opacity = 1.0 - random.range(self.beta.0, self.beta.1);
        let is_grey = self.keeps_grey
            && good.pixels.iter().all(|colour| colour[0] == colour[1] && colour[1] == colour[2]);
        let mut changed = good;
        changed.change(|y, x, pixel| {
            if mask.marked[y * size.1 + x] {
                let colour = source.colour(y, x);
                let colour = if is_grey { [brightness(colour); 3] } else { colour };
                *pixel = mix(*pixel, colour, opacity);
            }
        });
        Some(MadeDefect { pixels: planes_of(&changed), mask })
    }

    /// Where a defect is; nowhere, now and then.
    fn mask(&self, size: (usize, usize), random: &mut Random, foreground: Option<&[bool]>) -> Mask {
        let (height, width) = size;
        let mut cells = || 1 << random.index(self.scales.clamp(1, 16));
        let lattice = (cells(), cells());
        let noise = Perlin::draw_open(lattice, random);
        let angle = random.range(-self.rotation, self.rotation).to_radians();
        let noise = noise.turned_within(size, angle);
        let mut marked: Vec<bool> = noise.into_iter().map(|noise| noise > self.threshold).collect();
        if let Some(foreground) = foreground {
            assert_eq!(foreground.len(), height * width, "a foreground has {height} x {width} values");
            marked.iter_mut().zip(foreground).for_each(|(marked, &inside)| *marked &= inside);
        }
        Mask { height, width, marked }
    }

    /// A: a texture, or the image in disorder.
    fn source(&self, good: &Canvas, random: &mut Random, textures: Option<&Textures>) -> Picture {
        let is_structure = random.chance(self.structure);
        match textures.filter(|textures| !is_structure && !textures.is_empty()) {
            Some(textures) => {
                let mut picture = Picture::of(textures.image(random.index(textures.len())));
                apply_some(&mut picture, &self.operations, self.texture_operations, random);
                picture
            }
            None => {
                let mut picture = Picture::of(good);
                apply_some(&mut picture, &self.operations, self.structure_operations, random);
                let mut order: Vec<usize> = (0..self.grid.0 * self.grid.1).collect();
                shuffle(&mut order, random);
                picture.rearranged(self.grid, &order)
            }
        }
    }
}

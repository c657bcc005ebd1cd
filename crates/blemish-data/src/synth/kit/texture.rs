//! Textures blended in where Perlin noise is high (DRAEM), and where they come from.

use super::jitter::ColourJitter;
use super::made_up::made_up;
use super::perlin::Perlin;
use super::pixels::{brightness, canvas_of, sample};
use crate::error::DataError;
use crate::layout::list_images;
use crate::reader::{ReadOptions, read_image};
use crate::synth::canvas::{Canvas, mix};
use crate::synth::error::SynthError;
use crate::synth::random::{Random, shuffle};
use crate::transform::Transform;
use rayon::prelude::*;
use std::path::Path;

/// Cells of the noise's lattice along each side: 2 to the power of 0 to 6.
const SCALES: usize = 7;
/// Noise above this is defective.
const THRESHOLD: f32 = 0.5;
/// How far the texture covers what was there.
const OPACITY: (f32, f32) = (0.2, 1.0);
/// Tiles along each side that the image's own texture is cut into.
const TILES: usize = 8;

/// Images to take textures from, at the size of the images they are laid over.
#[derive(Clone, Debug)]
pub struct Textures {
    size: (usize, usize),
    images: Vec<Canvas>,
}

impl Textures {
    /// Images of 3 x H x W values in [0, 1], such as the training images themselves.
    ///
    /// # Panics
    /// If one has another size.
    pub fn of_images<'a>(images: impl IntoIterator<Item = &'a [f32]>, size: (usize, usize)) -> Self {
        Self { size, images: images.into_iter().map(|image| canvas_of(image, size)).collect() }
    }

    /// The images in a folder and those below it, resized; of more than `most` an even choice in the order of their paths.
    ///
    /// # Errors
    /// [`SynthError::Image`] if the folder or an image cannot be read, or there is none.
    pub fn of_folder(folder: &Path, size: (usize, usize), most: usize) -> Result<Self, SynthError> {
        let paths = list_images(&[folder])?;
        let count = paths.len().min(most);
        let transform = Transform::resize_to(size.0, size.1);
        let load = |index: usize| -> Result<Canvas, SynthError> {
            let path = &paths[index * paths.len() / count];
            let image = read_image(path, &ReadOptions::default())?;
            let planar =
                transform.apply(&image).map_err(|fault| DataError::Image { path: path.clone(), fault })?;
            Ok(canvas_of(&planar.pixels, size))
        };
        Ok(Self { size, images: (0..count).map(load).collect::<Result<_, _>>()? })
    }

    /// Textures out of nothing, for those who have no pictures of any: clouds, veins, threads, cells, tiles, spots, all fixed by the seed.
    pub fn made_up(size: (usize, usize), count: usize, seed: u64) -> Self {
        Self {
            size,
            images: (0..count).into_par_iter().map(|number| made_up(size, seed, number as u64)).collect(),
        }
    }

    /// Number of images that take at most so many bytes.
    pub fn most(size: (usize, usize), bytes: usize) -> usize {
        bytes / (size.0 * size.1).max(1) / size_of::<[f32; 3]>()
    }

    /// The colours of a texture, H x W x 3 values in [0, 1].
    pub fn values(&self, number: usize) -> &[f32] {
        self.images[number].pixels.as_flattened()
    }

    pub(super) fn image(&self, number: usize) -> &Canvas {
        &self.images[number]
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// The image with texture where noise is high.
pub(super) fn blended(good: &Canvas, random: &mut Random, textures: Option<&Textures>) -> Canvas {
    let size = good.size();
    let lattice = (1 << random.index(SCALES), 1 << random.index(SCALES));
    let quarter = std::f32::consts::FRAC_PI_2;
    let noise = Perlin::draw(lattice, random).turned_field(size, random.range(-quarter, quarter));
    let foreign = textures.filter(|textures| textures.size == size && !textures.is_empty());
    let source = match foreign {
        Some(textures) => altered(&textures.images[random.index(textures.len())], random),
        None => disordered(good, random),
    };
    let opacity = random.range(OPACITY.0, OPACITY.1);
    let mut changed = good.clone();
    changed.change(|y, x, pixel| {
        let at = y * size.1 + x;
        if noise[at] > THRESHOLD {
            *pixel = mix(*pixel, source.pixels[at], opacity);
        }
    });
    changed
}

/// The image's own texture in disorder: tiles shuffled, all mirrored or not, colours changed.
fn disordered(good: &Canvas, random: &mut Random) -> Canvas {
    let (height, width) = good.size();
    let mut tiles: Vec<usize> = (0..TILES * TILES).collect();
    shuffle(&mut tiles, random);
    let (flip_y, flip_x) = (random.chance(0.5), random.chance(0.5));
    let change = ColourJitter::even(0.3).draw(random);
    let mean = mean_brightness(good);
    let (rows, columns) = (height.div_ceil(TILES), width.div_ceil(TILES));
    Canvas::paint((height, width), |y, x| {
        let tile = tiles[y / rows * TILES + x / columns];
        let within = |at: usize, length: usize, flip: bool| if flip { length - 1 - at } else { at };
        let (from_y, from_x) = (within(y % rows, rows, flip_y), within(x % columns, columns, flip_x));
        // Where the tiles do not divide the sides, the last of them reach beyond the image.
        let y = (tile / TILES * rows + from_y).min(height - 1);
        let x = (tile % TILES * columns + from_x).min(width - 1);
        change.of(good.pixels[y * width + x], mean)
    })
}

/// A texture after three of seven changes.
fn altered(texture: &Canvas, random: &mut Random) -> Canvas {
    let mut changes: Vec<usize> = (0..7).collect();
    shuffle(&mut changes, random);
    let mut canvas = texture.clone();
    for change in &changes[..3] {
        alter(&mut canvas, *change, random);
    }
    canvas
}

fn alter(canvas: &mut Canvas, change: usize, random: &mut Random) {
    let values = |canvas: &mut Canvas, change: &dyn Fn(f32) -> f32| {
        canvas.pixels.iter_mut().for_each(|pixel| *pixel = pixel.map(|value| change(value).clamp(0.0, 1.0)));
    };
    match change {
        // Gamma.
        0 => {
            let gamma = random.range(0.5, 2.0);
            values(canvas, &|value| value.powf(gamma));
        }
        // Brightness and an offset.
        1 => {
            let (factor, offset) = (random.range(0.8, 1.2), random.range(-0.12, 0.12));
            values(canvas, &|value| value * factor + offset);
        }
        // Contrast and saturation.
        2 => {
            let change = ColourJitter { brightness: 0.0, contrast: 0.5, saturation: 1.0 }.draw(random);
            let mean = mean_brightness(canvas);
            canvas.pixels.iter_mut().for_each(|pixel| *pixel = change.of(*pixel, mean));
        }
        // Solarise: what is bright turns dark.
        3 => {
            let limit = random.range(0.125, 0.5);
            values(canvas, &|value| if value > limit { 1.0 - value } else { value });
        }
        // Posterise: few levels.
        4 => {
            let levels = (2 + random.index(6)) as f32;
            values(canvas, &|value| (value * levels).round() / levels);
        }
        // The negative.
        5 => values(canvas, &|value| 1.0 - value),
        // Turned.
        _ => {
            let (sine, cosine) = random.range(-45.0f32, 45.0).to_radians().sin_cos();
            let (height, width) = canvas.size();
            let (middle_y, middle_x) = (height as f32 / 2.0, width as f32 / 2.0);
            let source = canvas.clone();
            canvas.change(|y, x, pixel| {
                let (dy, dx) = (y as f32 - middle_y, x as f32 - middle_x);
                let turned = (cosine * dy - sine * dx + middle_y, sine * dy + cosine * dx + middle_x);
                *pixel = sample(&source, turned.0, turned.1);
            });
        }
    }
}

fn mean_brightness(canvas: &Canvas) -> f32 {
    canvas.pixels.iter().map(|colour| brightness(*colour)).sum::<f32>() / canvas.pixels.len().max(1) as f32
}

//! What images look like before any transform: statistics that show what a camera does, and a small picture that shows what belongs together.

use blemish_data::{DataError, Facts, Mask, Pixels, ReadOptions, RgbImage, Source};
use blemish_eval::ImageStatistics;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Pixels that are looked at; of larger images some of the rows.
const PIXELS: usize = 1 << 16;

/// Rows that are looked at in any case.
const ROWS: usize = 64;

/// Cells of the small picture, each way.
const CELLS: usize = 8;

/// Shades below and above which a pixel is all but black and all but white.
const DARK: f32 = 5.0 / 255.0;
const BRIGHT: f32 = 250.0 / 255.0;

/// What an image looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// What shows what the camera does.
    pub statistics: ImageStatistics,
    /// Grey of 8 x 8 cells, row by row, minus its mean, over its length: light and gain do not matter.
    pub(crate) picture: [f32; CELLS * CELLS],
}

impl Look {
    /// Of an image as it was read. Rows are left out of large images, so that it takes less than a millisecond; deterministic.
    pub fn of(image: &RgbImage) -> Self {
        let (height, width) = (image.height, image.width);
        let rows = (PIXELS / width.max(1)).max(ROWS).min(height.max(1));
        let step = height.div_ceil(rows).max(1);
        let mut seen = Sums::default();
        let mut cells = [(0f64, 0u32); CELLS * CELLS];
        let mut lines = [(); 3].map(|()| vec![0f32; width]);
        for y in (0..height).step_by(step) {
            let own = row(image, y);
            seen.add_row(&own);
            own.grey(&mut lines[1]);
            for (x, grey) in lines[1].iter().enumerate() {
                let cell = &mut cells[y * CELLS / height * CELLS + x * CELLS / width];
                *cell = (cell.0 + f64::from(*grey), cell.1 + 1);
            }
            if y > 0 && y + 1 < height {
                row(image, y - 1).grey(&mut lines[0]);
                row(image, y + 1).grey(&mut lines[2]);
                seen.add_edges(&lines);
            }
        }
        Self { statistics: seen.finish(), picture: picture(&cells) }
    }
}

/// The small picture of cells with sums and counts of grey.
fn picture(cells: &[(f64, u32); CELLS * CELLS]) -> [f32; CELLS * CELLS] {
    let total = cells.iter().map(|cell| f64::from(cell.1)).sum::<f64>().max(1.0);
    let mean = cells.iter().map(|cell| cell.0).sum::<f64>() / total;
    // Of an image of a few pixels some cells are empty.
    let grey = cells.map(|(sum, count)| if count > 0 { sum / f64::from(count) - mean } else { 0.0 });
    let length = grey.iter().map(|value| value * value).sum::<f64>().sqrt();
    grey.map(|value| (value / (length + 1e-6)) as f32)
}

/// A row of pixels, white is 1.
enum Row<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    F32(&'a [f32]),
}

impl Row<'_> {
    /// Calls `each` with red, green and blue of every pixel.
    fn for_each(&self, mut each: impl FnMut([f32; 3])) {
        match self {
            Self::U8(row) => {
                row.chunks_exact(3).for_each(|pixel| each([0, 1, 2].map(|at| f32::from(pixel[at]) / 255.0)));
            }
            Self::U16(row) => {
                row.chunks_exact(3)
                    .for_each(|pixel| each([0, 1, 2].map(|at| f32::from(pixel[at]) / 65535.0)));
            }
            Self::F32(row) => row.chunks_exact(3).for_each(|pixel| each([0, 1, 2].map(|at| pixel[at]))),
        }
    }

    /// Writes the mean of the colours of every pixel.
    fn grey(&self, line: &mut [f32]) {
        let mut places = line.iter_mut();
        self.for_each(|[red, green, blue]| {
            if let Some(place) = places.next() {
                *place = (red + green + blue) / 3.0;
            }
        });
    }
}

/// Row `y` of an image.
fn row(image: &RgbImage, y: usize) -> Row<'_> {
    let span = 3 * image.width * y..3 * image.width * (y + 1);
    match &image.pixels {
        Pixels::U8(values) => Row::U8(&values[span]),
        Pixels::U16(values) => Row::U16(&values[span]),
        Pixels::F32(values) => Row::F32(&values[span]),
    }
}

/// Sums over the pixels that were looked at.
#[derive(Default)]
struct Sums {
    pixels: u64,
    sums: [f64; 3],
    squares: [f64; 3],
    black: u64,
    white: u64,
    /// Grey of the pixels that have four neighbours, and its Laplacian there: number, sums and sums of squares.
    inner: u64,
    grey: (f64, f64),
    laplacian: (f64, f64),
}

impl Sums {
    fn add_row(&mut self, row: &Row<'_>) {
        // Rows are summed in single precision, which is exact enough for some thousand values from 0 to 1, and together in double.
        let (mut sums, mut squares) = ([0f32; 3], [0f32; 3]);
        row.for_each(|pixel| {
            for channel in 0..3 {
                sums[channel] += pixel[channel];
                squares[channel] += pixel[channel] * pixel[channel];
            }
            self.pixels += 1;
            self.black += u64::from(pixel.iter().all(|&value| value <= DARK));
            self.white += u64::from(pixel.iter().any(|&value| value >= BRIGHT));
        });
        for channel in 0..3 {
            self.sums[channel] += f64::from(sums[channel]);
            self.squares[channel] += f64::from(squares[channel]);
        }
    }

    /// Takes in the middle one of three lines of grey.
    fn add_edges(&mut self, [above, own, below]: &[Vec<f32>; 3]) {
        let (mut grey, mut laplacian) = ((0f32, 0f32), (0f32, 0f32));
        for ((around, up), down) in own.windows(3).zip(&above[1..]).zip(&below[1..]) {
            let value = around[1];
            let edge = around[0] + around[2] + up + down - 4.0 * value;
            grey = (grey.0 + value, grey.1 + value * value);
            laplacian = (laplacian.0 + edge, laplacian.1 + edge * edge);
        }
        self.inner += own.len().saturating_sub(2) as u64;
        self.grey = (self.grey.0 + f64::from(grey.0), self.grey.1 + f64::from(grey.1));
        self.laplacian =
            (self.laplacian.0 + f64::from(laplacian.0), self.laplacian.1 + f64::from(laplacian.1));
    }

    fn finish(&self) -> ImageStatistics {
        /// Below a thousandth of a shade nothing is seen.
        const TINY: f64 = 1e-6;
        let count = self.pixels.max(1) as f64;
        let mean = self.sums.map(|sum| sum / count);
        let spread = |channel: usize| (self.squares[channel] / count - mean[channel].powi(2)).max(0.0).sqrt();
        let variance = |(sum, squares): (f64, f64)| {
            let count = self.inner.max(1) as f64;
            (squares / count - (sum / count).powi(2)).max(0.0)
        };
        let cast = |channel: usize| ((mean[channel] + TINY) / (mean[1] + TINY)).ln();
        let sharpness = ((variance(self.laplacian) + TINY) / (variance(self.grey) + TINY)).ln();
        let values = [
            mean[0],
            mean[1],
            mean[2],
            spread(0),
            spread(1),
            spread(2),
            cast(0),
            cast(2),
            sharpness,
            self.black as f64 / count,
            self.white as f64 / count,
        ];
        ImageStatistics { values: values.map(|value| value as f32) }
    }
}

/// A source that keeps how its images look as they are read: nothing is read twice for it.
pub struct Watched<'a> {
    source: &'a dyn Source,
    /// Whether looks are kept as images are read, and not only when they are asked for.
    is_on: bool,
    looks: Mutex<HashMap<usize, Look>>,
}

impl<'a> Watched<'a> {
    /// Watches a source.
    pub fn new(source: &'a dyn Source) -> Self {
        Self::when(source, true)
    }

    /// Watches a source if it is wanted; else looks only where it is asked to.
    pub(crate) fn when(source: &'a dyn Source, is_on: bool) -> Self {
        Self { source, is_on, looks: Mutex::default() }
    }

    /// How an image looks that has been read; it is forgotten then.
    pub fn take(&self, index: usize) -> Option<Look> {
        self.lock().remove(&index)
    }

    /// How an image looks; it is read if it was not before.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub(crate) fn look(&self, index: usize, options: &ReadOptions) -> Result<Look, DataError> {
        if let Some(look) = self.lock().get(&index) {
            return Ok(look.clone());
        }
        let image = self.source.read(index, options)?;
        image
            .check_pixels()
            .map_err(|fault| DataError::Image { path: self.facts(index).name.clone().into(), fault })?;
        let look = Look::of(&image);
        self.lock().insert(index, look.clone());
        Ok(look)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Watched<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        self.source.facts(index)
    }

    fn categories(&self) -> &[String] {
        self.source.categories()
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        self.source.size(index, options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        let image = self.source.read(index, options)?;
        let is_wanted = self.is_on && !self.lock().contains_key(&index);
        // A source of one's own may hand out images that others refuse to look at.
        if is_wanted && image.check_pixels().is_ok() {
            let look = Look::of(&image);
            self.lock().insert(index, look);
        }
        Ok(image)
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.source.mask(index)
    }

    fn mask_name(&self, index: usize) -> Option<String> {
        self.source.mask_name(index)
    }

    fn window(&self, index: usize, length: usize) -> Vec<usize> {
        self.source.window(index, length)
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        self.source.digest(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of a wavy surface, 40 x 60.
    fn waves(change: impl Fn(f32) -> f32) -> RgbImage {
        let value = |at: usize| {
            let (y, x) = ((at / 3 / 60) as f32, (at / 3 % 60) as f32);
            let wave = 120.0 + 40.0 * (2.4 * x).sin() + 30.0 * (0.2 * y + 0.1 * x).cos();
            change(wave).clamp(0.0, 255.0) as u8
        };
        RgbImage { height: 40, width: 60, pixels: Pixels::U8((0..3 * 40 * 60).map(value).collect()) }
    }

    fn blurred(image: &RgbImage) -> RgbImage {
        let Pixels::U8(values) = &image.pixels else { panic!("8 bit") };
        let mean = |at: usize| {
            let row = 3 * image.width;
            let around = [at.saturating_sub(row), at.saturating_sub(3), at, at + 3, at + row];
            let values = around.map(|at| u32::from(values[at.min(values.len() - 1)]));
            (values.iter().sum::<u32>() / 5) as u8
        };
        RgbImage { pixels: Pixels::U8((0..values.len()).map(mean).collect()), ..image.clone() }
    }

    /// Black and white halves: mean 1/2, spread 1/2, half of the pixels black and half white.
    #[test]
    fn statistics_are_those_by_hand() {
        let pixels = (0..3 * 8 * 8).map(|at| if at / 3 % 8 < 4 { 0 } else { 255 }).collect();
        let look = Look::of(&RgbImage { height: 8, width: 8, pixels: Pixels::U8(pixels) });
        let values = look.statistics.values;
        let near = |at: usize, wanted: f32| assert!((values[at] - wanted).abs() < 1e-4, "{at}: {values:?}");
        (0..6).for_each(|at| near(at, 0.5));
        (6..8).for_each(|at| near(at, 0.0));
        // Inside, every row has an edge of -1 and one of 1 among 6 pixels, and three of each shade: ln((1 / 3) / (1 / 4)).
        near(8, (4.0f32 / 3.0).ln());
        (9..11).for_each(|at| near(at, 0.5));
        assert!(look.picture.iter().all(|value| (value.abs() - 0.125).abs() < 1e-5));
    }

    #[test]
    fn light_moves_the_means_and_defocus_the_sharpness() {
        let usual = Look::of(&waves(|value| value));
        let dark = Look::of(&waves(|value| 0.5 * value));
        let soft = Look::of(&blurred(&waves(|value| value)));
        let at = |look: &Look, at: usize| look.statistics.values[at];
        assert!(
            (at(&dark, 0) / at(&usual, 0) - 0.5).abs() < 0.02
                && (at(&dark, 3) / at(&usual, 3) - 0.5).abs() < 0.02
        );
        assert!((at(&dark, 8) - at(&usual, 8)).abs() < 0.1, "light leaves the sharpness alone");
        assert!(at(&soft, 8) < at(&usual, 8) - 0.5 && (at(&soft, 0) - at(&usual, 0)).abs() < 0.02);
        let apart = usual.picture.iter().zip(&dark.picture).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        assert!(apart.sqrt() < 0.05, "light leaves the small picture alone: {apart}");
    }

    #[test]
    fn depth_and_size_do_not_matter_and_tiny_images_pass() {
        let eight = waves(|value| value);
        let Pixels::U8(values) = &eight.pixels else { panic!("8 bit") };
        let sixteen = Pixels::U16(values.iter().map(|&value| 257 * u16::from(value)).collect());
        let sixteen = Look::of(&RgbImage { pixels: sixteen, ..eight.clone() });
        let eight = Look::of(&eight);
        for (a, b) in eight.statistics.values.iter().zip(sixteen.statistics.values) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        let dot = Look::of(&RgbImage { height: 1, width: 1, pixels: Pixels::U8(vec![9; 3]) });
        assert!(dot.statistics.are_finite() && dot.picture.iter().all(|value| value.is_finite()));
        // 2,000 x 400 pixels: every sixth row or so is looked at.
        let large = RgbImage { height: 2000, width: 400, pixels: Pixels::U8(vec![100; 3 * 2000 * 400]) };
        assert!((Look::of(&large).statistics.values[1] - 100.0 / 255.0).abs() < 1e-4);
    }
}

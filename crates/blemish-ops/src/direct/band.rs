//! Rows of maps with their padding, as lines that the taps of a kernel read from different places on.

use blemish_kernels::simd::LANES;
use std::cell::Cell;

/// Bytes of laid-out rows that a task works on: half of a usual second-level cache.
const BYTES: usize = 512 << 10;
/// Rows that a task does at least, so that those around them are not most of the work.
const FEWEST_ROWS: usize = 4;
/// What the last tile of a line reads beyond it.
const SLACK: usize = 6 * LANES;

thread_local! {
    /// Kept between convolutions: what it holds is always overwritten before it is read.
    static SPACE: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Hands work space of some length, of any content.
pub(super) fn with_space<T>(length: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut space = SPACE.take();
    if space.len() < length {
        space.resize(length, 0.0);
    }
    let done = work(&mut space[..length]);
    SPACE.set(space);
    done
}

/// Maps that a pass reads.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) channels: usize,
    pub(super) size: (usize, usize),
    pub(super) stride: usize,
    /// Rows and columns of zeros before the first pixel; negative where the first pixels are not read.
    pub(super) padding: (isize, isize),
    /// Rows and columns of a phase that the last output reads beyond its own.
    pub(super) halo: usize,
    /// Whether half of the halo is zeros that stand before a row as well as after the last one.
    pub(super) is_shared: bool,
    /// Whether each column of a kernel has lines of its own, so that rows have no padding at all: for small maps, of which it would be much.
    pub(super) is_split: bool,
}

/// Positions that lie together: where in a line, where in the results, and how many (whole vectors).
pub(super) type Segment = (usize, usize, usize);

impl Source {
    /// The way that suits an extent of outputs.
    pub(super) fn for_extent(self, (rows, outputs): (usize, usize)) -> Self {
        let padding = if self.is_shared { self.halo / 2 } else { self.halo };
        let is_small = (rows + padding) * (outputs + padding) * 7 > rows * outputs * 8;
        Self { is_split: is_small && (1..=2).contains(&self.halo), ..self }
    }

    /// Columns of a line's row for some outputs a row.
    fn columns(&self, outputs: usize) -> usize {
        match (self.is_split, self.is_shared) {
            (true, _) => outputs,
            (false, true) => outputs + self.halo / 2,
            (false, false) => outputs + self.halo,
        }
    }

    /// Lines of a phase and channel.
    fn splits(&self) -> usize {
        if self.is_split { self.halo + 1 } else { 1 }
    }

    /// Lines in all.
    fn lines(&self) -> usize {
        self.splits() * self.stride * self.stride * self.channels
    }

    /// How many images a task takes, and how many rows of outputs of them: several whole images, or rows of one.
    pub(super) fn portions(&self, (rows, outputs): (usize, usize), batch: usize) -> (usize, usize) {
        let bytes = self.lines() * self.columns(outputs) * size_of::<f32>();
        let fit = BYTES / bytes.max(1);
        let whole = rows + self.halo;
        if fit >= whole {
            return ((fit / whole).clamp(1, batch.max(1)), rows);
        }
        // Bands of even height.
        let band = fit.saturating_sub(self.halo).max(FEWEST_ROWS);
        (1, rows.div_ceil(rows.div_ceil(band)))
    }
}

/// Where the rows of a task lie.
pub(super) struct Band<'a> {
    source: &'a Source,
    images: usize,
    /// First row of outputs, and how many.
    start: usize,
    rows: usize,
    columns: usize,
    /// Rows from an image to the next.
    step: usize,
    /// Whether results of images follow each other without the padding between them.
    is_gapless: bool,
}

impl<'a> Band<'a> {
    /// Of `rows` rows of outputs from `start` on; all rows where there are several images.
    pub(super) fn new(source: &'a Source, images: usize, start: usize, rows: usize, outputs: usize) -> Self {
        let columns = source.columns(outputs);
        let is_shared = source.is_shared && images > 1 && !source.is_split;
        let step = rows + if is_shared { source.halo / 2 } else { source.halo };
        Self { source, images, start, rows, columns, step, is_gapless: source.is_split }
    }

    /// With rows at the same places as another, for maps of that one's outputs.
    pub(super) fn like(source: &'a Source, other: &Self) -> Self {
        Self { source, ..*other }
    }

    /// With results where they lie in a line: what is summed over positions goes in long runs.
    pub(super) fn with_gaps(self) -> Self {
        Self { is_gapless: false, ..self }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Values of an image's results.
    fn image_positions(&self) -> usize {
        (self.rows * self.columns).next_multiple_of(LANES)
    }

    /// Where the results of an image begin.
    pub(super) fn image(&self, image: usize) -> usize {
        image * if self.is_gapless { self.image_positions() } else { self.step * self.columns }
    }

    /// Positions of results.
    pub(super) fn positions(&self) -> usize {
        if self.is_gapless {
            return self.images * self.image_positions();
        }
        (((self.images - 1) * self.step + self.rows) * self.columns).next_multiple_of(LANES)
    }

    /// All positions: image by image where padding between images is left out.
    pub(super) fn segments(&self) -> Vec<Segment> {
        if !self.is_gapless {
            return vec![(0, 0, self.positions())];
        }
        let segment = |image| (image * self.step * self.columns, self.image(image), self.image_positions());
        (0..self.images).map(segment).collect()
    }

    fn line(&self) -> usize {
        if self.source.is_split {
            return self.images * self.step * self.columns + LANES;
        }
        self.positions() + self.source.halo * (self.columns + 1)
    }

    /// Values of all lines.
    pub(super) fn len(&self) -> usize {
        self.source.lines() * self.line() + SLACK
    }

    /// Where the first output meets a value of a line (phase and channel), some rows and columns on.
    pub(super) fn at(&self, line: usize, row: usize, column: usize) -> usize {
        if self.source.is_split {
            let all = self.source.stride * self.source.stride * self.source.channels;
            return (column * all + line) * self.line() + row * self.columns;
        }
        line * self.line() + row * self.columns + column
    }

    /// Lays rows of images out by phase and channel, zero where there is no pixel.
    pub(super) fn fill(&self, images: &[f32], lines: &mut [f32]) {
        let Source { channels, size: (height, width), stride, padding, .. } = *self.source;
        let rows = if self.images > 1 { self.step } else { self.rows + self.source.halo };
        let (lines, slack) = lines.split_at_mut(self.source.lines() * self.line());
        slack.fill(0.0);
        for (index, line) in lines.chunks_exact_mut(self.line()).enumerate() {
            let (channel, phase) = (index % channels, index / channels % (stride * stride));
            let split = index / channels / (stride * stride);
            // The first column that has a pixel, and that pixel.
            let shift = padding.1 - (phase % stride + split * stride) as isize;
            let column = if shift > 0 { (shift as usize).div_ceil(stride) } else { 0 };
            let pixel = ((column * stride) as isize - shift) as usize;
            let room = self.columns.saturating_sub(column);
            let count = width.saturating_sub(pixel).div_ceil(stride).min(room);
            let (laid, rest) = line.split_at_mut(self.images * rows * self.columns);
            rest.fill(0.0);
            for (index, to) in laid.chunks_exact_mut(self.columns).enumerate() {
                let (image, row) = (index / rows, index % rows);
                let y = (stride * (self.start + row) + phase / stride) as isize - padding.0;
                if y < 0 || y >= height as isize || count == 0 {
                    to.fill(0.0);
                    continue;
                }
                let start = ((image * channels + channel) * height + y as usize) * width;
                let from = &images[start + pixel..start + width];
                to[..column].fill(0.0);
                to[column + count..].fill(0.0);
                let to = &mut to[column..column + count];
                if stride == 1 {
                    to.copy_from_slice(&from[..count]);
                } else {
                    to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }

    /// Lays rows of outputs out as they are summed over: channels x positions, zero between them and in lines beyond the last channel.
    pub(super) fn fill_rows(&self, images: &[f32], lines: &mut [f32]) {
        let Source { channels, size: (height, width), .. } = *self.source;
        let (lines, beyond) = lines.split_at_mut(channels * self.positions());
        beyond.fill(0.0);
        for (channel, line) in lines.chunks_exact_mut(self.positions()).enumerate() {
            let mut done = 0;
            for image in 0..self.images {
                let plane = &images[(image * channels + channel) * height * width..][..height * width];
                let (start, end) = (self.image(image), self.image(image) + self.rows * self.columns);
                line[done..start].fill(0.0);
                let rows = plane[self.start * width..].chunks_exact(width);
                for (to, from) in line[start..end].chunks_exact_mut(self.columns).zip(rows) {
                    to[..width].copy_from_slice(from);
                    to[width..].fill(0.0);
                }
                done = end;
            }
            line[done..].fill(0.0);
        }
    }
}

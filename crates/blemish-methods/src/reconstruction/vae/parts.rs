//! Images larger than what the network sees, part by part.

/// First rows (or columns) of parts that cover a side: every `stride` pixels, the last one at the end.
pub(crate) fn starts(side: usize, part: usize, stride: usize) -> Vec<usize> {
    let last = side.saturating_sub(part);
    (0..last).step_by(stride.max(1)).chain([last]).collect()
}

/// First row and column of all parts of an image.
pub(crate) fn corners((height, width): (usize, usize), part: usize, stride: usize) -> Vec<(usize, usize)> {
    let columns = starts(width, part, stride);
    let of_row = |row| columns.iter().map(move |&column| (row, column)).collect::<Vec<_>>();
    starts(height, part, stride).into_iter().flat_map(of_row).collect()
}

/// The part x part values at a corner of every plane of an image.
pub(crate) fn cut(
    image: &[f32],
    (height, width): (usize, usize),
    part: usize,
    (row, column): (usize, usize),
) -> Vec<f32> {
    let plane = height * width;
    let rows = |plane: usize| (0..part).map(move |at| plane + (row + at) * width + column);
    (0..image.len() / plane.max(1))
        .flat_map(|number| rows(number * plane))
        .flat_map(|start| image[start..start + part].iter().copied())
        .collect()
}

/// The mean of overlapping parts, each part x part, as one map.
pub(crate) struct Joined {
    width: usize,
    part: usize,
    sums: Vec<f32>,
    counts: Vec<f32>,
}

impl Joined {
    /// Nothing yet, of height x width.
    pub(crate) fn new((height, width): (usize, usize), part: usize) -> Self {
        Self { width, part, sums: vec![0.0; height * width], counts: vec![0.0; height * width] }
    }

    /// One more part at a corner.
    pub(crate) fn push(&mut self, (row, column): (usize, usize), values: &[f32]) {
        for (at, values) in values.chunks_exact(self.part).enumerate() {
            let start = (row + at) * self.width + column;
            let sums = self.sums[start..][..self.part].iter_mut().zip(&mut self.counts[start..][..self.part]);
            for ((sum, count), value) in sums.zip(values) {
                *sum += value;
                *count += 1.0;
            }
        }
    }

    /// The map; 0 where there was no part.
    pub(crate) fn finish(self) -> Vec<f32> {
        self.sums.iter().zip(&self.counts).map(|(sum, count)| sum / count.max(1.0)).collect()
    }
}

//! Windows of the token grid, and the way from a score a window to a score a token.

/// The windows of one scale on a square grid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows {
    /// Tokens along a side of the grid.
    grid: usize,
    /// The tokens of each window, row by row; windows row by row.
    pub(super) tokens: Vec<Vec<usize>>,
    /// For each token the number of windows that cover it.
    counts: Vec<u32>,
}

impl Windows {
    /// Windows of scale x scale tokens at every `stride` tokens, and at the far border where a step would not reach it. A stride is the scale
    /// at most, so that every token is covered.
    pub(super) fn new(grid: usize, scale: usize, stride: usize) -> Self {
        let (last, stride) = (grid - scale, stride.min(scale));
        let mut starts: Vec<usize> = (0..=last).step_by(stride).collect();
        if !last.is_multiple_of(stride) {
            starts.push(last);
        }
        let window = |top: usize, left: usize| -> Vec<usize> {
            (top..top + scale).flat_map(|y| (left..left + scale).map(move |x| y * grid + x)).collect()
        };
        let tokens: Vec<Vec<usize>> =
            starts.iter().flat_map(|&top| starts.iter().map(move |&left| window(top, left))).collect();
        let mut counts = vec![0; grid * grid];
        tokens.iter().flatten().for_each(|&token| counts[token] += 1);
        Self { grid, tokens, counts }
    }

    /// Harmonic mean of the scores of the windows that cover a token, for every token: n / sum 1 / score. One zero makes it zero.
    pub(super) fn harmonic(&self, scores: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0_f32; self.grid * self.grid];
        for (window, score) in self.tokens.iter().zip(scores) {
            window.iter().for_each(|&token| sums[token] += 1.0 / score);
        }
        sums.iter().zip(&self.counts).map(|(sum, &count)| count as f32 / sum).collect()
    }
}

/// Harmonic mean over the scales at every token: the whole image's score, which is the same everywhere, and a map a scale.
pub(super) fn over_scales(image: f32, maps: &[Vec<f32>], tokens: usize) -> Vec<f32> {
    let count = (maps.len() + 1) as f32;
    let sum = |token: usize| maps.iter().fold(1.0 / image, |sum, map| sum + 1.0 / map[token]);
    (0..tokens).map(|token| count / sum(token)).collect()
}

/// The probability of a defect by cosines to the two prototypes: exp(a / T) / (exp(n / T) + exp(a / T)).
pub(super) fn probability(normal: f32, anomalous: f32, temperature: f32) -> f32 {
    1.0 / (1.0 + ((normal - anomalous) / temperature).exp())
}

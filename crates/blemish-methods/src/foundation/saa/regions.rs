//! From regions and their scores to an anomaly map: re-scoring by saliency, ranking, fusion.

/// A region that is said to be a defect.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Region {
    /// Whether each pixel of the map lies in it.
    pub mask: Vec<bool>,
    /// s, or s' once it is re-scored.
    pub score: f32,
}

/// s' = s exp(exponent x mean saliency over the region); an empty region keeps its score.
pub(super) fn rescore(region: &mut Region, saliency: &[f32], exponent: f32) {
    let mut sum = 0.0f64;
    let mut count = 0usize;
    for (&value, _) in saliency.iter().zip(&region.mask).filter(|(_, inside)| **inside) {
        sum += f64::from(value);
        count += 1;
    }
    if count > 0 {
        region.score *= (exponent * (sum / count as f64) as f32).exp();
    }
}

/// Sums the scores of regions over the pixels: of all, or of the most certain alone.
pub(super) struct Fusion {
    /// How many count; `None` is all.
    most: Option<usize>,
    /// The most certain so far, highest score first; of equal scores the earlier comes first.
    kept: Vec<Region>,
    sums: Vec<f32>,
    counts: Vec<u32>,
}

impl Fusion {
    /// For maps of so many pixels.
    pub fn new(most: Option<usize>, pixels: usize) -> Self {
        // The one comes from the released code, whose weights begin at one: a pixel of a single region gets half of its score.
        Self { most, kept: Vec::new(), sums: vec![0.0; pixels], counts: vec![1; pixels] }
    }

    /// The next region, in the order of detection.
    pub fn add(&mut self, region: Region) {
        let Some(most) = self.most else { return self.count(&region) };
        self.kept.push(region);
        // A stable sort keeps the order of equals.
        self.kept.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.kept.truncate(most);
    }

    /// Sum of the scores of the regions a pixel lies in, over one more than their number; 0 where there is none.
    pub fn finish(mut self) -> Vec<f32> {
        for region in std::mem::take(&mut self.kept) {
            self.count(&region);
        }
        self.sums.iter_mut().zip(&self.counts).for_each(|(sum, count)| *sum /= *count as f32);
        self.sums
    }

    fn count(&mut self, region: &Region) {
        let pixels = self.sums.iter_mut().zip(&mut self.counts).zip(&region.mask);
        for ((sum, count), _) in pixels.filter(|(_, inside)| **inside) {
            *sum += region.score;
            *count += 1;
        }
    }
}

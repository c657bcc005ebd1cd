//! AUPIMO: overlap with each image's defects at false positive rates measured on good images only.

use super::Store;
use serde::{Deserialize, Serialize};

/// AUPIMO of every defective image (Bertoldo et al., arXiv 2401.01984).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pimo {
    /// Mean over the defective images.
    pub mean: f64,
    /// Median over the defective images.
    pub median: f64,
    /// One value an image, in the order they came, kind by kind.
    pub per_image: Vec<f64>,
}

/// 1 / ln(U / L) times the integral over ln F from ln L to ln U of T_i, where F(t) is the share of good images' pixels at or above t
/// and T_i(t) that of image i's defective pixels.
///
/// Exact: F only moves at the good pixels' distinct scores v, from F(>= v) to F(> v), and there T_i is taken halfway between T_i(>= v)
/// and T_i(> v). Images are taken to have equal size, as maps of one detector do. `None` without defective images or with fewer than
/// 1 / L good pixels, where F cannot resolve the lower bound.
pub(super) fn aupimo(good: &Store, defective: &[&Store], (low, high): (f64, f64)) -> Option<Pimo> {
    let background = good.background();
    let total = background.len() as f64;
    if total * low < 1.0 {
        return None;
    }
    let steps = steps(background, low, high);
    let scale = 1.0 / (high / low).ln();
    let overlap = |image: &[u64]| {
        let share = |above: usize| (image.len() - above) as f64 / image.len() as f64;
        let sum: f64 = steps
            .iter()
            .map(|&(key, width)| {
                let at_least = share(image.partition_point(|&pixel| ((pixel >> 32) as u32) < key));
                let more = share(image.partition_point(|&pixel| ((pixel >> 32) as u32) <= key));
                width * (at_least + more) / 2.0
            })
            .sum();
        (scale * sum).clamp(0.0, 1.0)
    };
    let per_image: Vec<f64> = defective.iter().flat_map(|store| store.images()).map(overlap).collect();
    let mut sorted = per_image.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => return None,
        count if count % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    };
    Some(Pimo { mean: per_image.iter().sum::<f64>() / per_image.len() as f64, median, per_image })
}

/// Distinct good scores and the width of the step of ln F at each, cut to [ln low, ln high].
fn steps(background: &[u32], low: f64, high: f64) -> Vec<(u32, f64)> {
    let total = background.len() as f64;
    let mut steps = Vec::new();
    let mut above = 0;
    for tied in background.rchunk_by_key() {
        let (more, at_least) = (above as f64 / total, (above + tied.1) as f64 / total);
        above += tied.1;
        let width = at_least.clamp(low, high).ln() - more.clamp(low, high).ln();
        if width > 0.0 {
            steps.push((tied.0, width));
        }
        if at_least >= high {
            break;
        }
    }
    steps
}

/// Groups of equal keys from the greatest down, as (key, count).
trait DescendingGroups {
    fn rchunk_by_key(&self) -> impl Iterator<Item = (u32, usize)>;
}

impl DescendingGroups for [u32] {
    fn rchunk_by_key(&self) -> impl Iterator<Item = (u32, usize)> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let &key = rest.last()?;
            let kept = rest.partition_point(|&other| other < key);
            let count = rest.len() - kept;
            rest = &rest[..kept];
            Some((key, count))
        })
    }
}

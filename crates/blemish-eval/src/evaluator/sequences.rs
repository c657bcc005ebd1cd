//! Frames of videos: whether an anomalous moment stands out of its own video.

use super::mean::mean;
use crate::auroc;
use crate::report::{OneSequence, SequenceReport};
use std::collections::BTreeMap;

/// Scores and labels of the frames of each video, by its number.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequences(BTreeMap<u32, Frames>);

#[derive(Clone, Debug, Default)]
struct Frames {
    scores: Vec<f64>,
    labels: Vec<bool>,
}

impl Sequences {
    /// Takes a frame in.
    pub(super) fn add(&mut self, sequence: u32, score: f32, is_defective: bool) {
        let frames = self.0.entry(sequence).or_default();
        frames.scores.push(f64::from(score));
        frames.labels.push(is_defective);
    }

    /// The metrics; `None` where there are still images only.
    pub(super) fn report(&self) -> Option<SequenceReport> {
        let each = self.0.iter().map(|(&sequence, frames)| OneSequence {
            sequence,
            name: String::new(),
            frames: frames.labels.len(),
            defective: frames.labels.iter().filter(|&&label| label).count(),
            auroc: auroc(&frames.scores, &frames.labels).ok(),
        });
        let per_sequence: Vec<OneSequence> = each.collect();
        let scores: Vec<f64> = self.0.values().flat_map(|frames| within_own_range(&frames.scores)).collect();
        let labels: Vec<bool> = self.0.values().flat_map(|frames| &frames.labels).copied().collect();
        (!self.0.is_empty()).then(|| SequenceReport {
            frame_auroc: auroc(&scores, &labels).ok(),
            published_auroc: None,
            mean_auroc: mean(per_sequence.iter().filter_map(|one| one.auroc)),
            per_sequence,
        })
    }
}

/// Scores brought to 0 (the lowest of the video) to 1 (its highest); one half where all are equal.
fn within_own_range(scores: &[f64]) -> impl Iterator<Item = f64> {
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter().map(move |score| if high > low { (score - low) / (high - low) } else { 0.5 })
}

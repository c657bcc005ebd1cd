//! From an image to the rows of its levels.

use super::config::{EPSILON, GroundingConfig, LEVELS};
use super::places;
use super::swin::{Map, Swin};
use crate::layers::{Activation, Conv, Linear, through};
use crate::parameters::Parameters;
use blemish_features::Normalization;
use blemish_kernels::map::resize_antialiased;
use blemish_kernels::transformer::add;

/// Groups of the norms behind the maps to one width.
const GROUPS: usize = 32;
/// Stages of the backbone whose maps are looked at.
const STAGES: [usize; 3] = [2, 3, 4];

/// What the network has seen of an image, for any number of captions.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundingImage {
    /// Rows of all levels, one after the other.
    pub(super) rows: Vec<f32>,
    /// Where the cells lie, a row each.
    pub(super) places: Vec<f32>,
    /// Height and width of every level.
    pub(super) levels: Vec<(usize, usize)>,
}

impl GroundingImage {
    /// Centres of the cells, as shares of the image's sides.
    pub(super) fn points(&self) -> Vec<[f32; 2]> {
        let share = |index: usize, side: usize| (index as f32 + 0.5) / side as f32;
        self.levels
            .iter()
            .flat_map(|&(height, width)| {
                (0..height * width).map(move |cell| [share(cell % width, width), share(cell / width, height)])
            })
            .collect()
    }
}

#[derive(Debug)]
pub(super) struct ImagePart {
    sides: (usize, usize),
    width: usize,
    backbone: Swin,
    narrow: Vec<(Linear, GroupNorm)>,
    further: (Conv, GroupNorm),
    /// What is added to the places of each level.
    levels: Vec<f32>,
}

impl ImagePart {
    pub fn load(config: &GroundingConfig, parameters: &Parameters<'_, '_>) -> Self {
        let width = config.width;
        let channels = |stage: usize| config.swin.width << (stage - 1);
        let input = parameters.at("input_proj_vision");
        let narrow = STAGES
            .iter()
            .enumerate()
            .map(|(level, stage)| {
                let convolution = input.at(format!("{level}.0"));
                let weight = convolution.take("weight", &[width, channels(*stage), 1, 1]);
                let bias = convolution.take("bias", &[width]);
                let linear = Linear::new(width, channels(*stage), &weight, Some(&bias));
                (linear, GroupNorm::load(&input.at(format!("{level}.1")), width))
            })
            .collect::<_>();
        let convolution = input.at("3.0");
        let inputs = channels(STAGES[2]);
        let weight = convolution.take("weight", &[width, inputs, 3, 3]);
        let further = Conv::new([inputs, width, 3], 2, 1, &weight, &convolution.take("bias", &[width]));
        Self {
            sides: config.sides,
            width,
            backbone: Swin::load(&config.swin, &STAGES, &parameters.at("backbone.conv_encoder.model")),
            narrow,
            further: (further, GroupNorm::load(&input.at("3.1"), width)),
            levels: parameters.take("level_embed", &[LEVELS, width]),
        }
    }

    pub fn look(&self, rgb: &[f32], size: (usize, usize)) -> GroundingImage {
        let to = scaled(size, self.sides);
        let Normalization { mean, std } = Normalization::IMAGENET;
        let mut planes = Vec::with_capacity(3 * to.0 * to.1);
        for (channel, plane) in rgb.chunks_exact(size.0 * size.1).enumerate() {
            let resized = resize_antialiased(plane, size, to);
            planes.extend(resized.iter().map(|value| (value - mean[channel]) / std[channel]));
        }
        let maps = self.backbone.apply(&planes, to);
        let mut rows = Vec::new();
        let mut levels = Vec::new();
        for (Map { rows: deep, size }, (linear, norm)) in maps.iter().zip(&self.narrow) {
            rows.extend(norm.apply(through(linear, deep)));
            levels.push(*size);
        }
        if let Some(last) = maps.last() {
            let (further, size) = self.further.0.apply(last.rows.clone(), last.size, Activation::None);
            rows.extend(self.further.1.apply(further));
            levels.push(size);
        }
        let mut at = Vec::with_capacity(rows.len());
        for (size, level) in levels.iter().zip(self.levels.chunks_exact(self.width)) {
            let mut places = places::of_map(*size, self.width);
            places.chunks_exact_mut(self.width).for_each(|place| add(place, level));
            at.extend(places);
        }
        GroundingImage { rows, places: at, levels }
    }
}

/// Height and width with the shorter side given and the longer one within its limit.
fn scaled((height, width): (usize, usize), (shorter, longest): (usize, usize)) -> (usize, usize) {
    let (least, most) = (height.min(width) as f64, height.max(width) as f64);
    let limited = (longest as f64 * least / most).round_ties_even() as usize;
    let shorter = if most / least * shorter as f64 > longest as f64 { limited } else { shorter };
    // An image of a pixel's breadth keeps it.
    let shorter = shorter.max(1);
    let other = |side: usize| ((shorter as f64 * side as f64 / least) as usize).min(longest);
    if height < width { (shorter, other(width)) } else { (other(height), shorter) }
}

/// Normalises groups of neighbouring channels over all cells of a map (arXiv 1803.08494).
#[derive(Debug)]
pub(super) struct GroupNorm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

impl GroupNorm {
    fn load(parameters: &Parameters<'_, '_>, width: usize) -> Self {
        Self { gain: parameters.take("weight", &[width]), bias: parameters.take("bias", &[width]) }
    }

    fn apply(&self, mut rows: Vec<f32>) -> Vec<f32> {
        let width = self.gain.len();
        let each = width / GROUPS;
        for group in 0..GROUPS {
            let channels = group * each..(group + 1) * each;
            let values =
                || rows.chunks_exact(width).flat_map(|row| &row[channels.clone()]).map(|x| f64::from(*x));
            let count = (rows.len() / GROUPS) as f64;
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + f64::from(EPSILON)).sqrt();
            for row in rows.chunks_exact_mut(width) {
                for channel in channels.clone() {
                    let normed = ((f64::from(row[channel]) - mean) * scale) as f32;
                    row[channel] = normed.mul_add(self.gain[channel], self.bias[channel]);
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::{GroupNorm, scaled};

    #[test]
    fn sides_are_those_of_the_authors() {
        assert_eq!(scaled((480, 640), (800, 1333)), (800, 1066));
        assert_eq!(scaled((640, 480), (800, 1333)), (1066, 800));
        assert_eq!(scaled((500, 1000), (800, 1333)), (666, 1332));
        assert_eq!(scaled((1024, 1024), (800, 1333)), (800, 800));
        assert_eq!(scaled((1, 5000), (800, 1333)), (1, 1333));
    }

    #[test]
    fn groups_of_channels_are_normalised_over_all_cells() {
        let norm = GroupNorm { gain: vec![1.0; 64], bias: vec![0.5; 64] };
        let mut rows = vec![0.0f32; 2 * 64];
        // The first group, channels 0 and 1 of both cells: 1, 3, 5, 7.
        (rows[0], rows[1], rows[64], rows[65]) = (1.0, 3.0, 5.0, 7.0);
        let normed = norm.apply(rows);
        let deviation = 5.0f32.sqrt();
        for (at, expected) in [(0, -3.0), (1, -1.0), (64, 1.0), (65, 3.0)] {
            assert!((normed[at] - (expected / deviation + 0.5)).abs() < 1e-5, "{}", normed[at]);
        }
        assert_eq!(normed[2], 0.5);
    }
}

//! What a training step of the network takes: its convolutions, counted.

use super::config::{DecoderKind, MemSegConfig};
use super::memory::Layers;

/// A convolution: channels in and out, side of the kernel, positions of its output.
type Convolution = (usize, usize, usize, usize);

/// The convolutions for images of H x W pixels; a last stage of our own is counted for one of the backbone's.
fn convolutions(config: &MemSegConfig, layers: &Layers, (height, width): (usize, usize)) -> Vec<Convolution> {
    let levels = layers.levels();
    let decoder = config.rules().decoder;
    let mut found = Vec::new();
    for (at, size) in levels.iter().enumerate() {
        let (c, cells) = (size.channels, size.cells());
        found.extend([(2 * c, 2 * c, 3, cells), (2 * c, c, 3, cells), (c, c, 3, cells)]);
        found.extend(levels.get(at + 1).map(|deeper| (deeper.channels, c, 3, cells)));
    }
    let Some(last) = levels.last() else { return found };
    let (mut channels, cells) = (2 * last.channels, last.height.div_ceil(2) * last.width.div_ceil(2));
    found.extend([(last.channels, channels, 3, cells), (last.channels, channels, 1, cells)]);
    found.extend([(channels, channels, 3, cells); 3]);
    let mut step = |inputs: usize, up: usize, skip: usize, outputs: usize, cells: usize| {
        found.push((inputs, up, 3, cells));
        match decoder {
            DecoderKind::Single => up + skip,
            DecoderKind::Double => {
                found.extend([(up + skip, outputs, 3, cells), (outputs, outputs, 3, cells)]);
                outputs
            }
        }
    };
    for size in levels.iter().rev() {
        channels = step(channels, size.channels, size.channels, size.channels, size.cells());
    }
    let wide = config.width;
    if layers.has_stem {
        let size = layers.sizes[0];
        channels = match decoder {
            DecoderKind::Single => step(channels, wide, wide, wide, size.cells()),
            DecoderKind::Double => step(channels, 2 * wide / 3, size.channels, wide, size.cells()),
        };
    }
    channels = step(channels, wide, 0, (wide / 2).max(1), height * width);
    if let (true, DecoderKind::Single) = (layers.has_stem, decoder) {
        found.push((layers.sizes[0].channels, wide, 3, layers.sizes[0].cells()));
    }
    found.push((channels, 2, 3, height * width));
    found
}

/// Multiply-adds of one image's way through the network.
pub(super) fn products(config: &MemSegConfig, layers: &Layers, size: (usize, usize)) -> f64 {
    let one =
        |&(inputs, outputs, kernel, cells): &Convolution| (inputs * outputs * kernel * kernel * cells) as f64;
    convolutions(config, layers, size).iter().map(one).sum()
}

/// Values that one image's way keeps for the gradients: what enters each convolution, before and after an enlargement, and what leaves it,
/// before and after normalisation and rectifier.
pub(super) fn kept(config: &MemSegConfig, layers: &Layers, size: (usize, usize)) -> usize {
    let one = |&(inputs, outputs, _, cells): &Convolution| (2 * inputs + 3 * outputs) * cells;
    convolutions(config, layers, size).iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::map_size::MapSize;
    use blemish_core::preset::Preset;

    fn published() -> Layers {
        let size = |(channels, side)| MapSize { channels, height: side, width: side };
        Layers { sizes: [(64, 128), (64, 64), (128, 32), (256, 16)].map(size).to_vec(), has_stem: true }
    }

    #[test]
    fn the_convolutions_have_the_weights_of_the_network() {
        let config = MemSegConfig::of(Preset::Paper);
        let weights = |&(inputs, outputs, kernel, _): &Convolution| inputs * outputs * kernel * kernel;
        let found: usize = convolutions(&config, &published(), (256, 256)).iter().map(weights).sum();
        // 16 262 930 in all, less biases, normalisations and the small ones inside the attentions.
        let small: usize = [128usize, 256, 512].iter().map(|c| 3 * c * (c / 32).max(8)).sum();
        let biases = (128 + 64 + 64 + 256 + 128 + 128 + 512 + 256 + 256 + 128 + 64)
            + (256 + 128 + 64 + 48 + 48 + 48 + 2);
        let attentions: usize = [128usize, 256, 512].iter().map(|c| 3 * (c / 32).max(8) + 2 * c).sum();
        let norms = 2 * (256 + 128 + 64 + 48 + 48) + 5 * 2 * 512;
        assert_eq!(found, 16_262_930 - small - biases - attentions - norms);
    }

    #[test]
    fn the_last_but_one_convolution_dominates() {
        let config = MemSegConfig::of(Preset::Paper);
        let all = products(&config, &published(), (256, 256));
        let largest = (96_u64 * 48 * 9 * 65_536) as f64;
        assert!(convolutions(&config, &published(), (256, 256)).contains(&(96, 48, 3, 65536)));
        assert!(all > 2.0 * largest && all < 5.0 * largest, "{all}");
    }
}

//! Drawing the channels and bringing them to one grid, without ever building the full concatenation.

use blemish_features::FeatureMap;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// `count` of `available` channels, without replacement, ascending; fixed by the seed.
pub(crate) fn draw_channels(available: usize, count: usize, seed: u64) -> Vec<u32> {
    let mut drawn: Vec<u32> = index::sample(&mut ChaCha8Rng::seed_from_u64(seed), available, count)
        .iter()
        .map(|channel| channel as u32)
        .collect();
    drawn.sort_unstable();
    drawn
}

/// N x P x d values: the drawn channels of the layers' concatenation, on the first layer's grid of P cells.
///
/// Deeper layers are brought to the grid by nearest replication: cell (i, j) takes (floor(i h / H), floor(j w / W)).
pub(crate) fn gather(maps: &[FeatureMap], channels: &[u32], count: usize) -> Vec<f32> {
    let Some(first) = maps.first() else { return Vec::new() };
    let (height, width, dimensions) = (first.height, first.width, channels.len());
    let sources = locate(maps, channels);
    let cells: Vec<Vec<u32>> = maps.iter().map(|map| replication(map, height, width)).collect();
    let mut values = vec![0.0f32; count * height * width * dimensions];
    values.par_chunks_mut((height * width * dimensions).max(1)).enumerate().for_each(|(image, target)| {
        // A strip of positions at a time keeps the scattered writes in cache.
        for (strip, target) in target.chunks_mut(64 * dimensions).enumerate() {
            for (d, &(map, channel)) in sources.iter().enumerate() {
                let (layer, near) = (&maps[map], &cells[map]);
                let positions = layer.height * layer.width;
                let plane = &layer.data[(image * layer.channels + channel) * positions..][..positions];
                for (row, &cell) in target.chunks_exact_mut(dimensions).zip(&near[strip * 64..]) {
                    row[d] = plane[cell as usize];
                }
            }
        }
    });
    values
}

/// Layer and channel within it of every drawn channel.
fn locate(maps: &[FeatureMap], channels: &[u32]) -> Vec<(usize, usize)> {
    channels
        .iter()
        .filter_map(|&channel| {
            let mut left = channel as usize;
            for (index, map) in maps.iter().enumerate() {
                if left < map.channels {
                    return Some((index, left));
                }
                left -= map.channels;
            }
            None
        })
        .collect()
}

fn replication(map: &FeatureMap, height: usize, width: usize) -> Vec<u32> {
    (0..height * width)
        .map(|cell| {
            let (y, x) = (cell / width * map.height / height, cell % width * map.width / width);
            (y * map.width + x) as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeper_layers_are_constant_on_aligned_blocks() {
        let ramp =
            FeatureMap { channels: 1, height: 14, width: 14, data: (0..196).map(|i| i as f32).collect() };
        let fine = FeatureMap { channels: 1, height: 56, width: 56, data: vec![-1.0; 3136] };
        let values = gather(&[fine, ramp], &[1], 1);
        for y in 0..56 {
            for x in 0..56 {
                assert_eq!(values[y * 56 + x], ((y / 4) * 14 + x / 4) as f32);
            }
        }
    }

    #[test]
    fn channels_come_from_the_right_layer_and_image() {
        let map = |channels: usize, base: f32| FeatureMap {
            channels,
            height: 1,
            width: 1,
            data: (0..2 * channels).map(|i| base + i as f32).collect(),
        };
        // Layers of 2 and 3 channels: channel 4 of the concatenation is channel 2 of the second layer.
        assert_eq!(gather(&[map(2, 0.0), map(3, 100.0)], &[1, 4], 2), [1.0, 102.0, 3.0, 105.0]);
    }

    #[test]
    fn the_draw_is_fixed_by_its_seed_and_has_no_repeats() {
        let drawn = draw_channels(448, 100, 7);
        assert_eq!(drawn, draw_channels(448, 100, 7));
        assert_ne!(drawn, draw_channels(448, 100, 8));
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.len() == 100 && drawn[99] < 448);
    }
}

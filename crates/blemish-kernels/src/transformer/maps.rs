//! Transformers on feature maps: a sequence of tokens is a map of one column, a pixel a token, so that 1x1 convolutions are its linear maps.

use super::{Activation, Heads, Mask, Tokens, attention, gate, layer_norm};
use crate::conv::ChannelsLast;
use crate::lines::Lines;

/// A column of tokens: `prefix` (any number x C), then the pixels of `map` in the order of reading, each with its row of `positions`
/// (height x width x C) added. `space` is memory to use.
///
/// # Panics
/// If the lengths do not fit.
pub fn tokens(map: &ChannelsLast, prefix: &[f32], positions: &[f32], space: Lines<f32>) -> ChannelsLast {
    let (channels, pixels) = (map.channels, map.height * map.width);
    assert_eq!(positions.len(), pixels * channels, "one position a pixel");
    assert!(channels > 0 && prefix.len().is_multiple_of(channels), "whole tokens");
    let before = prefix.len() / channels;
    let mut out = ChannelsLast::recycled(before + pixels, 1, channels, space);
    let pitch = out.pitch();
    let (first, rest) = out.all_values_mut().split_at_mut(before * pitch);
    for (out, token) in first.chunks_exact_mut(pitch).zip(prefix.chunks_exact(channels)) {
        out[..channels].copy_from_slice(token);
        out[channels..].fill(0.0);
    }
    let pixels = map.all_values().chunks_exact(map.pitch()).zip(positions.chunks_exact(channels));
    for (out, (pixel, position)) in rest.chunks_exact_mut(pitch).zip(pixels) {
        for ((out, value), position) in out.iter_mut().zip(pixel).zip(position) {
            *out = value + position;
        }
        out[channels..].fill(0.0);
    }
    out
}

/// The tokens from number `first` on as a map of this size. `space` is memory to use.
///
/// # Panics
/// If there are fewer tokens.
pub fn grid(
    tokens: &ChannelsLast,
    first: usize,
    [height, width]: [usize; 2],
    space: Lines<f32>,
) -> ChannelsLast {
    let mut out = ChannelsLast::recycled(height, width, tokens.channels, space);
    assert_eq!(tokens.pitch(), out.pitch(), "tokens are filled up");
    let length = out.all_values().len();
    let from = &tokens.all_values()[first * tokens.pitch()..][..length];
    out.all_values_mut().copy_from_slice(from);
    out
}

/// The layer norm of every pixel over its channels. `space` is memory to use.
///
/// # Panics
/// If gain and bias have not one value a channel.
pub fn normalize(
    map: &ChannelsLast,
    gain: &[f32],
    bias: &[f32],
    epsilon: f32,
    space: Lines<f32>,
    is_parallel: bool,
) -> ChannelsLast {
    let channels = map.channels;
    let mut out = ChannelsLast::recycled(map.height, map.width, channels, space);
    let pitch = out.pitch();
    if pitch == channels && map.pitch() == pitch {
        layer_norm(map.all_values(), gain, bias, epsilon, out.all_values_mut(), is_parallel);
        return out;
    }
    let pixels = map.all_values().chunks_exact(map.pitch());
    for (pixel, out) in pixels.zip(out.all_values_mut().chunks_exact_mut(pitch)) {
        layer_norm(&pixel[..channels], gain, bias, epsilon, &mut out[..channels], false);
        out[channels..].fill(0.0);
    }
    out
}

/// The attention of all pixels to each other; `map` holds queries, keys and values side by side, a third of its channels each.
/// `space` is memory to use.
///
/// # Panics
/// If the channels are not three times whole heads.
pub fn attend(map: &ChannelsLast, heads: usize, space: Lines<f32>, is_parallel: bool) -> ChannelsLast {
    let (total, tokens) = (map.channels / 3, map.height * map.width);
    assert!(total * 3 == map.channels && total.is_multiple_of(heads), "three times whole heads");
    let sizes = Heads::new(heads, total / heads, tokens);
    let qkv = [0, 1, 2].map(|part| {
        let values = map.all_values().get(part * total..).unwrap_or_default();
        Tokens { values, pitch: map.pitch() }
    });
    let mut out = ChannelsLast::recycled(map.height, map.width, total, space);
    let pitch = out.pitch();
    if pitch == total {
        attention(sizes, qkv, |_| Mask::None, out.all_values_mut(), is_parallel);
        return out;
    }
    let mut rows = vec![0.0; tokens * total];
    attention(sizes, qkv, |_| Mask::None, &mut rows, is_parallel);
    for (out, row) in out.all_values_mut().chunks_exact_mut(pitch).zip(rows.chunks_exact(total)) {
        out[..total].copy_from_slice(row);
        out[total..].fill(0.0);
    }
    out
}

/// act(a) b of every pixel's channels (a, b). `space` is memory to use.
///
/// # Panics
/// If the channels have no halves.
pub fn gate_channels(map: &ChannelsLast, activation: Activation, space: Lines<f32>) -> ChannelsLast {
    let half = map.channels / 2;
    assert_eq!(half * 2, map.channels, "two halves");
    let mut out = ChannelsLast::recycled(map.height, map.width, half, space);
    let pitch = out.pitch();
    let pixels = map.all_values().chunks_exact(map.pitch());
    for (pixel, out) in pixels.zip(out.all_values_mut().chunks_exact_mut(pitch)) {
        gate(&pixel[..map.channels], half, activation, &mut out[..half], false);
        out[half..].fill(0.0);
    }
    out
}

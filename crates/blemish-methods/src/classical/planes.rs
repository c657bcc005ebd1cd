//! From RGB to the planes that filters see, registered if asked for.

use super::config::{Align, Colour};
use blemish_kernels::image::Size;
use blemish_kernels::image::registration::{Affine, Motion, register, warp};

/// The planes of one image.
pub(super) struct Planes {
    pub(super) size: Size,
    /// Brightness first.
    pub(super) planes: Vec<Vec<f32>>,
    /// Where the reference's pixels lie in the image, if it was registered.
    pub(super) placed: Option<Placed>,
}

/// How a registered image lay.
pub(super) struct Placed {
    /// From the image's pixels to the reference's.
    back: Affine,
    /// Pixels of the reference's frame that the image covers.
    covered: Vec<bool>,
}

/// Whether all three channels of an image (3 x H x W) are the same.
pub(super) fn is_grey(image: &[f32]) -> bool {
    let (red, rest) = image.split_at(image.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    red == green && green == blue
}

/// Brightness: 0.299 R + 0.587 G + 0.114 B.
pub(super) fn grey(image: &[f32]) -> Vec<f32> {
    let (red, rest) = image.split_at(image.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    red.iter().zip(green).zip(blue).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect()
}

/// The planes of an image, 3 x H x W in [0, 1], brought onto `reference` (brightness) if there is one.
pub(super) fn planes(
    image: &[f32],
    size: Size,
    colour: Colour,
    reference: Option<(&[f32], Align)>,
) -> Planes {
    let channels: Vec<&[f32]> = image.chunks_exact(size.0 * size.1).collect();
    let opposed = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let mut planes = match colour {
        Colour::Grey | Colour::Auto => vec![grey(image)],
        Colour::Rgb => channels.iter().map(|channel| channel.to_vec()).collect(),
        Colour::Opponent => {
            let yellow: Vec<f32> = channels[0].iter().zip(channels[1]).map(|(r, g)| 0.5 * (r + g)).collect();
            vec![grey(image), opposed(channels[0], channels[1]), opposed(&yellow, channels[2])]
        }
    };
    let motion = match reference {
        Some((reference, Align::Shift)) => Some((reference, Motion::Shift)),
        Some((reference, Align::Affine)) => Some((reference, Motion::Affine)),
        _ => None,
    };
    let placed = motion.map(|(reference, motion)| {
        let map = register(reference, &grey(image), size, motion);
        let mut covered = Vec::new();
        for plane in &mut planes {
            (*plane, covered) = warp(plane, size, &map);
        }
        Placed { back: map.inverse().unwrap_or(Affine::IDENTITY), covered }
    });
    Planes { size, planes, placed }
}

impl Placed {
    /// Clears what the image does not cover, and brings a map from the reference's frame back onto the image.
    pub(super) fn restore(&self, mut map: Vec<f32>, size: Size, empty: f32) -> Vec<f32> {
        for (value, _) in map.iter_mut().zip(&self.covered).filter(|(_, covered)| !**covered) {
            *value = empty;
        }
        let (mut map, covered) = warp(&map, size, &self.back);
        for (value, _) in map.iter_mut().zip(&covered).filter(|(_, covered)| !**covered) {
            *value = empty;
        }
        map
    }
}

//! The ten changes of a texture that DRAEM draws from, on 8-bit pictures, and two more of EdgRec.

use super::picture::Picture;
use crate::synth::random::{Random, shuffle};

/// A change of a whole picture; each draws its own strength.
///
/// What DRAEM's description leaves to its library is set to the values that it has there: the factor of the sharpness, the bits of the
/// posterisation, the share of pixels that the contrast may lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// v^g of each channel, g from 0.5 to 2.
    Gamma,
    /// Times 0.8 to 1.2, plus -30 to 30 levels.
    Brightness,
    /// Away from a smoothed picture or towards it, by a factor of 0 to 2.
    Sharpness,
    /// Hue turned and saturation moved by -50 to 50 levels each, of 255 that are a whole turn.
    HueAndSaturation,
    /// Every second time levels from a limit of 32 to 128 on become negative.
    Solarise,
    /// The upper 1 to 8 bits only.
    Posterise,
    /// The negative.
    Invert,
    /// Each channel stretched to all levels, after 0 to 20 % of its pixels at either end.
    AutoContrast,
    /// All levels of each channel alike often.
    Equalise,
    /// Turned by -45 to 45 degrees, black where nothing comes in.
    Rotate,
    /// Hue turned by 0 to 90 levels (EdgRec).
    Hue,
    /// Channels left out, each every third time, never all of them (EdgRec).
    ChannelDropout,
}

impl Operation {
    /// DRAEM's.
    pub const PUBLISHED: [Self; 10] = [
        Self::Gamma,
        Self::Brightness,
        Self::Sharpness,
        Self::HueAndSaturation,
        Self::Solarise,
        Self::Posterise,
        Self::Invert,
        Self::AutoContrast,
        Self::Equalise,
        Self::Rotate,
    ];

    /// Applies it.
    pub(super) fn apply(self, picture: &mut Picture, random: &mut Random) {
        match self {
            Self::Gamma => {
                let tables: [Table; 3] = std::array::from_fn(|_| {
                    let gamma = random.range(0.5, 2.0);
                    table(|level| 255.0 * (level / 255.0).powf(gamma))
                });
                look_up(picture, &tables);
            }
            Self::Brightness => {
                let (factor, offset) = (random.range(0.8, 1.2), random.range(-30.0, 30.0));
                look_up(picture, &[table(|level| level * factor + offset); 3]);
            }
            Self::Sharpness => sharpen(picture, random.range(0.0, 2.0)),
            Self::HueAndSaturation => {
                let (hue, saturation) = (random.range(-50.0, 50.0), random.range(-50.0, 50.0));
                turn_hue(picture, hue / 255.0, saturation / 255.0);
            }
            Self::Solarise => {
                let (is_done, limit) = (random.chance(0.5), random.range(32.0, 128.0));
                if is_done {
                    look_up(picture, &[table(|level| if level >= limit { 255.0 - level } else { level }); 3]);
                }
            }
            Self::Posterise => {
                let lost = random.index(8) as u32;
                let kept = |level: f32| f32::from((level as u8) >> lost << lost);
                look_up(picture, &[table(kept); 3]);
            }
            Self::Invert => look_up(picture, &[table(|level| 255.0 - level); 3]),
            Self::AutoContrast => {
                let share = random.range(0.0, 0.2);
                let tables = histograms(picture).map(|counts| stretched(&counts, share));
                look_up(picture, &tables);
            }
            Self::Equalise => {
                let tables = histograms(picture).map(|counts| equalised(&counts));
                look_up(picture, &tables);
            }
            Self::Rotate => *picture = picture.turned(random.range(-45.0f32, 45.0).to_radians()),
            Self::Hue => turn_hue(picture, random.range(0.0, 90.0) / 255.0, 0.0),
            Self::ChannelDropout => {
                let kept = random.index(3);
                let is_left: [bool; 3] = std::array::from_fn(|_| random.chance(2.0 / 3.0));
                let of = |channel: usize, level: f32| {
                    if is_left[channel] || channel == kept { level } else { 0.0 }
                };
                let tables = std::array::from_fn(|channel| table(|level| of(channel, level)));
                look_up(picture, &tables);
            }
        }
    }
}

/// Applies `count` different ones of some operations in random order.
pub(super) fn apply_some(picture: &mut Picture, operations: &[Operation], count: usize, random: &mut Random) {
    let mut order = operations.to_vec();
    shuffle(&mut order, random);
    order.into_iter().take(count).for_each(|operation| operation.apply(picture, random));
}

/// A new level for each.
type Table = [u8; 256];

fn table(of: impl Fn(f32) -> f32) -> Table {
    std::array::from_fn(|level| of(level as f32).round().clamp(0.0, 255.0) as u8)
}

fn look_up(picture: &mut Picture, tables: &[Table; 3]) {
    for pixel in &mut picture.pixels {
        *pixel = std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]);
    }
}

/// How often each level comes in each channel.
fn histograms(picture: &Picture) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in &picture.pixels {
        (0..3).for_each(|channel| counts[channel][usize::from(pixel[channel])] += 1);
    }
    counts
}

/// All levels between those that `share` of the pixels lie below or above, as far apart as can be.
fn stretched(counts: &[usize; 256], share: f32) -> Table {
    let most = (counts.iter().sum::<usize>() as f32 * share) as usize;
    match (first_beyond(counts, most, 0..256), first_beyond(counts, most, (0..256).rev())) {
        (Some(low), Some(high)) if high > low => {
            table(|level| (level - low as f32) * 255.0 / (high - low) as f32)
        }
        _ => table(|level| level),
    }
}

/// The first level up to which there are more than `most` pixels.
fn first_beyond(
    counts: &[usize; 256],
    most: usize,
    mut levels: impl Iterator<Item = usize>,
) -> Option<usize> {
    let mut passed = 0;
    levels.find(|&level| {
        passed += counts[level];
        passed > most
    })
}

/// Levels by the share of pixels below them.
fn equalised(counts: &[usize; 256]) -> Table {
    let last = (0..256).rev().find(|&level| counts[level] > 0).unwrap_or(0);
    let step = (counts.iter().sum::<usize>() - counts[last]) / 255;
    if step == 0 {
        return table(|level| level);
    }
    let mut below = step / 2;
    std::array::from_fn(|level| {
        let found = (below / step).min(255);
        below += counts[level];
        found as u8
    })
}

/// From a smoothed picture (factor 0) over this one (1) to beyond it; the border stays.
fn sharpen(picture: &mut Picture, factor: f32) {
    let (height, width) = (picture.height, picture.width);
    let source = picture.pixels.clone();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            picture.pixels[at] = std::array::from_fn(|channel| {
                let value = |at: usize| f32::from(source[at][channel]);
                let around: f32 = [at - width, at, at + width]
                    .into_iter()
                    .map(|at| value(at - 1) + value(at) + value(at + 1))
                    .sum();
                let smooth = (around + 4.0 * value(at)) / 13.0;
                (smooth + (value(at) - smooth) * factor).round().clamp(0.0, 255.0) as u8
            });
        }
    }
}

/// Turns the hue, by parts of a whole turn, and moves the saturation, 0 to 1.
fn turn_hue(picture: &mut Picture, hue: f32, saturation: f32) {
    for pixel in &mut picture.pixels {
        let [red, green, blue] = pixel.map(|level| f32::from(level) / 255.0);
        let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
        let range = most - least;
        // In sixths of a turn.
        let own = match () {
            _ if range == 0.0 => 0.0,
            _ if most == red => (green - blue) / range,
            _ if most == green => (blue - red) / range + 2.0,
            _ => (red - green) / range + 4.0,
        };
        let turned = (own + 6.0 * hue).rem_euclid(6.0);
        let share = if most > 0.0 { range / most } else { 0.0 };
        let range = most * (share + saturation).clamp(0.0, 1.0);
        let channel = |offset: f32| {
            let place = (turned + offset).rem_euclid(6.0);
            most - range * place.min(4.0 - place).clamp(0.0, 1.0)
        };
        *pixel = [5.0, 3.0, 1.0].map(|offset| (channel(offset) * 255.0).round() as u8);
    }
}

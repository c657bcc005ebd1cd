//! The colour map of anomaly scores.
//!
//! It runs from dark violet over red and orange to pale yellow while the lightness of OKLab (Ottosson, "A perceptual color space
//! for image processing", 2020) rises in equal steps. So equal differences of score look equally large, the order survives
//! grey printing, and it is readable for the colour-blind, who see lightness well.

use std::sync::LazyLock;

/// Colours of the table; neighbours differ by less than the eye sees.
const STEPS: usize = 256;

/// Lightness of the two ends.
const LIGHTNESS: (f32, f32) = (0.20, 0.96);

/// Hue in degrees and chroma at evenly spaced positions; between them both run straight.
const PATH: [(f32, f32); 6] =
    [(285.0, 0.09), (305.0, 0.17), (345.0, 0.20), (385.0, 0.19), (420.0, 0.17), (465.0, 0.11)];

static TABLE: LazyLock<[[u8; 3]; STEPS]> =
    LazyLock::new(|| std::array::from_fn(|step| shade(step as f32 / (STEPS - 1) as f32)));

/// The colour of `value` in [0, 1] as 8-bit sRGB; values outside are clamped and NaN counts as 0.
pub fn colormap(value: f32) -> [u8; 3] {
    // NaN survives the clamp and becomes 0 in the cast.
    TABLE[(value.clamp(0.0, 1.0) * (STEPS - 1) as f32 + 0.5) as usize]
}

fn shade(position: f32) -> [u8; 3] {
    let lightness = LIGHTNESS.0 + (LIGHTNESS.1 - LIGHTNESS.0) * position;
    let place = position * (PATH.len() - 1) as f32;
    let stop = (place as usize).min(PATH.len() - 2);
    let share = place - stop as f32;
    let ((hue0, chroma0), (hue1, chroma1)) = (PATH[stop], PATH[stop + 1]);
    let hue = (hue0 + (hue1 - hue0) * share).to_radians();
    let mut chroma = chroma0 + (chroma1 - chroma0) * share;
    // What a screen cannot show is made greyer, never clipped, since clipping would change the lightness.
    let mut rgb = oklab_to_linear(lightness, chroma * hue.cos(), chroma * hue.sin());
    while chroma > 0.0 && !rgb.iter().all(|value| (0.0..=1.0).contains(value)) {
        chroma -= 0.002;
        rgb = oklab_to_linear(lightness, chroma * hue.cos(), chroma * hue.sin());
    }
    rgb.map(|value| (encode(value.clamp(0.0, 1.0)) * 255.0).round() as u8)
}

/// From OKLab to linear sRGB, with the published matrices.
fn oklab_to_linear(lightness: f32, a: f32, b: f32) -> [f32; 3] {
    let long = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let medium = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let short = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * long - 3.307_711_6 * medium + 0.230_969_94 * short,
        -1.268_438 * long + 2.609_757_4 * medium - 0.341_319_4 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * medium + 1.707_614_7 * short,
    ]
}

/// The transfer function of sRGB.
fn encode(linear: f32) -> f32 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance([red, green, blue]: [u8; 3]) -> f32 {
        let linear = |byte: u8| {
            let value = f32::from(byte) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    #[test]
    fn luminance_rises_from_end_to_end_in_even_steps() {
        let lightness: Vec<f32> =
            (0..=16).map(|step| luminance(colormap(step as f32 / 16.0)).cbrt()).collect();
        let steps: Vec<f32> = lightness.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = steps.iter().sum::<f32>() / 16.0;
        assert!(lightness[0] < 0.25 && lightness[16] > 0.9, "{lightness:?}");
        assert!(steps.iter().all(|step| (0.5 * mean..1.6 * mean).contains(step)), "{steps:?}");
    }

    #[test]
    fn luminance_never_falls_between_neighbours() {
        for step in 1..256 {
            let pair = [step - 1, step].map(|at| luminance(colormap(at as f32 / 255.0)));
            // One level of one channel is rounding.
            assert!(pair[1] > pair[0] - 0.002, "{step}: {pair:?}");
        }
    }

    #[test]
    fn values_outside_are_clamped() {
        assert_eq!(colormap(-3.0), colormap(0.0));
        assert_eq!(colormap(9.0), colormap(1.0));
        assert_eq!(colormap(f32::NAN), colormap(0.0));
        assert_ne!(colormap(0.0), colormap(1.0));
    }
}

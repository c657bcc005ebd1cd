//! Defects that several looks share: scratches, stains and strands lying on the surface.

use super::canvas::{Canvas, Colour, lit, mix};
use super::noise::{Noise, smoothstep};
use super::random::Random;
use super::shape::{Blob, Curve};

/// A random point that keeps `margin` (relative to the size) from the borders.
pub(crate) fn place(random: &mut Random, (height, width): (usize, usize), margin: f32) -> (f32, f32) {
    let y = random.range(margin, 1.0 - margin) * height as f32;
    let x = random.range(margin, 1.0 - margin) * width as f32;
    (y, x)
}

/// How a scratch looks.
pub(crate) struct ScratchLook {
    /// Colour at its ground.
    pub(crate) ground: Colour,
    /// How far the ground covers the surface at most.
    pub(crate) opacity: f32,
    /// Brightness added along the lit lip and taken from the other.
    pub(crate) lips: f32,
}

/// A scratch: a groove that tapers, skips, and throws up two lips, one lit and one in shadow.
pub(crate) fn scratch(
    canvas: &mut Canvas,
    random: &mut Random,
    curve: &Curve,
    half_width: f32,
    look: &ScratchLook,
) {
    let size = canvas.size();
    let near = curve.near(size, half_width * 3.0 + 2.0);
    let spacing = random.range(14.0, 40.0);
    let pressure = Noise::new(random, (1, 256), (1.0, spacing));
    let lit_side = random.sign();
    canvas.change(|y, x, pixel| {
        let near = near[y * size.1 + x];
        if !near.offset.is_finite() {
            return;
        }
        let taper = smoothstep(0.0, 0.16, near.along) * smoothstep(0.0, 0.10, 1.0 - near.along);
        let strength = taper * (0.85 + 0.35 * pressure.at(0.0, near.along * 255.0)).clamp(0.0, 1.0);
        let reach = half_width * (0.45 + 0.55 * strength);
        let groove = 1.0 - smoothstep(reach - 0.6, reach + 0.7, near.offset.abs());
        let lip_at = (near.offset * lit_side - reach - 0.8) / 0.9;
        let shade_at = (near.offset * lit_side + reach + 0.8) / 0.9;
        let lips = (-lip_at * lip_at).exp() - 0.8 * (-shade_at * shade_at).exp();
        *pixel = mix(*pixel, look.ground, groove * strength * look.opacity);
        *pixel = lit(*pixel, 1.0 + look.lips * lips * strength);
    });
}

/// How a stain looks.
pub(crate) struct StainLook {
    /// What is left of each colour at full strength.
    pub(crate) tint: Colour,
    /// Width of its soft edge relative to its radius.
    pub(crate) softness: f32,
    /// How much stronger its rim is than its middle, as dried drops are.
    pub(crate) rim: f32,
}

/// A stain: a soft, blotchy filter over the surface, which stays visible through it.
pub(crate) fn stain(canvas: &mut Canvas, random: &mut Random, blob: &Blob, look: &StainLook) {
    let size = canvas.size();
    let spacing = (blob.radius * 0.5).max(2.0);
    let blotches = Noise::new(random, size, (spacing, spacing));
    let edge = (look.softness * blob.radius).max(1.2);
    canvas.change(|y, x, pixel| {
        let depth = blob.depth(y, x);
        if depth <= -edge {
            return;
        }
        let body = smoothstep(-edge * 0.5, edge, depth);
        let at_rim = (depth - edge) / (0.16 * blob.radius + 0.8);
        let uneven = 1.0 + 0.12 * blotches.at(y as f32, x as f32);
        let strength =
            (body * (1.0 - look.rim + look.rim * (-at_rim * at_rim).exp()) * uneven).clamp(0.0, 1.0);
        let filter = mix([1.0; 3], look.tint, strength);
        *pixel = std::array::from_fn(|c| pixel[c] * filter[c]);
    });
}

/// A thread or hair on the surface: round, twisted, with a soft shadow to the lower right.
pub(crate) fn strand(
    canvas: &mut Canvas,
    random: &mut Random,
    curve: &Curve,
    half_width: f32,
    colour: Colour,
) {
    let size = canvas.size();
    let reach = half_width * 2.0 + 3.0;
    let near = curve.near(size, reach);
    let phase = random.range(0.0, std::f32::consts::TAU);
    let twists = random.range(14.0, 24.0);
    let shift = (half_width * 0.9).round().max(1.0) as usize;
    let shadow_source = near.clone();
    canvas.change(|y, x, pixel| {
        if y < shift || x < shift {
            return;
        }
        let offset = shadow_source[(y - shift) * size.1 + x - shift].offset.abs();
        let shadow = 1.0 - smoothstep(half_width * 0.5, half_width * 1.9 + 0.5, offset);
        *pixel = lit(*pixel, 1.0 - 0.34 * shadow);
    });
    canvas.change(|y, x, pixel| {
        let near = near[y * size.1 + x];
        let cover = 1.0 - smoothstep(half_width - 0.5, half_width + 0.6, near.offset.abs());
        if cover > 0.0 {
            let across = (near.offset / half_width).clamp(-1.0, 1.0);
            let round = (1.0 - across * across).sqrt();
            let twist = (near.along * twists * std::f32::consts::TAU + across * 1.6 + phase).sin();
            let shade = 0.62 + 0.36 * round - 0.10 * across + 0.07 * twist;
            *pixel = mix(*pixel, lit(colour, shade), cover);
        }
    });
}

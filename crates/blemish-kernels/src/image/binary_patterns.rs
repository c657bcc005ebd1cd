//! Local binary patterns (Ojala, Pietikainen and Maenpaa, PAMI 2002).

use super::{Padded, Size, check};
use crate::simd::{Kernel, Lanes, widest};

/// Codes of a pattern of `points` samples: counts 0 to `points`, and one for all that are not uniform.
pub fn codes(points: usize) -> usize {
    points + 2
}

/// Rotation-invariant uniform patterns (riu2): how many of `points` bilinear samples on a circle of `radius` are at least the centre
/// plus `threshold`; `points` + 1 where the circle has more than two changes.
///
/// A threshold above 0 keeps sensor noise on flat material from being read as a pattern. Codes are for [`super::windows`].
///
/// # Panics
/// If the plane is not of that size or there are more than 250 points.
pub fn uniform_patterns(plane: &[f32], size: Size, points: usize, radius: f32, threshold: f32) -> Vec<u8> {
    check(plane, size);
    assert!((1..=250).contains(&points), "a code is a byte");
    let margin = radius.ceil() as usize + 1;
    widest(Patterns { padded: Padded::mirrored(plane, size, margin), size, points, radius, threshold })
}

struct Patterns {
    padded: Padded,
    size: Size,
    points: usize,
    radius: f32,
    threshold: f32,
}

/// Four neighbours of a sample point and their weights; a point on a pixel has one.
struct Sample {
    taps: Vec<(isize, isize, f32)>,
}

fn sample(index: usize, points: usize, radius: f32) -> Sample {
    let angle = std::f64::consts::TAU * index as f64 / points as f64;
    // Rounded so that the four points on the axes lie on pixels.
    let place = |value: f64| (f64::from(radius) * value * 1e5).round() / 1e5;
    let (y, x) = (place(-angle.sin()), place(angle.cos()));
    let (low_y, low_x) = (y.floor(), x.floor());
    let (share_y, share_x) = (y - low_y, x - low_x);
    let corners = [
        (0, 0, (1.0 - share_y) * (1.0 - share_x)),
        (0, 1, (1.0 - share_y) * share_x),
        (1, 0, share_y * (1.0 - share_x)),
        (1, 1, share_y * share_x),
    ];
    let used = corners.into_iter().filter(|corner| corner.2 > 0.0);
    Sample { taps: used.map(|(dy, dx, w)| (low_y as isize + dy, low_x as isize + dx, w as f32)).collect() }
}

impl Kernel for Patterns {
    type Output = Vec<u8>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<u8> {
        let (height, width) = self.size;
        let samples: Vec<Sample> =
            (0..self.points).map(|index| sample(index, self.points, self.radius)).collect();
        let mut codes = vec![0u8; height * width];
        // Bits as 0.0 and 1.0: of the first and the previous sample, and their running sums.
        let mut buffers = [const { Vec::new() }; 6];
        buffers.iter_mut().for_each(|buffer| *buffer = vec![0.0f32; width]);
        let [value, limit, first, previous, ones, changes] = &mut buffers;
        for (y, codes) in codes.chunks_exact_mut(width).enumerate() {
            ones.fill(0.0);
            changes.fill(0.0);
            for (limit, centre) in limit.iter_mut().zip(self.padded.row(y, 0, 0, width)) {
                *limit = centre + self.threshold;
            }
            for (index, sample) in samples.iter().enumerate() {
                self.interpolate(sample, y, value);
                for x in 0..width {
                    let bit = if value[x] >= limit[x] { 1.0 } else { 0.0 };
                    ones[x] += bit;
                    changes[x] += (bit - previous[x]) * (bit - previous[x]);
                    previous[x] = bit;
                }
                if index == 0 {
                    first.copy_from_slice(previous);
                    changes.fill(0.0);
                }
            }
            let other = (self.points + 1) as u8;
            for x in 0..width {
                let all = changes[x] + (first[x] - previous[x]) * (first[x] - previous[x]);
                codes[x] = if all <= 2.0 { ones[x] as u8 } else { other };
            }
        }
        codes
    }
}

impl Patterns {
    #[inline(always)]
    fn interpolate(&self, sample: &Sample, y: usize, value: &mut [f32]) {
        let width = value.len();
        let row = |&(dy, dx, weight): &(isize, isize, f32)| (self.padded.row(y, dy, dx, width), weight);
        match sample.taps.as_slice() {
            [one] => value.copy_from_slice(row(one).0),
            [a, b, c, d] => {
                let [a, b, c, d] = [row(a), row(b), row(c), row(d)];
                for x in 0..width {
                    value[x] = (a.0[x] * a.1 + b.0[x] * b.1) + (c.0[x] * c.1 + d.0[x] * d.1);
                }
            }
            several => {
                value.fill(0.0);
                for tap in several {
                    let (source, weight) = row(tap);
                    value.iter_mut().zip(source).for_each(|(value, source)| *value += weight * source);
                }
            }
        }
    }
}

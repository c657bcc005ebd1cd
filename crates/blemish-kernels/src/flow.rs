//! Trained flows on channels-last maps, for scoring: what a coupling block does beside its convolutions, in one pass over the pixels.
//!
//! Every value is computed on its own by arithmetic alone: the same bits for all widths of vectors and numbers of threads.

use crate::conv::ChannelsLast;
use crate::lines::Lines;
use crate::simd::functions::{exp_lanes, tanh_lanes};
use crate::simd::{Kernel, LANES, Lanes, widest};
use rayon::prelude::*;

/// Pixels that a thread takes at a time.
const PIXELS: usize = 256;

/// The pointwise half of an affine coupling: y = exp(limit tanh(rate r)) x + gain t, for raw outputs r and t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TanhCoupling {
    /// Bound of the logarithm of the scale.
    pub limit: f32,
    /// Factor of r.
    pub rate: f32,
    /// Factor of t.
    pub gain: f32,
}

/// The second half of the channels changed by a coupling, then every channel scaled and shifted, then all of them in another order.
#[derive(Clone, Debug)]
pub struct CouplingStep {
    coupling: TanhCoupling,
    /// Channels of each half.
    halves: [usize; 2],
    /// Channel by channel as pixels hold them, each half filled up.
    scale: Lines<f32>,
    shift: Lines<f32>,
    /// Where each value of the outcome lies in the pixel before; those that fill up lie behind it.
    order: Vec<u32>,
}

impl CouplingStep {
    /// Of halves of `first` channels and the others. Scales and shifts are one a channel; channel c of the outcome is channel `order[c]`.
    ///
    /// # Panics
    /// If the lengths do not fit, or the order is none of the channels.
    pub fn new(coupling: TanhCoupling, first: usize, [scale, shift]: [&[f32]; 2], order: &[usize]) -> Self {
        let channels = order.len();
        assert!(0 < first && first < channels, "two halves");
        assert_eq!([scale.len(), shift.len()], [channels; 2], "one value a channel");
        let pitch = first.next_multiple_of(LANES);
        let second = (channels - first).next_multiple_of(LANES);
        let place = |channel: usize| if channel < first { channel } else { pitch + channel - first };
        let filled = |values: &[f32]| {
            let mut filled = Lines::zeros(pitch + second);
            values.iter().enumerate().for_each(|(channel, &value)| filled[place(channel)] = value);
            filled
        };
        let mut places = vec![(pitch + second) as u32; pitch + second];
        for (channel, &from) in order.iter().enumerate() {
            assert!(from < channels, "an order of the channels");
            places[place(channel)] = place(from) as u32;
        }
        Self {
            coupling,
            halves: [first, channels - first],
            scale: filled(scale),
            shift: filled(shift),
            order: places,
        }
    }

    /// Channels of the first half.
    pub fn first(&self) -> usize {
        self.halves[0]
    }

    /// Channels that the raw output must have: those of r, filled up to whole vectors, then those of t, filled up.
    pub fn raw_channels(&self) -> usize {
        2 * self.halves[1].next_multiple_of(LANES)
    }

    /// The new halves. `spaces` are memory to use, of any content. Work is split over the threads of the current pool if `is_parallel`;
    /// the outcome is the same.
    ///
    /// # Panics
    /// If the maps are not of one size, with the channels of the halves and of the raw output.
    pub fn apply(
        &self,
        halves: [&ChannelsLast; 2],
        raw: &ChannelsLast,
        spaces: [Lines<f32>; 2],
        is_parallel: bool,
    ) -> [ChannelsLast; 2] {
        let size = |map: &ChannelsLast| [map.height, map.width];
        assert!(halves.iter().all(|map| size(map) == size(raw)), "maps of one size");
        let channels = [halves[0].channels, halves[1].channels, raw.channels];
        assert_eq!(channels, [self.halves[0], self.halves[1], self.raw_channels()], "the block's channels");
        let halves = halves.map(ChannelsLast::filled);
        let [first, second] = spaces;
        let mut out = [(0, first), (1, second)]
            .map(|(half, space)| ChannelsLast::recycled(raw.height, raw.width, self.halves[half], space));
        let pitches = [halves[0].pitch(), halves[1].pitch()];
        let work = |(index, (first, second)): (usize, (&mut [f32], &mut [f32]))| {
            let start = index * PIXELS;
            widest(Step {
                step: self,
                first: &halves[0].all_values()[start * pitches[0]..],
                second: &halves[1].all_values()[start * pitches[1]..],
                raw: &raw.all_values()[start * raw.pitch()..],
                out: [first, second],
            });
        };
        let [a, b] = &mut out;
        let (a, b) = (a.all_values_mut(), b.all_values_mut());
        let sizes = pitches.map(|pitch| (PIXELS * pitch).max(1));
        if is_parallel {
            a.par_chunks_mut(sizes[0]).zip(b.par_chunks_mut(sizes[1])).enumerate().for_each(work);
        } else {
            a.chunks_mut(sizes[0]).zip(b.chunks_mut(sizes[1])).enumerate().for_each(work);
        }
        out
    }
}

struct Step<'a> {
    step: &'a CouplingStep,
    first: &'a [f32],
    second: &'a [f32],
    raw: &'a [f32],
    out: [&'a mut [f32]; 2],
}

impl Kernel for Step<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let CouplingStep { coupling, halves, scale, shift, order } = self.step;
        let TanhCoupling { limit, rate, gain } = *coupling;
        let (limit, rate, gain) = (V::splat(limit), V::splat(rate), V::splat(gain));
        let pitches = halves.map(|channels| channels.next_multiple_of(LANES));
        let [first_out, second_out] = self.out;
        let outs = first_out.chunks_exact_mut(pitches[0]).zip(second_out.chunks_exact_mut(pitches[1]));
        let ins = self.first.chunks_exact(pitches[0]).zip(self.second.chunks_exact(pitches[1]));
        let (scales, shifts) = (scale.as_chunks::<LANES>().0, shift.as_chunks::<LANES>().0);
        // The pixel before it is reordered, and a zero for what fills up.
        let mut pixel = Lines::zeros(scale.len() + 1);
        for ((out, x), raw) in outs.zip(ins).zip(self.raw.chunks_exact(2 * pitches[1])) {
            let (kept, changed) = pixel.as_chunks_mut::<LANES>().0.split_at_mut(pitches[0] / LANES);
            let vectors = kept.len();
            for (index, (kept, x)) in kept.iter_mut().zip(x.0.as_chunks::<LANES>().0).enumerate() {
                *kept = V::load(x).mul_add(V::load(&scales[index]), V::load(&shifts[index])).store();
            }
            let (r, t) = raw.split_at(pitches[1]);
            let raws = r.as_chunks::<LANES>().0.iter().zip(t.as_chunks::<LANES>().0);
            let changed = changed.iter_mut().zip(x.1.as_chunks::<LANES>().0).zip(raws).enumerate();
            for (index, ((changed, x), (r, t))) in changed {
                let index = vectors + index;
                let factor = exp_lanes(tanh_lanes(V::load(r).mul(rate)).mul(limit));
                let y = V::load(t).mul_add(gain, V::load(x).mul(factor));
                *changed = y.mul_add(V::load(&scales[index]), V::load(&shifts[index])).store();
            }
            let (first, second) = order.split_at(pitches[0]);
            for (out, &from) in out.0.iter_mut().zip(first) {
                *out = pixel[from as usize];
            }
            for (out, &from) in out.1.iter_mut().zip(second) {
                *out = pixel[from as usize];
            }
        }
    }
}

/// Half the sum of the squares of all channels of both halves, one a pixel: -ln of the standard normal density without its constant.
///
/// # Panics
/// If the halves are not of one size.
pub fn latent_energy(halves: [&ChannelsLast; 2]) -> Vec<f32> {
    let [first, second] = halves;
    assert_eq!([first.height, first.width], [second.height, second.width], "maps of one size");
    let [first, second] = [first.filled(), second.filled()];
    let mut energies = vec![0.0; first.height * first.width];
    widest(Energy { halves: [&first, &second], energies: &mut energies });
    energies
}

struct Energy<'a> {
    halves: [&'a ChannelsLast; 2],
    energies: &'a mut [f32],
}

impl Kernel for Energy<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let [first, second] = self.halves;
        let first = first.all_values().chunks_exact(first.pitch());
        let second = second.all_values().chunks_exact(second.pitch());
        for ((energy, first), second) in self.energies.iter_mut().zip(first).zip(second) {
            let mut sum = V::splat(0.0);
            for half in [first, second] {
                for values in half.as_chunks::<LANES>().0 {
                    let values = V::load(values);
                    sum = values.mul_add(values, sum);
                }
            }
            *energy = 0.5 * sum.sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUPLING: TanhCoupling = TanhCoupling { limit: 1.9, rate: 0.1, gain: 0.3 };

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| (((at + 17 * seed) * 7919 % 1013) as f32 - 500.0) * 0.004).collect()
    }

    fn order(channels: usize) -> Vec<usize> {
        // 7 and the numbers of channels here have no common divisor.
        (0..channels).map(|channel| (channel * 7 + 3) % channels).collect()
    }

    struct Case {
        step: CouplingStep,
        halves: [ChannelsLast; 2],
        raw: ChannelsLast,
    }

    /// Raw values from far below to far above what the bound of the scale leaves.
    fn case([height, width, first, second]: [usize; 4]) -> Case {
        let (channels, pixels) = (first + second, height * width);
        let [scale, shift] = [values(channels, 1), values(channels, 2)];
        let step = CouplingStep::new(COUPLING, first, [&scale, &shift], &order(channels));
        let map = |count: usize, seed| ChannelsLast::from_rows(&values(pixels * count, seed), height, width);
        let mut raw = values(pixels * step.raw_channels(), 5);
        raw.iter_mut().for_each(|value| *value *= 20.0);
        Case {
            halves: [map(first, 3), map(second, 4)],
            raw: ChannelsLast::from_rows(&raw, height, width),
            step,
        }
    }

    fn plain(case: &Case) -> Vec<Vec<f64>> {
        let [first, second] = case.step.halves;
        let channels = first + second;
        let [scale, shift] = [values(channels, 1), values(channels, 2)];
        let pixels = case.halves[0].pixels().zip(case.halves[1].pixels()).zip(case.raw.pixels());
        let of_pixel = |((a, b), raw): ((&[f32], &[f32]), &[f32])| {
            let (r, t) = raw.split_at(raw.len() / 2);
            let TanhCoupling { limit, rate, gain } = COUPLING;
            let changed = (0..second).map(|channel| {
                let factor = (f64::from(limit) * (f64::from(rate) * f64::from(r[channel])).tanh()).exp();
                factor * f64::from(b[channel]) + f64::from(gain) * f64::from(t[channel])
            });
            let all: Vec<f64> = a.iter().map(|&value| f64::from(value)).chain(changed).collect();
            let affine =
                |&channel: &usize| f64::from(scale[channel]) * all[channel] + f64::from(shift[channel]);
            order(channels).iter().map(affine).collect()
        };
        pixels.map(of_pixel).collect()
    }

    #[test]
    fn a_step_is_the_coupling_the_affine_map_and_the_order() {
        for shape in [[3, 5, 32, 32], [1, 1, 3, 2], [20, 31, 17, 16], [2, 2, 40, 20], [4, 4, 128, 128]] {
            let case = case(shape);
            let halves = [&case.halves[0], &case.halves[1]];
            let junk = || [3, 70_000].map(|length| std::iter::repeat_n(f32::NAN, length).collect());
            let found = case.step.apply(halves, &case.raw, junk(), false);
            let pixels = found[0].pixels().zip(found[1].pixels());
            for ((a, b), exact) in pixels.zip(plain(&case)) {
                for (&found, exact) in a.iter().chain(b).zip(&exact) {
                    assert!((f64::from(found) - exact).abs() <= 2e-5, "{found} {exact}");
                }
            }
            // What fills pixels up stays zero.
            for half in &found {
                let behind = half.all_values().chunks(half.pitch()).flat_map(|pixel| &pixel[half.channels..]);
                assert!(behind.into_iter().all(|&value| value == 0.0));
            }
            let energies = latent_energy([&found[0], &found[1]]);
            for (energy, exact) in energies.iter().zip(plain(&case)) {
                let exact = exact.iter().map(|z| z * z).sum::<f64>() / 2.0;
                assert!((f64::from(*energy) - exact).abs() <= 1e-5 * exact.max(1.0), "{energy} {exact}");
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let other = pool.install(|| case.step.apply(halves, &case.raw, junk(), true));
                assert_eq!(other, found, "{threads} threads");
            }
        }
    }

    /// A step into new memory.
    struct Alone<'a>(&'a Case);

    impl Kernel for Alone<'_> {
        type Output = [Vec<f32>; 2];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [Vec<f32>; 2] {
            let [first, second] = self.0.halves.each_ref().map(ChannelsLast::filled);
            let (first, second) = (first.all_values(), second.all_values());
            let mut out = [vec![0.0; first.len()], vec![0.0; second.len()]];
            let [a, b] = &mut out;
            let (step, raw) = (&self.0.step, self.0.raw.all_values());
            Step { step, first, second, raw, out: [a, b] }.run::<V>();
            out
        }
    }

    #[test]
    fn all_widths_give_the_same_bits() {
        let case = case([4, 9, 24, 23]);
        let found = crate::simd::at_every_width(|| Alone(&case));
        assert!(found.iter().flatten().flatten().any(|&value| value != 0.0));
        assert!(found.iter().all(|out| *out == found[0]));
    }
}

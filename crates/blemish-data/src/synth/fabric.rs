//! Woven fabric: warp and weft threads that pass over and under each other, each a little different.

use super::Defect;
use super::canvas::{Canvas, Colour, lit};
use super::defects::{StainLook, place, stain, strand};
use super::noise::{Noise, smoothstep};
use super::random::Random;
use super::shape::{Blob, Curve};
use std::f32::consts::{FRAC_PI_2, PI, TAU};

/// What all pieces of one fabric share.
pub(crate) struct Cloth {
    warp: Colour,
    weft: Colour,
    is_twill: bool,
}

const PALETTES: [(Colour, Colour, bool); 4] = [
    ([0.72, 0.66, 0.55], [0.78, 0.73, 0.63], false),
    ([0.25, 0.34, 0.50], [0.62, 0.66, 0.70], true),
    ([0.60, 0.61, 0.60], [0.66, 0.66, 0.64], false),
    ([0.42, 0.47, 0.38], [0.55, 0.58, 0.47], true),
];

/// Seen through gaps: what lies under the cloth.
const UNDERNEATH: Colour = [0.085, 0.08, 0.078];

impl Cloth {
    /// The fabric of a set.
    pub(crate) fn new(seed: u64) -> Self {
        let (warp, weft, is_twill) = PALETTES[(seed % PALETTES.len() as u64) as usize];
        Self { warp, weft, is_twill }
    }

    /// A piece of the fabric, lying a little differently each time.
    pub(crate) fn paint(
        &self,
        random: &mut Random,
        size: (usize, usize),
        defect: Option<(Defect, &mut Random)>,
    ) -> Canvas {
        let weave = Weave::new(self, random, size);
        match defect {
            None => weave.paint(size, &Flaw::None),
            Some((Defect::Hole, random)) => self.tear(&weave, random, size),
            Some((Defect::BrokenThread, random)) => self.snap(&weave, random, size),
            Some((Defect::LooseThread, random)) => self.drop_thread(&weave, random, size),
            Some((_, random)) => self.spill(&weave, random, size),
        }
    }

    /// A hole with frayed edges.
    fn tear(&self, weave: &Weave, random: &mut Random, size: (usize, usize)) -> Canvas {
        let centre = place(random, size, 0.16);
        let radius = random.range(8.0, 18.0) * weave.unit;
        let mut canvas = weave.paint(size, &Flaw::Hole(Blob::new(random, size, centre, radius, 0.16)));
        self.fray(&mut canvas, random, centre, radius, weave.period);
        canvas
    }

    /// A broken thread, its ends curled up beside the gap.
    fn snap(&self, weave: &Weave, random: &mut Random, size: (usize, usize)) -> Canvas {
        let centre = place(random, size, 0.2);
        let length = random.range(30.0, 78.0) * weave.unit;
        let gap = weave.break_at(random, centre, length);
        let mut canvas = weave.paint(size, &Flaw::Broken(gap));
        let colour = lit(if gap.is_weft { self.weft } else { self.warp }, 1.12);
        for (end, turned) in [(-0.5, 0.0), (0.5, PI)] {
            let along = end * (length + 4.0 * weave.unit);
            let (start, angle) = if gap.is_weft {
                ((centre.0, centre.1 + along), 0.0)
            } else {
                ((centre.0 + along, centre.1), FRAC_PI_2)
            };
            let angle = angle + turned + random.range(0.5, 1.2) * random.sign();
            let length = random.range(1.2, 2.2) * weave.period;
            let curl = Curve::wander(random, start, angle, length, 1.6);
            strand(&mut canvas, random, &curl, weave.period * 0.24, colour);
        }
        canvas
    }

    /// A thread lying on the cloth.
    fn drop_thread(&self, weave: &Weave, random: &mut Random, size: (usize, usize)) -> Canvas {
        let mut canvas = weave.paint(size, &Flaw::None);
        let (angle, length) = (random.range(0.0, TAU), random.range(48.0, 120.0) * weave.unit);
        let centre = place(random, size, 0.22);
        let curve = Curve::wander(random, centre, angle, length, 2.4).centred(centre);
        let half_width = weave.period * random.range(0.16, 0.25);
        let colour = if random.chance(0.5) { self.warp } else { self.weft };
        let colour = lit(colour, random.range(1.05, 1.25));
        strand(&mut canvas, random, &curve, half_width, colour);
        canvas
    }

    /// A brownish stain.
    fn spill(&self, weave: &Weave, random: &mut Random, size: (usize, usize)) -> Canvas {
        let mut canvas = weave.paint(size, &Flaw::None);
        let centre = place(random, size, 0.16);
        let radius = random.range(11.0, 27.0) * weave.unit;
        let blob = Blob::new(random, size, centre, radius, 0.15);
        let depth = random.range(0.55, 0.78);
        let look = StainLook { tint: [depth, depth * 0.90, depth * 0.74], softness: 0.28, rim: 0.30 };
        stain(&mut canvas, random, &blob, &look);
        canvas
    }

    /// Torn ends that reach into a hole.
    fn fray(&self, canvas: &mut Canvas, random: &mut Random, centre: (f32, f32), radius: f32, period: f32) {
        let count = 5 + random.index(5);
        for _ in 0..count {
            let around = random.range(0.0, TAU);
            let start = (centre.0 + around.sin() * radius * 1.1, centre.1 + around.cos() * radius * 1.1);
            // Threads keep to their direction: the warp runs down, the weft across.
            let is_weft = around.cos().abs() > around.sin().abs();
            let angle = match (is_weft, around.cos() > 0.0, around.sin() > 0.0) {
                (true, true, _) => PI,
                (true, false, _) => 0.0,
                (false, _, true) => -FRAC_PI_2,
                (false, _, false) => FRAC_PI_2,
            };
            let angle = angle + 0.35 * random.normal();
            let length = radius * random.range(0.35, 0.9);
            let curve = Curve::wander(random, start, angle, length, 0.9);
            let colour = lit(if is_weft { self.weft } else { self.warp }, random.range(0.75, 1.0));
            let half_width = period * random.range(0.07, 0.16);
            strand(canvas, random, &curve, half_width, colour);
        }
    }
}

/// A gap in one or two neighbouring threads.
#[derive(Clone, Copy)]
struct Break {
    is_weft: bool,
    threads: (i32, i32),
    from: f32,
    to: f32,
}

enum Flaw {
    None,
    Hole(Blob),
    Broken(Break),
}

struct Thread {
    shade: f32,
    width: f32,
    phase: f32,
}

/// One piece of cloth: where its threads lie and how they differ.
struct Weave<'a> {
    cloth: &'a Cloth,
    unit: f32,
    period: f32,
    cosine: f32,
    sine: f32,
    shift: (f32, f32),
    wave: [Vec<f32>; 2],
    warps: Vec<Thread>,
    wefts: Vec<Thread>,
    /// Slow changes of shade along the warp and the weft, and their fibres.
    slubs: [Vec<f32>; 2],
    fibres: [Vec<f32>; 2],
}

/// What a thread shows at a point: its height and its colour; `None` beside the thread.
type Surface = Option<(f32, Colour)>;

impl<'a> Weave<'a> {
    fn new(cloth: &'a Cloth, random: &mut Random, size: (usize, usize)) -> Self {
        let unit = size.0.min(size.1) as f32 / 256.0;
        let period = (8.6 * unit).max(5.0);
        let angle = 0.012 * random.normal();
        let shift = (random.range(4.0, 8.0) * period, random.range(4.0, 8.0) * period);
        let mut field = |spacing: (f32, f32)| Noise::new(random, size, spacing).field(size);
        let wave = [field((70.0 * unit, 70.0 * unit)), field((70.0 * unit, 70.0 * unit))];
        let slubs = [field((5.0 * period, 0.9 * period)), field((0.9 * period, 5.0 * period))];
        let fibres = [field((4.5, 1.0)), field((1.0, 4.5))];
        let mut threads = |extent: usize| -> Vec<Thread> {
            let count = (extent as f32 * 1.2 / period) as usize + 16;
            (0..count)
                .map(|_| Thread {
                    shade: 1.0 + 0.045 * random.normal(),
                    width: (0.93 + 0.035 * random.normal()).min(1.0),
                    phase: random.range(0.0, TAU),
                })
                .collect()
        };
        let (warps, wefts) = (threads(size.1), threads(size.0));
        let (sine, cosine) = angle.sin_cos();
        Self { cloth, unit, period, cosine, sine, shift, wave, warps, wefts, slubs, fibres }
    }

    /// Position in the cloth, in threads: (along the warp, along the weft).
    fn locate(&self, y: f32, x: f32, wave: (f32, f32)) -> (f32, f32) {
        let v = self.cosine * y - self.sine * x + self.shift.0 + 1.3 * self.unit * wave.0;
        let u = self.cosine * x + self.sine * y + self.shift.1 + 1.3 * self.unit * wave.1;
        (v / self.period, u / self.period)
    }

    fn break_at(&self, random: &mut Random, centre: (f32, f32), length: f32) -> Break {
        let (v, u) = self.locate(centre.0, centre.1, (0.0, 0.0));
        let is_weft = random.chance(0.5);
        let (across, along) = if is_weft { (v, u) } else { (u, v) };
        let first = across.floor() as i32;
        let half = 0.5 * length / self.period;
        let threads = (first, first + i32::from(random.chance(0.35)));
        Break { is_weft, threads, from: along - half, to: along + half }
    }

    /// +1 where warp `i` passes over weft `j`, else -1.
    fn over(&self, i: i32, j: i32) -> f32 {
        let is_over =
            if self.cloth.is_twill { (i + j).rem_euclid(4) < 2 } else { (i + j).rem_euclid(2) == 0 };
        if is_over { 1.0 } else { -1.0 }
    }

    fn paint(&self, size: (usize, usize), flaw: &Flaw) -> Canvas {
        Canvas::paint(size, |y, x| {
            let index = y * size.1 + x;
            let wave = (self.wave[0][index], self.wave[1][index]);
            let (mut dy, mut dx, mut torn) = (0.0, 0.0, 0.0);
            if let Flaw::Hole(blob) = flaw {
                let depth = blob.depth(y, x);
                torn = smoothstep(-0.9, 0.9, depth + 0.25 * self.unit * self.fibres[0][index]);
                // Threads around the hole are pushed outwards.
                let push = 0.4 * self.period * (-(depth / (0.7 * self.period)).powi(2)).exp();
                let away = (y as f32 - blob.centre.0, x as f32 - blob.centre.1);
                let distance = (away.0 * away.0 + away.1 * away.1).sqrt().max(1.0);
                (dy, dx) = (-push * away.0 / distance, -push * away.1 / distance);
            }
            let (v, u) = self.locate(y as f32 + dy, x as f32 + dx, wave);
            let mut warp = self.thread(true, u, v, index);
            let mut weft = self.thread(false, v, u, index);
            if let Flaw::Broken(gap) = flaw {
                let (across, along) = if gap.is_weft { (v, u) } else { (u, v) };
                let is_thread = (gap.threads.0..=gap.threads.1).contains(&(across.floor() as i32));
                if is_thread && (gap.from..gap.to).contains(&along) {
                    *(if gap.is_weft { &mut weft } else { &mut warp }) = None;
                }
            }
            let cloth = match (warp, weft) {
                (Some(one), Some(other)) => {
                    if one.0 >= other.0 {
                        one.1
                    } else {
                        other.1
                    }
                }
                (Some(one), None) | (None, Some(one)) => one.1,
                (None, None) => UNDERNEATH,
            };
            std::array::from_fn(|c| cloth[c] + (UNDERNEATH[c] - cloth[c]) * torn)
        })
    }

    /// The surface of the warp or weft thread at a position, in threads, across and along it.
    fn thread(&self, is_warp: bool, across: f32, along: f32, index: usize) -> Surface {
        let (threads, colour) =
            if is_warp { (&self.warps, self.cloth.warp) } else { (&self.wefts, self.cloth.weft) };
        let number = across.floor();
        let thread = &threads[(number as usize).min(threads.len() - 1)];
        let offset = (across - number - 0.5) * 2.0 / thread.width;
        if offset.abs() >= 1.0 {
            return None;
        }
        let crossing = (along - 0.5).floor();
        let share = smoothstep(0.12, 0.88, along - 0.5 - crossing);
        let side = |crossing: i32| {
            if is_warp { self.over(number as i32, crossing) } else { -self.over(crossing, number as i32) }
        };
        let (before, after) = (side(crossing as i32), side(crossing as i32 + 1));
        let lift = before + (after - before) * share;
        let round = (1.0 - offset * offset).sqrt();
        let twist = ((along * 2.6 + offset * 0.55) * TAU + thread.phase).sin();
        let kind = usize::from(!is_warp);
        let shade = 0.56 + 0.30 * round + 0.13 * lift - 0.07 * offset + 0.035 * twist;
        let texture = thread.shade + 0.035 * self.slubs[kind][index] + 0.030 * self.fibres[kind][index];
        Some((0.5 * lift + 0.45 * round, lit(colour, shade * texture)))
    }
}

//! One clip: who drives where and when, and its frames.

use super::street::{COLOURS, LANES, Outline, Street, draw_ball, draw_car};
use crate::mask::Mask;
use crate::reader::{Pixels, RgbImage};
use crate::synth::canvas::{Canvas, Colour};
use crate::synth::random::Random;
use std::fmt;

/// The family of random numbers; those of looks are small.
const FAMILY: u64 = 0x7472_6166;

/// Pixels that must be seen of an odd thing for a frame to be anomalous, as a share of the frame.
const VISIBLE: f32 = 0.001;

/// Room between cars, in units.
const GAP: (f32, f32) = (26.0, 70.0);

/// An odd motion; also the name of its clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OddMotion {
    /// A car goes against the traffic.
    WrongWay,
    /// A car goes almost three times as fast as its lane.
    Speeding,
    /// A car stands still for a while in the middle of its lane.
    Stop,
    /// A ball crosses the street.
    OddObject,
}

impl OddMotion {
    /// All of them, in the order in which sets are written.
    pub const ALL: [Self; 4] = [Self::WrongWay, Self::Speeding, Self::Stop, Self::OddObject];

    /// The name of its clips, which their number follows.
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongWay => "wrong_way",
            Self::Speeding => "speeding",
            Self::Stop => "stop",
            Self::OddObject => "odd_object",
        }
    }
}

impl fmt::Display for OddMotion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A frame of a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficFrame {
    /// The 8-bit image.
    pub image: RgbImage,
    /// What can be seen of an odd thing; the frame is anomalous if it marks anything.
    pub mask: Mask,
}

/// Makes the clips of one set, in any order and on any thread.
pub struct Traffic {
    seed: u64,
    frames: usize,
    street: Street,
}

/// Where something is at each frame.
#[derive(Clone, Debug)]
struct Path {
    size: (f32, f32),
    corner: f32,
    /// Centre (y, x) at every frame.
    places: Vec<(f32, f32)>,
}

impl Path {
    fn at(&self, frame: usize) -> Outline {
        Outline { centre: self.places[frame], half: self.size, corner: self.corner }
    }

    fn meets(&self, other: &Self, margin: f32) -> bool {
        (0..self.places.len()).any(|frame| self.at(frame).meets(&other.at(frame), margin))
    }
}

/// A car on its way.
#[derive(Clone, Debug)]
struct Car {
    path: Path,
    colour: Colour,
}

/// What is odd in a clip.
struct Odd {
    path: Path,
    /// A car's colour; a ball has none.
    colour: Option<Colour>,
    /// At which frames it counts.
    counts: Vec<bool>,
    is_turned: bool,
}

impl Traffic {
    /// Clips of so many frames of height x width (`size`).
    pub fn new(seed: u64, size: (usize, usize), frames: usize) -> Self {
        let street = Street::new(&mut Random::new(seed, FAMILY, 0), size);
        Self { seed, frames, street }
    }

    /// The frames of clip number `number` of a kind; `None` is good throughout.
    pub fn clip(&self, number: u64, odd: Option<OddMotion>) -> impl Iterator<Item = TrafficFrame> + '_ {
        let kind = odd.map_or(0, |odd| odd as u64 + 1);
        // Stream 0 is the street's.
        let random = |purpose: u64| Random::new(self.seed, FAMILY, (number << 8 | kind << 3 | purpose) + 8);
        let mut drives = random(0);
        let speeds = [3.3, 2.6].map(|speed| speed * drives.range(0.95, 1.05) * self.street.unit());
        let mut cars = self.cars(&mut drives, speeds);
        let odd = odd.map(|kind| self.odd(kind, &mut random(1), &speeds));
        if let Some(odd) = &odd {
            let margin = 5.0 * self.street.unit();
            cars.retain(|car| !car.path.meets(&odd.path, margin));
        }
        let brightness = drives.range(0.95, 1.05);
        let mut sensor = random(2);
        (0..self.frames).map(move |frame| {
            let light = brightness * (1.0 + 0.003 * sensor.normal());
            self.frame(frame, &cars, odd.as_ref(), light, &mut sensor)
        })
    }

    /// Cars of both lanes, so far apart that none runs into another.
    fn cars(&self, random: &mut Random, speeds: [f32; LANES]) -> Vec<Car> {
        let unit = self.street.unit();
        let width = self.street.size().1 as f32;
        let mut cars = Vec::new();
        for (lane, speed) in speeds.into_iter().enumerate() {
            // The first one is about to leave; the last one enters as the clip ends.
            let mut front = width + random.range(-40.0, 30.0) * unit;
            while front > -speed * self.frames as f32 {
                let (car, length) = self.car(random, lane, front, |_| speed);
                cars.push(car);
                front -= length + random.range(GAP.0, GAP.1) * unit;
            }
        }
        cars
    }

    /// A car whose front is somewhere at first, and its length; `speed` is that of each frame.
    fn car(&self, random: &mut Random, lane: usize, front: f32, speed: impl Fn(usize) -> f32) -> (Car, f32) {
        let unit = self.street.unit();
        let (length, breadth) = (random.range(22.0, 28.0) * unit, random.range(12.0, 14.0) * unit);
        let colour = COLOURS[random.index(COLOURS.len())];
        let y = self.street.lane(lane) + random.range(-1.5, 1.5) * unit;
        let mut x = front - length / 2.0;
        let places = (0..self.frames).map(|frame| {
            let here = (y, x);
            x += speed(frame);
            here
        });
        let path = Path { size: (breadth / 2.0, length / 2.0), corner: 3.0 * unit, places: places.collect() };
        (Car { path, colour }, length)
    }

    fn odd(&self, kind: OddMotion, random: &mut Random, speeds: &[f32; LANES]) -> Odd {
        let unit = self.street.unit();
        let (height, width) = self.street.size();
        let (height, width) = (height as f32, width as f32);
        let lane = random.index(LANES);
        let speed = speeds[lane];
        let frames = self.frames as f32;
        // When it enters.
        let begins = frames * random.range(0.15, 0.3);
        let always = vec![true; self.frames];
        match kind {
            OddMotion::WrongWay => {
                let speed = speed * random.range(0.9, 1.3);
                let (car, _) = self.car(random, lane, width + 28.0 * unit + speed * begins, |_| -speed);
                Odd { path: car.path, colour: Some(car.colour), counts: always, is_turned: true }
            }
            OddMotion::Speeding => {
                let speed = speed * random.range(2.5, 3.0);
                let (car, _) = self.car(random, lane, -speed * begins, |_| speed);
                Odd { path: car.path, colour: Some(car.colour), counts: always, is_turned: false }
            }
            OddMotion::Stop => {
                let (from, to) = (begins as usize, (begins + frames * random.range(0.35, 0.5)) as usize);
                let stands = |frame: usize| (from..to).contains(&frame);
                let front = width * random.range(0.45, 0.75) - speed * from as f32;
                let (car, _) = self.car(random, lane, front, |frame| if stands(frame) { 0.0 } else { speed });
                let counts = (0..self.frames).map(stands).collect();
                Odd { path: car.path, colour: Some(car.colour), counts, is_turned: false }
            }
            OddMotion::OddObject => {
                let radius = random.range(7.0, 9.5) * unit;
                let (down, x) = (random.range(1.8, 2.6) * unit, width * random.range(0.25, 0.75));
                let drift = random.range(-0.4, 0.4) * unit;
                let is_up = random.chance(0.5);
                let place = |frame: usize| {
                    let gone = frame as f32 - begins;
                    let y = down * gone - radius;
                    (if is_up { height - y } else { y }, x + drift * gone)
                };
                let places = (0..self.frames).map(place).collect();
                let path = Path { size: (radius, radius), corner: radius, places };
                Odd { path, colour: None, counts: always, is_turned: false }
            }
        }
    }

    fn frame(
        &self,
        frame: usize,
        cars: &[Car],
        odd: Option<&Odd>,
        light: f32,
        sensor: &mut Random,
    ) -> TrafficFrame {
        let (height, width) = self.street.size();
        let mut canvas = self.street.lit(light);
        for car in cars {
            draw_car(&mut canvas, &car.path.at(frame), car.colour.map(|value| value * light), false);
        }
        let mut mask = Mask { height, width, marked: vec![false; height * width] };
        if let Some(odd) = odd {
            let outline = odd.path.at(frame);
            match odd.colour {
                Some(colour) => {
                    draw_car(&mut canvas, &outline, colour.map(|value| value * light), odd.is_turned);
                }
                None => draw_ball(&mut canvas, &outline),
            }
            if odd.counts[frame] {
                mark(&mut mask, &outline);
            }
        }
        let canvas: Canvas = canvas.through_lens();
        TrafficFrame { image: RgbImage { height, width, pixels: Pixels::U8(canvas.expose(sensor)) }, mask }
    }
}

/// Marks what an outline covers by half, unless hardly anything of it can be seen.
fn mark(mask: &mut Mask, outline: &Outline) {
    let (height, width) = (mask.height, mask.width);
    for (at, marked) in mask.marked.iter_mut().enumerate() {
        let (y, x) = ((at / width) as f32 + 0.5, (at % width) as f32 + 0.5);
        *marked = outline.cover(y, x) >= 0.5;
    }
    let count = mask.marked.iter().filter(|&&marked| marked).count();
    if (count as f32) < VISIBLE * (height * width) as f32 {
        mask.marked.fill(false);
    }
}

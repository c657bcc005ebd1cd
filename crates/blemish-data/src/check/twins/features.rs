//! What is each picture's own, beside what all of its set share.
//!
//! Parts under a fixed camera look all but the same, so the likeness of two pictures says nothing. Hence every picture is brought to the
//! mean of the set, and all that follows from the mean is taken out: the mean itself, its square and cube (gamma, clipped highlights), its
//! gradients (the part lies elsewhere), and light that falls off. What is left is described by its 255 lowest cosine waves, each divided
//! by how much it varies in the set. In a second description the ways in which all pictures vary together count less (the covariance is
//! whitened), so that a set that varies in a few ways only has no chance likenesses.

use super::pose::{Pose, across, gradients, halved, nearest, warp};
use super::thumbnail::{SIDE, Thumbnail, normalise};
use rayon::prelude::*;

/// Waves a side; the first of all, the mean, is left out.
const WAVES: usize = 16;
/// Numbers that describe a picture.
pub(super) const LENGTH: usize = WAVES * WAVES - 1;
/// Pictures that the mean is taken of.
const FOR_MEAN: usize = 256;
/// Pictures that spreads and covariances are taken of.
const FOR_SPREAD: usize = 2048;
/// Grey levels, of 255, that resizing and coding change the mean of some pixels by.
const NOISE: f32 = 0.6;
/// What is added to the covariance, as a part of its mean variance.
const RIDGE: f64 = 0.3;
/// The part of the picture, from the middle to the edge, that is compared: a crop leaves nothing to compare at the edge.
const INNER: f32 = 0.92;

/// A picture's descriptions, both of norm 1.
pub(super) struct Features {
    /// Each wave by its own spread.
    pub(super) plain: Vec<f32>,
    /// The same, whitened.
    pub(super) whitened: Vec<f32>,
}

/// The descriptions of pictures; `None` for those of one colour.
pub(super) fn describe(thumbnails: &[&Thumbnail]) -> Vec<Option<Features>> {
    let waves = own_waves(thumbnails);
    let Some(waves) = waves else { return thumbnails.iter().map(|_| None).collect() };
    let spread = spread(&waves.all, waves.noise);
    let plain: Vec<Option<Vec<f32>>> = waves
        .all
        .into_par_iter()
        .map(|wave| {
            let mut wave = wave?;
            wave.iter_mut().zip(&spread).for_each(|(value, spread)| *value /= spread);
            unit(wave)
        })
        .collect();
    let factor = factor(&plain);
    plain
        .into_par_iter()
        .map(|plain| {
            let plain = plain?;
            let whitened = unit(factor.solve(&plain))?;
            Some(Features { plain, whitened })
        })
        .collect()
}

fn unit(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    if norm.is_nan() || norm <= 1e-9 {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= norm);
    Some(values)
}

/// The waves of what is each picture's own, and the noise in them.
struct Waves {
    all: Vec<Option<Vec<f32>>>,
    noise: f32,
}

fn own_waves(thumbnails: &[&Thumbnail]) -> Option<Waves> {
    let usable: Vec<usize> =
        (0..thumbnails.len()).filter(|&index| thumbnails[index].normalised().is_some()).collect();
    let sample = thinned(&usable, FOR_MEAN);
    let pictures: Vec<(Vec<f32>, f32)> =
        sample.iter().filter_map(|&index| thumbnails[index].normalised()).collect();
    let mut norms: Vec<f32> = pictures.iter().map(|(_, norm)| *norm).collect();
    let norm = median(&mut norms)?;
    let first = mean(pictures.iter().map(|(picture, _)| picture.clone()));
    let placed =
        |target: &Target| mean_of(pictures.par_iter().map(|(picture, _)| target.place(picture)).collect());
    let target = Target::new(placed(&Target::new(first)));
    let common = Common::of(&placed(&target));
    let all = thumbnails
        .par_iter()
        .map(|thumbnail| {
            let (picture, _) = thumbnail.normalised()?;
            Some(cosines(&common.without(target.place(&picture))))
        })
        .collect();
    Some(Waves { all, noise: NOISE / norm })
}

/// The picture that all are brought to, at two sizes.
struct Target {
    fine: Vec<f32>,
    coarse: Vec<f32>,
}

impl Target {
    fn new(fine: Vec<f32>) -> Self {
        let mut coarse = halved(&fine, SIDE);
        normalise(&mut coarse);
        Self { fine, coarse }
    }

    /// A picture in its nearest pose, of norm 1.
    fn place(&self, picture: &[f32]) -> Vec<f32> {
        let mut small = halved(picture, SIDE);
        normalise(&mut small);
        let coarse = nearest(&small, &self.coarse, SIDE / 2, [0.0; 4], 3);
        let pose: Pose = coarse.map(|value| 2.0 * value);
        let pose = nearest(picture, &self.fine, SIDE, pose, 2);
        let mut placed = warp(picture, SIDE, pose);
        normalise(&mut placed);
        placed
    }
}

fn mean_of(pictures: Vec<Vec<f32>>) -> Vec<f32> {
    mean(pictures.into_iter())
}

/// The mean picture, of norm 1.
fn mean(pictures: impl Iterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut sum = vec![0.0_f64; SIDE * SIDE];
    for picture in pictures {
        sum.iter_mut().zip(&picture).for_each(|(all, &value)| *all += f64::from(value));
    }
    let norm = sum.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-9);
    sum.iter().map(|value| (value / norm) as f32).collect()
}

/// What follows from the mean picture, as an orthonormal basis.
struct Common(Vec<Vec<f32>>);

impl Common {
    fn of(mean: &[f32]) -> Self {
        let (in_x, in_y) = gradients(mean, SIDE);
        let from = |value: &dyn Fn(usize) -> f32| (0..SIDE * SIDE).map(value).collect::<Vec<f32>>();
        let right = |at: usize| across(at % SIDE, SIDE);
        let down = |at: usize| across(at / SIDE, SIDE);
        let spanned = [
            from(&|_| 1.0),
            from(&right),
            from(&down),
            from(&|at| mean[at]),
            from(&|at| mean[at] * mean[at]),
            from(&|at| mean[at].powi(3)),
            from(&|at| in_x[at]),
            from(&|at| in_y[at]),
            from(&|at| right(at) * in_x[at]),
            from(&|at| down(at) * in_y[at]),
        ];
        let mut basis: Vec<Vec<f32>> = Vec::new();
        for vector in spanned {
            let before = dot(&vector, &vector).sqrt();
            let rest = unit(take_out(&basis, take_out(&basis, vector.clone())));
            // What the others span already is noise after they are taken out.
            let left = dot(&take_out(&basis, vector.clone()), &vector).abs().sqrt();
            basis.extend(rest.filter(|_| left > 1e-3 * before));
        }
        Self(basis)
    }

    /// What of a picture does not follow from the mean, within the edge.
    fn without(&self, picture: Vec<f32>) -> Vec<f32> {
        let mut rest = take_out(&self.0, picture);
        for (at, value) in rest.iter_mut().enumerate() {
            if across(at % SIDE, SIDE).abs() > INNER || across(at / SIDE, SIDE).abs() > INNER {
                *value = 0.0;
            }
        }
        rest
    }
}

fn take_out(basis: &[Vec<f32>], mut vector: Vec<f32>) -> Vec<f32> {
    for one in basis {
        let share = dot(one, &vector);
        vector.iter_mut().zip(one).for_each(|(value, one)| *value -= share * one);
    }
    vector
}

/// The inner product, in eight sums that add up in one order.
pub(super) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (left, right) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

/// The lowest waves of the discrete cosine transform (type II, orthonormal) in both directions, without the mean.
fn cosines(picture: &[f32]) -> Vec<f32> {
    let wave = |k: usize, at: usize| {
        let scale = if k == 0 { 1.0 / SIDE as f64 } else { 2.0 / SIDE as f64 };
        (scale.sqrt() * (std::f64::consts::PI * (at as f64 + 0.5) * k as f64 / SIDE as f64).cos()) as f32
    };
    static TABLE: std::sync::OnceLock<Vec<f32>> = std::sync::OnceLock::new();
    let table = TABLE.get_or_init(|| (0..WAVES * SIDE).map(|at| wave(at / SIDE, at % SIDE)).collect());
    let rows: Vec<f32> = picture
        .chunks_exact(SIDE)
        .flat_map(|row| table.chunks_exact(SIDE).map(move |wave| dot(row, wave)))
        .collect();
    let mut waves = vec![0.0_f32; WAVES * WAVES];
    for (y, row) in rows.chunks_exact(WAVES).enumerate() {
        for (k, line) in waves.chunks_exact_mut(WAVES).enumerate() {
            let factor = table[k * SIDE + y];
            line.iter_mut().zip(row).for_each(|(sum, &value)| *sum += factor * value);
        }
    }
    waves.remove(0);
    waves
}

/// How much each wave varies, robustly: 1.4826 times the median distance from the median, and the noise.
fn spread(waves: &[Option<Vec<f32>>], noise: f32) -> Vec<f32> {
    let known: Vec<&Vec<f32>> = waves.iter().flatten().collect();
    let sample = thinned(&known, FOR_SPREAD);
    (0..LENGTH)
        .into_par_iter()
        .map(|wave| {
            let mut values: Vec<f32> = sample.iter().map(|one| one[wave]).collect();
            let middle = median(&mut values).unwrap_or(0.0);
            values.iter_mut().for_each(|value| *value = (*value - middle).abs());
            let deviation = 1.4826 * median(&mut values).unwrap_or(0.0);
            (deviation * deviation + noise * noise).sqrt()
        })
        .collect()
}

/// The lower triangle L of a covariance, L times its transpose.
struct Factor(Vec<Vec<f32>>);

impl Factor {
    /// The vector that L turns into the one given.
    fn solve(&self, vector: &[f32]) -> Vec<f32> {
        let mut solution: Vec<f32> = Vec::with_capacity(vector.len());
        for (row, &value) in self.0.iter().zip(vector) {
            let place = solution.len();
            let known = dot(&row[..place], &solution);
            solution.push((value - known) / row[place]);
        }
        solution
    }
}

/// The covariance of descriptions and its ridge, by Cholesky.
fn factor(plain: &[Option<Vec<f32>>]) -> Factor {
    let known: Vec<&Vec<f32>> = plain.iter().flatten().collect();
    let sample = thinned(&known, FOR_SPREAD);
    let mut rows: Vec<Vec<f64>> = (0..LENGTH)
        .into_par_iter()
        .map(|row| {
            let mut sums = vec![0.0_f64; row + 1];
            for one in &sample {
                let factor = f64::from(one[row]);
                sums.iter_mut().zip(one.iter()).for_each(|(sum, &value)| *sum += factor * f64::from(value));
            }
            sums
        })
        .collect();
    // All descriptions have norm 1, so the variances add up to the number of pictures.
    let ridge = RIDGE * sample.len().max(1) as f64 / LENGTH as f64;
    for row in 0..LENGTH {
        rows[row][row] += ridge;
        for column in 0..=row {
            let (above, this) = rows.split_at_mut(row);
            let this = &mut this[0];
            let other: &[f64] = if column == row { &this[..column] } else { &above[column][..column] };
            let known: f64 = this[..column].iter().zip(other).map(|(a, b)| a * b).sum();
            let rest = this[column] - known;
            // With the ridge every pivot is above zero.
            this[column] = if column == row { rest.max(1e-12).sqrt() } else { rest / above[column][column] };
        }
    }
    Factor(rows.into_iter().map(|row| row.into_iter().map(|value| value as f32).collect()).collect())
}

/// At most so many, evenly spread.
pub(super) fn thinned<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    all.iter().copied().step_by(step).collect()
}

/// The middle value; of an even number the upper of the two.
pub(super) fn median(values: &mut [f32]) -> Option<f32> {
    quantile(values, 0.5)
}

/// The value that a share of the others is below.
pub(super) fn quantile(values: &mut [f32], share: f64) -> Option<f32> {
    if values.is_empty() {
        return None;
    }
    let place = ((values.len() as f64 * share) as usize).min(values.len() - 1);
    Some(*values.select_nth_unstable_by(place, f32::total_cmp).1)
}

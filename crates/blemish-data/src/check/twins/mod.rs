//! Pictures that are the same, or nearly the same, judged by how alike the pictures of their set are.
//!
//! Two pictures are twins if their likeness stands out: it must be far above what any two of the set have (by as much as the number of
//! pairs makes chance likely), and far above what pictures have with their nearest others. So parts under a fixed camera are no twins,
//! however alike; a copy is, re-encoded, cropped by a few pixels, resized or brightened. In a set whose images come in close groups (bursts,
//! exposures) only what is closer than a group stands out.

mod features;
mod pose;
mod thumbnail;

use features::{Features, LENGTH, describe, dot, median, quantile, thinned};
use rayon::prelude::*;
use std::collections::HashMap;
pub(super) use thumbnail::Thumbnail;

/// Fewer pictures than this do not say how alike their set is.
const FEWEST: usize = 8;
/// Likeness from which pictures are the same in any set.
const SAME_ANYWHERE: [f32; 2] = [0.9985, 0.95];
/// The least likeness of twins.
const LEAST: [f32; 2] = [0.6, 0.3];
/// How far twins are above pictures and their nearest others, in standard deviations of these.
const ABOVE_NEAREST: f32 = 5.0;
/// How far above the likeness that the likeliest of all pairs has by chance.
const ABOVE_CHANCE: [f32; 2] = [1.3, 1.5];
/// Plain likeness from which twins are one picture in other bytes.
const ONE_PICTURE: f32 = 0.9;
/// Pictures whose nearest others are looked up, where there are very many.
const LOOKED_UP: usize = 256;
/// Up to so many pictures all pairs are compared in full.
const IN_FULL: usize = 2000;

/// A picture as others are compared with it.
pub(super) struct Picture {
    /// SHA-256 of its file.
    pub(super) digest: [u8; 32],
    pub(super) thumbnail: Thumbnail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TwinKind {
    /// The same bytes.
    Bytes,
    /// The same picture in other bytes.
    Picture,
    /// All but the same picture.
    Near,
}

/// Two images, by index, the first being the earlier.
pub(super) struct Twin {
    pub(super) one: usize,
    pub(super) other: usize,
    pub(super) kind: TwinKind,
    likeness: f32,
    /// The likeness that half of the pictures have with their nearest others.
    usual: f32,
}

impl Twin {
    /// How alike they are.
    pub(super) fn words(&self) -> String {
        format!(
            "likeness {:.3}, where other pictures and their nearest have {:.3}",
            self.likeness, self.usual
        )
    }
}

/// All pairs of alike images, in order.
pub(super) fn find_twins(pictures: &[&Picture]) -> Vec<Twin> {
    let mut first_of: HashMap<[u8; 32], usize> = HashMap::new();
    let mut twins = Vec::new();
    let mut distinct = Vec::new();
    for (index, one) in pictures.iter().enumerate() {
        match first_of.get(&one.digest) {
            Some(&first) => {
                twins.push(Twin {
                    one: first,
                    other: index,
                    kind: TwinKind::Bytes,
                    likeness: 1.0,
                    usual: 0.0,
                });
            }
            None => {
                first_of.insert(one.digest, index);
                distinct.push(index);
            }
        }
    }
    twins.extend(alike(pictures, &distinct));
    twins.sort_by_key(|twin| (twin.one, twin.other));
    twins
}

/// Pairs of different bytes that are alike.
fn alike(pictures: &[&Picture], distinct: &[usize]) -> Vec<Twin> {
    let thumbnails: Vec<&Thumbnail> = distinct.iter().map(|&index| &pictures[index].thumbnail).collect();
    if thumbnails.len() < FEWEST {
        return few_alike(&thumbnails, distinct);
    }
    let (mut places, mut features) = (Vec::new(), Vec::new());
    for (&place, described) in distinct.iter().zip(describe(&thumbnails)) {
        if let Some(described) = described {
            places.push(place);
            features.push(described);
        }
    }
    let Some(limits) = Limits::of(&features) else { return Vec::new() };
    let hashes: Vec<Hash> = features.iter().map(Hash::of).collect();
    let is_thinned = features.len() > IN_FULL;
    (0..features.len())
        .into_par_iter()
        .flat_map_iter(|one| {
            let (features, hashes, limits, places) = (&features, &hashes, &limits, &places);
            (one + 1..features.len())
                .filter(move |&other| !is_thinned || hashes[one].may_be(&hashes[other], limits))
                .filter_map(move |other| {
                    let likeness = likeness(&features[one], &features[other]);
                    let kind = limits.judge(likeness)?;
                    let usual = limits.usual;
                    Some(Twin { one: places[one], other: places[other], kind, likeness: likeness[0], usual })
                })
        })
        .collect()
}

/// Of a handful of pictures only those that are all but identical.
fn few_alike(thumbnails: &[&Thumbnail], distinct: &[usize]) -> Vec<Twin> {
    let known: Vec<Option<(Vec<f32>, f32)>> = thumbnails.iter().map(|one| one.normalised()).collect();
    let mut twins = Vec::new();
    for (place, one) in known.iter().enumerate() {
        for (further, other) in known.iter().enumerate().skip(place + 1) {
            let (Some((one, _)), Some((other, _))) = (one, other) else { continue };
            let likeness = dot(one, other);
            if likeness >= 0.9995 {
                let kind = TwinKind::Picture;
                twins.push(Twin {
                    one: distinct[place],
                    other: distinct[further],
                    kind,
                    likeness,
                    usual: 0.0,
                });
            }
        }
    }
    twins
}

/// Plain and whitened likeness, -1 to 1.
fn likeness(one: &Features, other: &Features) -> [f32; 2] {
    [dot(&one.plain, &other.plain), dot(&one.whitened, &other.whitened)]
}

/// From what likeness on pictures of a set stand out.
struct Limits {
    /// Of the plain likeness and of the whitened one.
    least: [f32; 2],
    usual: f32,
}

impl Limits {
    /// From the likenesses of the set's pictures; `None` without any.
    fn of(features: &[Features]) -> Option<Self> {
        let all: Vec<usize> = (0..features.len()).collect();
        let most = if features.len() > IN_FULL { LOOKED_UP } else { features.len() };
        let rows: Vec<([Vec<f32>; 2], [f32; 2])> = thinned(&all, most)
            .into_par_iter()
            .map(|one| {
                let others = || all.iter().filter(|&&other| other != one);
                let seen: Vec<[f32; 2]> =
                    others().map(|&other| likeness(&features[one], &features[other])).collect();
                let nearest = [0, 1].map(|way| seen.iter().map(|pair| pair[way]).fold(-1.0, f32::max));
                // A hundred of each picture say enough of pairs in general.
                let pairs = thinned(&seen, 100);
                ([0, 1].map(|way| pairs.iter().map(|pair| pair[way]).collect()), nearest)
            })
            .collect();
        let pairs = (features.len() as f32).powi(2) / 2.0;
        let mut least = [0.0; 2];
        let mut usual = 0.0;
        for way in [0, 1] {
            let mut any: Vec<f32> =
                rows.iter().flat_map(|(pairs, _)| pairs[way].iter().map(|&value| fisher(value))).collect();
            let mut nearest: Vec<f32> = rows.iter().map(|(_, nearest)| fisher(nearest[way])).collect();
            let (middle, spread) = lower_spread(&mut any)?;
            let (near, near_spread) = lower_spread(&mut nearest)?;
            let by_chance = middle + ABOVE_CHANCE[way] * (2.0 * pairs.max(2.0).ln()).sqrt() * spread;
            let by_nearest = near + ABOVE_NEAREST * near_spread.max(0.02);
            least[way] = by_chance.max(by_nearest).tanh().max(LEAST[way]);
            if way == 0 {
                usual = near.tanh();
            }
        }
        Some(Self { least, usual })
    }

    fn judge(&self, likeness: [f32; 2]) -> Option<TwinKind> {
        let stands_out = [0, 1].iter().any(|&way| likeness[way] >= self.least[way]);
        let is_same = [0, 1].iter().all(|&way| likeness[way] >= SAME_ANYWHERE[way]);
        let is_one = likeness[0] >= ONE_PICTURE;
        (stands_out || is_same).then_some(if is_one { TwinKind::Picture } else { TwinKind::Near })
    }
}

/// The middle of values and their standard deviation as their lower half says it, since twins are among the upper.
fn lower_spread(values: &mut [f32]) -> Option<(f32, f32)> {
    let middle = median(values)?;
    let quarter = quantile(values, 0.25)?;
    Some((middle, (middle - quarter) / 0.6745))
}

/// Fisher's transform of a correlation, nearly normal.
fn fisher(correlation: f32) -> f32 {
    correlation.clamp(-0.999_95, 0.999_95).atanh()
}

/// The signs of both descriptions, to tell in a few instructions that two pictures are no twins.
struct Hash([[u64; 4]; 2]);

impl Hash {
    fn of(features: &Features) -> Self {
        Self([&features.plain, &features.whitened].map(|values| {
            let mut signs = [0_u64; 4];
            for (bit, &value) in values.iter().enumerate() {
                signs[bit / 64] |= u64::from(value > 0.0) << (bit % 64);
            }
            signs
        }))
    }

    /// Whether the likeness may reach the limits. Of vectors at an angle the share of equal signs is 1 less the angle over pi; chance may
    /// take two standard deviations of that away.
    fn may_be(&self, other: &Self, limits: &Limits) -> bool {
        [0, 1].iter().any(|&way| {
            let differing: u32 =
                self.0[way].iter().zip(&other.0[way]).map(|(one, other)| (one ^ other).count_ones()).sum();
            let share = limits.least[way].acos() / std::f32::consts::PI;
            let expected = share * LENGTH as f32;
            differing as f32 <= expected + 2.0 * (expected * (1.0 - share)).sqrt()
        })
    }
}

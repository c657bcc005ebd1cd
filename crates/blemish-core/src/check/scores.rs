//! Scores: a defect is found where it is, whatever the company, the order and the threads.

use super::Part;
use super::lab::{Lab, bits_of, guard};
use crate::error::Error;
use crate::map::{PatchScores, worst_of};
use crate::method::Pass;

/// How far the scores of methods that train for long may move with the batch, as a share of the largest.
const TOLERANCE: f32 = 1e-4;

pub(super) fn check(lab: &mut Lab<'_>) {
    let found = finds(lab);
    lab.require(Part::Finds, found);
    let batch = batch(lab);
    lab.require(Part::Batch, batch);
    let order = order(lab);
    lab.require(Part::Order, order);
    let session = session(lab);
    lab.require(Part::Session, session);
}

fn finds(lab: &Lab<'_>) -> Result<(), String> {
    let scored =
        lab.finish(&*lab.reference, &lab.probes(), &[0, 1, 2]).map_err(|failure| failure.to_string())?;
    let [good, defective, other] = &scored[..] else {
        return Err("there is not one score for each image".into());
    };
    let highest = good.score.max(other.score);
    if defective.score <= highest {
        return Err(format!("the defect scores {}, good images up to {highest}", defective.score));
    }
    let map = &defective.map;
    let worst = worst_of(&map.values);
    let is_flat = map.values.iter().all(|value| *value == map.values[worst]);
    let at = (worst / map.width.max(1), worst % map.width.max(1));
    // One score for all pixels says nothing of places.
    match is_flat || !lab.subject.localises || lab.subject.scene.is_near_defect(at) {
        true => Ok(()),
        false => {
            Err(format!("the map is hottest at {at:?}, the defect lies in {:?}", lab.subject.scene.defect()))
        }
    }
}

fn batch(lab: &Lab<'_>) -> Result<(), String> {
    let usual = if lab.needs.trains_long() { TOLERANCE } else { 0.0 };
    let tolerance = lab.subject.tolerance.unwrap_or(usual);
    let (model, probes) = (&*lab.reference, lab.probes());
    let score = |numbers: &[usize]| lab.score(model, &probes, numbers).map_err(|failure| failure.to_string());
    let together = score(&[0, 1, 2])?;
    let backwards = score(&[2, 1, 0])?;
    for (number, scores) in together.iter().enumerate() {
        let alone = score(&[number])?;
        for other in [&alone[0], &backwards[2 - number]] {
            if let Some(off) = distance(scores, other).filter(|off| *off > tolerance) {
                return Err(format!(
                    "the score of image {number} moves by {off:.1e} of the largest with its batch"
                ));
            }
        }
    }
    Ok(())
}

/// The largest difference as a share of the largest score; infinite for grids of different sizes, `None` for equal bits.
fn distance(one: &PatchScores, other: &PatchScores) -> Option<f32> {
    if bits_of(one) == bits_of(other) {
        return None;
    }
    if (one.height, one.width, one.image_score.is_some())
        != (other.height, other.width, other.image_score.is_some())
    {
        return Some(f32::INFINITY);
    }
    let off = |a: &f32, b: &f32| (a - b).abs();
    let largest = one.values.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
    let of_values =
        one.values.iter().zip(&other.values).map(|(a, b)| off(a, b) / largest).fold(0.0, f32::max);
    let of_image = one
        .image_score
        .iter()
        .zip(&other.image_score)
        .map(|(a, b)| off(a, b) / a.abs().max(1e-3))
        .fold(0.0, f32::max);
    Some(of_values.max(of_image))
}

fn order(lab: &Lab<'_>) -> Result<(), String> {
    let model = &*lab.reference;
    let score = || lab.bits(model).map_err(|failure| failure.to_string());
    let first = score()?;
    lab.score(model, &lab.good(), &[0, 1]).map_err(|failure| failure.to_string())?;
    if score()? != first {
        return Err("the same images score otherwise after others".into());
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| error.to_string())?;
        if pool.install(score)? != first {
            return Err(format!("scores are others with {threads} threads"));
        }
    }
    Ok(())
}

/// Two sessions see the same frames.
fn session(lab: &Lab<'_>) -> Result<(), String> {
    if lab.reference.session().is_none() {
        return Ok(());
    }
    let (probes, pass) = (lab.probes(), Pass { reads: lab.needs.reads, shuffle: None });
    let run = || {
        guard(|| {
            let mut session = lab
                .reference
                .session()
                .ok_or_else(|| Error::Score { reason: "there is no session".into() })?;
            let mut bits = Vec::new();
            for number in 0..3 {
                bits.extend(probes.with(&[number], pass, |input| session.score(input))?.iter().map(bits_of));
            }
            Ok(bits)
        })
    };
    match (run(), run()) {
        (Ok(one), Ok(other)) if one.len() == 3 && one == other => Ok(()),
        (Ok(_), Ok(_)) => Err("a new session does not begin afresh".into()),
        (Err(failure), _) | (_, Err(failure)) => Err(failure.to_string()),
    }
}

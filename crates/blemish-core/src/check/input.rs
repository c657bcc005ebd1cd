//! Bad input: an error or finite scores, never a panic.

use super::lab::{Failure, Lab, brief, guard};
use super::{Images, Part};
use crate::error::Error;
use crate::input::Input;
use crate::method::FitContext;

pub(super) fn check(lab: &mut Lab<'_>) {
    let none = no_images(lab);
    lab.require(Part::BadInput, none);
    let (scene, side) = (lab.subject.scene, lab.subject.scene.side);
    let plain = |grey: f32| ((side, side), vec![grey; 3 * side * side]);
    let sets = [
        ("one image", vec![((side, side), scene.image(0, false))]),
        ("plain images", vec![plain(0.5); 4]),
        ("black images", vec![plain(0.0); 2]),
        (
            "images of different sizes",
            vec![((side, side), scene.image(0, false)), wide(side), ((side, side), scene.image(1, false))],
        ),
    ];
    for (words, images) in sets {
        let outcome = survives(lab, images).map_err(|reason| format!("{words}: {reason}"));
        lab.require(Part::BadInput, outcome);
    }
    let scored = odd_scores(lab);
    lab.require(Part::BadInput, scored);
}

/// An image of another width.
fn wide(side: usize) -> ((usize, usize), Vec<f32>) {
    let width = side + 32;
    ((side, width), (0..3 * side * width).map(|at| (at % 97) as f32 / 97.0).collect())
}

fn no_images(lab: &Lab<'_>) -> Result<(), String> {
    match lab.fit(lab.images(Vec::new()), |context| FitContext { training: brief(), ..context }) {
        Err(Failure::Error(Error::Interrupted)) => {
            Err("no images: it ends as if it had been interrupted".into())
        }
        Err(Failure::Error(error)) if lab.needs.good_images == 0 => {
            Err(format!("no images, of which it needs none: {error}"))
        }
        Err(Failure::Error(_)) => Ok(()),
        Err(panic) => Err(format!("no images: {panic}")),
        Ok(_) if lab.needs.good_images > 0 => Err("no images: it is fitted all the same".into()),
        Ok(model) => lab
            .finish(&*model, &lab.probes(), &[0])
            .map(drop)
            .map_err(|failure| format!("no images: {failure}")),
    }
}

fn survives(lab: &Lab<'_>, images: Vec<((usize, usize), Vec<f32>)>) -> Result<(), String> {
    let model = match lab.fit(lab.images(images), |context| FitContext { training: brief(), ..context }) {
        Ok(model) => model,
        Err(Failure::Error(Error::Interrupted)) => return Err("it ends as if it had been interrupted".into()),
        Err(Failure::Error(_)) => return Ok(()),
        Err(panic) => return Err(panic.to_string()),
    };
    no_panic(lab.finish(&*model, &lab.probes(), &[1]))
}

fn no_panic<T>(outcome: Result<T, Failure>) -> Result<(), String> {
    match outcome {
        Ok(_) | Err(Failure::Error(_)) => Ok(()),
        Err(panic) => Err(panic.to_string()),
    }
}

/// Images of another size, without any content, with values that are not numbers; and none at all.
fn odd_scores(lab: &Lab<'_>) -> Result<(), String> {
    let side = lab.subject.scene.side;
    let mut broken = lab.subject.scene.image(0, false);
    broken[side * side / 2] = f32::NAN;
    let probes: Images<'_> =
        lab.images(vec![wide(side), ((side, side), vec![0.0; 3 * side * side]), ((side, side), broken)]);
    for (number, words) in
        ["another size", "a black image", "a value that is not a number"].into_iter().enumerate()
    {
        no_panic(lab.finish(&*lab.reference, &probes, &[number]))
            .map_err(|reason| format!("scoring {words}: {reason}"))?;
    }
    let nothing = Input { indices: &[], facts: &[], categories: &[], images: None, maps: None };
    match guard(|| lab.reference.score(&nothing)) {
        Err(Failure::Error(_)) => Ok(()),
        Err(panic) => Err(format!("scoring neither pixels nor maps: {panic}")),
        Ok(_) => Err("neither pixels nor maps are scored all the same".into()),
    }
}

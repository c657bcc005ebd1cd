//! Fits: the seed alone decides, whatever the threads, the batches and the memory.

use super::Part;
use super::lab::{Failure, Lab, difference};
use crate::error::Error;
use crate::method::FitContext;
use blemish_features::Device;

/// Bytes of memory that no fit can do with.
const TINY: u64 = 40_000;

/// A device that no machine has.
const ABSENT: Device = Device::Cuda(99);

pub(super) fn check(lab: &mut Lab<'_>) {
    seed_and_threads(lab);
    let memory = memory_limit(lab);
    lab.require(Part::MemoryLimit, memory);
    let device = device(lab);
    lab.require(Part::Device, device);
}

/// One fit on one thread in larger batches should be the reference; only if it is not, another one says why.
fn seed_and_threads(lab: &mut Lab<'_>) {
    let known = lab.reference.state();
    let differs = |state| difference(&known, &state);
    let alone = |lab: &Lab<'_>| {
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| error.to_string())?;
        let fitted =
            pool.install(|| lab.fit(lab.good().in_batches(3), |context| context).map(|model| model.state()));
        fitted.map(differs).map_err(|failure| failure.to_string())
    };
    let words = match alone(lab) {
        Ok(None) => return,
        Ok(Some(words)) => words,
        Err(failure) => return lab.report(Part::Threads, failure),
    };
    match lab.fit(lab.good(), |context| context).map(|model| differs(model.state())) {
        Ok(None) => {
            lab.report(Part::Threads, format!("one thread and batches of three give another {words}"))
        }
        Ok(Some(words)) => lab.report(Part::Seed, format!("the same seed gives another {words}")),
        Err(failure) => lab.report(Part::Seed, failure.to_string()),
    }
}

fn memory_limit(lab: &Lab<'_>) -> Result<(), String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let limit = |context| FitContext {
        memory_limit: Some(TINY),
        scratch: Some(scratch.path().to_owned()),
        ..context
    };
    match lab.fit(lab.good(), limit) {
        Ok(model) => match difference(&lab.reference.state(), &model.state()) {
            None => Ok(()),
            Some(words) => Err(format!("little memory gives another {words}")),
        },
        Err(failure) => refusal(failure),
    }
}

/// An error with words, and not of another kind.
fn refusal(failure: Failure) -> Result<(), String> {
    match failure {
        Failure::Error(Error::Interrupted) => Err("it ends as if it had been interrupted".into()),
        Failure::Error(_) => Ok(()),
        panic => Err(panic.to_string()),
    }
}

fn device(lab: &Lab<'_>) -> Result<(), String> {
    match lab.fit(lab.good(), |context| FitContext { device: ABSENT, ..context }) {
        Ok(model) => {
            if let Some(words) = difference(&lab.reference.state(), &model.state()) {
                return Err(format!("a device that is not there gives another {words}"));
            }
        }
        Err(failure) => refusal(failure)?,
    }
    match lab.restore(lab.reference.state(), ABSENT) {
        Ok(model) => match (lab.bits(&*model), lab.bits(&*lab.reference)) {
            (Ok(found), Ok(expected)) if found == expected => Ok(()),
            (Ok(_), Ok(_)) => Err("a model restored on a device that is not there scores otherwise".into()),
            (Err(failure), _) | (_, Err(failure)) => Err(failure.to_string()),
        },
        Err(failure) => refusal(failure),
    }
}

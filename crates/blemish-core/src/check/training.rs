//! Long work: ended early, and gone on with.

use super::Part;
use super::lab::{Failure, Lab, Log, Watcher, brief, difference};
use crate::error::Error;
use crate::method::FitContext;
use crate::training::TrainingOptions;
use std::path::Path;

pub(super) fn check(lab: &mut Lab<'_>) {
    let cancel = cancel(lab);
    lab.require(Part::Cancel, cancel);
    if lab.needs.trains_long() {
        let resume = resume(lab);
        lab.require(Part::Resume, resume);
        let limit = time_limit(lab);
        lab.require(Part::TimeLimit, limit);
    }
}

/// Cancelled before the first image, and short fits also half-way.
fn cancel(lab: &Lab<'_>) -> Result<(), String> {
    let half = lab.log.asked / 2;
    let moments = if lab.needs.trains_long() || half == 0 { vec![0] } else { vec![0, half] };
    for after in moments {
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        let observer = Watcher { after_asked: Some(after), ..Watcher::default() };
        let change =
            |context| FitContext { observer: &observer, scratch: Some(scratch.path().to_owned()), ..context };
        match lab.fit(lab.good(), change) {
            Err(Failure::Error(Error::Interrupted)) => {}
            Err(failure) => {
                return Err(format!("cancelled at question {after}, it fails otherwise: {failure}"));
            }
            // With several threads the number of questions may differ a little.
            Ok(_) if observer.log().asked > after => {
                return Err(format!("cancelled at question {after}, it goes on to the end"));
            }
            Ok(_) => {}
        }
        if !is_empty(scratch.path()) {
            return Err("a cancelled fit leaves files behind".into());
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// The middle of the last training, in steps of progress.
fn middle(log: &Log) -> u64 {
    let ends = log.stages.iter().skip(1).map(|(_, steps)| *steps).chain([log.steps]);
    let parts = log.stages.iter().zip(ends).filter(|((_, start), end)| start < end);
    let (trainings, others): (Vec<_>, Vec<_>) =
        parts.partition(|((name, _), _)| name.starts_with("training"));
    let found = trainings.last().or(others.iter().max_by_key(|((_, start), end)| end - start));
    found.map_or(0, |((_, start), end)| start + (end - start) / 2)
}

fn resume(lab: &Lab<'_>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let training = |resume| {
        let checkpoint = Some(folder.path().join("model.checkpoint"));
        TrainingOptions { checkpoint, resume, ..TrainingOptions::default() }
    };
    let after = middle(&lab.log);
    let observer = Watcher { after_steps: Some(after), ..Watcher::default() };
    let stopped = lab.fit(lab.good(), |context| FitContext {
        observer: &observer,
        training: training(false),
        ..context
    });
    match stopped {
        Err(Failure::Error(Error::Interrupted)) => {}
        Err(failure) => return Err(format!("cancelled after {after} steps, it fails otherwise: {failure}")),
        Ok(_) => {
            return Err(format!("cancelled after {after} of {} steps, it goes on to the end", lab.log.steps));
        }
    }
    if training(true).checkpoints().is_empty() {
        return Err(format!("cancelled after {after} of {} steps, it leaves no checkpoint", lab.log.steps));
    }
    let observer = Watcher::default();
    let resumed = lab.fit(lab.good(), |context| FitContext {
        observer: &observer,
        training: training(true),
        ..context
    });
    let resumed = resumed.map_err(|failure| format!("it does not resume: {failure}"))?;
    if let Some(words) = difference(&lab.reference.state(), &resumed.state()) {
        return Err(format!("a resumed training ends with another {words}"));
    }
    match observer.log().told < lab.log.told {
        true => Ok(()),
        false => Err("a resumed training starts over".into()),
    }
}

fn time_limit(lab: &Lab<'_>) -> Result<(), String> {
    let limited = lab.fit(lab.good(), |context| FitContext { training: brief(), ..context });
    let model = limited.map_err(|failure| failure.to_string())?;
    lab.finish(&*model, &lab.probes(), &[1])
        .map(drop)
        .map_err(|failure| format!("the model is of no use: {failure}"))
}

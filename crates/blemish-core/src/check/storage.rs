//! What a model file keeps: the same model, and errors for tensors that are missing or misshapen.

use super::Part;
use super::lab::{Failure, Lab, difference};
use crate::state::{State, StateTensor, Values};
use blemish_features::Device;
use std::collections::BTreeSet;

/// Tensors that are spoilt, at most: a network has hundreds, and each takes a restore.
const SPOILT: usize = 12;

pub(super) fn check(lab: &mut Lab<'_>) {
    let same = round_trip(lab);
    lab.require(Part::Storage, same);
    for name in chosen(&lab.reference.state()) {
        for spoil in [leave_out, cut_short, add_dimension] {
            let outcome = spoilt(lab, &name, spoil);
            lab.require(Part::Storage, outcome);
        }
    }
}

fn round_trip(lab: &Lab<'_>) -> Result<(), String> {
    let words = |failure: Failure| failure.to_string();
    let state = lab.reference.state();
    let restored = lab.restore(state.clone(), Device::Cpu).map_err(words)?;
    if let Some(words) = difference(&state, &restored.state()) {
        return Err(format!("a restored model has another {words}"));
    }
    if lab.bits(&*restored).map_err(words)? != lab.bits(&*lab.reference).map_err(words)? {
        return Err("a restored model scores otherwise: its state forgets something".into());
    }
    match restored.settings() == lab.reference.settings() && restored.needs() == lab.reference.needs() {
        true => Ok(()),
        false => Err("a restored model has other settings or needs".into()),
    }
}

/// A tensor of each kind: names that differ in digits alone are of one.
fn chosen(state: &State) -> Vec<String> {
    let mut kinds = BTreeSet::new();
    let kind = |name: &str| name.chars().filter(|letter| !letter.is_ascii_digit()).collect::<String>();
    let names: Vec<String> =
        state.tensors().keys().filter(|name| kinds.insert(kind(name))).cloned().collect();
    let step = names.len().div_ceil(SPOILT).max(1);
    names.into_iter().step_by(step).collect()
}

/// Takes a tensor out, or changes its form; says what it did.
type Spoil = fn(&str, &mut State) -> Option<&'static str>;

fn leave_out(name: &str, state: &mut State) -> Option<&'static str> {
    let all = std::mem::take(state);
    let others = all.tensors().iter().filter(|(other, _)| *other != name);
    others.for_each(|(other, tensor)| state.insert(other.clone(), tensor.clone()));
    Some("without")
}

fn cut_short(name: &str, state: &mut State) -> Option<&'static str> {
    let tensor = state.tensors().get(name)?;
    let values = without_last(&tensor.values)?;
    let length = tensor.shape.iter().product::<usize>() - 1;
    // As many dimensions as before, so that only the sizes are wrong.
    let mut shape = vec![1; tensor.shape.len().max(1)];
    shape[0] = length;
    state.insert(name.to_owned(), StateTensor { shape, values });
    Some("with a value too few in")
}

fn without_last(values: &Values) -> Option<Values> {
    fn shorter<T: bytemuck::Pod>(values: &[T]) -> Option<Vec<T>> {
        values.split_last().map(|(_, rest)| rest.to_vec())
    }
    Some(match values {
        Values::F64(values) => Values::F64(shorter(values)?.into()),
        Values::F32(values) => Values::F32(shorter(values)?.into()),
        Values::F16(values) => Values::F16(shorter(values)?.into()),
        Values::U32(values) => Values::U32(shorter(values)?.into()),
        Values::U8(values) => Values::U8(shorter(values)?.into()),
    })
}

fn add_dimension(name: &str, state: &mut State) -> Option<&'static str> {
    let StateTensor { mut shape, values } = state.tensors().get(name)?.clone();
    shape.insert(0, 1);
    state.insert(name.to_owned(), StateTensor { shape, values });
    Some("with a dimension too many in")
}

/// A spoilt state is refused; what says nothing of scores may be missing.
fn spoilt(lab: &Lab<'_>, name: &str, spoil: Spoil) -> Result<(), String> {
    let mut state = lab.reference.state();
    let Some(how) = spoil(name, &mut state) else { return Ok(()) };
    match lab.restore(state, Device::Cpu) {
        Err(Failure::Error(_)) => Ok(()),
        Err(panic) => Err(format!("a restore {how} `{name}` fails: {panic}")),
        Ok(model) => match (lab.bits(&*model), lab.bits(&*lab.reference)) {
            (Ok(found), Ok(expected)) if found == expected => Ok(()),
            // What images show is refused when they are scored.
            (Err(Failure::Error(_)), _) => Ok(()),
            (Err(Failure::Panic(words)), _) => Err(format!("a model {how} `{name}` panics: {words}")),
            _ => Err(format!("a model {how} `{name}` is restored and scores otherwise")),
        },
    }
}

//! Sizes of what makes tensors from numbers, and of what counts or selects.

use super::node::{Fault, MISSING, ODD, Step, axis};
use super::tensor::{Known, MOST_NUMBERS, Numbers, constant, product};
use std::sync::Arc;

pub(super) fn constant_of_shape(step: &Step<'_>) -> Result<Known, Fault> {
    let shape = step.input(0)?.whole().ok_or(Fault::DependsOnPixels)?;
    let shape: Vec<u64> =
        shape.into_iter().map(|size| u64::try_from(size).map_err(|_| ODD)).collect::<Result<_, _>>()?;
    let value = match step.message("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(value) => constant(value).map_err(|_| ODD)?.numbers,
        None => Numbers::checked(false, vec![0.0]),
    };
    let count = product(&shape);
    let numbers =
        value.filter(|value| value.values.len() == 1 && count <= MOST_NUMBERS as u64).map(|value| {
            Arc::new(Numbers { are_whole: value.are_whole, values: vec![value.values[0]; count as usize] })
        });
    Ok(Known::of(shape).with(numbers))
}

/// The value of a `Constant` step.
pub(super) fn constant_step(step: &Step<'_>) -> Result<Known, Fault> {
    const NONE: Fault = Fault::Broken("it holds no value that can be read");
    let [attribute] = step.node.attribute.as_slice() else { return Err(NONE) };
    let list = |are_whole, values: Vec<f64>| {
        let numbers =
            (values.len() <= MOST_NUMBERS).then(|| Arc::new(Numbers { are_whole, values: values.clone() }));
        Known::of(vec![values.len() as u64]).with(numbers)
    };
    let scalar = |known: Known| Known { shape: Vec::new(), ..known };
    match attribute.name.as_str() {
        "value" => constant(attribute.t.as_ref().ok_or(NONE)?).map_err(|_| NONE),
        "value_int" => Ok(scalar(list(true, vec![attribute.i as f64]))),
        "value_ints" => Ok(list(true, attribute.ints.iter().map(|&value| value as f64).collect())),
        "value_float" => Ok(scalar(list(false, vec![f64::from(attribute.f)]))),
        "value_floats" => Ok(list(false, attribute.floats.iter().map(|&value| f64::from(value)).collect())),
        _ => Err(NONE),
    }
}

pub(super) fn range(step: &Step<'_>) -> Result<Known, Fault> {
    let one = |index: usize| {
        let numbers = step.input(index)?.numbers.clone().ok_or(Fault::DependsOnPixels)?;
        Ok((numbers.are_whole, *numbers.values.first().ok_or(ODD)?))
    };
    let ((are_whole, start), (_, end), (_, by)) = (one(0)?, one(1)?, one(2)?);
    if by == 0.0 || !(start.is_finite() && end.is_finite() && by.is_finite()) {
        return Err(ODD);
    }
    // Whole numbers of this size are exact in single precision, too; else it may round up to one more.
    let is_exact =
        are_whole || [start, end, by].iter().all(|value| value.fract() == 0.0 && value.abs() < 16e6);
    // Float to integer stays within bounds by itself.
    let count = ((end - start) / by).ceil().max(0.0) as u64;
    let is_followed = are_whole && count <= MOST_NUMBERS as u64;
    let numbers = is_followed.then(|| (0..count).map(|index| start + index as f64 * by).collect());
    let known = Known::of(vec![count.saturating_add(u64::from(!is_exact))]);
    Ok(Known { is_exact, numbers: numbers.and_then(|values| Numbers::checked(true, values)), ..known })
}

pub(super) fn one_hot(step: &Step<'_>) -> Result<Known, Fault> {
    let indices = step.input(0)?;
    let depth = step.input(1)?.decimals().ok_or(Fault::DependsOnPixels)?;
    let depth = depth.first().filter(|depth| **depth >= 0.0).ok_or(ODD)?;
    let mut shape = indices.shape.clone();
    shape.insert(axis(step.int("axis", -1), shape.len() + 1)?, *depth as u64);
    Ok(Known { is_exact: indices.is_exact, ..Known::of(shape) })
}

/// Random numbers of a size that is an attribute.
pub(super) fn random(step: &Step<'_>) -> Result<Known, Fault> {
    let shape = step.ints("shape").ok_or(MISSING)?;
    let shape =
        shape.into_iter().map(|size| u64::try_from(size).map_err(|_| ODD)).collect::<Result<_, _>>()?;
    Ok(Known::of(shape))
}

/// At most every element is found; how many are, values that are known tell.
pub(super) fn non_zero(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let found = |numbers: &Arc<Numbers>| {
        numbers
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| **value != 0.0)
            .map(|(at, _)| at as f64)
            .collect::<Vec<f64>>()
    };
    match &input.numbers {
        Some(numbers) if input.is_exact && rank == 1 => {
            let found = found(numbers);
            let shape = vec![1, found.len() as u64];
            Ok(Known::of(shape).with(Numbers::checked(true, found)))
        }
        Some(numbers) if input.is_exact => Ok(Known::of(vec![rank as u64, found(numbers).len() as u64])),
        _ => Ok(Known { is_exact: false, ..Known::of(vec![rank as u64, input.elements()]) }),
    }
}

pub(super) fn top_k(step: &Step<'_>) -> Result<Vec<Known>, Fault> {
    let input = step.input(0)?;
    let place = step.axis(-1, input.shape.len())?;
    let mut known = input.with(None);
    match (step.has("k"), step.optional(1)) {
        (true, None) => known.shape[place] = u64::try_from(step.int("k", 0)).map_err(|_| ODD)?,
        (false, Some(k)) => match k.whole().as_deref() {
            Some([k]) => known.shape[place] = u64::try_from(*k).map_err(|_| ODD)?,
            Some(_) => return Err(ODD),
            None => known.is_exact = false,
        },
        _ => return Err(ODD),
    }
    if known.shape[place] > input.shape[place] {
        return Err(ODD);
    }
    Ok(vec![known.clone(), known])
}

/// Reductions, and the places of the largest and smallest.
pub(super) fn reduce(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let is_place = step.node.op_type.starts_with("Arg");
    let axes = if is_place { Some(vec![step.int("axis", 0)]) } else { step.given("axes", 1)? };
    let is_whole = axes.as_ref().is_none_or(Vec::is_empty);
    let axes = match axes {
        Some(axes) if !axes.is_empty() => {
            axes.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?
        }
        _ if step.int("noop_with_empty_axes", 0) != 0 => return Ok(input.with(None)),
        _ => (0..rank).collect(),
    };
    let keeps = step.int("keepdims", 1) != 0;
    let size = |(place, &size): (usize, &u64)| match axes.contains(&place) {
        false => Some(size),
        true => keeps.then_some(1),
    };
    let shape = input.shape.iter().enumerate().filter_map(size).collect();
    let numbers = input.numbers.as_ref().filter(|numbers| numbers.are_whole && (is_whole || rank == 1));
    let numbers = numbers.and_then(|numbers| {
        let value = match step.node.op_type.as_str() {
            "ReduceProd" => numbers.values.iter().product(),
            "ReduceSum" => numbers.values.iter().sum(),
            "ReduceMax" => numbers.values.iter().copied().reduce(f64::max)?,
            "ReduceMin" => numbers.values.iter().copied().reduce(f64::min)?,
            _ => return None,
        };
        Numbers::checked(true, vec![value])
    });
    Ok(Known { is_exact: input.is_exact, numbers, ..Known::of(shape) })
}

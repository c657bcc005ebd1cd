//! Sizes of what moves, repeats, cuts and joins tensors.

use super::node::{Fault, MISSING, ODD, Step, axis};
use super::numbers::broadcast;
use super::tensor::{Known, MOST_NUMBERS, Numbers, product};
use std::sync::Arc;

/// Sizes given as numbers; none may be negative.
fn sizes(values: &[i64]) -> Result<Vec<u64>, Fault> {
    values.iter().map(|&value| u64::try_from(value).map_err(|_| ODD)).collect()
}

/// The whole numbers of an input that decides sizes.
fn decisive(known: &Known) -> Result<Vec<i64>, Fault> {
    known.whole().ok_or(Fault::DependsOnPixels)
}

pub(super) fn shape_of(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len() as i64;
    let place =
        |value: i64| if value < 0 { value.saturating_add(rank) } else { value }.clamp(0, rank) as usize;
    let (start, end) = (place(step.int("start", 0)), place(step.int("end", rank)));
    let part = &input.shape[start..end.max(start)];
    let list = Known::list(part);
    Ok(if input.is_exact { list } else { list.with(None) })
}

pub(super) fn count_of(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let numbers = Numbers::checked(true, vec![input.elements() as f64]).filter(|_| input.is_exact);
    Ok(Known::of(Vec::new()).with(numbers))
}

pub(super) fn reshape(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let wanted = step.given("shape", 1)?.ok_or(MISSING)?;
    let keeps_zeros = step.int("allowzero", 0) != 0;
    let mut shape = Vec::new();
    let mut rest = None;
    for (place, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            -1 if rest.is_none() => {
                rest = Some(place);
                1
            }
            0 if !keeps_zeros => *input.shape.get(place).ok_or(ODD)?,
            size => u64::try_from(size).map_err(|_| ODD)?,
        });
    }
    if let Some(place) = rest {
        shape[place] = input.elements().checked_div(product(&shape)).unwrap_or(0);
    }
    if input.is_exact && product(&shape) != input.elements() {
        return Err(ODD);
    }
    Ok(Known { is_exact: input.is_exact, numbers: input.numbers.clone(), ..Known::of(shape) })
}

pub(super) fn flatten(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let (place, rank) = (step.int("axis", 1), input.shape.len() as i64);
    let place = if place < 0 { place.saturating_add(rank) } else { place };
    let (before, after) =
        input.shape.split_at_checked(usize::try_from(place).map_err(|_| ODD)?).ok_or(ODD)?;
    Ok(Known { is_exact: input.is_exact, ..Known::of(vec![product(before), product(after)]) })
}

pub(super) fn transpose(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let order = match step.ints("perm") {
        None => (0..rank).rev().collect(),
        Some(order) => order.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(ODD);
    }
    let shape = order.into_iter().map(|place| input.shape[place]).collect();
    let numbers = input.numbers.clone().filter(|_| rank < 2);
    Ok(Known { is_exact: input.is_exact, numbers, ..Known::of(shape) })
}

pub(super) fn squeeze(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let shape = match step.given("axes", 1)? {
        Some(axes) => {
            let axes = axes.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?;
            let kept = input.shape.iter().enumerate().filter(|(place, _)| !axes.contains(place));
            kept.map(|(_, &size)| size).collect()
        }
        None if input.is_exact => input.shape.iter().copied().filter(|&size| size != 1).collect(),
        None => return Err(Fault::DependsOnPixels),
    };
    Ok(Known { is_exact: input.is_exact, numbers: input.numbers.clone(), ..Known::of(shape) })
}

pub(super) fn unsqueeze(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let axes = step.given("axes", 1)?.ok_or(MISSING)?;
    let rank = input.shape.len() + axes.len();
    if rank > 64 {
        return Err(ODD);
    }
    let axes = axes.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut old = input.shape.iter();
    let shape = (0..rank).map(|place| if axes.contains(&place) { 1 } else { *old.next().unwrap_or(&1) });
    Ok(Known { is_exact: input.is_exact, numbers: input.numbers.clone(), ..Known::of(shape.collect()) })
}

pub(super) fn expand(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let wanted = sizes(&decisive(step.input(1)?)?)?;
    let shape = broadcast([input.shape.as_slice(), &wanted].into_iter());
    let count = product(&shape);
    let numbers = input.numbers.as_ref().and_then(|numbers| match numbers.values.as_slice() {
        [value] if count <= MOST_NUMBERS as u64 => {
            Some(Arc::new(Numbers { are_whole: numbers.are_whole, values: vec![*value; count as usize] }))
        }
        values => (values.len() as u64 == count).then(|| numbers.clone()),
    });
    Ok(Known { is_exact: input.is_exact, numbers, ..Known::of(shape) })
}

pub(super) fn concat(step: &Step<'_>) -> Result<Known, Fault> {
    let inputs: Vec<&Known> = step.inputs.iter().flatten().collect();
    let first = inputs.first().ok_or(MISSING)?;
    let place = step.axis(1, first.shape.len())?;
    let mut shape = first.shape.clone();
    for input in &inputs[1..] {
        if input.shape.len() != shape.len() {
            return Err(ODD);
        }
        for (at, size) in shape.iter_mut().enumerate() {
            *size =
                if at == place { size.saturating_add(input.shape[at]) } else { (*size).max(input.shape[at]) };
        }
    }
    let numbers = inputs.iter().map(|input| input.numbers.clone()).collect::<Option<Vec<_>>>();
    let numbers = numbers.filter(|_| place == 0).and_then(|parts| {
        let are_whole = parts[0].are_whole;
        let values: Vec<f64> = parts.iter().flat_map(|part| part.values.iter().copied()).collect();
        let is_alike = parts.iter().all(|part| part.are_whole == are_whole) && values.len() <= MOST_NUMBERS;
        is_alike.then(|| Arc::new(Numbers { are_whole, values }))
    });
    let is_exact = inputs.iter().all(|input| input.is_exact);
    Ok(Known { is_exact, numbers, ..Known::of(shape) })
}

pub(super) fn split(step: &Step<'_>) -> Result<Vec<Known>, Fault> {
    let input = step.input(0)?;
    let place = step.axis(0, input.shape.len())?;
    let parts = step.node.output.len() as u64;
    let lengths = match step.given("split", 1)? {
        Some(lengths) if lengths.len() as u64 == parts => sizes(&lengths)?,
        Some(_) => return Err(ODD),
        None => {
            let each = input.shape[place].div_ceil(parts.max(1));
            (0..parts).map(|part| each.min(input.shape[place].saturating_sub(part * each))).collect()
        }
    };
    if lengths.iter().fold(0, |sum: u64, &length| sum.saturating_add(length)) > input.shape[place] {
        return Err(ODD);
    }
    let mut start = 0;
    let part = |length: u64| {
        let mut shape = input.shape.clone();
        shape[place] = length;
        let numbers = input.numbers.as_ref().filter(|_| shape.len() == 1).map(|numbers| {
            let values = numbers.values[start as usize..][..length as usize].to_vec();
            Arc::new(Numbers { are_whole: numbers.are_whole, values })
        });
        start += length;
        Known { is_exact: input.is_exact, numbers, ..Known::of(shape) }
    };
    Ok(lengths.into_iter().map(part).collect())
}

pub(super) fn slice(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let mut known = input.clone();
    let (Ok(Some(starts)), Ok(Some(ends))) = (step.given("starts", 1), step.given("ends", 2)) else {
        // Wherever it begins and ends, it is no more than there is.
        return Ok(Known { is_exact: false, numbers: None, ..known });
    };
    let axes = step.given("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = match step.optional(4) {
        Some(known) => decisive(known)?,
        None => vec![1; axes.len()],
    };
    if starts.len() != axes.len() || ends.len() != axes.len() || steps.len() != axes.len() {
        return Err(ODD);
    }
    for (number, &place) in axes.iter().enumerate() {
        let place = axis(place, rank)?;
        let size = i64::try_from(known.shape[place]).map_err(|_| ODD)?;
        let indices = range(size, starts[number], ends[number], steps[number])?;
        known.shape[place] = indices.1;
        known.numbers = known.numbers.filter(|_| rank == 1).map(|numbers| {
            let at = |index: u64| numbers.values[(indices.0 + index as i64 * steps[number]) as usize];
            Arc::new(Numbers { are_whole: numbers.are_whole, values: (0..indices.1).map(at).collect() })
        });
    }
    Ok(known)
}

/// First index and number of the indices from `start` to `end` by `step` within `size`.
fn range(size: i64, start: i64, end: i64, step: i64) -> Result<(i64, u64), Fault> {
    let place = |value: i64| if value < 0 { value.saturating_add(size) } else { value };
    let (first, length) = match step {
        1.. => {
            let (start, end) = (place(start).clamp(0, size), place(end).clamp(0, size));
            (start, (end - start).max(0) as u64)
        }
        0 => return Err(ODD),
        _ => {
            let (start, end) = (place(start).clamp(-1, size - 1), place(end).clamp(-1, size - 1));
            (start, (start - end).max(0) as u64)
        }
    };
    Ok((first, length.div_ceil(step.unsigned_abs())))
}

pub(super) fn gather(step: &Step<'_>) -> Result<Known, Fault> {
    let (data, indices) = (step.input(0)?, step.input(1)?);
    let rank = data.shape.len();
    let place = step.axis(0, rank)?;
    let shape = [&data.shape[..place], &indices.shape, &data.shape[place + 1..]].concat();
    let numbers = data.numbers.as_ref().filter(|_| rank == 1).and_then(|numbers| {
        let places = indices.whole()?.into_iter().map(|index| axis(index, numbers.values.len()).ok());
        let values = places.map(|place| Some(numbers.values[place?])).collect::<Option<Vec<f64>>>()?;
        Some(Arc::new(Numbers { are_whole: numbers.are_whole, values }))
    });
    Ok(Known { is_exact: data.is_exact && indices.is_exact, numbers, ..Known::of(shape) })
}

pub(super) fn gather_nd(step: &Step<'_>) -> Result<Known, Fault> {
    let (data, indices) = (step.input(0)?, step.input(1)?);
    let batch = usize::try_from(step.int("batch_dims", 0)).map_err(|_| ODD)?;
    let (&depth, outer) = indices.shape.split_last().ok_or(ODD)?;
    let inner = batch.checked_add(usize::try_from(depth).map_err(|_| ODD)?).ok_or(ODD)?;
    let shape = [outer, data.shape.get(inner..).ok_or(ODD)?].concat();
    Ok(Known { is_exact: data.is_exact && indices.is_exact, ..Known::of(shape) })
}

pub(super) fn gather_elements(step: &Step<'_>) -> Result<Known, Fault> {
    let indices = step.input(1)?;
    Ok(Known { is_exact: indices.is_exact, ..Known::of(indices.shape.clone()) })
}

pub(super) fn tile(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let repeats = sizes(&decisive(step.input(1)?)?)?;
    if repeats.len() != input.shape.len() {
        return Err(ODD);
    }
    let shape = input.shape.iter().zip(repeats).map(|(size, repeat)| size.saturating_mul(repeat)).collect();
    Ok(Known { is_exact: input.is_exact, ..Known::of(shape) })
}

pub(super) fn pad(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let pads = match step.given("pads", 1)? {
        Some(pads) => pads,
        None => step.ints("paddings").ok_or(MISSING)?,
    };
    let axes = match step.optional(3) {
        Some(axes) => {
            decisive(axes)?.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(ODD);
    }
    let mut shape = input.shape.clone();
    let (before, after) = pads.split_at(axes.len());
    for (place, (before, after)) in axes.into_iter().zip(before.iter().zip(after)) {
        let more = before.checked_add(*after).ok_or(ODD)?;
        // What is cut off on one side may be put on at the other, and engines may do the second first.
        let most = shape[place].saturating_add(before.max(&0).saturating_add(*after.max(&0)) as u64);
        shape[place] =
            if *before < 0 || *after < 0 { most } else { shape[place].saturating_add(more as u64) };
    }
    let is_cut = pads.iter().any(|&pad| pad < 0);
    Ok(Known { is_exact: input.is_exact && !is_cut, ..Known::of(shape) })
}

/// Resize and Upsample.
pub(super) fn resize(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let rank = input.shape.len();
    let is_old = step.node.op_type == "Upsample" || step.version < 11;
    let given = |index: usize| step.optional(index).filter(|known| known.elements() > 0);
    let scales = if is_old { given(1) } else { given(2) };
    let target = given(3).filter(|_| !is_old);
    let axes = match step.ints("axes") {
        Some(axes) => axes.into_iter().map(|place| axis(place, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let mut shape = input.shape.clone();
    let scales = match (scales, step.floats("scales")) {
        (Some(_), Some(_)) => return Err(ODD),
        (Some(known), None) => Some(known.decimals().ok_or(Fault::DependsOnPixels)?),
        (None, scales) => scales,
    };
    if let Some(target) = target {
        // Where an aspect is to be kept, the sizes are bounds, or are exceeded by at most the image's own aspect.
        if !step.text("keep_aspect_ratio_policy").is_empty()
            && step.text("keep_aspect_ratio_policy") != b"stretch"
        {
            return Err(Fault::Broken("sizes that keep an aspect are not read"));
        }
        let target = sizes(&decisive(target)?)?;
        if target.len() != axes.len() {
            return Err(ODD);
        }
        axes.iter().zip(&target).for_each(|(&place, &size)| shape[place] = size);
    }
    if let Some(scales) = scales {
        if scales.len() != axes.len() || target.is_some() || scales.iter().any(|scale| !scale.is_finite()) {
            return Err(ODD);
        }
        // Float to integer stays within bounds by itself.
        axes.iter()
            .zip(&scales)
            .for_each(|(&place, &scale)| shape[place] = (shape[place] as f64 * scale) as u64);
        return Ok(Known { is_exact: input.is_exact, ..Known::of(shape) });
    }
    match target {
        Some(_) => Ok(Known::of(shape)),
        None => Err(MISSING),
    }
}

pub(super) fn depth_to_space(step: &Step<'_>) -> Result<Known, Fault> {
    let input = step.input(0)?;
    let block = u64::try_from(step.int("blocksize", 1)).ok().filter(|&block| block > 0).ok_or(ODD)?;
    let [count, channels, height, width] = input.shape[..] else { return Err(ODD) };
    let area = block.saturating_mul(block);
    let shape = if step.node.op_type == "DepthToSpace" {
        vec![count, channels / area, height.saturating_mul(block), width.saturating_mul(block)]
    } else {
        vec![count, channels.saturating_mul(area), height / block, width / block]
    };
    Ok(Known { is_exact: input.is_exact, ..Known::of(shape) })
}

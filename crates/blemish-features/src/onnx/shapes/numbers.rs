//! Arithmetic on the values of small tensors, as far as graphs compute sizes with it.

use super::node::{Fault, Step};
use super::tensor::{Known, Numbers, product, single};
use std::sync::Arc;

/// The shape that arrays take together: the larger of each pair of sizes from the right. Sizes that do not fit are left to the engine,
/// which refuses them.
pub(super) fn broadcast<'a>(shapes: impl Iterator<Item = &'a [u64]>) -> Vec<u64> {
    shapes.fold(Vec::new(), |together, shape| {
        let rank = together.len().max(shape.len());
        let size =
            |shape: &[u64], place: usize| (place + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
        let join = |place| match (size(&together, place), size(shape, place)) {
            (1, size) | (size, 1) => size,
            (a, b) => a.max(b),
        };
        (0..rank).map(join).collect()
    })
}

/// An operator on all its inputs, element by element.
pub(super) fn elementwise(step: &Step<'_>) -> Result<Known, Fault> {
    step.input(0)?;
    let inputs: Vec<&Known> = step.inputs.iter().flatten().collect();
    let shape = broadcast(inputs.iter().map(|known| known.shape.as_slice()));
    let is_exact = inputs.iter().all(|known| known.is_exact);
    let numbers = match inputs.as_slice() {
        [a, b] => pairwise(&step.node.op_type, a, b, &shape),
        [a, b, c] if step.node.op_type == "Where" => chosen(a, b, c, &shape),
        _ => None,
    };
    Ok(Known { is_exact, numbers, ..Known::of(shape) })
}

/// The values of an array where it is broadcast to a shape: the array itself, or one value for all.
fn spread(known: &Known, shape: &[u64]) -> Option<Vec<f64>> {
    let numbers = known.numbers.as_ref()?;
    let count = product(shape) as usize;
    match numbers.values.as_slice() {
        values if values.len() == count => Some(values.to_vec()),
        [value] if count <= super::tensor::MOST_NUMBERS => Some(vec![*value; count]),
        _ => None,
    }
}

fn pairwise(operator: &str, a: &Known, b: &Known, shape: &[u64]) -> Option<Arc<Numbers>> {
    let are_whole = a.numbers.as_ref()?.are_whole && b.numbers.as_ref()?.are_whole;
    let is_sure = |value: &f64| !are_whole || value.abs() <= f64::from(i32::MAX);
    let (a, b) = (spread(a, shape)?, spread(b, shape)?);
    if !a.iter().chain(&b).all(is_sure) {
        return None; // Engines with narrower whole numbers would compute something else.
    }
    let truth = |holds: bool| Some(f64::from(u8::from(holds)));
    let of = |a: f64, b: f64| match operator {
        "Add" => Some(a + b),
        "Sub" => Some(a - b),
        "Mul" => Some(a * b),
        "Div" if are_whole => (b != 0.0).then(|| (a / b).trunc()),
        "Div" => Some(a / b),
        "Mod" if are_whole => (a >= 0.0 && b > 0.0).then(|| a % b),
        "Pow" if are_whole => (b >= 0.0).then(|| a.powf(b)),
        "Min" => Some(a.min(b)),
        "Max" => Some(a.max(b)),
        "And" => truth(a != 0.0 && b != 0.0),
        "Or" => truth(a != 0.0 || b != 0.0),
        "Xor" => truth((a != 0.0) != (b != 0.0)),
        "Equal" => truth(a == b),
        "Greater" => truth(a > b),
        "GreaterOrEqual" => truth(a >= b),
        "Less" => truth(a < b),
        "LessOrEqual" => truth(a <= b),
        _ => None,
    };
    let is_arithmetic = matches!(operator, "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Min" | "Max");
    let round = |value: f64| if are_whole || !is_arithmetic { value } else { single(value) };
    let values: Option<Vec<f64>> = a.into_iter().zip(b).map(|(a, b)| of(a, b).map(round)).collect();
    Numbers::checked(are_whole || !is_arithmetic, values?)
}

fn chosen(condition: &Known, a: &Known, b: &Known, shape: &[u64]) -> Option<Arc<Numbers>> {
    let are_whole = a.numbers.as_ref()?.are_whole;
    let (condition, a, b) = (spread(condition, shape)?, spread(a, shape)?, spread(b, shape)?);
    let pairs = a.into_iter().zip(b);
    let values = condition.into_iter().zip(pairs).map(|(holds, (a, b))| if holds != 0.0 { a } else { b });
    Numbers::checked(are_whole, values.collect())
}

/// The values of an operator on one input, element by element.
pub(super) fn of_one(step: &Step<'_>, known: &Known) -> Option<Arc<Numbers>> {
    let numbers = known.numbers.as_ref()?;
    if step.node.op_type == "Identity" {
        return Some(numbers.clone());
    }
    let (are_whole, each): (bool, fn(f64) -> f64) = match (step.node.op_type.as_str(), step.int("to", 0)) {
        ("Cast", 6 | 7) => (true, f64::trunc),
        ("Cast", 9) => (true, |value| f64::from(u8::from(value != 0.0))),
        ("Cast", 1) => (false, single),
        ("Floor", _) => (numbers.are_whole, f64::floor),
        ("Ceil", _) => (numbers.are_whole, f64::ceil),
        ("Round", _) => (numbers.are_whole, f64::round_ties_even),
        ("Neg", _) => (numbers.are_whole, |value| -value),
        ("Abs", _) => (numbers.are_whole, f64::abs),
        ("Sqrt", _) => (false, |value| single(value.sqrt())),
        ("Not", _) => (true, |value| f64::from(u8::from(value == 0.0))),
        _ => return None,
    };
    Numbers::checked(are_whole, numbers.values.iter().map(|&value| each(value)).collect())
}

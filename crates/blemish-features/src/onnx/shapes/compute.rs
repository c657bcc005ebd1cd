//! Sizes of convolutions, poolings and products, the memory they take beside their outputs, and their multiply-adds.

use super::node::{Fault, Made, ODD, Step};
use super::numbers::broadcast;
use super::tensor::{Known, product};

/// Windows of a convolution or pooling along each spatial axis.
struct Windows {
    kernel: Vec<u64>,
    stride: Vec<u64>,
    dilation: Vec<u64>,
    /// Before and after.
    pads: Vec<(u64, u64)>,
    is_same: bool,
}

impl Windows {
    fn of(step: &Step<'_>, kernel: Vec<u64>) -> Result<Self, Fault> {
        let axes = kernel.len();
        let list = |name: &str, default: u64, count: usize| -> Result<Vec<u64>, Fault> {
            let values = step.ints(name).unwrap_or_default();
            match values.len() {
                0 => Ok(vec![default; count]),
                length if length == count => {
                    values.into_iter().map(|value| u64::try_from(value).map_err(|_| ODD)).collect()
                }
                _ => Err(ODD),
            }
        };
        let (stride, dilation) = (list("strides", 1, axes)?, list("dilations", 1, axes)?);
        let pads = list("pads", 0, 2 * axes)?;
        if kernel.iter().chain(&stride).chain(&dilation).any(|&value| value == 0) {
            return Err(ODD);
        }
        let pads = (0..axes).map(|axis| (pads[axis], pads[axes + axis])).collect();
        let is_same = step.text("auto_pad").starts_with(b"SAME");
        Ok(Self { kernel, stride, dilation, pads, is_same })
    }

    /// Sizes after a convolution or pooling; `is_ceil` counts windows that are partly outside.
    fn shrink(&self, sizes: &[u64], is_ceil: bool) -> Vec<u64> {
        let size = |axis: usize| {
            let (size, stride) = (sizes[axis], self.stride[axis]);
            if self.is_same {
                return size.div_ceil(stride);
            }
            let (before, after) = self.pads[axis];
            let padded = size.saturating_add(before).saturating_add(after);
            let reach = (self.kernel[axis] - 1).saturating_mul(self.dilation[axis]).saturating_add(1);
            match padded.checked_sub(reach) {
                None => 0,
                Some(room) if is_ceil => room.div_ceil(stride).saturating_add(1),
                Some(room) => (room / stride).saturating_add(1),
            }
        };
        (0..sizes.len()).map(size).collect()
    }
}

/// Count, channels and spatial sizes of an image tensor.
fn image(known: &Known) -> Result<(u64, u64, &[u64]), Fault> {
    match known.shape.as_slice() {
        [count, channels, sizes @ ..] if !sizes.is_empty() => Ok((*count, *channels, sizes)),
        _ => Err(ODD),
    }
}

/// Conv, ConvInteger, QLinearConv.
pub(super) fn convolution(step: &Step<'_>) -> Result<Made, Fault> {
    let (input, weight) =
        (step.input(0)?, step.input(if step.node.op_type == "QLinearConv" { 3 } else { 1 })?);
    let (count, _, sizes) = image(input)?;
    let (channels, per_group, kernel) = image(weight)?;
    if kernel.len() != sizes.len() {
        return Err(ODD);
    }
    let windows = Windows::of(step, kernel.to_vec())?;
    let shape = [&[count, channels][..], &windows.shrink(sizes, false)].concat();
    let output = Known { is_exact: input.is_exact, ..Known::of(shape) };
    let work = output.elements().saturating_mul(per_group).saturating_mul(product(kernel));
    // Inputs are packed for the product, window by window.
    let meanwhile = input.bytes().saturating_add(output.bytes());
    Ok(Made { outputs: vec![output], meanwhile, work })
}

pub(super) fn transposed_convolution(step: &Step<'_>) -> Result<Made, Fault> {
    let (input, weight) = (step.input(0)?, step.input(1)?);
    let (count, channels, sizes) = image(input)?;
    let (_, per_group, kernel) = image(weight)?;
    if kernel.len() != sizes.len() {
        return Err(ODD);
    }
    let windows = Windows::of(step, kernel.to_vec())?;
    let group = u64::try_from(step.int("group", 1)).map_err(|_| ODD)?;
    let extra = step.ints("output_padding").unwrap_or_default();
    let asked = step.ints("output_shape").unwrap_or_default();
    let size = |axis: usize| {
        if let Some(&size) = asked.get(axis) {
            return u64::try_from(size).map_err(|_| ODD);
        }
        let extra = u64::try_from(extra.get(axis).copied().unwrap_or(0)).map_err(|_| ODD)?;
        let reach = (kernel[axis] - 1).saturating_mul(windows.dilation[axis]).saturating_add(1);
        let full = sizes[axis].saturating_sub(1).saturating_mul(windows.stride[axis]);
        let full = full.saturating_add(reach).saturating_add(extra);
        let (before, after) = if windows.is_same { (0, 0) } else { windows.pads[axis] };
        Ok(full.saturating_sub(before).saturating_sub(after))
    };
    let out = (0..sizes.len()).map(size).collect::<Result<Vec<_>, _>>()?;
    let shape = [&[count, per_group.saturating_mul(group)][..], &out].concat();
    let output = Known { is_exact: input.is_exact && !windows.is_same, ..Known::of(shape) };
    // A column for every pixel of the input, which are then added up.
    let columns = product(&[count, product(sizes), per_group, group, product(kernel)]);
    let work = columns.saturating_mul(channels).saturating_add(output.elements());
    let meanwhile = columns.saturating_mul(4).saturating_add(output.bytes());
    Ok(Made { outputs: vec![output], meanwhile, work })
}

/// Poolings; the places of the largest come second.
pub(super) fn pooling(step: &Step<'_>) -> Result<Made, Fault> {
    let input = step.input(0)?;
    let (count, channels, sizes) = image(input)?;
    let kernel = step.ints("kernel_shape").ok_or(ODD)?;
    let kernel = kernel
        .into_iter()
        .map(|value| u64::try_from(value).map_err(|_| ODD))
        .collect::<Result<Vec<_>, _>>()?;
    if kernel.len() != sizes.len() {
        return Err(ODD);
    }
    let windows = Windows::of(step, kernel)?;
    let out = windows.shrink(sizes, step.int("ceil_mode", 0) != 0);
    let shape = [&[count, channels][..], &out].concat();
    // A last window that begins outside is left out by some engines.
    let begins_inside = |axis: usize| {
        let last = out[axis].saturating_sub(1).saturating_mul(windows.stride[axis]);
        windows.is_same || last < sizes[axis].saturating_add(windows.pads[axis].0)
    };
    let output = Known { is_exact: input.is_exact && (0..out.len()).all(begins_inside), ..Known::of(shape) };
    let work = output.elements().saturating_mul(product(&windows.kernel)).saturating_mul(4);
    Ok(Made { outputs: vec![output.clone(), output], meanwhile: 0, work })
}

pub(super) fn global_pooling(step: &Step<'_>) -> Result<Made, Fault> {
    let input = step.input(0)?;
    let (count, channels, sizes) = image(input)?;
    let shape = [&[count, channels][..], &vec![1; sizes.len()]].concat();
    let output = Known { is_exact: input.is_exact, ..Known::of(shape) };
    Ok(Made { outputs: vec![output], meanwhile: 0, work: input.elements() })
}

/// MatMul, MatMulInteger, QLinearMatMul.
pub(super) fn product_of_matrices(step: &Step<'_>) -> Result<Made, Fault> {
    let (a, b) = (step.input(0)?, step.input(if step.node.op_type == "QLinearMatMul" { 3 } else { 1 })?);
    let (mut left, mut right) = (a.shape.clone(), b.shape.clone());
    let (is_row, is_column) = (left.len() == 1, right.len() == 1);
    if is_row {
        left.insert(0, 1);
    }
    if is_column {
        right.push(1);
    }
    let ([left @ .., rows, depth], [right @ .., _, columns]) = (left.as_slice(), right.as_slice()) else {
        return Err(ODD);
    };
    let mut shape = broadcast([left, right].into_iter());
    let batch = product(&shape);
    if !is_row {
        shape.push(*rows);
    }
    if !is_column {
        shape.push(*columns);
    }
    let work = product(&[batch, *rows, *columns, *depth]);
    let output = Known { is_exact: a.is_exact && b.is_exact, ..Known::of(shape) };
    let meanwhile = a.bytes().saturating_add(b.bytes());
    Ok(Made { outputs: vec![output], meanwhile, work })
}

pub(super) fn gemm(step: &Step<'_>) -> Result<Made, Fault> {
    let (a, b) = (step.input(0)?, step.input(1)?);
    let ([a0, a1], [b0, b1]) = (&a.shape[..], &b.shape[..]) else { return Err(ODD) };
    let (rows, depth) = if step.int("transA", 0) != 0 { (a1, a0) } else { (a0, a1) };
    let columns = if step.int("transB", 0) != 0 { b0 } else { b1 };
    let output = Known { is_exact: a.is_exact && b.is_exact, ..Known::of(vec![*rows, *columns]) };
    let meanwhile = a.bytes().saturating_add(b.bytes());
    Ok(Made { outputs: vec![output], meanwhile, work: product(&[*rows, *columns, *depth]) })
}

/// Products by letters, such as `bhid,bhjd->bhij`.
pub(super) fn einsum(step: &Step<'_>) -> Result<Made, Fault> {
    let text: String = String::from_utf8_lossy(step.text("equation")).replace(' ', "");
    let (left, right) = text.split_once("->").ok_or(Fault::Broken("its equation has no `->`"))?;
    let mut sizes = std::collections::BTreeMap::new();
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != step.inputs.len() || text.contains('.') {
        return Err(Fault::Broken("its equation does not name its inputs' axes"));
    }
    let mut is_exact = true;
    let mut meanwhile = 0_u64;
    for (index, term) in terms.iter().enumerate() {
        let input = step.input(index)?;
        if term.chars().count() != input.shape.len() {
            return Err(ODD);
        }
        is_exact &= input.is_exact;
        meanwhile = meanwhile.saturating_add(input.bytes());
        for (letter, &size) in term.chars().zip(&input.shape) {
            let known = sizes.entry(letter).or_insert(size);
            *known = size.max(*known);
        }
    }
    let shape: Option<Vec<u64>> = right.chars().map(|letter| sizes.get(&letter).copied()).collect();
    let output = Known { is_exact, ..Known::of(shape.ok_or(ODD)?) };
    let work = product(&sizes.into_values().collect::<Vec<_>>());
    // More than two factors are multiplied two by two, in an order that engines choose.
    let between = if terms.len() > 2 { work.saturating_mul(4) } else { output.bytes() };
    Ok(Made { outputs: vec![output], meanwhile: meanwhile.saturating_add(between), work })
}

pub(super) fn grid_sample(step: &Step<'_>) -> Result<Made, Fault> {
    let (input, grid) = (step.input(0)?, step.input(1)?);
    let (count, channels, _) = image(input)?;
    let [_, sizes @ .., _] = grid.shape.as_slice() else { return Err(ODD) };
    let shape = [&[count, channels], sizes].concat();
    let output = Known { is_exact: input.is_exact && grid.is_exact, ..Known::of(shape) };
    let work = output.elements().saturating_mul(16);
    Ok(Made { outputs: vec![output], meanwhile: 0, work })
}

/// LSTM, GRU and RNN: all states, the last ones, and the last cells.
pub(super) fn recurrent(step: &Step<'_>) -> Result<Made, Fault> {
    let (input, weight, state) = (step.input(0)?, step.input(1)?, step.input(2)?);
    let ([length, batch, _], [directions, _, hidden]) = (&input.shape[..], &state.shape[..]) else {
        return Err(ODD);
    };
    let all = Known { is_exact: input.is_exact, ..Known::of(vec![*length, *directions, *batch, *hidden]) };
    let last = Known { is_exact: input.is_exact, ..Known::of(vec![*directions, *batch, *hidden]) };
    let weights = weight.elements().saturating_add(state.elements());
    let work = product(&[*length, *batch, weights]);
    Ok(Made { meanwhile: all.bytes().saturating_mul(8), outputs: vec![all, last.clone(), last], work })
}

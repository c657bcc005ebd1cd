//! From pictures to the tensor that the model's transform makes: resize, crop and rounding as operators.
//!
//! No `Resize`: its antialiasing differs between engines, and one ignores it. Pillow's antialiased bilinear is linear along each axis, so it
//! is two matrices, with the rounding to the picture's depth after each pass, in the order in which the native resize goes: rows come
//! first for bytes, columns for 16 bit. Matrices are constants for pictures of one size, and computed of the picture's shape for any.

use super::options::Depth;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_data::transform::{Filter, Resize};
use blemish_data::{Mask, Transform};
use blemish_features::onnx::{Element, GraphWriter, Reduction, Setting, Value};

/// What lies outside the region of interest.
const OUTSIDE: f32 = 0.5;

/// The highest power of two that weights of bytes are counted in.
const MOST_STEPS: u32 = 21;

/// The matrices of both axes, height x H and w x W transposed, and what is 1 unless the picture is too small.
struct Matrices {
    down: Value,
    across: Value,
}

/// Refuses transforms that the operators here do not make.
pub(super) fn check(transform: &Transform, depth: Depth) -> Result<(), Error> {
    if transform.filter != Filter::Bilinear {
        return Err(cannot(
            "the model resizes along curves (bicubic), which the graph does not; export it with --input tensor",
        ));
    }
    if depth == Depth::Sixteen && transform.value_range.is_some() {
        return Err(cannot(
            "the model maps a range of values of 16-bit pictures to [0, 1], which the graph does not; export it with --input tensor",
        ));
    }
    Ok(())
}

/// Pictures N x H x W x 3 of one size as N x 3 x h x w in [0, 1], for a transform that gives h x w = `to`.
pub(super) fn of_size(
    writer: &mut GraphWriter,
    pictures: &Value,
    transform: &Transform,
    depth: Depth,
    (height, width): (usize, usize),
) -> Result<Value, Error> {
    let window = transform.placed(height, width).map_err(|fault| cannot(fault.to_string()))?;
    let down = weights(height, window.resized.0, (window.start.0, window.size.0), depth);
    let across = weights(width, window.resized.1, (window.start.1, window.size.1), depth);
    let down = writer.floats("down", &[window.size.0, height], &down);
    let turned: Vec<f32> =
        (0..across.len()).map(|at| across[at % window.size.1 * width + at / window.size.1]).collect();
    let across = writer.floats("across", &[width, window.size.1], &turned);
    Ok(resampled(writer, pictures, &Matrices { down, across }, depth))
}

/// Triangles as wide as the scale, as whole numbers over a power of two like the native resize has them for bytes, so that its sums come out
/// to the last bit: `count` rows of `from` weights, from target `start` of `to` on.
fn weights(from: usize, to: usize, (start, count): (usize, usize), depth: Depth) -> Vec<f32> {
    let widest = from.max(to) as f64;
    let row = |target: usize| -> Vec<f64> {
        let apart = |source: usize| {
            ((2 * source + 1) as f64 * to as f64 - (2 * target + 1) as f64 * from as f64).abs()
                / (2.0 * widest)
        };
        let raw: Vec<f64> = (0..from).map(|source| (1.0 - apart(source)).max(0.0)).collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|weight| weight / sum).collect()
    };
    let all: Vec<Vec<f64>> = (0..to).map(row).collect();
    let highest = all.iter().flatten().copied().fold(0.0, f64::max);
    let steps = f64::from(1u32 << steps_for(highest));
    let kept = all.into_iter().skip(start).take(count).flatten();
    kept.map(|weight| match depth {
        Depth::Eight => ((weight * steps).round() / steps) as f32,
        Depth::Sixteen => weight as f32,
    })
    .collect()
}

/// The power of two that weights of bytes are counted in: the largest at which the highest of them is below 2^15, and at most 2^21.
fn steps_for(highest: f64) -> u32 {
    (0..MOST_STEPS)
        .find(|&power| (highest * f64::from(1u32 << (power + 1))).round() >= 32_768.0)
        .unwrap_or(MOST_STEPS)
}

/// Pictures of any size as N x 3 x h x w in [0, 1], and a number that is 1, and 0 or an error of the engine for pictures of which a side is
/// under `fewest` pixels.
pub(super) fn of_any(
    writer: &mut GraphWriter,
    pictures: &Value,
    transform: &Transform,
    depth: Depth,
    to: (usize, usize),
) -> Result<(Value, Value), Error> {
    let fewest = transform.read_options().minimum_side;
    let shape = writer.each("Shape", pictures);
    let side = |writer: &mut GraphWriter, axis: i64| writer.slice(&shape, axis, axis + 1, 0);
    let (height, width) = (side(writer, 1), side(writer, 2));
    let shorter = writer.apply("Min", &[&height, &width], &[]);
    let (down, across) = match transform.resize {
        Resize::Exact { height: rows, width: columns } => {
            let (rows, columns) = (writer.list(&[rows as i64]), writer.list(&[columns as i64]));
            (rows, columns)
        }
        Resize::ShorterSide(side) => {
            let side = writer.list(&[side as i64]);
            let resized = |writer: &mut GraphWriter, length: &Value| {
                let scaled = writer.mul(&side, length);
                writer.div(&scaled, &shorter)
            };
            (resized(writer, &height), resized(writer, &width))
        }
        Resize::Native => {
            return Err(cannot("the model looks at pictures at their own size; export it with --input WxH"));
        }
    };
    let down = computed(writer, &height, &down, to.0, depth);
    let across = computed(writer, &width, &across, to.1, depth);
    let across = writer.transpose(&across, &[1, 0]);
    let image = resampled(writer, pictures, &Matrices { down, across }, depth);
    // Out of range where the shorter side is too short: engines that check it refuse the picture.
    let least = writer.list(&[fewest as i64]);
    let is_short = writer.apply("Less", &[&shorter, &least], &[]);
    let is_short = writer.cast(&is_short, Element::I64);
    let one = writer.floats("usable", &[1], &[1.0]);
    let usable = writer.gather(&one, &is_short, 0);
    Ok((image, usable))
}

/// The same weights computed in the graph, `count` x `from`: the centred window of `to` targets. `from` and `to` are lists of one number.
fn computed(writer: &mut GraphWriter, from: &Value, to: &Value, count: usize, depth: Depth) -> Value {
    let (zero, one, two) = (writer.list(&[0]), writer.list(&[1]), writer.list(&[2]));
    let kept = writer.list(&[count as i64]);
    // round((to - count) / 2), halves to the even number: a half is rounded up where the number below it is odd.
    let margin = writer.sub(to, &kept);
    let half = writer.div(&margin, &two);
    let odd = |writer: &mut GraphWriter, value: &Value| {
        let halved = writer.div(value, &two);
        let even = writer.mul(&halved, &two);
        writer.sub(value, &even)
    };
    let (odd_margin, odd_half) = (odd(writer, &margin), odd(writer, &half));
    let up = writer.mul(&odd_margin, &odd_half);
    let start = writer.add(&half, &up);
    let [nought, end, last] = [&zero, from, to].map(|value| writer.squeeze(value, &[0]));
    let step = writer.squeeze(&one, &[0]);
    let sources = writer.apply("Range", &[&nought, &end, &step], &[]);
    // All of them, since the highest weight of all tells how weights are counted.
    let targets = writer.apply("Range", &[&nought, &last, &step], &[]);
    let targets = writer.unsqueeze(&targets, &[1]);
    // |(2 j + 1) to - (2 i + 1) from| / (2 max(from, to)): whole numbers, since single precision has no place numbers of large pictures.
    let odd_number = |writer: &mut GraphWriter, value: &Value| {
        let doubled = writer.mul(value, &two);
        writer.add(&doubled, &one)
    };
    let (of_source, of_target) = (odd_number(writer, &sources), odd_number(writer, &targets));
    let (of_source, of_target) = (writer.mul(&of_source, to), writer.mul(&of_target, from));
    let apart = writer.sub(&of_source, &of_target);
    let apart = writer.each("Abs", &apart);
    let apart = writer.cast(&apart, Element::F32);
    let longer = writer.apply("Max", &[from, to], &[]);
    let reach = writer.mul(&longer, &two);
    let reach = writer.cast(&reach, Element::F32);
    let share = writer.div(&apart, &reach);
    let unit = writer.number(1.0);
    let raw = writer.sub(&unit, &share);
    let raw = writer.each("Relu", &raw);
    let sum = writer.reduce(Reduction::Sum, &raw, &[1], true);
    let weights = writer.div(&raw, &sum);
    let weights = match depth {
        Depth::Eight => counted(writer, &weights),
        Depth::Sixteen => weights,
    };
    let end = writer.add(&start, &kept);
    let window = writer.apply("Slice", &[&weights, &start, &end, &zero], &[]);
    writer.reshape(&window, &[count as i64, -1])
}

/// Weights as whole numbers over a power of two, see [`steps_for`].
fn counted(writer: &mut GraphWriter, weights: &Value) -> Value {
    let highest = writer.reduce(Reduction::Max, weights, &[0, 1], false);
    let limit = writer.number(32_767.5);
    let ratio = writer.div(&limit, &highest);
    let power = writer.each("Log", &ratio);
    let base = writer.number(std::f32::consts::LOG2_E);
    let power = writer.mul(&power, &base);
    let power = writer.each("Ceil", &power);
    let (least, most) = (writer.number(1.0), writer.number(MOST_STEPS as f32 + 1.0));
    let power = writer.apply("Clip", &[&power, &least, &most], &[]);
    let power = writer.cast(&power, Element::I64);
    // Powers of two from a table, which are exact; the first is for the power 1, since one is taken off.
    let powers: Vec<f32> = (0..=MOST_STEPS + 1).map(|power| 2f32.powi(power as i32 - 1)).collect();
    let powers = writer.floats("powers", &[powers.len()], &powers);
    let steps = writer.gather(&powers, &power, 0);
    let scaled = writer.mul(weights, &steps);
    let half = writer.number(0.5);
    let above = writer.add(&scaled, &half);
    let whole = writer.each("Floor", &above);
    writer.div(&whole, &steps)
}

/// Both passes with their roundings, and the division by white.
fn resampled(writer: &mut GraphWriter, pictures: &Value, matrices: &Matrices, depth: Depth) -> Value {
    let floats = writer.cast(pictures, Element::F32);
    let planes = writer.transpose(&floats, &[0, 3, 1, 2]);
    let half = writer.number(0.5);
    let rounded = |writer: &mut GraphWriter, value: &Value| {
        let above = writer.add(value, &half);
        writer.each("Floor", &above)
    };
    let resized = match depth {
        Depth::Eight => {
            let rows = writer.matmul(&matrices.down, &planes);
            let rows = rounded(writer, &rows);
            let columns = writer.matmul(&rows, &matrices.across);
            rounded(writer, &columns)
        }
        Depth::Sixteen => {
            let columns = writer.matmul(&planes, &matrices.across);
            let columns = rounded(writer, &columns);
            let rows = writer.matmul(&matrices.down, &columns);
            rounded(writer, &rows)
        }
    };
    let white = writer.number(depth.white());
    writer.div(&resized, &white)
}

/// Images with mid-grey outside the region of interest.
pub(super) fn painted(writer: &mut GraphWriter, image: &Value, region: Option<&Mask>) -> Value {
    let Some(region) = region else { return image.clone() };
    let inside = writer.truths("region", &[1, 1, region.height, region.width], region.marked.iter().copied());
    let grey = writer.number(OUTSIDE);
    writer.apply("Where", &[&inside, image, &grey], &[] as &[Setting<'_>])
}

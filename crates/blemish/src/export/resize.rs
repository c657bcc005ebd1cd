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
    let down = weights(height, window.resized.0, window.start.0, window.size.0);
    let across = weights(width, window.resized.1, window.start.1, window.size.1);
    let down = writer.floats("down", &[window.size.0, height], &down);
    let turned: Vec<f32> =
        (0..across.len()).map(|at| across[at % window.size.1 * width + at / window.size.1]).collect();
    let across = writer.floats("across", &[width, window.size.1], &turned);
    Ok(resampled(writer, pictures, &Matrices { down, across }, depth))
}

/// Triangles as wide as the scale: `count` rows of `from` weights, from target `start` of `to` on.
pub(super) fn weights(from: usize, to: usize, start: usize, count: usize) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let row = |target: usize| {
        let centre = (target as f64 + 0.5) * scale;
        let raw: Vec<f64> =
            (0..from).map(|source| (1.0 - ((source as f64 + 0.5 - centre) / reach).abs()).max(0.0)).collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(move |weight| (weight / sum) as f32)
    };
    (start..start + count).flat_map(row).collect()
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
    let down = computed(writer, &height, &down, to.0);
    let across = computed(writer, &width, &across, to.1);
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
fn computed(writer: &mut GraphWriter, from: &Value, to: &Value, count: usize) -> Value {
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
    let floats = |writer: &mut GraphWriter, value: &Value| writer.cast(value, Element::F32);
    let (from_float, to_float) = (floats(writer, from), floats(writer, to));
    let scale = writer.div(&from_float, &to_float);
    let unit = writer.number(1.0);
    let middle = writer.number(0.5);
    let reach = writer.apply("Max", &[&scale, &unit], &[]);
    let places: Vec<i64> = (0..count as i64).collect();
    let places = writer.integers("places", &[count, 1], &places);
    let targets = writer.add(&places, &start);
    let targets = floats(writer, &targets);
    let targets = writer.add(&targets, &middle);
    let centres = writer.mul(&targets, &scale);
    let [zero, end] = [&zero, from].map(|value| writer.squeeze(value, &[0]));
    let step = writer.squeeze(&one, &[0]);
    let sources = writer.apply("Range", &[&zero, &end, &step], &[]);
    let sources = floats(writer, &sources);
    let sources = writer.add(&sources, &middle);
    let apart = writer.sub(&sources, &centres);
    let apart = writer.each("Abs", &apart);
    let share = writer.div(&apart, &reach);
    let raw = writer.sub(&unit, &share);
    let raw = writer.each("Relu", &raw);
    let sum = writer.reduce(Reduction::Sum, &raw, &[1], true);
    writer.div(&raw, &sum)
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

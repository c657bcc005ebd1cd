//! PaDiM as a graph.

use super::Padim;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_kernels::gaussian::Factors;

/// Adds a model: the operators of its distances, see `PositionModel`.
pub(super) fn write(
    model: &Padim,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let (height, width) = model.model.grid();
    if input.maps.first().is_none_or(|map| (map.height, map.width) != (height, width)) {
        return Err(cannot(
            "images of this size give another grid than the one it was fitted on; use its own image size",
        ));
    }
    let (positions, channels) = (height * width, model.model.channels());
    let dimensions = channels.len();
    let drawn = draw(writer, channels, &input.maps);
    let flat = writer.reshape(&drawn, &[-1, dimensions as i64, positions as i64]);
    let by_position = writer.transpose(&flat, &[2, 0, 1]);
    let gaussians = model.model.gaussians();
    let means = writer.floats("means", &[positions, 1, dimensions], gaussians.means().as_ref());
    let centred = writer.sub(&by_position, &means);
    let shape = [positions, dimensions, dimensions];
    // Stored as columns, so that a row of deviations is multiplied from the left.
    let factors = match gaussians.factors() {
        Factors::Single(values) => {
            let values = whole(values.as_ref(), dimensions, 0.0);
            writer.table("factors", &shape, &values)
        }
        Factors::Half(bits) => {
            let bits = whole(bits.as_ref(), dimensions, 0);
            writer.halves("factors", &shape, &bits)
        }
        Factors::Bytes { values, .. } => {
            let values = whole(values.as_ref(), dimensions, 0);
            writer.bytes("factors", &shape, &values)
        }
    };
    let mut whitened = writer.matmul(&centred, &factors);
    if let Factors::Bytes { steps, unit, .. } = gaussians.factors() {
        let steps = writer.halves("factors.steps", &[positions, 1, dimensions], steps.as_ref());
        let unit = writer.number(*unit);
        let steps = writer.mul(&steps, &unit);
        whitened = writer.mul(&whitened, &steps);
    }
    let squares = writer.mul(&whitened, &whitened);
    let squared = writer.reduce(Reduction::Sum, &squares, &[2], false);
    let distances = writer.each("Sqrt", &squared);
    let by_image = writer.transpose(&distances, &[1, 0]);
    let grid = writer.reshape(&by_image, &[-1, height as i64, width as i64]);
    let values = input.inside(writer, &grid, (height, width));
    Ok(GraphScores { values, height, width, image_score: None })
}

/// The drawn channels on the first layer's grid, N x d x H x W; of deeper layers the cell that floor(i h / H) names.
fn draw(writer: &mut GraphWriter, channels: &[u32], maps: &[GraphMap]) -> Value {
    let (height, width) = maps.first().map_or((0, 0), |map| (map.height, map.width));
    let (mut parts, mut first) = (Vec::new(), 0);
    for map in maps {
        let own: Vec<i64> = channels
            .iter()
            .map(|&channel| channel as usize)
            .filter(|channel| (first..first + map.channels).contains(channel))
            .map(|channel| (channel - first) as i64)
            .collect();
        first += map.channels;
        if own.is_empty() {
            continue;
        }
        let own = writer.list(&own);
        let mut part = writer.gather(&map.value, &own, 1);
        for (axis, from, to) in [(2, map.height, height), (3, map.width, width)] {
            if from != to {
                let near: Vec<i64> = (0..to).map(|at| (at * from / to) as i64).collect();
                let near = writer.list(&near);
                part = writer.gather(&part, &near, axis);
            }
        }
        parts.push(part);
    }
    writer.concat(&parts, 1)
}

/// Packed lower triangles as whole matrices, turned: the element of row i and column j at (j, i).
fn whole<T: Copy>(packed: &[T], size: usize, zero: T) -> Vec<T> {
    let length = size * (size + 1) / 2;
    let mut matrices = vec![zero; packed.len() / length.max(1) * size * size];
    for (triangle, matrix) in packed.chunks_exact(length.max(1)).zip(matrices.chunks_exact_mut(size * size)) {
        let mut values = triangle.iter();
        for row in 0..size {
            for (column, &value) in (0..=row).zip(&mut values) {
                matrix[column * size + row] = value;
            }
        }
    }
    matrices
}

//! What several methods add to a graph: neighbourhoods, layers on one grid, the search of a bank.

use super::embedding::{Aggregation, taps};
use blemish_core::error::Error;
use blemish_core::export::{both_sides, cannot};
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Setting, Value};

/// Entries beyond the wanted ones that are measured exactly: the expanded form of squared distances cancels where distances are small, and
/// may put them in another order.
pub(crate) const SPARE: usize = 3;

/// Bytes of approximate distances of an image at a time.
const AT_ONCE: usize = 1 << 30;

/// Gathers that a pooling of channels is made of at most; with more, a matrix is cheaper.
const MOST_GATHERS: usize = 8;

/// The mean over `size` x `size` positions around each of a map, N x C x H x W; zeros outside count.
pub(crate) fn neighbourhood_mean(writer: &mut GraphWriter, value: &Value, size: usize) -> Value {
    if size == 1 {
        return value.clone();
    }
    let (size, pad) = (size as i64, (size / 2) as i64);
    let settings = [
        Setting::Ints("kernel_shape", &[size, size]),
        Setting::Ints("pads", &[pad; 4]),
        Setting::Ints("strides", &[1, 1]),
        Setting::Int("count_include_pad", 1),
    ];
    writer.apply("AveragePool", &[value], &settings)
}

/// Bilinear, half-pixel centres: N x C x H x W to another grid.
pub(crate) fn resize(
    writer: &mut GraphWriter,
    value: &Value,
    from: (usize, usize),
    to: (usize, usize),
) -> Value {
    if from == to {
        return value.clone();
    }
    let matrix = |from: usize, to: usize| {
        let mut matrix = vec![0.0; to * from];
        for (row, taps) in matrix.chunks_exact_mut(from).zip(taps(from, to)) {
            taps.into_iter().for_each(|(source, weight)| row[source] += weight);
        }
        matrix
    };
    both_sides(writer, value, (&matrix(from.0, to.0), &matrix(from.1, to.1)), from)
}

/// Maps N x C x H x W as rows of patches, N x (H W) x C.
pub(crate) fn rows(writer: &mut GraphWriter, value: &Value, cells: usize, channels: usize) -> Value {
    let turned = writer.transpose(value, &[0, 2, 3, 1]);
    writer.reshape(&turned, &[-1, cells as i64, channels as i64])
}

/// Rows of patches by an aggregation, N x (H W) x dimensions on the first map's grid, and their length.
pub(crate) fn embed(writer: &mut GraphWriter, aggregation: Aggregation, maps: &[GraphMap]) -> (Value, usize) {
    let Some(first) = maps.first() else { return (writer.number(0.0), 0) };
    let grid = (first.height, first.width);
    let mut length = 0;
    let mut layers = Vec::new();
    for map in maps {
        let (value, channels) = match aggregation {
            Aggregation::Mean { size } => (neighbourhood_mean(writer, &map.value, size), map.channels),
            Aggregation::Pooled { size, layer, .. } => {
                let flat = neighbourhoods(writer, map, size);
                (adaptive_pool(writer, &flat, (map.channels * size * size, layer), 1), layer)
            }
        };
        layers.push(resize(writer, &value, (map.height, map.width), grid));
        length += channels;
    }
    let mut joined = writer.concat(&layers, 1);
    if let Aggregation::Pooled { joined: to, .. } = aggregation {
        joined = adaptive_pool(writer, &joined, (length, to), 1);
        length = to;
    }
    (rows(writer, &joined, grid.0 * grid.1, length), length)
}

/// Every position's neighbourhood flattened channel by channel, zeros outside: N x (C size^2) x H x W.
fn neighbourhoods(writer: &mut GraphWriter, map: &GraphMap, size: usize) -> Value {
    if size == 1 {
        return map.value.clone();
    }
    let area = size * size;
    let picks: Vec<f32> = (0..map.channels * area * area)
        .map(|at| f32::from(u8::from(at % area == at / area % area)))
        .collect();
    let weight = writer.floats("neighbours", &[map.channels * area, 1, size, size], &picks);
    writer.convolve(&map.value, &weight, None, size, map.channels)
}

/// Adaptive average pooling along axis 1 of N x C x H x W: output i is the mean of inputs floor(i n/m) .. ceil((i+1) n/m).
fn adaptive_pool(writer: &mut GraphWriter, value: &Value, (from, to): (usize, usize), axis: i64) -> Value {
    if from == to {
        return value.clone();
    }
    let bins: Vec<(usize, usize)> = (0..to).map(|i| (i * from / to, ((i + 1) * from).div_ceil(to))).collect();
    let widest = bins.iter().map(|(start, end)| end - start).max().unwrap_or(1);
    if widest > MOST_GATHERS {
        let mut matrix = vec![0.0; to * from];
        for (row, &(start, end)) in matrix.chunks_exact_mut(from).zip(&bins) {
            row[start..end].fill(1.0 / (end - start) as f32);
        }
        let weight = writer.floats("pooling", &[to, from, 1, 1], &matrix);
        return writer.convolve(value, &weight, None, 1, 1);
    }
    let mut parts = Vec::new();
    for nth in 0..widest {
        let numbers: Vec<i64> = bins.iter().map(|&(start, end)| (start + nth).min(end - 1) as i64).collect();
        let shares: Vec<f32> = bins
            .iter()
            .map(|&(start, end)| if start + nth < end { 1.0 / (end - start) as f32 } else { 0.0 })
            .collect();
        let numbers = writer.list(&numbers);
        let shares = writer.floats("shares", &[1, to, 1, 1], &shares);
        let part = writer.gather(value, &numbers, axis);
        parts.push(writer.mul(&part, &shares));
    }
    writer.sum(parts).unwrap_or_else(|| value.clone())
}

/// Squared lengths of the last axis, which goes.
pub(crate) fn squared_length(writer: &mut GraphWriter, value: &Value) -> Value {
    let squares = writer.mul(value, value);
    writer.reduce(Reduction::Sum, &squares, &[-1], false)
}

/// A bank in a graph.
pub(crate) struct GraphBank {
    /// Entries x dimensions.
    pub(crate) entries: Value,
    count: usize,
    blocks: Vec<Block>,
}

/// Part of the entries: dimensions x entries, their squared lengths, and the number of the first.
struct Block {
    turned: Value,
    lengths: Value,
    first: usize,
    count: usize,
}

/// The nearest entries of rows.
pub(crate) struct Near {
    /// Squared distances, N x rows x k, ascending.
    pub(crate) squared: Value,
    /// Numbers of the nearest entries, N x rows.
    pub(crate) nearest: Value,
}

impl GraphBank {
    /// A bank of entries x `dimensions` values, searched by `rows` rows an image.
    pub(crate) fn new(writer: &mut GraphWriter, entries: &[f32], dimensions: usize, rows: usize) -> Self {
        let count = entries.len() / dimensions.max(1);
        let table = writer.table("bank", &[count, dimensions], entries);
        let most = (AT_ONCE / 4 / rows.max(1)).max(1024);
        let mut blocks = Vec::new();
        for first in (0..count).step_by(most) {
            let count_here = most.min(count - first);
            let part = match count_here == count {
                true => table.clone(),
                false => writer.slice(&table, first as i64, (first + count_here) as i64, 0),
            };
            // Computed of the table as it is stored, which may be in half precision.
            let squares = writer.mul(&part, &part);
            let lengths = writer.reduce(Reduction::Sum, &squares, &[1], false);
            let turned = writer.transpose(&part, &[1, 0]);
            blocks.push(Block { turned, lengths, first, count: count_here });
        }
        Self { entries: table, count, blocks }
    }

    /// The `k` nearest entries of `rows`, N x rows x dimensions.
    ///
    /// |q - b|^2 = |q|^2 - 2 q b + |b|^2 without |q|^2, which orders nothing, proposes a few more than are wanted; those are measured exactly.
    pub(crate) fn search(&self, writer: &mut GraphWriter, rows: &Value, k: usize) -> Near {
        let k = k.min(self.count);
        let minus_two = writer.number(-2.0);
        let scaled = writer.mul(rows, &minus_two);
        let (mut numbers, mut orders) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            let products = writer.matmul(&scaled, &block.turned);
            let order = writer.add(&products, &block.lengths);
            let [order, mut found] = writer.smallest(&order, (k + SPARE).min(block.count));
            if block.first > 0 {
                let first = writer.integers("first", &[], &[block.first as i64]);
                found = writer.add(&found, &first);
            }
            numbers.push(found);
            orders.push(order);
        }
        let mut proposed = writer.concat(&numbers, -1);
        if self.blocks.len() > 1 {
            let order = writer.concat(&orders, -1);
            let [_, best] = writer.smallest(&order, (k + SPARE).min(self.count));
            proposed = writer.apply("GatherElements", &[&proposed, &best], &[Setting::Int("axis", -1)]);
        }
        let near = writer.gather(&self.entries, &proposed, 0);
        let each = writer.unsqueeze(rows, &[2]);
        let apart = writer.sub(&each, &near);
        let squared = squared_length(writer, &apart);
        let [squared, order] = writer.smallest(&squared, k);
        let numbers = writer.apply("GatherElements", &[&proposed, &order], &[Setting::Int("axis", -1)]);
        let nearest = writer.slice(&numbers, 0, 1, -1);
        let nearest = writer.squeeze(&nearest, &[-1]);
        Near { squared, nearest }
    }
}

/// The rows of N x P x `length` that `numbers`, N x 1, name: N x `length`.
///
/// By elements, since some readers of graphs know no gathering of rows image by image.
pub(crate) fn pick_rows(writer: &mut GraphWriter, rows: &Value, numbers: &Value, length: usize) -> Value {
    let each = writer.unsqueeze(numbers, &[2]);
    let shape = writer.list(&[1, 1, length as i64]);
    let each = writer.apply("Expand", &[&each, &shape], &[]);
    let row = writer.apply("GatherElements", &[rows, &each], &[Setting::Int("axis", 1)]);
    writer.squeeze(&row, &[1])
}

/// Equation 7 of PatchCore, see [`reweighted`](super::bank::reweighted): a score, N, weighed by `nearest`, N x 1, among the distances
/// `around`, N x b.
pub(crate) fn reweighted(writer: &mut GraphWriter, score: &Value, nearest: &Value, around: &Value) -> Value {
    let all = writer.concat(&[nearest.clone(), around.clone()], 1);
    let largest = writer.reduce(Reduction::Max, &all, &[1], true);
    let shifted = writer.sub(around, &largest);
    let shares = writer.each("Exp", &shifted);
    let sum = writer.reduce(Reduction::Sum, &shares, &[1], true);
    let own = writer.sub(nearest, &largest);
    let own = writer.each("Exp", &own);
    let share = writer.div(&own, &sum);
    let one = writer.number(1.0);
    let weight = writer.sub(&one, &share);
    let weight = writer.squeeze(&weight, &[1]);
    writer.mul(&weight, score)
}

/// The highest of N x P values, N, and its number, N x 1; of equal ones the first.
pub(crate) fn worst(writer: &mut GraphWriter, values: &Value) -> (Value, Value) {
    let highest = writer.reduce(Reduction::Max, values, &[1], false);
    let number = writer.apply("ArgMax", &[values], &[Setting::Int("axis", 1), Setting::Int("keepdims", 1)]);
    (highest, number)
}

/// Checks that a bank is searched exactly: a graph has no other search.
pub(crate) fn check_exact(is_exact: bool) -> Result<(), Error> {
    if is_exact {
        return Ok(());
    }
    Err(cannot("its bank is searched approximately, and a graph searches exactly; fit it with search=exact"))
}

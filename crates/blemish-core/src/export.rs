//! Fitted methods as ONNX graphs: which methods have one, what a method adds to the graph, and the map stage as operators.

use crate::error::Error;
use crate::map::{BlurBorder, Interpolation, MapStage};
use crate::region::cells_inside;
use blemish_data::Mask;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_kernels::map::{Border, blur_matrix, resize_aligned, resize_bilinear, resize_nearest};

/// Whether the models of a method can be written as a graph.
pub enum Export<M> {
    /// They can: what a model adds to the graph.
    Written(fn(&M, &mut GraphWriter, &GraphInput<'_>) -> Result<GraphScores, Error>),
    /// They cannot, for the reason that this sentence gives.
    Missing(&'static str),
}

/// What a method finds in the graph: the same as in an [`Input`](crate::input::Input).
pub struct GraphInput<'a> {
    /// The pixels, N x 3 x H x W, RGB in [0, 1].
    pub image: Value,
    /// H and W.
    pub size: (usize, usize),
    /// What the names of everything that belongs to this input size begin with: `backbone/` and the method's name follow.
    pub prefix: &'a str,
    /// The backbone's feature maps, shallow to deep; empty for a method that reads none.
    pub maps: Vec<GraphMap>,
    /// Where to look (true), H x W.
    pub region: Option<&'a Mask>,
}

/// What a method leaves in the graph: the same as [`PatchScores`](crate::map::PatchScores).
pub struct GraphScores {
    /// N x height x width.
    pub values: Value,
    /// Rows of the grid.
    pub height: usize,
    /// Columns of the grid.
    pub width: usize,
    /// N scores by the method's own rule, where it has one.
    pub image_score: Option<Value>,
}

impl GraphInput<'_> {
    /// Values of a grid, N x height x width, with 0 where a cell sees nothing of the region of interest.
    pub fn inside(&self, writer: &mut GraphWriter, values: &Value, (height, width): (usize, usize)) -> Value {
        if self.region.is_none() {
            return values.clone();
        }
        let inside = cells_inside(self.region, height, width);
        mask(writer, values, &inside, (height, width))
    }
}

/// The error of a model whose settings leave no graph.
pub fn cannot(reason: impl Into<String>) -> Error {
    Error::Export { reason: reason.into() }
}

fn mask(writer: &mut GraphWriter, values: &Value, inside: &[bool], (height, width): (usize, usize)) -> Value {
    let ones: Vec<f32> = inside.iter().map(|&inside| f32::from(u8::from(inside))).collect();
    let ones = writer.floats("inside", &[1, height, width], &ones);
    writer.mul(values, &ones)
}

/// Resizes maps of rows x columns values from one size to another.
pub type Resize = fn(&[f32], (usize, usize), (usize, usize)) -> Vec<f32>;

/// The matrix, `to` x `from`, by which a way of resizing brings a line of values to another length.
pub fn resize_matrix(resize: Resize, from: usize, to: usize) -> Vec<f32> {
    let unit: Vec<f32> = (0..from * from).map(|at| f32::from(u8::from(at / from == at % from))).collect();
    resize(&unit, (from, from), (to, from))
}

/// The product of rows x inner and inner x columns, summed in double precision.
fn product(a: &[f32], b: &[f32], inner: usize) -> Vec<f32> {
    let columns = b.len() / inner.max(1);
    let mut values = Vec::with_capacity(a.len() / inner.max(1) * columns);
    for row in a.chunks_exact(inner.max(1)) {
        let mut sums = vec![0.0f64; columns];
        for (&weight, other) in
            row.iter().zip(b.chunks_exact(columns.max(1))).filter(|(weight, _)| **weight != 0.0)
        {
            sums.iter_mut().zip(other).for_each(|(sum, value)| *sum += f64::from(weight) * f64::from(*value));
        }
        values.extend(sums.into_iter().map(|sum| sum as f32));
    }
    values
}

/// Maps on both sides of which a matrix is multiplied: `down` (to.0 x from.0) from the left, `across` (to.1 x from.1), transposed, from the
/// right; the last two axes of the value are from.0 x from.1.
pub fn both_sides(
    writer: &mut GraphWriter,
    value: &Value,
    (down, across): (&[f32], &[f32]),
    from: (usize, usize),
) -> Value {
    let to = (down.len() / from.0, across.len() / from.1);
    let turned: Vec<f32> = (0..across.len()).map(|at| across[at % to.1 * from.1 + at / to.1]).collect();
    let turned = writer.floats("across", &[from.1, to.1], &turned);
    let down = writer.floats("down", &[to.0, from.0], down);
    let across = writer.matmul(value, &turned);
    writer.matmul(&down, &across)
}

impl MapStage {
    /// The map stage as operators: image scores, N, and maps, N x height x width, as [`MapStage::finish`] makes them.
    ///
    /// Resizing and blur are linear and separable, so a map is A P B' with constant matrices, whatever the border rule.
    pub fn write(
        &self,
        writer: &mut GraphWriter,
        scores: &GraphScores,
        (height, width): (usize, usize),
        region: Option<&Mask>,
    ) -> (Value, Value) {
        let grid = (scores.height, scores.width);
        let resize: Resize = match self.interpolation {
            Interpolation::Bilinear => resize_bilinear,
            Interpolation::BilinearAligned => resize_aligned,
            Interpolation::Nearest => resize_nearest,
        };
        let resizing = (grid != (height, width))
            .then(|| (resize_matrix(resize, grid.0, height), resize_matrix(resize, grid.1, width)));
        let blurring = (self.sigma > 0.0).then(|| {
            let border = match self.border {
                BlurBorder::Repeat => Border::Repeat,
                BlurBorder::Mirror => Border::Mirror,
            };
            (blur_matrix(height, self.sigma, border), blur_matrix(width, self.sigma, border))
        });
        let mut map = scores.values.clone();
        match (resizing, blurring, region) {
            (Some(resizing), Some(blurring), None) => {
                let down = product(&blurring.0, &resizing.0, height);
                let across = product(&blurring.1, &resizing.1, width);
                map = both_sides(writer, &map, (&down, &across), grid);
            }
            (resizing, blurring, region) => {
                if let Some((down, across)) = &resizing {
                    map = both_sides(writer, &map, (down, across), grid);
                }
                if let Some(region) = region {
                    map = mask(writer, &map, &region.marked, (height, width));
                }
                if let Some((down, across)) = &blurring {
                    map = both_sides(writer, &map, (down, across), (height, width));
                    if let Some(region) = region {
                        map = mask(writer, &map, &region.marked, (height, width));
                    }
                }
            }
        }
        let score = match &scores.image_score {
            Some(score) => score.clone(),
            None => writer.reduce(Reduction::Max, &map, &[1, 2], false),
        };
        (score, map)
    }
}

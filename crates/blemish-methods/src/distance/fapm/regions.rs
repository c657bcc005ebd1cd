//! Which cells of each layer belong together.

use super::config::Correspondence;
use crate::shared::map_size::MapSize;

/// The cells of every layer by region: region (a, b) holds the cells of the deepest layer from row floor(a H / R) to floor((a+1) H / R) and the same
/// way along its columns, and of the other layers those that lie in them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Regions {
    /// For each layer and region, the region's cells, row-major.
    pub(super) cells: Vec<Vec<Vec<usize>>>,
    /// The same with the margin around them.
    pub(super) pools: Vec<Vec<Vec<usize>>>,
    /// For each layer, the position in [`Self::cells`] of the region's cell that each cell of the first layer goes with.
    pub(super) partners: Vec<Vec<Vec<usize>>>,
}

/// What makes a division of layers into regions impossible.
pub(super) type Reason = String;

impl Regions {
    /// Divides layers (shallow to deep) into `count` x `count` regions.
    ///
    /// # Errors
    /// If there are fewer cells than regions or a layer's cells do not lie in those of the deepest.
    pub(super) fn new(
        layers: &[MapSize],
        count: usize,
        margin: usize,
        correspondence: Correspondence,
    ) -> Result<Self, Reason> {
        let (Some(first), Some(deepest)) = (layers.first(), layers.last()) else {
            return Err("there are no layers".into());
        };
        if deepest.height < count || deepest.width < count {
            return Err(format!(
                "the deepest layer has {} x {} cells, too few for {count} x {count} regions; set fewer regions or use larger images",
                deepest.height, deepest.width
            ));
        }
        for layer in layers {
            if !layer.height.is_multiple_of(deepest.height) || !layer.width.is_multiple_of(deepest.width) {
                return Err(format!(
                    "a layer of {} x {} cells is not a multiple of the deepest, {} x {}; use another image size",
                    layer.height, layer.width, deepest.height, deepest.width
                ));
            }
        }
        let mut regions = Self { cells: Vec::new(), pools: Vec::new(), partners: Vec::new() };
        for layer in layers {
            let factor = (layer.height / deepest.height, layer.width / deepest.width);
            let inside = |margin: usize| -> Vec<Vec<usize>> {
                (0..count * count)
                    .map(|region| {
                        let rows = span(region / count, count, deepest.height, factor.0, margin);
                        let columns = span(region % count, count, deepest.width, factor.1, margin);
                        rows.flat_map(|row| columns.clone().map(move |column| row * layer.width + column))
                            .collect()
                    })
                    .collect()
            };
            let cells = inside(0);
            let partners = cells
                .iter()
                .enumerate()
                .map(|(region, own)| {
                    let firsts = regions.cells.first().map_or(own, |cells: &Vec<Vec<usize>>| &cells[region]);
                    partners(firsts, own, first, layer, correspondence)
                })
                .collect();
            regions.pools.push(inside(margin));
            regions.cells.push(cells);
            regions.partners.push(partners);
        }
        Ok(regions)
    }

    /// Number of regions.
    pub(super) fn count(&self) -> usize {
        self.cells.first().map_or(0, Vec::len)
    }
}

/// Rows (or columns) of a layer in a region with number `at` of `count`, where `factor` of them lie in each of the deepest layer's `cells`.
fn span(at: usize, count: usize, cells: usize, factor: usize, margin: usize) -> std::ops::Range<usize> {
    let start = (at * cells / count).saturating_sub(margin);
    let end = ((at + 1) * cells / count + margin).min(cells);
    start * factor..end * factor
}

/// For each of the first layer's cells of a region, the position among the region's cells of another layer that it goes with.
fn partners(
    firsts: &[usize],
    own: &[usize],
    first: &MapSize,
    layer: &MapSize,
    correspondence: Correspondence,
) -> Vec<usize> {
    match correspondence {
        Correspondence::Released => (0..firsts.len()).map(|at| at * own.len() / firsts.len()).collect(),
        Correspondence::Position => {
            let (down, across) = (first.height / layer.height, first.width / layer.width);
            let place = |&cell: &usize| {
                let (row, column) = (cell / first.width / down, cell % first.width / across);
                // Cells are row-major, hence ascending.
                own.partition_point(|&other| other < row * layer.width + column)
            };
            firsts.iter().map(place).collect()
        }
    }
}

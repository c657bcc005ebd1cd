//! From the maps of tiles to the map of the image.

use super::TilePlan;

/// Merges the maps of an image's tiles as they come, in the memory of one map and one row of tiles.
#[derive(Debug)]
pub struct MapMerger<'a> {
    plan: &'a TilePlan,
    map: Vec<f32>,
    /// The current row of tiles, as wide as the image.
    band: Vec<f32>,
    next: usize,
    row_shares: Vec<Vec<f32>>,
    column_shares: Vec<Vec<f32>>,
}

impl<'a> MapMerger<'a> {
    /// Nothing merged yet.
    pub fn new(plan: &'a TilePlan) -> Self {
        let (height, width) = plan.size;
        Self {
            plan,
            map: vec![0.0; height * width],
            band: vec![0.0; plan.rows.inside * width],
            next: 0,
            row_shares: plan.rows.shares(),
            column_shares: plan.columns.shares(),
        }
    }

    /// Takes in the map of tile `index`, as large as a tile. Tiles come in rising order; those left out count as zero.
    ///
    /// # Panics
    /// If `map` has another length than a tile, or a tile of this or a later index was added before.
    pub fn add(&mut self, index: usize, map: &[f32]) {
        assert_eq!(map.len(), self.plan.tile.0 * self.plan.tile.1, "a tile's map has the tile's size");
        assert!(self.next <= index && index < self.plan.count(), "tiles come in rising order");
        self.skip_to(index);
        self.blend(Some(map));
    }

    /// The merged map, height x width of the image.
    pub fn finish(mut self) -> Vec<f32> {
        self.skip_to(self.plan.count());
        self.map
    }

    fn skip_to(&mut self, index: usize) {
        while self.next < index {
            self.blend(None);
        }
    }

    /// Blends the next tile into the band, and a finished band into the map.
    fn blend(&mut self, map: Option<&[f32]>) {
        let TilePlan { tile, size: (_, width), rows, columns } = self.plan;
        let (row, column) = (self.next / columns.starts.len(), self.next % columns.starts.len());
        self.next += 1;
        let (left, shares) = (columns.starts[column], &self.column_shares[column]);
        for y in 0..rows.inside {
            let target = &mut self.band[y * width + left..][..columns.inside];
            match map {
                Some(map) => {
                    let source = &map[y * tile.1..][..columns.inside];
                    for ((mean, value), share) in target.iter_mut().zip(source).zip(shares) {
                        *mean += (value - *mean) * share;
                    }
                }
                None => target.iter_mut().zip(shares).for_each(|(mean, share)| *mean -= *mean * share),
            }
        }
        if column + 1 < columns.starts.len() {
            return;
        }
        let top = rows.starts[row];
        for ((y, line), share) in self.band.chunks_exact(*width).enumerate().zip(&self.row_shares[row]) {
            let target = &mut self.map[(top + y) * width..][..*width];
            target.iter_mut().zip(line).for_each(|(mean, value)| *mean += (value - *mean) * share);
        }
        self.band.fill(0.0);
    }
}

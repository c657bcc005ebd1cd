//! From tiles to batches.

use blemish_core::error::Error;
use blemish_data::transform::PlanarImage;
use blemish_data::{Canvas, ImageBatch, Mask, TilePlan};

/// What takes a batch of tiles, with a number of each.
pub(super) type EachTiles<'a> = dyn FnMut(&[usize], &ImageBatch) -> Result<(), Error> + 'a;

/// A tile; its region of interest is `None` where it sees only what is inside.
pub(super) fn cut_tile(canvas: &Canvas<'_>, plan: &TilePlan, tile: usize) -> PlanarImage {
    let (rows, columns) = plan.window(tile);
    let mut image = canvas.cut(rows, columns);
    image.region_of_interest = image.region_of_interest.filter(|mask| mask.marked.contains(&false));
    image
}

/// Whether any of a tile lies in the region of interest.
fn is_seen(region: Option<&Mask>) -> bool {
    region.is_none_or(|mask| mask.marked.contains(&true))
}

/// Gathers tiles into batches. Those whose regions of interest differ do not share one; those wholly outside are dropped.
pub(super) struct Gather {
    capacity: usize,
    numbers: Vec<usize>,
    batch: ImageBatch,
}

impl Gather {
    pub(super) fn new(capacity: usize) -> Self {
        let batch = ImageBatch::new(0, 0, 0, Vec::new(), None);
        Self { capacity, numbers: Vec::new(), batch }
    }

    pub(super) fn push(
        &mut self,
        number: usize,
        tile: PlanarImage,
        each: &mut EachTiles<'_>,
    ) -> Result<(), Error> {
        if !is_seen(tile.region_of_interest.as_deref()) {
            return Ok(());
        }
        if tile.region_of_interest != self.batch.region_of_interest {
            self.flush(each)?;
            self.batch.region_of_interest = tile.region_of_interest;
        }
        (self.batch.height, self.batch.width) = (tile.height, tile.width);
        self.batch.count += 1;
        self.batch.pixels.extend_from_slice(&tile.pixels);
        self.numbers.push(number);
        if self.batch.count == self.capacity { self.flush(each) } else { Ok(()) }
    }

    pub(super) fn flush(&mut self, each: &mut EachTiles<'_>) -> Result<(), Error> {
        if self.batch.count > 0 {
            each(&self.numbers, &self.batch)?;
        }
        self.numbers.clear();
        self.batch.pixels.clear();
        self.batch.count = 0;
        Ok(())
    }
}

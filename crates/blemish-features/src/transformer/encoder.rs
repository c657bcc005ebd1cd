//! A list of blocks.

use super::block::Space;
use super::{Block, Mask, Norm};
use rayon::prelude::*;

/// Tokens that go through the blocks together: enough to use weights often, few enough to bound memory.
const TOKENS: usize = 4096;

/// Blocks, and the norm behind them.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// In the order of execution.
    pub blocks: Vec<Block>,
    /// Behind the last block.
    pub last: Option<Norm>,
}

impl Encoder {
    /// Sends rows, (sequences x `length`) x width, through all blocks and the last norm; `mask` is given for each sequence by its number.
    ///
    /// Sequences do not see each other; some thousand tokens go together, so that memory beyond the rows is bounded by about 8 widths for each
    /// of them and thread. With `is_parallel`, work is split over the threads of the current pool.
    ///
    /// # Panics
    /// If the rows are not whole sequences of the blocks' width.
    pub fn forward<'m>(
        &self,
        rows: &mut [f32],
        length: usize,
        mask: impl Fn(usize) -> Mask<'m> + Sync,
        is_parallel: bool,
    ) {
        let width = self.width();
        if rows.is_empty() || width == 0 {
            return;
        }
        let sequence = length * width;
        assert!(sequence > 0 && rows.len().is_multiple_of(sequence), "whole sequences of the blocks' width");
        let threads = if is_parallel { rayon::current_num_threads() } else { 1 };
        let share = (rows.len() / sequence).div_ceil(threads);
        let together = (TOKENS / length).clamp(1, share.max(1));
        let groups = rows.len().div_ceil(together * sequence);
        let work = |space: &mut Space, (group, rows): (usize, &mut [f32]), is_parallel: bool| {
            let mask = |index: usize| mask(group * together + index);
            for block in &self.blocks {
                block.forward(rows, length, mask, space, is_parallel);
            }
            if let Some(norm) = &self.last {
                norm.apply_in_place(rows, &mut Vec::new(), is_parallel);
            }
        };
        // Groups side by side where there is one for each thread, else one after the other with each of them split.
        if is_parallel && groups >= threads {
            let groups = rows.par_chunks_mut(together * sequence).enumerate();
            groups.for_each_init(Space::default, |space, item| work(space, item, false));
        } else {
            let mut space = Space::default();
            let groups = rows.chunks_mut(together * sequence).enumerate();
            groups.for_each(|item| work(&mut space, item, is_parallel));
        }
    }

    /// Values a token.
    pub fn width(&self) -> usize {
        let of_norm = self.last.as_ref().map(|norm| norm.gain.len());
        self.blocks.first().map(|block| block.norm1.gain.len()).or(of_norm).unwrap_or(0)
    }
}

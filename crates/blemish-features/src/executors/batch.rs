//! A batch on the threads of a pool: images side by side, or the rows of a few.

use crate::FeatureError;
use crate::graph::{FeatureMap, Graph, Tap};
use blemish_kernels::Workers;
use rayon::prelude::*;

/// Feature maps of a batch, N x 3 x height x width for `[N, height, width]`. `run_one` writes those of an image, channels x height x width
/// each, and is told whether the threads are its own to split its work over.
pub(super) fn run_batch(
    graph: &Graph,
    pool: &Workers,
    input: &[f32],
    [count, height, width]: [usize; 3],
    run_one: impl Fn(&[f32], Vec<&mut [f32]>, bool) -> Result<(), FeatureError> + Sync,
) -> Result<Vec<FeatureMap>, FeatureError> {
    let sizes = graph.output_sizes(height, width)?;
    let empty = |tap: &Tap| {
        let (channels, [height, width]) = (graph.nodes[tap.node].channels, sizes[tap.node]);
        FeatureMap { channels, height, width, data: vec![0.0; count * channels * height * width] }
    };
    let mut maps: Vec<FeatureMap> = graph.taps.iter().map(empty).collect();
    let mut parts: Vec<Vec<&mut [f32]>> = (0..count).map(|_| Vec::new()).collect();
    for FeatureMap { channels, height, width, data } in &mut maps {
        let of_images = data.chunks_exact_mut(*channels * *height * *width);
        parts.iter_mut().zip(of_images).for_each(|(parts, part)| parts.push(part));
    }
    let images: Vec<_> = input.chunks_exact(3 * height * width).zip(parts).collect();
    let is_parallel = count < pool.current_num_threads();
    let run = |(image, parts)| run_one(image, parts, is_parallel);
    pool.install(|| match is_parallel {
        true => images.into_iter().try_for_each(run),
        false => images.into_par_iter().try_for_each(run),
    })?;
    Ok(maps)
}

//! What embeddings cost beside the directions of neighbours: near and far patches, clusters.

use burn::tensor::Tensor;

/// Added under the root of a distance, which has no slope at 0.
const TINY: f64 = 1e-12;

/// Mean of ||h1 - h2|| - cos(h1, h2) + cos(h1, h3): h2 is near h1, h3 far from it.
pub(super) fn near_loss(h1: Tensor<2>, h2: Tensor<2>, h3: Tensor<2>) -> Tensor<1> {
    let distance = ((h1.clone() - h2.clone()).powi_scalar(2).sum_dim(1) + TINY).sqrt();
    (distance - cosine(h1.clone(), h2) + cosine(h1, h3)).mean()
}

fn cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let norm = |x: Tensor<2>| (x.powi_scalar(2).sum_dim(1) + TINY).sqrt();
    (a.clone() * b.clone()).sum_dim(1) / (norm(a) * norm(b))
}

/// Mean over the embeddings (N x D) of the squared distance to the nearest centre (clusters x D).
pub(super) fn cluster_loss(h: Tensor<2>, centres: Tensor<2>) -> Tensor<1> {
    let ([count, _], [clusters, _]) = (h.dims(), centres.dims());
    let all: Vec<usize> = (0..count).flat_map(|_| 0..clusters).collect();
    blemish_ops::row_distances(h, centres, &all).min_dim(1).mean()
}

//! Single linkage over images: the minimum spanning tree, its dendrogram, and the tight clusters in it.

use super::clusters::Clusters;

/// Images whose neighbours tell the dimension.
const SAMPLED: usize = 200;

/// Distances below are rounding.
const TINY: f32 = 1e-6;

/// Euclidean distance.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    // Eight sums side by side, so that the compiler may use vectors; the order is fixed.
    let mut sums = [0f32; 8];
    let mut add = |a: &[f32], b: &[f32]| {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    };
    let (mut left, mut right) = (a.chunks_exact(8), b.chunks_exact(8));
    left.by_ref().zip(right.by_ref()).for_each(|(a, b)| add(a, b));
    add(left.remainder(), right.remainder());
    sums.iter().sum::<f32>().sqrt()
}

/// Sets of images that are joined step by step.
pub(super) struct Sets {
    parents: Vec<usize>,
}

impl Sets {
    pub(super) fn new(count: usize) -> Self {
        Self { parents: (0..count).collect() }
    }

    pub(super) fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    /// Joins two sets; the root is the smaller one.
    pub(super) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }
}

/// Which clusters single linkage joins at which distance; images are the first nodes, the last node holds all.
pub(super) struct Dendrogram {
    images: usize,
    /// The two nodes that each node beyond the images joins.
    children: Vec<(usize, usize)>,
    /// The distance at which it joins them.
    heights: Vec<f32>,
}

impl Dendrogram {
    /// Of images by their looks; at least one.
    pub(super) fn of(looks: &[&[f32]]) -> Self {
        let images = looks.len();
        let mut edges = spanning_tree(looks);
        edges.sort_unstable_by(|one, other| {
            one.0.total_cmp(&other.0).then((one.1, one.2).cmp(&(other.1, other.2)))
        });
        let mut sets = Sets::new(images);
        // The node that holds everything joined with an image, by the root of its set.
        let mut nodes: Vec<usize> = (0..images).collect();
        let mut tree =
            Self { images, children: Vec::with_capacity(images), heights: Vec::with_capacity(images) };
        for (length, a, b) in edges {
            let (a, b) = (sets.root(a), sets.root(b));
            tree.children.push((nodes[a], nodes[b]));
            tree.heights.push(length);
            sets.join(a, b);
            nodes[a.min(b)] = images + tree.children.len() - 1;
        }
        tree
    }

    fn height(&self, node: usize) -> f32 {
        node.checked_sub(self.images).map_or(0.0, |joined| self.heights[joined])
    }

    /// Images below a node.
    fn leaves(&self, node: usize) -> Vec<usize> {
        let (mut found, mut open) = (Vec::new(), vec![node]);
        while let Some(node) = open.pop() {
            match node.checked_sub(self.images) {
                None => found.push(node),
                Some(joined) => open.extend([self.children[joined].0, self.children[joined].1]),
            }
        }
        found
    }

    /// The largest clusters of 2 to `largest` images to which the next image outside is at least `gap` times as far as their widest link.
    pub(super) fn clusters(&self, gap: f32, largest: usize) -> Clusters {
        let mut clusters = Clusters { of: vec![None; self.images], sizes: Vec::new() };
        let mut sizes = vec![1; self.images];
        for &(a, b) in &self.children {
            sizes.push(sizes[a] + sizes[b]);
        }
        let mut parents = vec![f32::INFINITY; sizes.len()];
        for (joined, &(a, b)) in self.children.iter().enumerate() {
            (parents[a], parents[b]) = (self.heights[joined], self.heights[joined]);
        }
        let Some(all) = sizes.len().checked_sub(1) else { return clusters };
        let mut open = vec![all];
        while let Some(node) = open.pop() {
            let Some(joined) = node.checked_sub(self.images) else { continue };
            let is_tight = parents[node] >= gap * self.height(node).max(TINY);
            if node != all && is_tight && sizes[node] <= largest {
                for image in self.leaves(node) {
                    clusters.of[image] = Some(clusters.sizes.len());
                }
                clusters.sizes.push(sizes[node]);
            } else {
                open.extend([self.children[joined].0, self.children[joined].1]);
            }
        }
        clusters
    }
}

/// Length and ends of the edges of the minimum spanning tree (Prim).
fn spanning_tree(looks: &[&[f32]]) -> Vec<(f32, usize, usize)> {
    let count = looks.len();
    let mut nearest = vec![(f32::INFINITY, 0); count];
    let mut is_in = vec![false; count];
    let mut edges = Vec::with_capacity(count.saturating_sub(1));
    let mut last = 0;
    for _ in 1..count {
        is_in[last] = true;
        let mut next = (f32::INFINITY, usize::MAX);
        for image in 0..count {
            if is_in[image] {
                continue;
            }
            let length = distance(looks[last], looks[image]);
            if length < nearest[image].0 {
                nearest[image] = (length, last);
            }
            if next.1 == usize::MAX || nearest[image].0 < next.0 {
                next = (nearest[image].0, image);
            }
        }
        edges.push((next.0, nearest[next.1].1, next.1));
        last = next.1;
    }
    edges
}

/// In how many dimensions the images lie, by the distances of their middle neighbours: those between `largest`, beyond any group, and half of
/// all.
pub(super) fn dimension(looks: &[&[f32]], largest: usize) -> f64 {
    let count = looks.len();
    let (from, to) = (largest.min(count / 3), count / 2);
    let mut growths: Vec<f64> = Vec::new();
    for image in (0..count).step_by(count.div_ceil(SAMPLED)) {
        let others = (0..count).filter(|&other| other != image);
        let mut distances: Vec<f32> = others.map(|other| distance(looks[image], looks[other])).collect();
        distances.sort_unstable_by(f32::total_cmp);
        let growth = |&near: &f32| f64::from(distances[to] / near.max(TINY)).ln();
        growths.push(distances[from..to].iter().map(growth).sum::<f64>() / (to - from) as f64);
    }
    growths.sort_unstable_by(f64::total_cmp);
    let median = growths.get(growths.len() / 2).copied().unwrap_or(0.0);
    // In m dimensions the number of neighbours within a distance grows with its m-th power.
    let ranks = |rank: usize| ((to + 1) as f64 / (rank + 1) as f64).ln();
    let expected = (from..to).map(ranks).sum::<f64>() / (to - from) as f64;
    expected / median.max(1e-3)
}

//! The memory: what is read from it, what is asked of queries and items, how items follow the queries.
//!
//! All is of section 3.2 of the paper, in the form of the released code. Queries are batch x channels x positions, each of unit length;
//! K is their number, batch times positions. Items are M x channels, each of unit length.

use blemish_nn::init::Init;
use blemish_nn::layers::Running;
use blemish_nn::{Module, Tensor};
use burn::tensor::{Int, activation};

/// Margin of the separateness.
const MARGIN: f64 = 1.0;

/// What is added to every difference whose length is taken, as PyTorch's triplet loss does.
const OFFSET: f64 = 1e-6;

/// The items, kept with the network's weights: they are state, and no optimiser changes them.
#[derive(Module, Debug)]
pub(super) struct Memory {
    /// M x channels, row after row.
    items: Running,
    count: usize,
    channels: usize,
}

impl Memory {
    /// Items in the positive orthant, each entry uniform in [0, 1) before they get unit length, as in the released code.
    pub(super) fn new(count: usize, channels: usize, init: &mut Init) -> Self {
        let uniform = init.uniform(0.5, [count, channels]).val().detach() + 0.5;
        let items = Running::new(unit(uniform, 1).reshape([count * channels]));
        Self { items, count, channels }
    }

    /// M x channels.
    pub(super) fn items(&self) -> Tensor<2> {
        self.items.val().reshape([self.count, self.channels])
    }

    /// Replaces the items.
    pub(super) fn set(&self, items: Tensor<2>) {
        self.items.set(items.reshape([self.count * self.channels]));
    }
}

/// Least length that is divided by.
pub(super) const SHORTEST: f64 = 1e-12;

/// Brings what lies along a dimension to unit length.
fn unit<const D: usize>(x: Tensor<D>, dimension: usize) -> Tensor<D> {
    let length = x.clone().square().sum_dim(dimension).sqrt();
    x / length.clamp_min(SHORTEST)
}

/// The queries of feature maps (batch x channels x height x width): every position's vector at unit length.
pub(super) fn queries_of(features: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = features.dims();
    unit(features, 1).reshape([batch, channels, height * width])
}

/// Queries and what they are to the items, which count as constants.
pub(super) struct Lookup {
    items: Tensor<2>,
    /// q, batch x channels x positions.
    queries: Tensor<3>,
    /// s = p q, batch x M x positions; constant.
    similarity: Tensor<3>,
    /// 1 at the most similar item of each query, else 0.
    nearest: Tensor<3>,
}

impl Lookup {
    /// Of queries among items.
    pub(super) fn new(items: Tensor<2>, queries: Tensor<3>) -> Self {
        let items = items.detach();
        let similarity = items.clone().unsqueeze_dim::<3>(0).matmul(queries.clone().detach());
        let nearest = largest(&similarity);
        Self { items, queries, similarity, nearest }
    }

    /// r = sum over the items of w p with w the softmax of s over the items: batch x channels x positions.
    ///
    /// No gradient passes: w and p are constants (the released code detaches both).
    pub(super) fn read(&self) -> Tensor<3> {
        self.sum_of_items(activation::softmax(self.similarity.clone(), 1))
    }

    /// Sums of items with weights, batch x M x positions.
    fn sum_of_items(&self, weights: Tensor<3>) -> Tensor<3> {
        self.items.clone().transpose().unsqueeze_dim::<3>(0).matmul(weights)
    }

    /// Squared distance of each query from its nearest item, batch x positions.
    pub(super) fn distances(&self) -> Tensor<2> {
        let difference = self.queries.clone() - self.sum_of_items(self.nearest.clone());
        let [batch, _, positions] = difference.dims();
        difference.square().sum_dim(1).reshape([batch, positions])
    }

    /// L_c = mean over queries and channels of (q - p_nearest)^2.
    pub(super) fn compactness(&self) -> Tensor<1> {
        let distances = self.distances();
        let count = distances.dims().iter().product::<usize>() * self.queries.dims()[1];
        distances.sum_dim(1).sum() / count as f64
    }

    /// L_s = mean over queries of max(0, |q - p_nearest + e| - |q - p_second + e| + 1); 0 for a single item.
    pub(super) fn separateness(&self) -> Tensor<1> {
        let [_, items, positions] = self.similarity.dims();
        let batch = self.queries.dims()[0];
        if items < 2 {
            return self.queries.clone().sum_dim(2).sum() * 0.0;
        }
        // Similarities lie within [-1, 1], so that the nearest falls below all others.
        let second = largest(&(self.similarity.clone() - self.nearest.clone() * 4.0));
        let distance = |chosen: Tensor<3>| {
            let difference = self.queries.clone() - self.sum_of_items(chosen) + OFFSET;
            difference.square().sum_dim(1).sqrt()
        };
        let margins = distance(self.nearest.clone()) - distance(second) + MARGIN;
        margins.clamp_min(0.0).sum_dim(2).sum() / (batch * positions) as f64
    }

    /// The items after these queries: p <- unit(p + sum of v q over the queries nearest to it), v = exp(s - the largest s of that item over
    /// all queries). Items that are nearest to no query stay as they are, to the bit.
    pub(super) fn updated(&self) -> Tensor<2> {
        let [count, channels] = self.items.dims();
        let most = self.similarity.clone().max_dim(2).max_dim(0);
        let shares = (self.similarity.clone() - most).exp() * self.nearest.clone();
        let queries = self.queries.clone().detach().swap_dims(1, 2);
        let moved = shares.matmul(queries).sum_dim(0).reshape([count, channels]);
        let used = self.nearest.clone().sum_dim(2).sum_dim(0).reshape([count, 1]);
        let updated = unit(self.items.clone() + moved, 1);
        self.items.clone().mask_where(used.greater_elem(0.0).expand([count, channels]), updated).detach()
    }

    /// How many queries each item is nearest to, M.
    pub(super) fn usage(&self) -> Tensor<1> {
        let count = self.items.dims()[0];
        self.nearest.clone().sum_dim(2).sum_dim(0).reshape([count])
    }

    /// q and r one above the other, batch x 2 channels x height x width.
    pub(super) fn with_read(&self, height: usize, width: usize) -> Tensor<4> {
        let [batch, channels, _] = self.queries.dims();
        Tensor::cat(vec![self.queries.clone(), self.read()], 1).reshape([batch, 2 * channels, height, width])
    }
}

/// 1 where the second dimension has its largest value, the first of equals, else 0.
fn largest(similarity: &Tensor<3>) -> Tensor<3> {
    let [batch, items, positions] = similarity.dims();
    let shape = [batch, items, positions];
    let chosen = similarity.clone().argmax(1).expand(shape);
    let numbers = Tensor::<1, Int>::arange(0..items as i64, &similarity.device());
    numbers.reshape([1, items, 1]).expand(shape).equal(chosen).float().cast(similarity.dtype())
}

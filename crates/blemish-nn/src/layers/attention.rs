//! Multi-head attention.

use super::dense::Dense;
use super::dropout::Dropout;
use crate::init::{Init, xavier};
use blemish_ops::{attend, dense};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Attention of several heads with learned projections of queries, keys, values and result.
///
/// With (Q, K, V) = (q, k, v) W + b, W's columns those of Q, K and V one after the other, head h takes the features h d .. (h + 1) d of each;
/// the result is the heads' results one after the other, through a linear layer. As PyTorch's `MultiheadAttention`, whose matrices are
/// the transposes of those here.
#[derive(Module, Debug)]
pub struct MultiHeadAttention {
    /// W: features x 3 features.
    pub weight: Param<Tensor<2>>,
    /// b: 3 features.
    pub bias: Param<Tensor<1>>,
    /// Of the result.
    pub output: Dense,
    heads: usize,
}

impl MultiHeadAttention {
    /// Of `features` features in `heads` heads: Xavier's uniform weights of both matrices, no biases at first.
    ///
    /// # Panics
    /// If the heads do not share the features evenly.
    pub fn new(features: usize, heads: usize, init: &mut Init) -> Self {
        assert!(
            heads > 0 && features.is_multiple_of(heads),
            "{heads} heads cannot share {features} features"
        );
        let weight = init.uniform(xavier(features, 3 * features), [features, 3 * features]);
        let bias = init.constant(0.0, [3 * features]);
        let output = Dense {
            weight: init.uniform(xavier(features, features), [features, features]),
            bias: init.constant(0.0, [features]),
        };
        Self { weight, bias, output, heads }
    }

    /// Batch x n x features, for queries of that shape and keys and values of batch x m x features. Queries of a batch of one are those of the
    /// whole batch.
    ///
    /// `mask` is n x m, the same for every image and head; minus infinity hides a token, but a row must not hide all. Dropout meets the
    /// attention's weights.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn forward(
        &self,
        [q, k, v]: [Tensor<3>; 3],
        mask: Option<&Tensor<2>>,
        dropout: Option<&mut Dropout>,
    ) -> Tensor<3> {
        let ([queries, count, features], [batch, keys, _]) = (q.dims(), k.dims());
        let [q, k, v] = [(q, 0), (k, 1), (v, 2)].map(|(x, part)| self.projected(x, part));
        let q = if queries < batch { q.expand([batch, count, features]) } else { q };
        let kept = dropout.and_then(|dropout| dropout.factors([batch, self.heads, count, keys], &q));
        let y = attend([q, k, v], self.heads, mask.cloned(), kept);
        self.output.rows(y.reshape([batch * count, features])).reshape([batch, count, features])
    }

    /// The queries (part 0), keys (1) or values (2), batch x tokens x features.
    fn projected(&self, x: Tensor<3>, part: usize) -> Tensor<3> {
        let [batch, count, features] = x.dims();
        let weight = self.weight.val().narrow(1, part * features, features);
        let bias = self.bias.val().narrow(0, part * features, features);
        dense(x.reshape([batch * count, features]), weight, bias).reshape([batch, count, features])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};

    #[test]
    fn a_query_gets_the_values_of_the_keys_it_resembles() {
        let tensor = |values: &[f32], shape: [usize; 3]| double().of(values.to_vec(), shape).val();
        // Logits 2 ln 3 / sqrt(4) and 0: weights 3/4 and 1/4.
        let q = tensor(&[2.0 * 3f32.ln(), 0.0, 0.0, 0.0], [1, 1, 4]);
        let k = tensor(&[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1, 2, 4]);
        let v = tensor(&[4.0, 0.0, 0.0, 8.0, 0.0, 4.0, 0.0, 0.0], [1, 2, 4]);
        let inputs = [q, k, v];
        close(&values(attend(inputs.clone(), 1, None, None)), &[3.0, 1.0, 0.0, 6.0], 1e-6);
        let mask = double().of(vec![f32::NEG_INFINITY, 0.0], [1, 2]).val();
        close(&values(attend(inputs, 1, Some(mask), None)), &[0.0, 4.0, 0.0, 0.0], 1e-12);
    }

    #[test]
    fn gradients_are_the_slopes_also_where_tokens_are_hidden() {
        let mut init = double();
        let mut mask = vec![0.0; 12];
        (mask[0], mask[5], mask[6]) = (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY);
        let mask = init.of(mask, [3, 4]).set_require_grad(false).val();
        let layer = MultiHeadAttention::new(6, 2, &mut init);
        let [q, k, v] =
            [(3, 1), (4, 2), (4, 3)].map(|(count, seed)| Param::from_tensor(random([2, count, 6], seed)));
        check_gradients((layer, q, k, v), |(layer, q, k, v)| {
            weighted(layer.forward([q.val(), k.val(), v.val()], Some(&mask), Some(&mut Dropout::new(0.3, 5))))
        });
    }

    #[test]
    fn queries_of_a_batch_of_one_are_those_of_all() {
        let layer = MultiHeadAttention::new(6, 2, &mut double());
        let [q, k] = [(1, 1), (3, 2)].map(|(batch, seed)| random([batch, 4, 6], seed));
        let pass = |q: Tensor<3>| layer.forward([q, k.clone(), k.clone()], None, None);
        let repeated = values(pass(q.clone().repeat_dim(0, 3)));
        close(&values(pass(q.clone())), &repeated, 1e-12);
        let q = Param::from_tensor(q);
        check_gradients((layer.clone(), q), |(layer, q)| {
            weighted(layer.forward([q.val(), k.clone(), k.clone()], None, None))
        });
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([4, 1, 196, 64], |x, init| {
            let x = x.squeeze_dim::<3>(1);
            MultiHeadAttention::new(64, 8, init)
                .forward([x.clone(), x.clone(), x], None, None)
                .unsqueeze_dim(1)
        });
    }
}

//! Multi-head attention.

use super::dense::Dense;
use super::dropout::Dropout;
use crate::init::{Init, xavier};
use blemish_ops::dense;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// softmax(q k^T / sqrt(d) + mask) v for every head: q is batch x heads x n x d, k and v batch x heads x m x d.
///
/// `mask` is n x m, the same for every image and head; minus infinity hides a token, but a row must not hide all. Dropout meets the
/// attention's weights.
pub fn attend(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    mask: Option<&Tensor<2>>,
    dropout: Option<&mut Dropout>,
) -> Tensor<4> {
    let scale = 1.0 / (q.dims()[3] as f64).sqrt();
    let logits = (q * scale).matmul(k.swap_dims(2, 3));
    let logits = match mask {
        Some(mask) => logits + mask.clone().unsqueeze(),
        None => logits,
    };
    let weights = activation::softmax(logits, 3);
    let weights = match dropout {
        Some(dropout) => dropout.apply(weights),
        None => weights,
    };
    weights.matmul(v)
}

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

    /// Batch x n x features, for queries of that shape and keys and values of batch x m x features; see [`attend`] for the mask.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn forward(
        &self,
        [q, k, v]: [Tensor<3>; 3],
        mask: Option<&Tensor<2>>,
        dropout: Option<&mut Dropout>,
    ) -> Tensor<3> {
        let [batch, count, features] = q.dims();
        let [q, k, v] = [(q, 0), (k, 1), (v, 2)].map(|(x, part)| self.projected(x, part));
        let y = attend(q, k, v, mask, dropout).swap_dims(1, 2).reshape([batch * count, features]);
        self.output.rows(y).reshape([batch, count, features])
    }

    /// The queries (part 0), keys (1) or values (2), batch x heads x tokens x features of a head.
    fn projected(&self, x: Tensor<3>, part: usize) -> Tensor<4> {
        let [batch, count, features] = x.dims();
        let weight = self.weight.val().narrow(1, part * features, features);
        let bias = self.bias.val().narrow(0, part * features, features);
        let y = dense(x.reshape([batch * count, features]), weight, bias);
        y.reshape([batch, count, self.heads, features / self.heads]).swap_dims(1, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};

    #[test]
    fn a_query_gets_the_values_of_the_keys_it_resembles() {
        let tensor = |values: &[f32], shape: [usize; 4]| double().of(values.to_vec(), shape).val();
        // Logits 2 ln 3 / sqrt(4) and 0: weights 3/4 and 1/4.
        let q = tensor(&[2.0 * 3f32.ln(), 0.0, 0.0, 0.0], [1, 1, 1, 4]);
        let k = tensor(&[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1, 1, 2, 4]);
        let v = tensor(&[4.0, 0.0, 0.0, 8.0, 0.0, 4.0, 0.0, 0.0], [1, 1, 2, 4]);
        close(&values(attend(q.clone(), k.clone(), v.clone(), None, None)), &[3.0, 1.0, 0.0, 6.0], 1e-6);
        let mask = double().of(vec![f32::NEG_INFINITY, 0.0], [1, 2]).val();
        close(&values(attend(q, k, v, Some(&mask), None)), &[0.0, 4.0, 0.0, 0.0], 1e-12);
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
    fn threads_do_not_change_a_bit() {
        threads_agree([4, 1, 196, 64], |x, init| {
            let x = x.squeeze_dim::<3>(1);
            MultiHeadAttention::new(64, 8, init)
                .forward([x.clone(), x.clone(), x], None, None)
                .unsqueeze_dim(1)
        });
    }
}

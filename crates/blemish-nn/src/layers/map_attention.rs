//! Attention between the positions of a map.

use super::conv::Conv;
use super::group_norm::GroupNorm;
use crate::init::Init;
use blemish_ops::attend;
use burn::module::Module;
use burn::tensor::Tensor;

/// y = x + P attention(Q, K, V) with (Q, K, V) of the normalised map by one 1x1 convolution; the positions are the tokens.
///
/// The convolution's channels are head by head, and within a head those of Q, of K and of V. P, a 1x1 convolution, starts at zero, so
/// the block starts as the identity (Dhariwal and Nichol 2021).
#[derive(Module, Debug)]
pub struct MapAttention {
    /// Before everything else.
    pub norm: GroupNorm,
    /// To queries, keys and values.
    pub projections: Conv,
    /// P.
    pub output: Conv,
    heads: usize,
}

impl MapAttention {
    /// Of `channels` channels that `heads` heads share, normalised in `groups` groups or fewer, see [`GroupNorm::at_most`].
    ///
    /// # Panics
    /// If the heads do not share the channels evenly.
    pub fn new(channels: usize, heads: usize, groups: usize, init: &mut Init) -> Self {
        assert!(
            heads > 0 && channels.is_multiple_of(heads),
            "{heads} heads cannot share {channels} channels"
        );
        Self {
            norm: GroupNorm::at_most(groups, channels, init),
            projections: Conv::new(channels, 3 * channels, 1, init),
            output: Conv::zero(channels, channels, 1, init),
            heads,
        }
    }

    /// y for x, batch x channels x height x width.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let (features, tokens) = (channels / self.heads, height * width);
        let all = self.projections.forward(self.norm.forward(x.clone()));
        // Each head lies by itself, as an image of its own would.
        let all = all.reshape([batch * self.heads, 3 * features, tokens]);
        let parts = [0, 1, 2].map(|part| all.clone().narrow(1, part * features, features).swap_dims(1, 2));
        let seen = attend(parts, 1, None, None).swap_dims(1, 2).reshape(shape);
        x + self.output.forward(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use burn::module::Param;

    #[test]
    fn it_starts_as_the_identity() {
        let x = random([2, 4, 3, 2], 1);
        let layer = MapAttention::new(4, 2, 2, &mut double());
        assert_eq!(values(layer.forward(x.clone())), values(x));
    }

    /// With queries and keys of zero every position gets the mean of the values: those of head h are the channels 3 d h + 2 d and on, not
    /// the last third of all.
    #[test]
    fn channels_are_head_by_head_and_within_a_head_queries_keys_values() {
        let (mut init, channels, heads) = (double(), 4, 2);
        let mut layer = MapAttention::new(channels, heads, 2, &mut init);
        let mut weight = vec![0.0f32; 3 * channels * channels];
        for channel in 0..channels {
            let (head, within) = (channel / 2, channel % 2);
            weight[(head * 6 + 4 + within) * channels + channel] = 1.0;
        }
        layer.projections = Conv::of(init.of(weight, [12, 4, 1, 1]), init.constant(0.0, [12]));
        let unit = (0..16).map(|at| f32::from(u8::from(at / 4 == at % 4))).collect();
        layer.output = Conv::of(init.of(unit, [4, 4, 1, 1]), init.constant(0.0, [4]));
        let x = random([1, 4, 2, 3], 3);
        let normed = layer.norm.forward(x.clone());
        let mean = normed.mean_dim(3).mean_dim(2);
        close(&values(layer.forward(x.clone())), &values(x + mean), 1e-9);
    }

    #[test]
    fn gradients_are_the_slopes() {
        let mut init = double();
        let mut layer = MapAttention::new(4, 2, 2, &mut init);
        layer.output = Conv::new(4, 4, 1, &mut init);
        let x = Param::from_tensor(random([2, 4, 2, 3], 2));
        check_gradients((layer, x), |(layer, x)| weighted(layer.forward(x.val())));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        threads_agree([2, 16, 12, 12], |x, init| {
            let mut layer = MapAttention::new(16, 4, 8, init);
            layer.output = Conv::new(16, 16, 1, init);
            layer.forward(x)
        });
    }
}

//! SSPCAB: a convolution that does not see its own position, then attention over channels.

use super::activation::Activation;
use super::conv::Conv;
use super::dense::Dense;
use crate::init::Init;
use crate::loss::l2;
use blemish_ops::convolve;
use burn::module::Module;
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, activation};

/// Where the four corners of an [`Sspcab`] meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CornerActivation {
    /// relu(K1 + K2 + K3 + K4), as the authors' PyTorch code has it.
    #[default]
    SumRelu,
    /// relu(K1) + relu(K2) + relu(K3) + relu(K4), as their TensorFlow code has it.
    BranchRelu,
    /// K1 + K2 + K3 + K4, as anomalib has it.
    None,
}

/// What the corners of an [`Sspcab`] meet beyond the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CornerPadding {
    /// Zeros.
    #[default]
    Zero,
    /// The mirror image, the edge not repeated, as the authors' TensorFlow code has it.
    Reflect,
}

/// The shape of an [`Sspcab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SspcabOptions {
    /// k': side of each of the four corners that are seen.
    pub kernel: usize,
    /// d: rows and columns on each side of the centre that are not seen.
    pub distance: usize,
    /// r: the attention goes through as many channels as there are, divided by this.
    pub reduction: usize,
    /// Where the corners meet.
    pub activation: CornerActivation,
    /// What lies beyond the map.
    pub padding: CornerPadding,
}

impl Default for SspcabOptions {
    /// The paper's: corners of one value at a distance of one, attention through an eighth of the channels.
    fn default() -> Self {
        Self {
            kernel: 1,
            distance: 1,
            reduction: 8,
            activation: CornerActivation::default(),
            padding: CornerPadding::default(),
        }
    }
}

impl SspcabOptions {
    /// Whether every position of a map of that height and width sees something, and the padding can be made.
    pub fn fits(&self, [height, width]: [usize; 2]) -> bool {
        let side = height.min(width);
        let is_mirrored = self.padding == CornerPadding::Reflect;
        side > 2 * self.distance + 1 && (!is_mirrored || side > self.kernel + self.distance)
    }
}

/// The self-supervised predictive convolutional attentive block (Ristea et al., arXiv 2111.09099, section 3).
///
/// Every value is predicted from four corners around it: of the (2 k' + 2 d + 1)^2 values around, those with |dy| <= d or |dx| <= d are
/// masked. Y = relu(K1 + K2 + K3 + K4), the corners in the order top left, bottom left, top right, bottom right, each with weights and a
/// bias of its own. Then every channel is weighted: Z = g Y, g = sigmoid(W2 relu(W1 mean(Y) + b1) + b2), the mean over the map.
///
/// Z has the shape of the input X. It learns to equal it: [`Self::loss`], which a host adds to its own times 0.1, with gradients through
/// both. Z is not negative (but with [`CornerActivation::None`]), so it belongs behind a ReLU. Without a normalisation before it the
/// host may make X small instead of predictable.
#[derive(Module, Debug)]
pub struct Sspcab {
    /// K1 to K4.
    pub corners: [Conv; 4],
    /// W1 and b1.
    pub squeeze: Dense,
    /// W2 and b2.
    pub excite: Dense,
    #[module(skip)]
    options: SspcabOptions,
}

impl Sspcab {
    /// For maps of `channels` channels, with the usual uniform weights.
    ///
    /// # Panics
    /// If there are fewer channels than they are divided by, or the kernel or the reduction is 0.
    pub fn new(channels: usize, options: SspcabOptions, init: &mut Init) -> Self {
        let SspcabOptions { kernel, reduction, .. } = options;
        assert!(kernel > 0 && reduction > 0, "a block without corners or attention");
        let inner = channels / reduction;
        assert!(inner > 0, "attention through {channels} / {reduction} channels");
        Self {
            corners: std::array::from_fn(|_| Conv::new(channels, channels, kernel, init).unpadded()),
            squeeze: Dense::new(channels, inner, init),
            excite: Dense::new(inner, channels, init),
            options,
        }
    }

    /// Its shape.
    pub fn options(&self) -> SspcabOptions {
        self.options
    }

    /// Z for X, batch x channels x height x width.
    ///
    /// # Panics
    /// If X has another number of channels or is too small, see [`SspcabOptions::fits`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.attend(self.predict(x))
    }

    /// Z for X, and mean (Z - X)^2, which the host adds to its loss.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn forward_with_loss(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<1>) {
        let z = self.forward(x.clone());
        (z.clone(), Self::loss(x, z))
    }

    /// Mean over batch, channels and positions of (Z - X)^2.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn loss(x: Tensor<4>, z: Tensor<4>) -> Tensor<1> {
        l2(z, x)
    }

    /// Y: what the corners say of each position.
    fn predict(&self, x: Tensor<4>) -> Tensor<4> {
        let SspcabOptions { kernel, distance, activation, padding, .. } = self.options;
        let [_, _, height, width] = x.dims();
        assert!(
            self.options.fits([height, width]),
            "a map of {height} x {width} is too small to be predicted from around"
        );
        let mode = match padding {
            CornerPadding::Zero => PadMode::Constant(0.0),
            CornerPadding::Reflect => PadMode::Reflect,
        };
        let padded = x.pad([(kernel + distance, kernel + distance); 2], mode);
        // First rows and columns of the corners: those before the centre, and those behind it.
        let far = kernel + 2 * distance + 1;
        let views = [(0, 0), (far, 0), (0, far), (far, far)].map(|(top, left)| {
            padded.clone().narrow(2, top, height + kernel - 1).narrow(3, left, width + kernel - 1)
        });
        if activation == CornerActivation::BranchRelu {
            let branch =
                |number: usize| Activation::Relu.forward(self.corners[number].forward(views[number].clone()));
            return branch(0) + branch(1) + branch(2) + branch(3);
        }
        // One product of matrices for all four.
        let weight = Tensor::cat(self.corners.iter().map(|conv| conv.weight.val()).collect(), 1);
        let [a, b, c, d] = self.corners.each_ref().map(|conv| conv.bias.val());
        let sum = convolve(Tensor::cat(views.to_vec(), 1), weight, a + b + c + d, 1, 0);
        if activation == CornerActivation::None { sum } else { Activation::Relu.forward(sum) }
    }

    /// Z for Y.
    fn attend(&self, y: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = y.dims();
        let mean = y.clone().reshape([batch * channels, height * width]).mean_dim(1);
        let inner = activation::relu(self.squeeze.rows(mean.reshape([batch, channels])));
        let gate = activation::sigmoid(self.excite.rows(inner));
        y * gate.reshape([batch, channels, 1, 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, threads_agree, values, weighted};
    use crate::weights::trained_values;
    use burn::module::Param;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    fn options(kernel: usize, distance: usize) -> SspcabOptions {
        SspcabOptions { kernel, distance, reduction: 1, ..SspcabOptions::default() }
    }

    /// A block whose gate is sigmoid(`bias`) whatever it sees.
    fn gated(channels: usize, options: SspcabOptions, bias: f32) -> Sspcab {
        let mut init = double();
        let mut block = Sspcab::new(channels, options, &mut init);
        let inner = channels / options.reduction;
        block.excite =
            Dense { weight: init.constant(0.0, [inner, channels]), bias: init.constant(bias, [channels]) };
        block
    }

    /// sigmoid(40) is 1 to the last bit.
    const OPEN: f32 = 40.0;

    /// The same with weights of 1 / (4 channels) times `factor` and no bias.
    fn averaging(channels: usize, options: SspcabOptions, factor: f32) -> Sspcab {
        let init = double();
        let mut block = gated(channels, options, OPEN);
        let weight = factor / (4 * channels) as f32;
        let shape = [channels, channels, options.kernel, options.kernel];
        block.corners = std::array::from_fn(|_| {
            Conv::of(init.constant(weight, shape), init.constant(0.0, [channels])).unpadded()
        });
        block
    }

    /// Zeros with a 1 at (y, x).
    fn impulse([height, width]: [usize; 2], y: usize, x: usize) -> Tensor<4> {
        let mut image = vec![0.0; height * width];
        image[y * width + x] = 1.0;
        double().of(image, [1, 1, height, width]).val()
    }

    #[test]
    fn an_impulse_is_seen_by_the_four_positions_it_is_a_corner_of() {
        let found = values(averaging(1, options(1, 1), 4.0).forward(impulse([9, 10], 4, 5)));
        for (at, value) in found.into_iter().enumerate() {
            let (y, x) = (at / 10, at % 10);
            let is_seen = y.abs_diff(4) == 2 && x.abs_diff(5) == 2;
            assert_eq!(value, f64::from(u8::from(is_seen)), "({y}, {x})");
        }
    }

    /// The gradient of the value at the middle of a 13 x 13 map by the map's values.
    fn sensitivity(block: &Sspcab) -> Vec<f64> {
        let x = random([1, 1, 13, 13], 3);
        // Through the linear form, so that no ReLU hides anything.
        let z = block.forward(x.clone()).narrow(2, 6, 1).narrow(3, 6, 1).sum();
        values(x.grad(&z.backward()).unwrap())
    }

    #[test]
    fn the_centre_is_masked_and_only_the_mean_sees_the_whole_map() {
        for (kernel, distance) in [(1, 0), (1, 1), (1, 2), (2, 1), (3, 0)] {
            let options = SspcabOptions { activation: CornerActivation::None, ..options(kernel, distance) };
            let seen = |at: usize| {
                let (dy, dx) = ((at / 13).abs_diff(6), (at % 13).abs_diff(6));
                let within = |off: usize| off > distance && off <= kernel + distance;
                within(dy) && within(dx)
            };
            let held = sensitivity(&gated(1, options, 0.3));
            for (at, slope) in held.iter().enumerate() {
                assert_eq!(*slope != 0.0, seen(at), "{at} with k' = {kernel} and d = {distance}");
            }
            let mut init = double();
            let mut active = Sspcab::new(1, options, &mut init);
            // A unit that is on, whatever the weights are.
            active.squeeze.bias = init.constant(3.0, [1]);
            let active = sensitivity(&active);
            let masked = (0..169).filter(|&at| !seen(at)).map(|at| active[at].abs());
            let direct = (0..169).filter(|&at| seen(at)).map(|at| active[at].abs()).fold(0.0, f64::max);
            let through_mean = masked.fold(0.0, f64::max);
            assert!(through_mean > 0.0 && through_mean < 0.1 * direct, "{through_mean} {direct}");
        }
    }

    #[test]
    fn corners_of_one_value_are_a_dilated_convolution() {
        for distance in 0..3 {
            let block = gated(3, options(1, distance), OPEN);
            let x = random([2, 3, 9, 8], 5);
            let bias = block.corners.iter().map(|conv| conv.bias.val()).reduce(|a, b| a + b).unwrap();
            // Rows of the kernel: top left, top right; bottom left, bottom right.
            let row = |left: usize, right: usize| {
                Tensor::cat(vec![block.corners[left].weight.val(), block.corners[right].weight.val()], 3)
            };
            let weight = Tensor::cat(vec![row(0, 2), row(1, 3)], 2);
            let options = ConvOptions::new([1; 2], [distance + 1; 2], [2 * distance + 2; 2], 1);
            let expected = conv2d(x.clone(), weight, Some(bias), options);
            close(&values(block.forward(x)), &values(activation::relu(expected)), 1e-12);
        }
    }

    #[test]
    fn larger_corners_read_the_offsets_of_the_specification() {
        let block = averaging(1, options(2, 1), 4.0);
        let found = values(block.forward(impulse([11, 11], 5, 5)));
        for (at, value) in found.into_iter().enumerate() {
            let within = |off: usize| (2..=3).contains(&off);
            let is_seen = within((at / 11).abs_diff(5)) && within((at % 11).abs_diff(5));
            assert_eq!(value, f64::from(u8::from(is_seen)), "{at}");
        }
        for [height, width] in [[7, 8], [8, 7], [5, 12], [4, 4]] {
            for padding in [CornerPadding::Zero, CornerPadding::Reflect] {
                let options = SspcabOptions { padding, ..options(2, 1) };
                let z = gated(2, options, 0.0).forward(random([3, 2, height, width], 1));
                assert_eq!(z.dims(), [3, 2, height, width]);
            }
        }
    }

    #[test]
    fn corners_come_in_the_published_order() {
        // Y(i, j) = X(i + dy, j + dx).
        for (number, (dy, dx)) in [(-2, -2), (2, -2), (-2, 2), (2, 2)].into_iter().enumerate() {
            let init = double();
            let mut block = averaging(1, options(1, 1), 4.0);
            for (other, conv) in block.corners.iter_mut().enumerate() {
                conv.weight = init.constant(f32::from(u8::from(other == number)), [1, 1, 1, 1]);
            }
            let found = values(block.forward(impulse([9, 9], 4, 4)));
            let at = (4 - dy) * 9 + 4 - dx;
            assert_eq!((found[at as usize], found.iter().sum::<f64>()), (1.0, 1.0), "corner {number}");
        }
    }

    #[test]
    fn a_constant_map_is_predicted_less_well_at_its_border() {
        let x = double().constant(3.0, [1, 2, 7, 8]).val();
        let found = values(averaging(2, options(1, 1), 1.0).forward(x.clone()));
        for (at, value) in found.into_iter().enumerate() {
            let (y, x) = (at % 56 / 8, at % 8);
            let share = |at: usize, side: usize| if at < 2 || at + 2 >= side { 0.5 } else { 1.0 };
            assert!((value - 3.0 * share(y, 7) * share(x, 8)).abs() < 1e-6, "({y}, {x}): {value}");
        }
        let mirrored = SspcabOptions { padding: CornerPadding::Reflect, ..options(1, 1) };
        close(&values(averaging(2, mirrored, 1.0).forward(x)), &[3.0; 112], 1e-6);
    }

    #[test]
    fn the_border_may_be_mirrored() {
        // One row matters: X(i + 2, j - 2) of a map whose columns count from 0, mirrored at the left: 2, 1, 0, 1, ...
        let init = double();
        let mut block = averaging(1, SspcabOptions { padding: CornerPadding::Reflect, ..options(1, 1) }, 4.0);
        for (other, conv) in block.corners.iter_mut().enumerate() {
            conv.weight = init.constant(f32::from(u8::from(other == 1)), [1, 1, 1, 1]);
        }
        let x = init.of((0..36).map(|at| (at % 6) as f32).collect(), [1, 1, 6, 6]).val();
        close(&values(block.forward(x))[..6], &[2.0, 1.0, 0.0, 1.0, 2.0, 3.0], 1e-12);
    }

    #[test]
    fn attention_scales_whole_channels_by_gates_between_0_and_1() {
        let x = random([2, 4, 6, 6], 2);
        let half = values(gated(4, options(1, 1), 0.0).forward(x.clone()));
        let whole = values(gated(4, options(1, 1), OPEN).forward(x.clone()));
        close(&half, &whole.iter().map(|value| value / 2.0).collect::<Vec<_>>(), 1e-12);
        let block = Sspcab::new(4, SspcabOptions { reduction: 2, ..options(1, 1) }, &mut double());
        let (y, z) = (values(block.predict(x.clone())), values(block.forward(x)));
        for (y, z) in y.chunks(36).zip(z.chunks(36)) {
            let gates: Vec<f64> = y.iter().zip(z).filter(|(y, _)| **y > 0.0).map(|(y, z)| z / y).collect();
            assert!(gates.iter().all(|gate| (gate - gates[0]).abs() < 1e-12 && 0.0 < *gate && *gate < 1.0));
        }
    }

    #[test]
    fn an_image_does_not_see_its_neighbours_in_the_batch() {
        let block = Sspcab::new(4, SspcabOptions { reduction: 2, ..options(1, 1) }, &mut double());
        let x = random([3, 4, 6, 7], 8);
        let alone = values(block.forward(x.clone().narrow(0, 1, 1)));
        close(&values(block.forward(x).narrow(0, 1, 1)), &alone, 1e-13);
    }

    #[test]
    fn the_three_activations_differ_where_signs_are_mixed() {
        let x = random([1, 2, 6, 6], 9);
        let of = |activation| {
            values(gated(2, SspcabOptions { activation, ..options(1, 1) }, OPEN).forward(x.clone()))
        };
        let (sum, branch, none) =
            (of(CornerActivation::SumRelu), of(CornerActivation::BranchRelu), of(CornerActivation::None));
        let relu: Vec<f64> = none.iter().map(|value| value.max(0.0)).collect();
        close(&sum, &relu, 1e-12);
        assert!(none.iter().any(|value| *value < 0.0));
        assert!(branch.iter().zip(&sum).all(|(branch, sum)| *branch >= sum - 1e-12));
        assert!(branch.iter().zip(&sum).any(|(branch, sum)| *branch > sum + 0.1));
    }

    #[test]
    fn the_loss_is_the_mean_square_of_what_was_not_predicted() {
        let x = random([2, 3, 5, 5], 1);
        assert_eq!(values(Sspcab::loss(x.clone(), x.clone())), [0.0]);
        close(&values(Sspcab::loss(x.clone(), x.clone() + 0.5)), &[0.25], 1e-12);
        // The direct part of the slope by X is -2 (Z - X) / n.
        let (x, z) = (x.detach().require_grad(), random([2, 3, 5, 5], 2).detach());
        let slope = x.grad(&Sspcab::loss(x.clone(), z.clone()).backward()).unwrap();
        let expected = (z - x.clone().detach()) * (-2.0 / 150.0);
        // A factor of a tensor is in single precision.
        close(&values(slope), &values(expected), 1e-8);
    }

    #[test]
    fn gradients_are_the_slopes_through_both_sides_of_the_loss() {
        for activation in [CornerActivation::SumRelu, CornerActivation::BranchRelu, CornerActivation::None] {
            for padding in [CornerPadding::Zero, CornerPadding::Reflect] {
                for (kernel, distance) in [(1, 1), (2, 0)] {
                    let options = SspcabOptions { kernel, distance, reduction: 2, activation, padding };
                    let block = Sspcab::new(2, options, &mut double());
                    let x = Param::from_tensor(random([2, 2, 4, 5], 1));
                    check_gradients((block, x), |(block, x)| {
                        let (z, loss) = block.forward_with_loss(x.val());
                        weighted(z) + loss
                    });
                }
            }
        }
    }

    #[test]
    fn it_has_the_published_number_of_weights() {
        let device = burn::tensor::Device::flex();
        let expected = [(64, 17_736), (128, 70_288), (256, 279_840), (512, 1_116_736), (1024, 4_461_696)];
        for (channels, weights) in expected {
            let mut init = Init::new(1, &device.clone().autodiff());
            let block = Sspcab::new(channels, SspcabOptions::default(), &mut init);
            assert_eq!(trained_values(&block), weights);
        }
        let mut init = Init::new(1, &device.autodiff());
        let block = Sspcab::new(20, SspcabOptions { kernel: 3, ..SspcabOptions::default() }, &mut init);
        assert_eq!(trained_values(&block), 4 * (400 * 9 + 20) + 2 * 20 * 2 + 2 + 20);
    }

    #[test]
    fn maps_without_anything_to_see_are_known() {
        assert!(!SspcabOptions::default().fits([3, 9]) && SspcabOptions::default().fits([4, 4]));
        let mirrored = SspcabOptions { padding: CornerPadding::Reflect, ..options(3, 0) };
        assert!(!mirrored.fits([3, 9]) && mirrored.fits([4, 9]) && options(3, 0).fits([3, 9]));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        for activation in [CornerActivation::SumRelu, CornerActivation::BranchRelu] {
            let options = SspcabOptions { activation, ..SspcabOptions::default() };
            threads_agree([3, 16, 33, 31], |x, init| Sspcab::new(16, options, init).forward(x));
        }
    }
}

//! CS-Flow's coupling: three maps of one image, each half the size of the one before, whose subnets see each other.

use super::coupling::uncouple;
use super::mixing::Permutation;
use crate::init::Init;
use crate::layers::Conv;
use blemish_ops::{Coupling, channels, couple};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// Sizes of a block.
#[derive(Clone, Copy, Debug)]
pub struct CrossScaleConfig {
    /// Channels of each scale.
    pub channels: usize,
    /// Channels inside the subnets.
    pub hidden: usize,
    /// Side of the kernels, odd.
    pub kernel: usize,
    /// From r and t to the new values.
    pub coupling: Coupling,
}

/// Convolutions at three scales, joined one scale up and one down.
///
/// ```text
/// h_i = leaky(A_i x_i)
/// y_0 = gamma_0 (B_0 h_0 + U_1 up(h_1))
/// y_1 = gamma_1 (B_1 h_1 + D_0 h_0 + U_2 up(h_2))      D with stride 2
/// y_2 = gamma_2 (B_2 h_2 + D_1 h_1)
/// ```
#[derive(Module, Debug)]
pub struct CrossSubnet {
    /// A of every scale.
    pub inner: Vec<Conv>,
    /// B of every scale.
    pub outer: Vec<Conv>,
    /// U_1 and U_2.
    pub up: Vec<Conv>,
    /// D_0 and D_1.
    pub down: Vec<Conv>,
    /// One value a scale, 0 at the start: every block starts as a permutation.
    pub gamma: Param<Tensor<1>>,
}

impl CrossSubnet {
    /// Of the leaky rectifier.
    pub const SLOPE: f64 = 0.1;

    fn new(config: &CrossScaleConfig, inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let CrossScaleConfig { hidden, kernel, .. } = *config;
        let mut convs = |count, inputs, outputs, stride| -> Vec<Conv> {
            (0..count).map(|_| Conv::new(inputs, outputs, kernel, init).with_stride(stride)).collect()
        };
        let (inner, outer) = (convs(3, inputs, hidden, 1), convs(3, hidden, 2 * outputs, 1));
        let (up, down) = (convs(2, hidden, 2 * outputs, 1), convs(2, hidden, 2 * outputs, 2));
        Self { inner, outer, up, down, gamma: init.constant(0.0, [3]) }
    }

    fn forward(&self, x: [Tensor<4>; 3]) -> [Tensor<4>; 3] {
        let mut scale = 0;
        let h = x.map(|x| {
            scale += 1;
            activation::leaky_relu(self.inner[scale - 1].forward(x), CrossSubnet::SLOPE)
        });
        let gamma = |scale: usize| self.gamma.val().narrow(0, scale, 1).reshape([1, 1, 1, 1]);
        let own = |scale: usize| self.outer[scale].forward(h[scale].clone());
        let up = |from: usize| self.up[from - 1].forward(double(h[from].clone()));
        let down = |from: usize| self.down[from].forward(h[from].clone());
        [(own(0) + up(1)) * gamma(0), (own(1) + down(0) + up(2)) * gamma(1), (own(2) + down(1)) * gamma(2)]
    }
}

/// A fixed permutation at every scale, then a double coupling over all scales.
#[derive(Module, Debug)]
pub struct CrossScaleBlock {
    /// One a scale.
    pub permutations: Vec<Permutation>,
    /// From the second halves to r and t of the first ones.
    pub to_first: CrossSubnet,
    /// From the new first halves to r and t of the second ones.
    pub to_second: CrossSubnet,
    /// From r and t to the new values.
    #[module(skip)]
    pub coupling: Coupling,
}

impl CrossScaleBlock {
    /// Random permutations and weights, gamma 0.
    pub fn new(config: &CrossScaleConfig, init: &mut Init) -> Self {
        let first = config.channels / 2;
        let second = config.channels - first;
        Self {
            permutations: (0..3).map(|_| Permutation::new(config.channels, init)).collect(),
            to_first: CrossSubnet::new(config, second, first, init),
            to_second: CrossSubnet::new(config, first, second, init),
            coupling: config.coupling,
        }
    }

    /// z and the log-determinants per position, scale by scale.
    pub fn forward(&self, x: [Tensor<4>; 3]) -> ([Tensor<4>; 3], [Tensor<4>; 3]) {
        let mut scale = 0;
        let x = x.map(|x| {
            scale += 1;
            self.permutations[scale - 1].forward(x)
        });
        let (a, b) = halves(x);
        let raw = self.to_first.forward(b.clone());
        let (a, first) = couple_all(a, raw, self.coupling);
        let raw = self.to_second.forward(a.clone());
        let (b, second) = couple_all(b, raw, self.coupling);
        (zip(a, b, |a, b| Tensor::cat(vec![a, b], 1)), zip(first, second, |a, b| a + b))
    }

    /// x.
    pub fn inverse(&self, z: [Tensor<4>; 3]) -> [Tensor<4>; 3] {
        let (a, b) = halves(z);
        let raw = self.to_second.forward(a.clone());
        let b = zip(b, raw, |b, raw| uncouple(b, raw, self.coupling));
        let raw = self.to_first.forward(b.clone());
        let a = zip(a, raw, |a, raw| uncouple(a, raw, self.coupling));
        let mut scale = 0;
        zip(a, b, |a, b| {
            scale += 1;
            self.permutations[scale - 1].inverse(Tensor::cat(vec![a, b], 1))
        })
    }

    /// Sets every gamma, for tests of what the subnets do.
    pub fn set_gamma(&mut self, value: f64) {
        for subnet in [&mut self.to_first, &mut self.to_second] {
            subnet.gamma = subnet.gamma.clone().map(|gamma| {
                let filled = gamma.zeros_like() + value;
                filled.detach().require_grad()
            });
        }
    }
}

fn halves(x: [Tensor<4>; 3]) -> ([Tensor<4>; 3], [Tensor<4>; 3]) {
    let first = x[0].dims()[1] / 2;
    let second = x[0].dims()[1] - first;
    (x.clone().map(|x| channels(x, 0, first)), x.map(|x| channels(x, first, second)))
}

fn zip<A, B, C>(a: [A; 3], b: [B; 3], mut join: impl FnMut(A, B) -> C) -> [C; 3] {
    let ([a0, a1, a2], [b0, b1, b2]) = (a, b);
    [join(a0, b0), join(a1, b1), join(a2, b2)]
}

fn couple_all(
    x: [Tensor<4>; 3],
    raw: [Tensor<4>; 3],
    coupling: Coupling,
) -> ([Tensor<4>; 3], [Tensor<4>; 3]) {
    let [(a, one), (b, two), (c, three)] = zip(x, raw, |x, raw| couple(x, raw, coupling));
    ([a, b, c], [one, two, three])
}

/// Twice the size, bilinear with half-pixel centres, the edge repeated.
pub(super) fn double(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let rows = interleave::<2>(x, height).reshape([batch, channels, 2 * height, width]);
    interleave::<3>(rows, width).reshape([batch, channels, 2 * height, 2 * width])
}

/// Doubles one dimension: new values lie a quarter of a step before and after each old one.
fn interleave<const DIM: usize>(x: Tensor<4>, side: usize) -> Tensor<5> {
    let part = |start: usize, length: usize| x.clone().narrow(DIM, start, length);
    let (before, after) = match side {
        1 => (x.clone(), x.clone()),
        _ => (
            Tensor::cat(vec![part(0, 1), part(0, side - 1)], DIM),
            Tensor::cat(vec![part(1, side - 1), part(side - 1, 1)], DIM),
        ),
    };
    let even = x.clone() * 0.75 + before * 0.25;
    let odd = x * 0.75 + after * 0.25;
    Tensor::stack(vec![even, odd], DIM + 1)
}

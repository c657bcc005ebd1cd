//! A trained network packed for scoring on the CPU: the kernels of the backbones, which keep maps channels last and know no gradients.

use super::Network;
use crate::shared::flow_graph::scales_of;
use crate::shared::tensors::values_of;
use blemish_core::error::Error;
use blemish_features::FeatureMap;
use blemish_kernels::Lines;
use blemish_kernels::conv::{Activation, ChannelsLast, ConvSpec, Convolution, Epilogue, Windows};
use blemish_kernels::flow::{CouplingStep, TanhCoupling, latent_energy};
use blemish_nn::flow::{Chain, Piece};
use blemish_nn::layers::{Conv, Layer, MapNorm};
use blemish_ops::Clamp;
use rayon::prelude::*;

/// The flows of all layers.
pub(super) struct Packed {
    layers: Vec<Flow>,
}

/// A layer's normalisation and blocks.
struct Flow {
    norm: Option<Norm>,
    blocks: Vec<Block>,
}

/// Of a whole map.
struct Norm {
    /// Scale and shift of every value.
    learned: Option<[Vec<f32>; 2]>,
}

/// A coupling whose subnet has two convolutions, with the affine map and the permutation behind it.
struct Block {
    subnet: [Convolution; 2],
    kernel: usize,
    step: CouplingStep,
}

impl Packed {
    /// Packs the weights.
    ///
    /// # Errors
    /// [`Error::Score`] if the weights cannot be read, or the network is none of FastFlow's.
    pub fn new(network: &Network) -> Result<Self, Error> {
        let layer = |(number, chain): (usize, &Chain)| {
            let norm = network.norms.get(number).map(Norm::new).transpose()?;
            let blocks = chain.pieces.chunks(3).map(Block::new).collect::<Result<_, _>>()?;
            Ok(Flow { norm, blocks })
        };
        Ok(Self { layers: network.flows.iter().enumerate().map(layer).collect::<Result<_, Error>>()? })
    }

    /// Half the sum of z^2 over the channels, images x height x width, for a layer's maps of `count` images.
    pub fn energies(&self, layer: usize, maps: &FeatureMap, count: usize) -> Vec<f32> {
        let shape = [maps.channels, maps.height, maps.width];
        let images = maps.data.chunks_exact(shape.iter().product::<usize>().max(1));
        let flow = &self.layers[layer];
        if count == 1 {
            return images.flat_map(|map| flow.energy(map, shape, true)).collect();
        }
        let images: Vec<&[f32]> = images.collect();
        images.into_par_iter().flat_map_iter(|map| flow.energy(map, shape, false)).collect()
    }
}

impl Flow {
    /// The energy at every position of a map of channels x height x width values.
    fn energy(&self, map: &[f32], [channels, height, width]: [usize; 3], is_parallel: bool) -> Vec<f32> {
        let normed = self.norm.as_ref().map(|norm| norm.apply(map));
        let map = normed.as_deref().unwrap_or(map);
        let first = self.blocks.first().map_or(channels - channels / 2, |block| block.step.first());
        let (a, b) = map.split_at(first * height * width);
        let [mut a, mut b] = [(a, first), (b, channels - first)]
            .map(|(half, channels)| ChannelsLast::from_planes(half, [channels, height, width], Lines::new()));
        // Memory goes from map to map.
        let mut spaces: Vec<Lines<f32>> = Vec::new();
        for block in &self.blocks {
            let mut space = || spaces.pop().unwrap_or_default();
            let border = block.kernel / 2;
            let windows = Windows { top: border, left: border, height, width };
            let [inner, outer] = &block.subnet;
            let relu = Epilogue::new(None, Activation::Relu);
            let hidden = inner.apply(&a, windows, relu, space(), is_parallel);
            let raw = outer.apply(&hidden, windows, Epilogue::default(), space(), is_parallel);
            let changed = block.step.apply([&a, &b], &raw, [space(), space()], is_parallel);
            let before = [std::mem::take(&mut a), std::mem::take(&mut b), hidden, raw];
            spaces.extend(before.map(ChannelsLast::into_space));
            [a, b] = changed;
        }
        latent_energy([&a, &b])
    }
}

impl Norm {
    fn new(norm: &MapNorm) -> Result<Self, Error> {
        let learned = match norm.learned() {
            Some((scale, shift)) => Some([values_of(scale)?, values_of(shift)?]),
            None => None,
        };
        Ok(Self { learned })
    }

    /// (x - mean) / sqrt(variance + epsilon), scaled and shifted.
    fn apply(&self, map: &[f32]) -> Vec<f32> {
        let mean = mean(map, |value| value);
        let variance = self::mean(map, |value| (value - mean) * (value - mean));
        let (mean, factor) = (mean as f32, (1.0 / (variance + MapNorm::EPSILON).sqrt()) as f32);
        let standard = map.iter().map(|value| (value - mean) * factor);
        match &self.learned {
            Some([scale, shift]) => {
                standard.zip(scale).zip(shift).map(|((value, scale), shift)| value * scale + shift).collect()
            }
            None => standard.collect(),
        }
    }
}

/// The mean of a function of all values, summed eight by eight in double precision.
fn mean(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let (chunks, tail) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += of(f64::from(value));
        }
    }
    let rest: f64 = tail.iter().map(|&value| of(f64::from(value))).sum();
    (sums.iter().sum::<f64>() + rest) / values.len().max(1) as f64
}

impl Block {
    fn new(pieces: &[Piece]) -> Result<Self, Error> {
        let other = || Error::Score { reason: "FastFlow's blocks are of another kind".into() };
        let [Piece::Coupling(coupling), Piece::Affine(affine), Piece::Permutation(permutation)] = pieces
        else {
            return Err(other());
        };
        let [step] = &coupling.steps[..] else { return Err(other()) };
        let [Layer::Conv(inner), Layer::Relu(_), Layer::Conv(outer)] = &step.subnet.layers[..] else {
            return Err(other());
        };
        let Clamp::Tanh { limit, rate } = coupling.coupling.clamp else { return Err(other()) };
        let gain = coupling.coupling.gain;
        let [limit, rate, gain] = [limit, rate, gain].map(|value| value as f32);
        let scale: Vec<f32> = scales_of(affine)?.into_iter().map(|scale| scale as f32).collect();
        let affine = [scale, values_of(affine.offset.val())?];
        let step = CouplingStep::new(
            TanhCoupling { limit, rate, gain },
            coupling.first,
            affine.each_ref().map(Vec::as_slice),
            &permutation.order,
        );
        let second = permutation.order.len() - coupling.first;
        let subnet = [convolution(inner, [1, 1])?, convolution(outer, [second, step.raw_channels() / 2])?];
        Ok(Self { subnet, kernel: inner.weight.dims()[2], step })
    }
}

/// Packs a convolution whose outputs come in groups of `group`, each filled up with outputs of zero to `filled`.
fn convolution(conv: &Conv, [group, filled]: [usize; 2]) -> Result<Convolution, Error> {
    let [_, in_channels, kernel, _] = conv.weight.dims();
    let fill = |values: Vec<f32>, each: usize| -> Vec<f32> {
        let groups = values.chunks_exact(group * each);
        groups.flat_map(|group| [group, &vec![0.0; filled * each - group.len()]].concat()).collect()
    };
    let weights = fill(values_of(conv.weight.val())?, in_channels * kernel * kernel);
    let bias = fill(values_of(conv.bias.val())?, 1);
    let spec = ConvSpec { in_channels, out_channels: bias.len(), kernel, stride: 1, groups: 1 };
    Ok(Convolution::new(spec, &weights, &bias))
}

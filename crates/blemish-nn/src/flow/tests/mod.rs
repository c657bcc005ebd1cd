//! Flows like those of the methods, in both precisions.

mod pieces;
mod whole;

use super::*;
use crate::init::{Init, LowerUpper};
use crate::layers::Subnet;
use crate::weights::trained_values;
use blemish_ops::{Clamp, Coupling};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};

const TANH: Coupling =
    Coupling { clamp: Clamp::Tanh { limit: 2.0, rate: 0.1 }, gain: 0.1, shift_first: false };
const ATAN: Coupling =
    Coupling { clamp: Clamp::Atan { limit: 0.636 * 3.0, rate: 1.0 / 3.0 }, gain: 1.0, shift_first: false };
const SIGMOID: Coupling = Coupling { clamp: Clamp::Sigmoid { floor: 0.0 }, gain: 1.0, shift_first: true };
const ADDITIVE: Coupling = Coupling { clamp: Clamp::None, gain: 1.0, shift_first: false };

fn single() -> Init {
    Init::new(7, &Device::flex().autodiff())
}

fn tensor(values: &[f64], shape: [usize; 4]) -> Tensor<4> {
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (&device, DType::F64))
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().into_data().convert::<f64>().try_into_vec().unwrap()
}

fn close(ours: &[f64], exact: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), exact.len());
    for (ours, exact) in ours.iter().zip(exact) {
        assert!((ours - exact).abs() <= tolerance, "{ours} instead of {exact}");
    }
}

/// Gives every trained weight, with its number, to `change`.
fn changed<M: Module>(network: M, change: impl FnMut(usize, &mut [f64])) -> M {
    struct Change<F>(usize, F);
    impl<F: FnMut(usize, &mut [f64])> ModuleMapper for Change<F> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.val().is_require_grad() {
                return param;
            }
            let number = self.0;
            self.0 += 1;
            param.map(|old| {
                let (mut values, target) = (values(&old), (&old.device(), old.dtype()));
                (self.1)(number, &mut values);
                let data = TensorData::new(values, old.dims()).convert_dtype(old.dtype());
                Tensor::from_data(data, target).require_grad()
            })
        }
    }
    network.map(&mut Change(0, change))
}

/// The network away from its start, where last layers are zero and scales one.
fn shaken<M: Module>(network: M, amount: f64, init: &mut Init) -> M {
    changed(network, |_, weights| {
        let noise = values(&init.normal(1.0, [weights.len()]).val());
        weights
            .iter_mut()
            .zip(noise)
            .for_each(|(weight, noise)| *weight += amount * (1.0 + weight.abs()) * noise);
    })
}

/// Name and gradient of every trained weight.
fn gradients_of<M: Module>(network: &M, gradients: &Gradients) -> Vec<(String, Vec<f64>)> {
    struct Collect<'a>(Vec<String>, Vec<(String, Vec<f64>)>, &'a Gradients);
    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().is_require_grad() {
                let gradient = param.val().grad(self.2).expect("a weight without gradient");
                self.1.push((self.0.join("."), values(&gradient)));
            }
        }
    }
    let mut collect = Collect(Vec::new(), Vec::new(), gradients);
    network.visit(&mut collect);
    collect.1
}

/// A flow of one map or of three.
#[derive(Module, Debug)]
enum Flow {
    Chain(Chain),
    Scales(Vec<CrossScaleBlock>),
}

type Maps = Vec<Tensor<4>>;

struct Case {
    name: &'static str,
    flow: Flow,
    /// Channels, height and width of each map.
    shapes: Vec<[usize; 3]>,
    /// The same for every image.
    condition: Option<Tensor<4>>,
}

impl Case {
    fn new(name: &'static str, chain: Chain, shape: [usize; 3]) -> Self {
        Self { name, flow: Flow::Chain(chain), shapes: vec![shape], condition: None }
    }

    fn shaken(self, amount: f64, init: &mut Init) -> Self {
        Self { flow: shaken(self.flow, amount, init), ..self }
    }

    fn input(&self, batch: usize, init: &mut Init) -> Maps {
        self.shapes.iter().map(|&[c, h, w]| init.normal(1.0, [batch, c, h, w]).val().detach()).collect()
    }

    fn has_rotations(&self) -> bool {
        let is_rotation = |piece: &Piece| matches!(piece, Piece::Rotation(_));
        matches!(&self.flow, Flow::Chain(chain) if chain.pieces.iter().any(is_rotation))
    }

    fn condition_of(&self, maps: &Maps) -> Option<Tensor<4>> {
        let [batch, _, height, width] = maps[0].dims();
        let expand = |condition: Tensor<4>| {
            let channels = condition.dims()[1];
            condition.expand([batch, channels, height, width])
        };
        self.condition.clone().map(expand)
    }

    fn forward(&self, x: &Maps) -> (Maps, Maps) {
        let condition = self.condition_of(x);
        match &self.flow {
            Flow::Chain(chain) => {
                let (z, log_det) = chain.forward(x[0].clone(), condition.as_ref());
                (vec![z], vec![log_det])
            }
            Flow::Scales(blocks) => {
                let x = x.clone().try_into().unwrap();
                let start = (x, None::<[Tensor<4>; 3]>);
                let (z, log_det) = blocks.iter().fold(start, |(x, sum), block| {
                    let (z, [a, b, c]) = block.forward(x);
                    let sum = match sum {
                        Some([sa, sb, sc]) => [sa + a, sb + b, sc + c],
                        None => [a, b, c],
                    };
                    (z, Some(sum))
                });
                (z.to_vec(), log_det.unwrap().to_vec())
            }
        }
    }

    fn inverse(&self, z: &Maps) -> Maps {
        match &self.flow {
            Flow::Chain(chain) => vec![chain.inverse(z[0].clone(), self.condition_of(z).as_ref())],
            Flow::Scales(blocks) => {
                let z = z.clone().try_into().unwrap();
                blocks.iter().rev().fold(z, |z, block| block.inverse(z)).to_vec()
            }
        }
    }

    /// The loss of a training, summed over the images.
    fn loss(&self, x: &Maps) -> Tensor<1> {
        let (z, log_det) = self.forward(x);
        let each = z.into_iter().zip(log_det).map(|(z, log_det)| (latent_energy(z) - log_det).sum());
        each.reduce(|a, b| a + b).unwrap()
    }
}

/// All maps of an image in a row, image after image.
fn rows(maps: &Maps) -> Vec<f64> {
    let batch = maps[0].dims()[0];
    let parts: Vec<Vec<f64>> = maps.iter().map(values).collect();
    (0..batch)
        .flat_map(|i| parts.iter().flat_map(move |part| part.chunks(part.len() / batch).nth(i).unwrap()))
        .copied()
        .collect()
}

/// The reverse of [`rows`].
fn maps(rows: &[f64], shapes: &[[usize; 3]]) -> Maps {
    let image: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
    let mut start = 0;
    let cut = |&[channels, height, width]: &[usize; 3]| {
        let size = channels * height * width;
        let part: Vec<f64> = rows.chunks(image).flat_map(|row| &row[start..start + size]).copied().collect();
        start += size;
        tensor(&part, [rows.len() / image, channels, height, width])
    };
    shapes.iter().map(cut).collect()
}

fn couple_second(channels: usize, coupling: Coupling, subnet: impl FnOnce([usize; 2]) -> Subnet) -> Piece {
    let (first, second) = (channels - channels / 2, channels / 2);
    let steps = vec![HalfStep { changes: Part::Second, subnet: subnet([first, 2 * second]) }];
    Piece::Coupling(CouplingBlock { first, steps, coupling })
}

fn fast_flow(steps: usize, channels: usize, coupling: Coupling, init: &mut Init) -> Chain {
    let step = |_| {
        let coupling = couple_second(channels, coupling, |[inputs, outputs]| {
            Subnet::conv([inputs, inputs, outputs], 3, init)
        });
        let affine = Piece::Affine(ChannelAffine::new(channels, init));
        [coupling, affine, Piece::Permutation(Permutation::new(channels, init))]
    };
    Chain { pieces: (0..steps).flat_map(step).collect() }
}

fn c_flow(blocks: usize, channels: usize, condition: usize, init: &mut Init) -> Chain {
    let block = |_| {
        let coupling = couple_second(channels, TANH, |[inputs, outputs]| {
            Subnet::dense(&[inputs + condition, 2 * channels, outputs], init)
        });
        let affine = Piece::Affine(ChannelAffine::new(channels, init));
        [coupling, affine, Piece::Rotation(Rotation::new(channels, init))]
    };
    Chain { pieces: (0..blocks).flat_map(block).collect() }
}

fn differ_net(blocks: usize, channels: usize, width: usize, init: &mut Init) -> Chain {
    let (first, second) = (channels - channels / 2, channels / 2);
    let block = |_| {
        let permutation = Piece::Permutation(Permutation::new(channels, init));
        let mut step = |changes, inputs, outputs| HalfStep {
            changes,
            subnet: Subnet::dense(&[inputs, width, width, 2 * outputs], init),
        };
        let steps = vec![step(Part::First, second, first), step(Part::Second, first, second)];
        [permutation, Piece::Coupling(CouplingBlock { first, steps, coupling: ATAN })]
    };
    Chain { pieces: (0..blocks).flat_map(block).collect() }
}

fn glow(steps: usize, channels: usize, init: &mut Init) -> Chain {
    let step = |_| {
        let norm = Piece::ActNorm(ActNorm::new(channels, init));
        let mixing = Piece::Mixing(Mixing::new(channels, init));
        let subnet = |[inputs, outputs]: [usize; 2]| Subnet::glow([inputs, 16, outputs], init);
        [norm, mixing, couple_second(channels, SIGMOID, subnet)]
    };
    Chain { pieces: (0..steps).flat_map(step).collect() }
}

const CROSS_SCALE: CrossScaleConfig = CrossScaleConfig { channels: 4, hidden: 8, kernel: 3, coupling: ATAN };

fn cross_scale(blocks: usize, config: CrossScaleConfig, sides: [usize; 3], init: &mut Init) -> Case {
    let block = |_| {
        let mut block = CrossScaleBlock::new(&config, init);
        block.set_gamma(0.2);
        block
    };
    let flow = Flow::Scales((0..blocks).map(block).collect());
    let shapes = sides.map(|side| [config.channels, side, side]).to_vec();
    Case { name: "cross-scale", flow, shapes, condition: None }
}

/// Every piece and a short chain of every method, in double precision and away from the start.
fn small_flows() -> Vec<Case> {
    let mut init = single().double();
    let init = &mut init;
    let one = |name, piece| Case::new(name, Chain { pieces: vec![piece] }, [5, 2, 3]);
    let mut cases = vec![
        one("actnorm", Piece::ActNorm(ActNorm::new(5, init))),
        one("affine", Piece::Affine(ChannelAffine::new(5, init))),
        one("permutation", Piece::Permutation(Permutation::new(5, init))),
        one("rotation", Piece::Rotation(Rotation::new(5, init))),
        one("mixing", Piece::Mixing(Mixing::new(5, init))),
        Case::new("additive", fast_flow(1, 5, ADDITIVE, init), [5, 2, 3]),
        Case::new("fastflow", fast_flow(2, 4, TANH, init), [4, 3, 3]),
        Case::new("fastflow, odd", fast_flow(2, 5, TANH, init), [5, 3, 3]),
        Case::new("cflow, odd", c_flow(3, 5, 3, init), [5, 1, 1]),
        Case::new("differnet", differ_net(2, 6, 16, init), [6, 1, 1]),
        Case::new("differnet, odd", differ_net(2, 5, 16, init), [5, 1, 1]),
        Case::new("glow", glow(2, 4, init), [4, 2, 3]),
        Case::new("glow, odd", glow(2, 3, init), [3, 4, 2]),
        cross_scale(2, CROSS_SCALE, [4, 2, 1], init),
        cross_scale(1, CrossScaleConfig { channels: 5, kernel: 5, ..CROSS_SCALE }, [4, 2, 1], init),
    ];
    cases[8].condition = Some(init.normal(1.0, [1, 3, 1, 1]).val().detach());
    cases.into_iter().map(|case| case.shaken(0.1, init)).collect()
}

/// The depths and widths that the specifications bound the error of inverting for.
fn deep_flows(init: &mut Init) -> Vec<Case> {
    let mut cases = vec![
        Case::new("fastflow", fast_flow(8, 16, TANH, init), [16, 8, 8]),
        Case::new("cflow", c_flow(8, 32, 16, init), [32, 1, 1]),
        Case::new("differnet", differ_net(8, 16, 64, init), [16, 1, 1]),
        Case::new("glow", glow(24, 6, init), [6, 8, 8]),
        cross_scale(4, CrossScaleConfig { channels: 8, hidden: 16, ..CROSS_SCALE }, [8, 4, 2], init),
    ];
    cases[1].condition = Some(init.normal(1.0, [1, 16, 1, 1]).val().detach());
    cases.into_iter().map(|case| case.shaken(0.05, init)).collect()
}

/// ln |det| of a square matrix.
fn log_det(matrix: &[f64], size: usize) -> f64 {
    let factors = LowerUpper::new(matrix, size);
    (0..size).map(|i| factors.values[i * size + i].abs().ln()).sum()
}

/// ln |det dz/dx| at one image, from central differences.
fn numeric_log_det(x: &Maps, shapes: &[[usize; 3]], forward: impl Fn(&Maps) -> Maps) -> f64 {
    const STEP: f64 = 1e-5;
    let x = rows(x);
    let moved = |at: usize, step: f64| {
        let mut x = x.clone();
        x[at] += step;
        x
    };
    let inputs: Vec<f64> = (0..x.len()).flat_map(|at| [moved(at, STEP), moved(at, -STEP)].concat()).collect();
    let z = rows(&forward(&maps(&inputs, shapes)));
    let slopes = z.chunks(2 * x.len()).flat_map(|pair| {
        let (more, less) = pair.split_at(x.len());
        more.iter().zip(less).map(|(more, less)| (more - less) / (2.0 * STEP))
    });
    log_det(&slopes.collect::<Vec<f64>>(), x.len())
}

use super::cross_scale::double;
use super::*;
use crate::init::{Init, LowerUpper};
use crate::layers::{Dense, Layer, Subnet};
use crate::weights::trained_values;
use blemish_ops::{Clamp, Coupling, scale_and_shift};
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Gradients, TensorData};

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

#[test]
fn inverses_restore_the_input_over_the_whole_depth_of_a_method() {
    for (mut init, tolerance) in [(single(), 1e-4f64), (single().double(), 1e-10)] {
        let mut cases = deep_flows(&mut init);
        if tolerance < 1e-5 {
            cases.extend(small_flows());
        }
        for case in cases {
            let x = case.input(3, &mut init);
            let z = case.forward(&x).0;
            // A rotation is stored in single precision: its transpose is its inverse no better than that.
            let tolerance = if case.has_rotations() { tolerance.max(1e-6) } else { tolerance };
            let (given, restored) = (rows(&x), rows(&case.inverse(&z)));
            let is_close = given.iter().zip(&restored).all(|(x, restored)| (x - restored).abs() <= tolerance);
            assert!(restored.len() == given.len() && is_close, "{} is not inverted", case.name);
            let moved = rows(&z).iter().zip(given).any(|(z, x)| (z - x).abs() > 0.1);
            assert!(moved, "{} is the identity", case.name);
        }
    }
}

#[test]
fn log_determinants_are_those_of_the_numeric_jacobian() {
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(1, &mut init);
        let ours: f64 = rows(&case.forward(&x).1).iter().sum();
        let exact = numeric_log_det(&x, &case.shapes, |x| case.forward(x).0);
        assert!((ours - exact).abs() < 1e-6, "{}: {ours} instead of {exact}", case.name);
    }
}

#[test]
fn log_determinants_are_one_a_position() {
    let mut init = single().double();
    for case in small_flows() {
        let log_det = case.forward(&case.input(2, &mut init)).1;
        let expected: Vec<[usize; 4]> = case.shapes.iter().map(|&[_, h, w]| [2, 1, h, w]).collect();
        assert_eq!(log_det.iter().map(Tensor::dims).collect::<Vec<_>>(), expected, "{}", case.name);
    }
}

#[test]
fn gradients_of_the_loss_equal_its_finite_differences() {
    const STEP: f64 = 1e-5;
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(2, &mut init);
        if trained_values(&case.flow) == 0 {
            continue;
        }
        let exact = gradients_of(&case.flow, &case.loss(&x).backward());
        // One value of each weight, another one each time.
        for (number, (name, gradient)) in exact.into_iter().enumerate() {
            let at = (7 * number + 3) % gradient.len();
            let at_step = |step: f64| {
                let flow = changed(case.flow.clone(), |other, weights| {
                    if other == number {
                        weights[at] += step;
                    }
                });
                let moved = Case { flow, shapes: Vec::new(), condition: case.condition.clone(), ..case };
                values(&moved.loss(&x))[0]
            };
            let numeric = (at_step(STEP) - at_step(-STEP)) / (2.0 * STEP);
            let exact = gradient[at];
            let is_close = (numeric - exact).abs() <= 1e-4 * exact.abs() + 1e-7;
            assert!(is_close, "{} {name}[{at}]: {exact} instead of {numeric}", case.name);
        }
    }
}

#[test]
fn an_image_comes_out_the_same_alone_and_among_others() {
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(4, &mut init);
        let all = case.forward(&x);
        let alone: Maps = x.iter().map(|x| x.clone().narrow(0, 2, 1)).collect();
        let alone = case.forward(&alone);
        for (all, alone) in [(all.0, alone.0), (all.1, alone.1)] {
            let (all, alone) = (rows(&all), rows(&alone));
            close(&alone, &all[2 * alone.len()..3 * alone.len()], 1e-12);
        }
    }
}

#[test]
fn actnorm_starts_with_mean_0_and_variance_1() {
    let init = single().double();
    let x = tensor(&[1.0, 3.0, 5.0, 7.0], [2, 1, 1, 2]);
    let mut norm = ActNorm::new(1, &init);
    norm.start(&x);
    close(&values(&norm.bias.val()), &[-4.0], 1e-12);
    close(&values(&norm.log_scale.val()), &[-0.268_239_801], 1e-6);
    let (z, log_det) = norm.forward(x);
    let scale = 5f64.sqrt().recip();
    close(&values(&z), &[-3.0 * scale, -scale, scale, 3.0 * scale], 1e-5);
    close(&values(&log_det), &[-0.804_719_403], 1e-6);
}

#[test]
fn actnorm_survives_a_channel_that_never_varies() {
    let mut norm = ActNorm::new(1, &single().double());
    norm.start(&tensor(&[3.0; 4], [1, 1, 2, 2]));
    close(&values(&norm.forward(tensor(&[3.0, 3.001], [1, 1, 1, 2])).0), &[0.0, 1.0], 1e-9);
}

/// Mean and population variance of every channel.
fn moments(x: &Tensor<4>) -> Vec<[f64; 2]> {
    let of = |channel| {
        let values = values(&x.clone().narrow(1, channel, 1));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        [mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64]
    };
    (0..x.dims()[1]).map(of).collect()
}

#[test]
fn starting_a_chain_sets_every_actnorm_by_what_reaches_it() {
    let mut init = single().double();
    let mut chain = shaken(glow(3, 4, &mut init), 0.1, &mut init);
    let x = init.normal(3.0, [5, 4, 4, 6]).val().detach() + 2.0;
    let z = chain.start(x.clone(), None);
    close(&values(&z), &values(&chain.forward(x.clone(), None).0), 1e-12);
    let check = |x: &Tensor<4>| moments(x).iter().for_each(|moments| close(moments, &[0.0, 1.0], 1e-4));
    let mut reached = x;
    let mut norms = 0;
    for piece in &chain.pieces {
        if let Piece::Coupling(block) = piece {
            let layers = &block.steps[0].subnet.layers;
            let first = reached.clone().narrow(1, 0, block.first);
            for end in (1..=layers.len()).filter(|&end| matches!(layers[end - 1], Layer::ActNorm(_))) {
                check(&Subnet { layers: layers[..end].to_vec() }.forward(first.clone()));
                norms += 1;
            }
        }
        reached = piece.forward(reached, None).0;
        if let Piece::ActNorm(_) = piece {
            check(&reached);
            norms += 1;
        }
    }
    assert_eq!(norms, 9);
    assert_eq!(trained_values(&chain), trained_values(&glow(3, 4, &mut init)), "a start froze weights");
}

/// A subnet that says the same of everything.
fn constant(raw: [f32; 2], init: &Init) -> Subnet {
    let layer = Dense { weight: init.constant(0.0, [1, 2]), bias: init.of(raw.to_vec(), [2]) };
    Subnet { layers: vec![Layer::Dense(layer)] }
}

#[test]
fn coupling_blocks_give_the_values_of_the_formulas() {
    let init = single().double();
    let step = |changes, raw| HalfStep { changes, subnet: constant(raw, &init) };
    let block = CouplingBlock { first: 1, steps: vec![step(Part::Second, [5.0, -3.0])], coupling: TANH };
    let (z, log_det) = block.forward(tensor(&[1.0, 2.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[1.0, 4.739_876_083], 1e-8);
    close(&values(&log_det), &[0.924_234_314], 1e-9);

    let steps = vec![step(Part::First, [1.0, 0.5]), step(Part::Second, [-2.0, -1.0])];
    let block = CouplingBlock { first: 1, steps, coupling: ATAN };
    let (z, log_det) = block.forward(tensor(&[2.0, 3.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[4.195_246_405, -0.023_027_406], 1e-8);
    close(&values(&log_det), &[-0.508_008_910], 1e-8);

    let step = couple_second(2, SIGMOID, |[inputs, outputs]| {
        Subnet::glow([inputs, 4, outputs], &mut single().double())
    });
    let (z, log_det) = step.forward(tensor(&[0.7, 2.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[0.7, 2.0 * 0.880_797_078], 1e-8);
    close(&values(&log_det.unwrap()), &[-0.126_928_011], 1e-9);
}

#[test]
fn soft_clamps_give_the_values_of_the_formulas() {
    let scale = |coupling, r: &[f64]| {
        let raw = tensor(&[r, r].concat(), [1, 2, 1, r.len()]);
        values(&scale_and_shift(raw, coupling).0)
    };
    let atan = [0.315_103_677, 0.613_900_058, 1.498_539_696, 2.440_979_828, 2.939_856_554];
    close(&scale(ATAN, &[0.5, 1.0, 3.0, 10.0, 100.0]), &atan, 1e-8);
    close(&scale(ATAN, &[-0.5, -1.0, -3.0, -10.0, -100.0]), &atan.map(|s| -s), 1e-8);
    close(&scale(TANH, &[0.5, 1.0, 10.0]), &[0.099_916_750, 0.199_335_989, 1.523_188_312], 1e-8);
    close(&scale(SIGMOID, &[-2.0, 0.0, 3.0]), &[-0.693_147_181, -0.126_928_011, -0.006_715_348], 1e-8);
    assert_eq!(scale(ADDITIVE, &[-2.0, 3.0]), [0.0, 0.0]);
}

#[test]
fn mixing_is_its_matrix() {
    let mut init = single().double();
    let random: Vec<f64> = values(&init.normal(1.0, [36]).val());
    // The last needs all rows exchanged; determinants by hand, or by elimination.
    let cases = [
        (vec![2.0, 1.0, 0.5, 3.0], 2, 5.5f64.ln()),
        (vec![0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 1.0], 3, 24f64.ln()),
        (random.clone(), 6, log_det(&random, 6)),
    ];
    for (matrix, channels, expected) in cases {
        let mixing = Mixing::of(&matrix, channels, &init);
        let x = init.normal(1.0, [2, channels, 2, 3]).val().detach();
        let (z, log_det) = Chain { pieces: vec![Piece::Mixing(mixing)] }.forward(x.clone(), None);
        let given = values(&x);
        let dense = |at: usize| -> f64 {
            let (image, row, position) = (at / (channels * 6), at / 6 % channels, at % 6);
            (0..channels)
                .map(|c| matrix[row * channels + c] * given[(image * channels + c) * 6 + position])
                .sum()
        };
        close(&values(&z), &(0..given.len()).map(dense).collect::<Vec<_>>(), 1e-5);
        let sums: Vec<f64> = values(&log_det).chunks(6).map(|image| image.iter().sum()).collect();
        close(&sums, &[6.0 * expected; 2], 1e-5);
    }
    close(&[6.0 * 5.5f64.ln()], &[10.228_488_553], 1e-9);
}

/// By expansion along the first row.
fn determinant(matrix: &[f64], size: usize) -> f64 {
    if size == 1 {
        return matrix[0];
    }
    let minor = |column: usize| -> Vec<f64> {
        (size..size * size).filter(|at| at % size != column).map(|at| matrix[at]).collect()
    };
    let sign = |column: usize| if column % 2 == 0 { 1.0 } else { -1.0 };
    (0..size).map(|column| sign(column) * matrix[column] * determinant(&minor(column), size - 1)).sum()
}

#[test]
fn rotations_keep_lengths_and_orientation() {
    let mut init = single();
    for size in [1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2] {
        let matrix = init.rotation(size);
        let product = |at: usize| -> f64 {
            (0..size).map(|k| matrix[at / size * size + k] * matrix[at % size * size + k]).sum()
        };
        let eye: Vec<f64> = (0..size * size).map(|at| f64::from(u8::from(at / size == at % size))).collect();
        close(&(0..size * size).map(product).collect::<Vec<_>>(), &eye, 1e-12);
        close(&[determinant(&matrix, size)], &[1.0], 1e-12);
    }
}

#[test]
fn squeezing_moves_blocks_into_channels() {
    let x = tensor(&[1.0, 2.0, 3.0, 4.0], [1, 1, 2, 2]);
    let z = squeeze(x.clone());
    assert_eq!((z.dims(), values(&z)), ([1, 4, 1, 1], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(values(&unsqueeze(z)), values(&x));
    let x = single().double().normal(1.0, [2, 3, 4, 6]).val().detach();
    let z = squeeze(x.clone());
    let pixel = |z: &Tensor<4>, at: [usize; 4]| values(&z.clone().slice(at.map(|at| at..at + 1)))[0];
    // Channel 4 c + 2 dy + dx of (y, x) is channel c at (2 y + dy, 2 x + dx).
    assert_eq!(pixel(&z, [1, 9, 1, 2]), pixel(&x, [1, 2, 2, 5]));
    assert_eq!(values(&unsqueeze(z)), values(&x));
    let one = vec![x.narrow(0, 0, 1)];
    let numeric = numeric_log_det(&one, &[[3, 4, 6]], |x| vec![squeeze(x[0].clone())]);
    assert!(numeric.abs() < 1e-6, "a squeeze changes volumes by exp({numeric})");
}

#[test]
fn doubling_interpolates_between_centres() {
    let row = [0.0, 0.25, 0.75, 1.0];
    let doubled = double(tensor(&[0.0, 1.0], [1, 1, 1, 2]));
    assert_eq!(values(&doubled), [row, row].concat());
    let doubled = double(tensor(&[0.0, 1.0], [1, 1, 2, 1]));
    assert_eq!(values(&doubled), row.map(|value| [value; 2]).concat());
    assert_eq!(values(&double(tensor(&[3.0], [1, 1, 1, 1]))), [3.0; 4]);
}

#[test]
fn channel_affines_start_as_the_identity() {
    let affine = ChannelAffine::new(3, &single().double());
    let x = tensor(&[1.0, -2.0, 3.0], [1, 3, 1, 1]);
    let (z, log_det) = affine.forward(x.clone());
    close(&values(&z), &values(&x), 1e-6);
    close(&values(&log_det), &[0.0], 1e-6);
}

#[test]
fn a_cross_scale_block_without_gamma_permutes_and_can_still_learn() {
    let mut init = single().double();
    let mut case = cross_scale(1, CROSS_SCALE, [4, 2, 1], &mut init);
    let x = case.input(2, &mut init);
    let Flow::Scales(blocks) = &mut case.flow else { unreachable!() };
    blocks[0].set_gamma(0.0);
    let permuted: Maps =
        x.iter().zip(&blocks[0].permutations).map(|(x, order)| order.forward(x.clone())).collect();
    let (z, log_det) = case.forward(&x);
    assert_eq!(rows(&z), rows(&permuted));
    assert!(rows(&log_det).iter().all(|&value| value == 0.0));
    let gradients = gradients_of(&case.flow, &case.loss(&x).backward());
    let gammas: Vec<_> = gradients.iter().filter(|(name, _)| name.ends_with("gamma")).collect();
    assert_eq!(gammas.len(), 2);
    for (name, gradient) in gammas {
        assert!(gradient.iter().all(|value| value.abs() > 1e-6), "{name} cannot leave zero: {gradient:?}");
    }
}

#[test]
fn scales_hear_of_their_neighbours_with_each_subnet() {
    let mut init = single().double();
    let mut block = CrossScaleBlock::new(&CROSS_SCALE, &mut init);
    block.set_gamma(0.2);
    block.permutations.iter_mut().for_each(|permutation| permutation.order = vec![0, 1, 2, 3]);
    let x = [4, 2, 1].map(|side| init.normal(1.0, [1, 4, side, side]).val().detach());
    let mut other = x.clone();
    // The second half of the smallest map.
    other[2] = other[2].clone() + tensor(&[0.0, 0.0, 1.0, 1.0], [1, 4, 1, 1]);
    let (z, other) = (block.forward(x).0, block.forward(other).0);
    let changes = |scale: usize, first: usize| {
        let part = |z: &[Tensor<4>; 3]| values(&z[scale].clone().narrow(1, first, 2));
        part(&z) != part(&other)
    };
    assert_eq!([0, 1, 2].map(|scale| changes(scale, 0)), [false, true, true]);
    assert_eq!([0, 1, 2].map(|scale| changes(scale, 2)), [true, true, true]);
}

#[test]
fn a_condition_changes_what_a_flow_says() {
    let mut init = single().double();
    let chain = c_flow(2, 4, 3, &mut init);
    let x = init.normal(1.0, [2, 4, 1, 1]).val().detach();
    let condition = init.normal(1.0, [2, 3, 1, 1]).val().detach();
    let z = values(&chain.forward(x.clone(), Some(&condition)).0);
    let swapped = condition.flip([0]);
    let other = values(&chain.forward(x, Some(&swapped)).0);
    assert!(z.iter().zip(other).any(|(z, other)| (z - other).abs() > 1e-3));
}

#[test]
fn a_step_of_3x3_convolutions_sees_two_positions_in_every_direction() {
    let mut init = single().double();
    for steps in [1, 2] {
        let chain = fast_flow(steps, 4, TANH, &mut init);
        let x = tensor(&[0.3; 4 * 121], [1, 4, 11, 11]);
        let mut moved = [0.3; 4 * 121];
        (0..4).for_each(|channel| moved[channel * 121 + 60] = 5.0);
        let z = values(&chain.forward(x, None).0);
        let moved = values(&chain.forward(tensor(&moved, [1, 4, 11, 11]), None).0);
        let seen = (0..4 * 121).filter(|&at| (z[at] - moved[at]).abs() > 1e-12);
        let distance = |at: usize| (at % 121 / 11).abs_diff(5).max((at % 121 % 11).abs_diff(5));
        assert_eq!(seen.map(|at| distance(at)).max(), Some(2 * steps));
    }
}

#[test]
fn layer_normalisation_is_of_the_whole_map_of_an_image() {
    let norm = LayerNorm::new([2, 1, 2], true, &single().double());
    let x = tensor(&[1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0], [2, 2, 1, 2]);
    let scale = 5f64.sqrt().recip();
    let expected = [-3.0 * scale, -scale, scale, 3.0 * scale, 0.0, 0.0, 0.0, 0.0];
    close(&values(&norm.forward(x)), &expected, 1e-5);
}

#[test]
fn trained_weights_are_as_many_as_the_formulas_say() {
    let mut init = single();
    // Convolutions 2 -> 2 -> 4 with biases, a scale and an offset of 4 channels; orders are not trained.
    assert_eq!(trained_values(&fast_flow(1, 4, TANH, &mut init)), (2 * 2 + 2 * 4) * 9 + 2 + 4 + 8);
    // Dense 3 + 3 -> 10 -> 4, a scale and an offset of 5 channels; rotations are not trained.
    assert_eq!(trained_values(&c_flow(1, 5, 3, &mut init)), 6 * 10 + 10 + 10 * 4 + 4 + 10);
    // Of a matrix the triangles' unused halves are counted too.
    assert_eq!(trained_values(&Mixing::new(4, &mut init)), 16 + 16 + 4);
    // Biases before an actnorm are not trained.
    let expected = (2 * 8 * 9 + 16) + (8 * 8 + 16) + (8 * 6 * 9 + 6) + 6;
    assert_eq!(trained_values(&Subnet::glow([2, 8, 6], &mut init)), expected);
    // A subnet has 3 convolutions to the hidden channels and 7 from them.
    let block = |channels: usize, hidden: usize, kernel: usize| {
        let inner = channels / 2 * hidden * kernel * kernel + hidden;
        let outer = hidden * channels * kernel * kernel + channels;
        2 * (3 * inner + 7 * outer + 3)
    };
    for (channels, hidden, kernel) in [(4, 8, 3), (6, 3, 5)] {
        let config = CrossScaleConfig { channels, hidden, kernel, coupling: ATAN };
        assert_eq!(
            trained_values(&CrossScaleBlock::new(&config, &mut init)),
            block(channels, hidden, kernel)
        );
    }
    // CS-Flow as published.
    assert_eq!(3 * block(304, 1024, 3) + block(304, 1024, 5), 275_227_288);
}

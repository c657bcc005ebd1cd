//! Flows of FrEIA, whose parameters and outputs `golden/make_freia.py` stored, made of the pieces here.

use blemish_nn::flow::{
    ActNorm, Chain, ChannelAffine, CouplingBlock, HalfStep, Mixing, Part, Permutation, Piece, Rotation,
    squeeze,
};
use blemish_nn::init::Init;
use blemish_nn::layers::{Conv, Dense, Layer, Relu, Subnet};
use blemish_nn::{Device, Tensor, TensorData};
use blemish_ops::{Clamp, Coupling};
use safetensors::SafeTensors;

struct Golden(Vec<u8>);

impl Golden {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/freia.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    /// Shape and values, little endian, of 4 bytes each.
    fn tensor<T>(&self, name: &str, value: impl Fn([u8; 4]) -> T) -> (Vec<usize>, Vec<T>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let values = view.data().chunks_exact(4).map(|bytes| value(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        self.tensor(name, f32::from_le_bytes)
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.floats(name).1
    }

    /// Vectors are maps of one position.
    fn map(&self, name: &str) -> Tensor<4> {
        let (shape, values) = self.floats(name);
        let shape = [0, 1, 2, 3].map(|at| shape.get(at).copied().unwrap_or(1));
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn subnet(&self, name: &str) -> Subnet {
        let mut init = init();
        let mut layer = |number: usize| {
            let (shape, weight) = self.floats(&format!("{name}.{number}.weight"));
            let bias = init.of(self.values(&format!("{name}.{number}.bias")), [shape[0]]);
            match shape[..] {
                [outputs, inputs] => {
                    let transposed = (0..weight.len()).map(|at| weight[at % outputs * inputs + at / outputs]);
                    let weight = init.of(transposed.collect(), [inputs, outputs]);
                    Layer::Dense(Dense { weight, bias })
                }
                _ => {
                    let mut conv = Conv::new(shape[1], shape[0], shape[2], &mut init);
                    conv.weight = init.of(weight, [shape[0], shape[1], shape[2], shape[3]]);
                    conv.bias = bias;
                    Layer::Conv(conv)
                }
            }
        };
        Subnet { layers: vec![layer(0), Layer::Relu(Relu), layer(2)] }
    }

    fn permutation(&self, name: &str) -> Piece {
        let (_, order) = self.tensor(name, u32::from_le_bytes);
        Piece::Permutation(Permutation { order: order.into_iter().map(|channel| channel as usize).collect() })
    }

    /// AllInOneBlocks: a coupling, a scale and shift of every channel, a permutation or rotation.
    fn all_in_one(&self, flow: &str, steps: usize, limit: f64) -> Chain {
        let coupling = Coupling { clamp: Clamp::Tanh { limit, rate: 0.1 }, gain: 0.1, shift_first: false };
        let step = |step| {
            let name = |what| format!("{flow}.{step}.{what}");
            let raw_scale = self.values(&name("global_scale_raw"));
            let channels = raw_scale.len();
            let half = HalfStep { changes: Part::Second, subnet: self.subnet(&name("subnet")) };
            let first = channels - channels / 2;
            let affine = ChannelAffine {
                raw_scale: init().of(raw_scale, [channels]),
                offset: init().of(self.values(&name("global_offset")), [channels]),
            };
            let last = match flow {
                "soft" => Piece::Rotation(rotation(self.values(&name("rotation")), channels)),
                _ => self.permutation(&name("permutation")),
            };
            [
                Piece::Coupling(CouplingBlock { first, steps: vec![half], coupling }),
                Piece::Affine(affine),
                last,
            ]
        };
        Chain { pieces: (0..steps).flat_map(step).collect() }
    }

    /// PermuteRandom, then GLOWCouplingBlock.
    fn double_couplings(&self, flow: &str, rate: f64) -> Chain {
        let coupling =
            Coupling { clamp: Clamp::Atan { limit: 0.636 * 3.0, rate }, gain: 1.0, shift_first: false };
        let block = |step| {
            let half = |changes, subnet| HalfStep {
                changes,
                subnet: self.subnet(&format!("{flow}.{step}.{subnet}")),
            };
            let steps = vec![half(Part::First, "subnet2"), half(Part::Second, "subnet1")];
            let block = CouplingBlock { first: 4, steps, coupling };
            [self.permutation(&format!("{flow}.{step}.permutation")), Piece::Coupling(block)]
        };
        Chain { pieces: (0..3).flat_map(block).collect() }
    }

    /// Compares a chain's z, inverse and log-determinant with those of a flow.
    fn check(&self, flow: &str, chain: &Chain, condition: Option<&Tensor<4>>) {
        let x = self.map(&format!("{flow}.x"));
        let (z, log_det) = chain.forward(x.clone(), condition);
        close(&values(z.clone()), &self.values(&format!("{flow}.z")));
        let log_det = values(log_det);
        let sums: Vec<f32> = log_det.chunks(log_det.len() / 2).map(|image| image.iter().sum()).collect();
        close(&sums, &self.values(&format!("{flow}.log_det")));
        close(&values(chain.inverse(z, condition)), &values(x));
    }
}

fn init() -> Init {
    Init::new(0, &Device::flex())
}

fn rotation(matrix: Vec<f32>, channels: usize) -> Rotation {
    Rotation { matrix: init().of(matrix, [channels, channels]) }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= 1e-5 * (1.0 + theirs.abs()), "{ours} instead of {theirs}");
    }
}

#[test]
fn all_in_one_blocks_give_what_freia_gives() {
    let golden = Golden::read();
    golden.check("conv", &golden.all_in_one("conv", 3, 2.0), None);
    golden.check("odd", &golden.all_in_one("odd", 2, 1.9), Some(&golden.map("odd.condition")));
    golden.check("soft", &golden.all_in_one("soft", 1, 2.0), None);
}

#[test]
fn double_couplings_give_what_freia_gives() {
    let golden = Golden::read();
    golden.check("glow", &golden.double_couplings("glow", 1.0), None);
    golden.check("differnet", &golden.double_couplings("differnet", 1.0 / 3.0), None);
}

#[test]
fn actnorm_gives_what_freia_gives() {
    // FrEIA adds its offset after the scale, and knows no factor of the logarithm.
    let golden = Golden::read();
    let log: Vec<f32> = golden.values("actnorm.0.log_scale");
    let bias: Vec<f32> =
        golden.values("actnorm.0.bias").iter().zip(&log).map(|(b, log)| b / log.exp()).collect();
    let log_scale: Vec<f32> = log.iter().map(|log| log / 3.0).collect();
    let norm = ActNorm { bias: init().of(bias.clone(), [4]), log_scale: init().of(log_scale, [4]) };
    golden.check("actnorm", &Chain { pieces: vec![Piece::ActNorm(norm)] }, None);

    // Its start divides by the deviation with n - 1, for 90 values.
    let mut started = ActNorm::new(4, &init());
    started.start(&golden.map("actnorm.init"));
    close(&values(started.bias.val()), &bias);
    let expected: Vec<f32> = log.iter().map(|log| (log + 0.5 * (90.0f32 / 89.0).ln()) / 3.0).collect();
    close(&values(started.log_scale.val()), &expected);
}

#[test]
fn mixing_gives_what_freia_gives_for_a_fixed_convolution() {
    let golden = Golden::read();
    let matrix: Vec<f64> = golden.values("fixed1x1.0.weight").into_iter().map(f64::from).collect();
    let mixing = Mixing::of(&matrix, 4, &init());
    golden.check("fixed1x1", &Chain { pieces: vec![Piece::Mixing(mixing)] }, None);
}

#[test]
fn squeezing_gives_what_freia_gives() {
    let golden = Golden::read();
    assert_eq!(values(squeeze(golden.map("squeeze.x"))), golden.values("squeeze.z"));
    assert_eq!(golden.values("squeeze.log_det"), [0.0; 2]);
}

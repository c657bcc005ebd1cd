//! Chains of invertible pieces as parts of a graph.

use super::layer_graph::{each_channel, standardise, times};
use super::tensors::values_of;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_nn::Tensor;
use blemish_nn::flow::{Chain, ChannelAffine, CouplingBlock, Part, Piece};
use blemish_nn::layers::{ActNorm, Gain, Layer, MapNorm, Subnet};
use blemish_ops::{Clamp, Coupling};

/// Factor of stored logarithms of scales.
const SPEED: f32 = 3.0;

/// What a position is known by beside its features: channels x height x width values.
pub(crate) struct Codes<'a> {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Position by position.
    pub(crate) values: &'a [f32],
}

/// z of x, N x C x H x W, and the log-determinant of every position, N x 1 x H x W, or one for all.
pub(crate) fn chain(
    writer: &mut GraphWriter,
    chain: &Chain,
    x: &Value,
    channels: usize,
    codes: Option<&Codes<'_>>,
) -> Result<(Value, Value), Error> {
    let mut z = x.clone();
    let (mut constant, mut sums) = (0.0f64, Vec::new());
    for piece in &chain.pieces {
        z = match piece {
            Piece::ActNorm(piece) => {
                let log = values_of(piece.log_scale.val())?;
                constant += log.iter().map(|&log| f64::from(SPEED * log)).sum::<f64>();
                act_norm(writer, piece, &z)?
            }
            Piece::Affine(piece) => {
                let scales = scales_of(piece)?;
                constant += scales.iter().map(|scale| scale.ln()).sum::<f64>();
                let scales: Vec<f32> = scales.into_iter().map(|scale| scale as f32).collect();
                let scaled = each_channel(writer, "Mul", &z, &scales);
                each_channel(writer, "Add", &scaled, &values_of(piece.offset.val())?)
            }
            Piece::Permutation(piece) => {
                let order: Vec<i64> = piece.order.iter().map(|&channel| channel as i64).collect();
                let order = writer.list(&order);
                writer.gather(&z, &order, 1)
            }
            Piece::Rotation(piece) => {
                let matrix = values_of(piece.matrix.val())?;
                let weight = writer.floats("rotation", &[channels, channels, 1, 1], &matrix);
                writer.convolve(&z, &weight, None, 1, 1)
            }
            Piece::Mixing(_) => return Err(cannot("its learned mixing of channels has no graph yet")),
            Piece::Coupling(piece) => {
                let (changed, log_dets) = couple(writer, piece, &z, channels, codes)?;
                sums.extend(log_dets);
                changed
            }
        };
    }
    let mut log_det = writer.number(constant as f32);
    for sum in sums {
        log_det = writer.add(&sum, &log_det);
    }
    Ok((z, log_det))
}

/// Half the sum of squares over the channels, N x 1 x H x W.
pub(crate) fn latent_energy(writer: &mut GraphWriter, z: &Value) -> Value {
    let squares = writer.mul(z, z);
    let sum = writer.reduce(Reduction::Sum, &squares, &[1], true);
    times(writer, &sum, 0.5)
}

/// A normalised map, see [`MapNorm`].
pub(crate) fn map_norm(
    writer: &mut GraphWriter,
    norm: &MapNorm,
    x: &Value,
    shape: [usize; 3],
) -> Result<Value, Error> {
    let mut y = standardise(writer, x, &[1, 2, 3], MapNorm::EPSILON);
    if let Some((scale, shift)) = norm.learned() {
        let shape = [1, shape[0], shape[1], shape[2]];
        let scale = writer.floats("scale", &shape, &values_of(scale)?);
        let shift = writer.floats("shift", &shape, &values_of(shift)?);
        y = writer.mul(&y, &scale);
        y = writer.add(&y, &shift);
    }
    Ok(y)
}

/// 0.2 ln(1 + exp(G / 2)).
pub(crate) fn scales_of(piece: &ChannelAffine) -> Result<Vec<f64>, Error> {
    let raw = values_of(piece.raw_scale.val())?;
    Ok(raw.into_iter().map(|raw| 0.2 * (0.5 * f64::from(raw)).exp().ln_1p()).collect())
}

/// (x + b) exp(3 l).
fn act_norm(writer: &mut GraphWriter, norm: &ActNorm, x: &Value) -> Result<Value, Error> {
    let shifted = each_channel(writer, "Add", x, &values_of(norm.bias.val())?);
    let scales: Vec<f32> =
        values_of(norm.log_scale.val())?.into_iter().map(|log| (SPEED * log).exp()).collect();
    Ok(each_channel(writer, "Mul", &shifted, &scales))
}

/// A coupling block, and the logarithms of its scales summed over the channels, one a step.
fn couple(
    writer: &mut GraphWriter,
    block: &CouplingBlock,
    x: &Value,
    channels: usize,
    codes: Option<&Codes<'_>>,
) -> Result<(Value, Vec<Value>), Error> {
    let (middle, end) = (block.first as i64, channels as i64);
    let mut parts = [writer.slice(x, 0, middle, 1), writer.slice(x, middle, end, 1)];
    let mut log_dets = Vec::new();
    for step in &block.steps {
        let (changed, given, count) = match step.changes {
            Part::First => (0, 1, block.first),
            Part::Second => (1, 0, channels - block.first),
        };
        let raw = subnet(writer, &step.subnet, &parts[given], codes)?;
        let (value, log_det) = transform(writer, &parts[changed], &raw, count as i64, block.coupling);
        parts[changed] = value;
        log_dets.extend(log_det);
    }
    Ok((writer.concat(&parts, 1), log_dets))
}

/// Scale and shift by raw outputs, and the sum of the logarithms of the scales.
pub(crate) fn transform(
    writer: &mut GraphWriter,
    x: &Value,
    raw: &Value,
    channels: i64,
    coupling: Coupling,
) -> (Value, Option<Value>) {
    let r = writer.slice(raw, 0, channels, 1);
    let t = writer.slice(raw, channels, 2 * channels, 1);
    let log = match coupling.clamp {
        Clamp::Tanh { limit, rate } | Clamp::Atan { limit, rate } => {
            let kind = if matches!(coupling.clamp, Clamp::Tanh { .. }) { "Tanh" } else { "Atan" };
            let inner = times(writer, &r, rate as f32);
            let bent = writer.each(kind, &inner);
            Some(times(writer, &bent, limit as f32))
        }
        Clamp::Sigmoid { floor } => {
            let two = writer.number(2.0);
            let above = writer.add(&r, &two);
            let share = writer.each("Sigmoid", &above);
            let scaled = times(writer, &share, (1.0 - floor) as f32);
            let floor = writer.number(floor as f32);
            let scale = writer.add(&scaled, &floor);
            Some(writer.each("Log", &scale))
        }
        Clamp::None => None,
    };
    let shift = times(writer, &t, coupling.gain as f32);
    let Some(log) = log else { return (writer.add(x, &shift), None) };
    let factor = writer.each("Exp", &log);
    let y = match coupling.shift_first {
        true => {
            let shifted = writer.add(x, &shift);
            writer.mul(&shifted, &factor)
        }
        false => {
            let scaled = writer.mul(x, &factor);
            writer.add(&scaled, &shift)
        }
    };
    (y, Some(writer.reduce(Reduction::Sum, &log, &[1], true)))
}

/// The raw outputs of a subnet; a linear layer at every position is a 1x1 convolution.
fn subnet(
    writer: &mut GraphWriter,
    subnet: &Subnet,
    x: &Value,
    mut codes: Option<&Codes<'_>>,
) -> Result<Value, Error> {
    let mut value = x.clone();
    for layer in &subnet.layers {
        value = match layer {
            Layer::Dense(layer) => {
                let [inputs, outputs] = layer.weight.val().dims();
                let weights = values_of(layer.weight.val())?;
                let bias = values_of(layer.bias.val())?;
                let turned =
                    (0..outputs * inputs).map(|at| weights[at % inputs * outputs + at / inputs]).collect();
                linear(writer, &value, Linear { weights: turned, inputs, kernel: 1, bias }, codes.take())
            }
            Layer::Conv(layer) => {
                let [_, inputs, kernel, _] = layer.weight.val().dims();
                let (weights, bias) = (flat(layer.weight.val())?, values_of(layer.bias.val())?);
                if codes.is_some() && kernel > 1 {
                    return Err(cannot("its convolutions over codes of positions have no graph yet"));
                }
                linear(writer, &value, Linear { weights, inputs, kernel, bias }, codes.take())
            }
            Layer::ActNorm(layer) => act_norm(writer, layer, &value)?,
            Layer::Gain(layer) => gain(writer, layer, &value)?,
            Layer::Relu(_) => writer.each("Relu", &value),
        };
    }
    Ok(value)
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, Error> {
    values_of(tensor)
}

fn gain(writer: &mut GraphWriter, gain: &Gain, x: &Value) -> Result<Value, Error> {
    let factors: Vec<f32> = values_of(gain.log.val())?.into_iter().map(|log| (SPEED * log).exp()).collect();
    Ok(each_channel(writer, "Mul", x, &factors))
}

/// A convolution that keeps the size of maps.
struct Linear {
    /// Outputs x inputs x kernel x kernel.
    weights: Vec<f32>,
    inputs: usize,
    kernel: usize,
    bias: Vec<f32>,
}

/// A convolution; what it makes of the codes, which come behind the channels, is the same for all images and known now.
fn linear(writer: &mut GraphWriter, x: &Value, layer: Linear, codes: Option<&Codes<'_>>) -> Value {
    let Linear { weights, inputs, kernel, bias } = layer;
    let outputs = bias.len();
    let Some(codes) = codes else {
        let weight = writer.floats("weight", &[outputs, inputs, kernel, kernel], &weights);
        let bias = writer.floats("bias", &[outputs], &bias);
        return writer.convolve(x, &weight, Some(&bias), kernel, 1);
    };
    let own = inputs - codes.channels;
    let of_features: Vec<f32> = weights.chunks_exact(inputs).flat_map(|row| row[..own].to_vec()).collect();
    let weight = writer.floats("weight", &[outputs, own, 1, 1], &of_features);
    let positions = codes.height * codes.width;
    let mut known = Vec::with_capacity(outputs * positions);
    for (row, bias) in weights.chunks_exact(inputs).zip(&bias) {
        known.extend(codes.values.chunks_exact(codes.channels).map(|code| {
            let sum: f64 =
                row[own..].iter().zip(code).map(|(weight, code)| f64::from(*weight) * f64::from(*code)).sum();
            (sum + f64::from(*bias)) as f32
        }));
    }
    let known = writer.floats("positions", &[1, outputs, codes.height, codes.width], &known);
    let product = writer.convolve(x, &weight, None, 1, 1);
    writer.add(&product, &known)
}

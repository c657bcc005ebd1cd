//! The auto-encoder as a graph: all parts of an image as one batch, what they differ by, and their mean.

use super::Vae;
use super::config::{Likelihood, Map, Score, VaeConfig};
use super::maps::noise_of;
use super::network::{LOG_VARIANCES, Latent, Network};
use super::parts::starts;
use super::scoring::TOP;
use crate::shared::layer_graph::{
    GraphLayer, absolute, activated, centred, chained, dense, dissimilarity, doubled, image, mean_of_largest,
    plus, squared, times,
};
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, GraphScores, both_sides, cannot};
use blemish_core::method::Method;
use blemish_features::GraphMap;
use blemish_features::onnx::{GraphWriter, Reduction, Value};
use blemish_kernels::map::resize_nearest;
use blemish_nn::layers::Activation;
use blemish_nn::loss::Ssim;

/// Adds a model.
pub(super) fn write(
    model: &Vae,
    writer: &mut GraphWriter,
    input: &GraphInput<'_>,
) -> Result<GraphScores, Error> {
    let config = &model.config;
    model.check_size(input.size)?;
    let parts = Parts::of(config, input.size);
    let part = parts.cut(writer, &input.image);
    let seen = Seen::new(writer, model, part)?;
    let mut map = seen.map(writer, config.map)?;
    map = parts.joined(writer, &map);
    if let Some(normal) = &model.normal {
        let (mean, scale) = normal.scales();
        let shape = [1, input.size.0, input.size.1];
        let (mean, scale) = (writer.floats("mean", &shape, mean), writer.floats("scale", &shape, &scale));
        let centred = writer.sub(&map, &mean);
        map = writer.div(&centred, &scale);
    }
    let (height, width) = input.size;
    let mut scores = GraphScores { values: map, height, width, image_score: None };
    let of_parts = match config.score {
        Score::Max => None,
        Score::Top => {
            let (_, finished) = model.map_stage().write(writer, &scores, input.size, input.region);
            let cells =
                input.region.map_or(height * width, |mask| mask.marked.iter().filter(|&&at| at).count());
            let count = ((cells as f64 * TOP).ceil() as usize).max(1);
            scores.image_score =
                Some(mean_of_largest(writer, &finished, height * width, input.region, count));
            None
        }
        Score::Elbo => {
            let (reconstruction, kl) = (seen.reconstruction(writer)?, seen.kl(writer));
            let weighted = times(writer, &kl, config.beta as f32);
            Some(writer.add(&reconstruction, &weighted))
        }
        Score::Reconstruction => Some(seen.reconstruction(writer)?),
        Score::Kl => Some(seen.kl(writer)),
    };
    if let Some(value) = of_parts {
        scores.image_score = Some(parts.mean(writer, &value));
    }
    Ok(scores)
}

/// First rows and columns of the parts of an image.
struct Parts {
    side: usize,
    size: (usize, usize),
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Parts {
    fn of(config: &VaeConfig, size: (usize, usize)) -> Self {
        let of = |length| starts(length, config.size, config.stride());
        Self { side: config.size, size, rows: of(size.0), columns: of(size.1) }
    }

    /// Rows of parts, columns of parts, and a part's side.
    fn counts(&self) -> [i64; 3] {
        [self.rows.len(), self.columns.len(), self.side].map(|count| count as i64)
    }

    /// Whether there is one part, the image.
    fn is_whole(&self) -> bool {
        self.rows.len() * self.columns.len() == 1
    }

    /// N x 3 x H x W as (N parts) x 3 x side x side.
    fn cut(&self, writer: &mut GraphWriter, image: &Value) -> Value {
        if self.is_whole() {
            return image.clone();
        }
        let [rows, columns, side] = self.counts();
        let mut value = image.clone();
        for (axis, starts) in [(2, &self.rows), (3, &self.columns)] {
            let numbers: Vec<i64> =
                starts.iter().flat_map(|&start| (start..start + self.side).map(|at| at as i64)).collect();
            let numbers = writer.list(&numbers);
            value = writer.gather(&value, &numbers, axis);
        }
        let apart = writer.reshape(&value, &[0, 3, rows, side, columns, side]);
        let first = writer.transpose(&apart, &[0, 2, 4, 1, 3, 5]);
        writer.reshape(&first, &[-1, 3, side, side])
    }

    /// The mean of overlapping maps, (N parts) x side x side, as N x H x W: the sum of each pixel's values over their number, which is a
    /// product of one number for its row and one for its column.
    fn joined(&self, writer: &mut GraphWriter, maps: &Value) -> Value {
        if self.is_whole() {
            return maps.clone();
        }
        let [rows, columns, side] = self.counts();
        let apart = writer.reshape(maps, &[-1, rows, columns, side, side]);
        let laid = writer.transpose(&apart, &[0, 1, 3, 2, 4]);
        let laid = writer.reshape(&laid, &[0, rows * side, columns * side]);
        let matrix = |starts: &[usize], length: usize| {
            let inner = starts.len() * self.side;
            let mut matrix = vec![0.0; length * inner];
            let places = starts.iter().flat_map(|&start| start..start + self.side);
            places.enumerate().for_each(|(from, to)| matrix[to * inner + from] = 1.0);
            for row in matrix.chunks_exact_mut(inner) {
                let count = row.iter().sum::<f32>().max(1.0);
                row.iter_mut().for_each(|share| *share /= count);
            }
            matrix
        };
        let (down, across) = (matrix(&self.rows, self.size.0), matrix(&self.columns, self.size.1));
        let from = (self.rows.len() * self.side, self.columns.len() * self.side);
        both_sides(writer, &laid, (&down, &across), from)
    }

    /// The mean of a value of each part, N.
    fn mean(&self, writer: &mut GraphWriter, values: &Value) -> Value {
        let [rows, columns, _] = self.counts();
        let of_image = writer.reshape(values, &[-1, rows * columns]);
        writer.reduce(Reduction::Mean, &of_image, &[1], false)
    }
}

/// Parts, and what the network says of them; latent values as the last maps have them, or as rows.
struct Seen<'a> {
    model: &'a Vae,
    image: Value,
    mean: Value,
    log_variance: Value,
}

impl<'a> Seen<'a> {
    fn new(writer: &mut GraphWriter, model: &'a Vae, part: Value) -> Result<Self, Error> {
        let (network, side) = (&model.network, model.config.size);
        let x = chained(writer, &network.encoder, image(&part, (side, side)))?;
        let (mean, log_variance) = match &network.latent {
            Latent::Vector(latent) => {
                let rows = writer.reshape(&x.value, &[0, -1]);
                (dense(writer, &latent.mean, &rows)?, dense(writer, &latent.log_variance, &rows)?)
            }
            Latent::Spatial(latent) => {
                let [mean, log] = [&latent.mean, &latent.log_variance].map(|conv| conv.write(writer, &x));
                (mean?.value, log?.value)
            }
        };
        let [low, high] = LOG_VARIANCES.map(|bound| writer.number(bound as f32));
        let log_variance = writer.apply("Clip", &[&log_variance, &low, &high], &[]);
        Ok(Self { model, image: part, mean, log_variance })
    }

    /// The logits of a part's values from latent values.
    fn decoded(&self, writer: &mut GraphWriter, z: &Value) -> Result<Value, Error> {
        let network: &Network = &self.model.network;
        let x = match &network.latent {
            Latent::Vector(latent) => {
                let rows = dense(writer, &latent.expand, z)?;
                let (channels, side) = (latent.channels, latent.side);
                let value = writer.reshape(&rows, &[-1, channels as i64, side as i64, side as i64]);
                GraphMap { value, channels, height: side, width: side }
            }
            Latent::Spatial(latent) => {
                let channels = latent.mean.bias.dims()[0];
                let z = GraphMap { value: z.clone(), channels, height: latent.side, width: latent.side };
                latent.expand.write(writer, &z)?
            }
        };
        let mut x = chained(writer, &network.decoder, x)?;
        if let Some(predicted) = &network.block {
            x = predicted.block.write(writer, &x)?;
            x = predicted.norm.write(writer, &x)?;
            x = Activation::Relu.write(writer, &x)?;
            x = doubled(writer, &x, resize_nearest);
        }
        Ok(network.last.write(writer, &x)?.value)
    }

    /// The latent values that are decoded: their means, or draws of the same noise as in scoring.
    fn latents(&self, writer: &mut GraphWriter) -> Vec<Value> {
        if self.model.config.samples == 0 {
            return vec![self.mean.clone()];
        }
        let half = times(writer, &self.log_variance, 0.5);
        let deviation = writer.each("Exp", &half);
        let count = self.model.network.latent_values();
        let shape = match &self.model.network.latent {
            Latent::Vector(_) => vec![1, count],
            Latent::Spatial(latent) => {
                vec![1, count / (latent.side * latent.side), latent.side, latent.side]
            }
        };
        let draw = |draw| {
            let noise = writer.floats("noise", &shape, &noise_of(draw, count));
            let apart = writer.mul(&deviation, &noise);
            writer.add(&self.mean, &apart)
        };
        (0..self.model.config.samples as u64).map(draw).collect()
    }

    /// A(i, j) of every part, (N parts) x side x side.
    fn map(&self, writer: &mut GraphWriter, map: Map) -> Result<Value, Error> {
        let (side, standards) = (self.model.config.size, self.model.standards);
        let latents = self.latents(writer);
        let share = 1.0 / latents.len() as f32;
        let mut maps = Vec::new();
        for z in &latents {
            let logits = self.decoded(writer, z)?;
            let made = activated(writer, Activation::Sigmoid, &logits);
            let ssim = |writer: &mut GraphWriter| {
                dissimilarity(writer, &self.image, &made, (side, side), Ssim::default())
            };
            maps.push(match map {
                Map::L2 => squared(writer, &self.image, &made),
                Map::L1 => absolute(writer, &self.image, &made),
                Map::Ssim => ssim(writer),
                Map::Mixed => {
                    let scaled = |writer: &mut GraphWriter, value: &Value, (mean, deviation): (f32, f32)| {
                        centred(writer, value, mean, 1.0 / deviation.max(1e-12))
                    };
                    let off = absolute(writer, &self.image, &made);
                    let off = scaled(writer, &off, standards.l1);
                    let unlike = ssim(writer);
                    let unlike = scaled(writer, &unlike, standards.ssim);
                    writer.add(&off, &unlike)
                }
                Map::KlGradient | Map::KlTimesL1 | Map::VaeGrad => {
                    return Err(cannot(
                        "its map is made of gradients, which graphs do not have; fit it with map=l2, l1, ssim or mixed",
                    ));
                }
            });
        }
        let sum = writer.sum(maps).ok_or_else(|| cannot("it decodes nothing"))?;
        Ok(if share < 1.0 { times(writer, &sum, share) } else { sum })
    }

    /// The divergence of every part's latent distribution from its prior.
    fn kl(&self, writer: &mut GraphWriter) -> Value {
        let squares = writer.mul(&self.mean, &self.mean);
        let variance = writer.each("Exp", &self.log_variance);
        let sum = writer.add(&squares, &variance);
        let sum = writer.sub(&sum, &self.log_variance);
        let sum = plus(writer, &sum, -1.0);
        let rows = writer.reshape(&sum, &[0, -1]);
        let sum = writer.reduce(Reduction::Sum, &rows, &[1], false);
        times(writer, &sum, 0.5)
    }

    /// What the reconstruction of every part costs, by the likelihood, see [`super::loss::reconstruction`].
    fn reconstruction(&self, writer: &mut GraphWriter) -> Result<Value, Error> {
        let config = &self.model.config;
        let n = (3 * config.size * config.size) as f64;
        let logits = self.decoded(writer, &self.mean)?;
        let made = activated(writer, Activation::Sigmoid, &logits);
        let mean =
            |writer: &mut GraphWriter, map: Value| writer.reduce(Reduction::Mean, &map, &[1, 2], false);
        let (image, s, variance) = (&self.image, config.decoder_sigma, self.model.variance);
        Ok(match config.likelihood {
            Likelihood::Calibrated => {
                let square = squared(writer, image, &made);
                let square = mean(writer, square);
                let scaled = times(writer, &square, (0.5 * n / variance) as f32);
                plus(writer, &scaled, (0.5 * n * variance.ln()) as f32)
            }
            Likelihood::Gaussian => {
                let square = squared(writer, image, &made);
                let square = mean(writer, square);
                times(writer, &square, (n / (2.0 * s * s)) as f32)
            }
            Likelihood::L1 => {
                let off = absolute(writer, image, &made);
                let off = mean(writer, off);
                times(writer, &off, (n / s) as f32)
            }
            Likelihood::Ssim => {
                let unlike = dissimilarity(writer, image, &made, (config.size, config.size), Ssim::default());
                let unlike = mean(writer, unlike);
                times(writer, &unlike, (n / (s * s)) as f32)
            }
            // ln(1 + exp(l)) - l x for logits l and values x.
            Likelihood::Bernoulli => {
                let soft = writer.each("Softplus", &logits);
                let certain = writer.mul(&logits, image);
                let cost = writer.sub(&soft, &certain);
                let cost = writer.reduce(Reduction::Mean, &cost, &[1, 2, 3], false);
                times(writer, &cost, n as f32)
            }
        })
    }
}

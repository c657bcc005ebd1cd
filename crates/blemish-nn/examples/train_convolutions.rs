//! Steps a second of the networks of `benches/training/peer.py`, for comparison with PyTorch.
//!
//! `cargo run --release -p blemish-nn --example train_convolutions -- draem|vae|mnad [steps]`; `RAYON_NUM_THREADS` sets the threads.
//! `benches/training/train_speed.py` runs both sides.

use blemish_nn::Tensor;
use blemish_nn::init::{Init, he};
use blemish_nn::layers::{
    Activation, Conv, ConvUnit, Dense, Interpolation, Phase, TransposedConv, Window, max_pool, upsample,
};
use blemish_nn::loss::{Focal, FocalForm, Ssim, gaussian_kl, l2, mean, two_classes};
use blemish_nn::optim::Adam;
use blemish_nn::train::{Plan, Schedule, TrainError, Verdict, Watch, train};
use burn::module::Module;
use burn::tensor::{Device, Int, activation};
use std::cell::RefCell;
use std::time::Instant;

/// Steps that are not counted.
const WARM_UP: u64 = 2;

struct Clock(RefCell<(Instant, f64, f64)>);

/// CPU seconds of this process so far, user and system, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Largest resident memory of this process so far, MiB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

impl Watch for Clock {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, done: u64, loss: f64, _: f64) {
        let mut clock = self.0.borrow_mut();
        if done == WARM_UP {
            *clock = (Instant::now(), cpu_seconds(), loss);
        }
        clock.2 = loss;
    }
}

fn run<M: Module>(
    name: &str,
    steps: u64,
    rate: f64,
    network: M,
    inputs: Vec<Tensor<4>>,
    loss: impl Fn(&M, Vec<Tensor<4>>) -> Tensor<1>,
) {
    let device = Device::flex().autodiff();
    let plan = Plan::new(steps + WARM_UP, Adam::ADAM, Schedule::constant(rate));
    let clock = Clock(RefCell::new((Instant::now(), 0.0, 0.0)));
    let parameters = network.num_params();
    let batch = |_| Ok::<_, TrainError>(inputs.iter().cloned().map(Tensor::from_inner).collect());
    train(network, &plan, &device, batch, loss, &clock).expect("the training failed");
    let (start, cpu, loss) = *clock.0.borrow();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{{\"network\": \"{name}\", \"parameters\": {parameters}, \"loss\": {loss}, \"peak_mb\": {}, \"steps_per_wall_second\": {}, \"steps_per_cpu_second\": {}}}",
        peak_mb(),
        steps as f64 / wall,
        steps as f64 / cpu
    );
}

fn unit(inputs: usize, outputs: usize, init: &mut Init) -> ConvUnit {
    let conv = Conv::normal(inputs, outputs, 3, he(9 * inputs), init);
    ConvUnit::normed(conv, Activation::Relu, init)
}

fn pair(inputs: usize, middle: usize, outputs: usize, init: &mut Init) -> Vec<ConvUnit> {
    vec![unit(inputs, middle, init), unit(middle, outputs, init)]
}

fn through(units: &[ConvUnit], x: Tensor<4>) -> Tensor<4> {
    units.iter().fold(x, |x, unit| unit.forward(x, Phase::Training))
}

fn down(stages: &[Vec<ConvUnit>], x: Tensor<4>) -> Vec<Tensor<4>> {
    let mut maps: Vec<Tensor<4>> = Vec::new();
    for stage in stages {
        let x = maps.last().map_or(x.clone(), |x| max_pool(x.clone(), Window::tiles(2)));
        maps.push(through(stage, x));
    }
    maps
}

/// DRAEM's two networks.
#[derive(Module, Debug)]
struct Draem {
    repair_down: Vec<Vec<ConvUnit>>,
    repair_up: Vec<(ConvUnit, Vec<ConvUnit>)>,
    repair_out: Conv,
    find_down: Vec<Vec<ConvUnit>>,
    find_up: Vec<(ConvUnit, Vec<ConvUnit>)>,
    find_out: Conv,
}

fn stages(widths: &[usize], init: &mut Init) -> Vec<Vec<ConvUnit>> {
    widths.windows(2).map(|pairs| pair(pairs[0], pairs[1], pairs[1], init)).collect()
}

impl Draem {
    fn new(w: usize, init: &mut Init) -> Self {
        let repair_down = stages(&[3, w, 2 * w, 4 * w, 8 * w, 8 * w], init);
        let ends = [8 * w, 4 * w, 2 * w, w, w];
        let repair_up =
            ends.windows(2).map(|e| (unit(e[0], e[0], init), pair(e[0], e[0], e[1], init))).collect();
        let find_down = stages(&[6, w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w], init);
        let ends = [8 * w, 8 * w, 4 * w, 2 * w, w, w];
        let skips = [8 * w, 8 * w, 4 * w, 2 * w, w];
        let find_up = ends
            .windows(2)
            .zip(skips)
            .map(|(e, s)| (unit(e[0], e[1], init), pair(e[1] + s, e[1], e[1], init)))
            .collect();
        let repair_out = Conv::new(w, 3, 3, init);
        Self { repair_down, repair_up, repair_out, find_down, find_up, find_out: Conv::new(w, 2, 3, init) }
    }

    fn loss(&self, clean: Tensor<4>, spoilt: Tensor<4>, mask: Tensor<4>) -> Tensor<1> {
        let twice = |x| upsample(x, 2, Interpolation::BilinearAligned);
        let mut x = down(&self.repair_down, spoilt.clone()).pop().expect("there are stages");
        for (first, rest) in &self.repair_up {
            x = through(rest, first.forward(twice(x), Phase::Training));
        }
        let repaired = self.repair_out.forward(x);
        let mut maps = down(&self.find_down, Tensor::cat(vec![repaired.clone(), spoilt], 1));
        let mut x = maps.pop().expect("there are stages");
        for ((first, rest), skip) in self.find_up.iter().zip(maps.into_iter().rev()) {
            x = through(rest, Tensor::cat(vec![first.forward(twice(x), Phase::Training), skip], 1));
        }
        let p = activation::softmax(self.find_out.forward(x), 1);
        let focal = Focal { gamma: 2.0, smoothing: 1e-5, form: FocalForm::TrueClass };
        let likeness = Ssim::default().mean(repaired.clone(), clean.clone());
        l2(repaired, clean) - likeness + 1.0 + focal.forward(p, two_classes(mask))
    }
}

/// The variational autoencoder of 128 pixels.
#[derive(Module, Debug)]
struct Vae {
    encoder: Vec<ConvUnit>,
    mean: Dense,
    log_variance: Dense,
    start: Dense,
    decoder: Vec<ConvUnit>,
}

impl Vae {
    fn new(init: &mut Init) -> Self {
        let pairs =
            |widths: &[usize]| -> Vec<[usize; 2]> { widths.windows(2).map(|w| [w[0], w[1]]).collect() };
        let down = |[i, o]: [usize; 2], init: &mut Init| {
            let conv =
                Conv::normal(i, o, 4, he(16 * i), init).with_stride(2).with_padding(1).without_bias(init);
            ConvUnit::normed(conv, Activation::LeakyRelu(0.2), init)
        };
        let encoder = pairs(&[3, 32, 64, 128, 256, 512]).into_iter().map(|io| down(io, init)).collect();
        let up = |[i, o]: [usize; 2], init: &mut Init| {
            let conv = TransposedConv::new(i, o, 4, 2, init).with_padding(1).without_bias(init);
            ConvUnit::normed(conv, Activation::Relu, init)
        };
        let mut decoder: Vec<_> =
            pairs(&[512, 256, 128, 64, 32]).into_iter().map(|io| up(io, init)).collect();
        let out = TransposedConv::new(32, 3, 4, 2, init).with_padding(1);
        decoder.push(ConvUnit::plain(out, Activation::Sigmoid));
        let (mean, mut log_variance) = (Dense::new(8192, 128, init), Dense::new(8192, 128, init));
        log_variance.weight = init.constant(0.0, [8192, 128]);
        log_variance.bias = init.constant(-2.0, [128]);
        Self { encoder, mean, log_variance, start: Dense::new(128, 8192, init), decoder }
    }

    fn loss(&self, x: Tensor<4>, noise: Tensor<4>) -> Tensor<1> {
        let [batch, channels, height, width] = x.dims();
        let h = through(&self.encoder, x.clone()).reshape([batch, 8192, 1, 1]);
        let (m, l) = (self.mean.forward(h.clone()), self.log_variance.forward(h));
        let z = m.clone() + (l.clone() * 0.5).exp() * noise;
        let y = through(&self.decoder, self.start.forward(z).reshape([batch, 512, 4, 4]));
        let values = (channels * height * width) as f64;
        (l2(y, x) + 1e-6).log() * (0.5 * values) + mean(gaussian_kl(m, l))
    }
}

/// MNAD's reconstruction network; its items do not change here.
#[derive(Module, Debug)]
struct Mnad {
    down: Vec<Vec<ConvUnit>>,
    up: Vec<Vec<ConvUnit>>,
    end: Vec<ConvUnit>,
    out: Conv,
}

impl Mnad {
    fn new(w: usize, init: &mut Init) -> Self {
        let mut down = stages(&[3, w, 2 * w, 4 * w], init);
        let last = ConvUnit::plain(Conv::new(8 * w, 8 * w, 3, init), Activation::Identity);
        down.push(vec![unit(4 * w, 8 * w, init), last]);
        let up = [[16 * w, 8 * w], [8 * w, 4 * w], [4 * w, 2 * w]].map(|[i, o]| {
            let mut stage = pair(i, o, o, init);
            let conv = TransposedConv::new(o, o, 3, 2, init).with_padding(1).with_output_padding(1);
            stage.push(ConvUnit::normed(conv, Activation::Relu, init));
            stage
        });
        Self { down, up: up.into(), end: pair(2 * w, w, w, init), out: Conv::new(w, 3, 3, init) }
    }

    fn loss(&self, x: Tensor<4>, items: Tensor<2>) -> Tensor<1> {
        let f = down(&self.down, x.clone()).pop().expect("there are stages");
        let [batch, channels, height, width] = f.dims();
        let length = (f.clone() * f.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
        let q = f / length;
        let rows = q.clone().permute([0, 2, 3, 1]).reshape([batch * height * width, channels]);
        let likeness = rows.clone().detach().matmul(items.clone().transpose());
        let read = activation::softmax(likeness.clone(), 1).matmul(items.clone());
        let (_, order): (Tensor<2>, Tensor<2, Int>) = likeness.topk_with_indices(2, 1);
        let item = |rank: usize| items.clone().select(0, order.clone().narrow(1, rank, 1).reshape([-1]));
        let (near, second) = (item(0), item(1));
        let distance = |other: Tensor<2>| {
            let off = rows.clone() - other + 1e-6;
            (off.clone() * off).sum_dim(1).sqrt()
        };
        let separate = mean((distance(near.clone()) - distance(second) + 1.0).clamp_min(0.0));
        let compact = l2(rows, near);
        let read = read.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]);
        let mut y = Tensor::cat(vec![q, read], 1);
        for stage in &self.up {
            y = through(stage, y);
        }
        let y = self.out.forward(through(&self.end, y)).tanh();
        l2(y, x) + (compact + separate) * 0.01
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "draem".into());
    let steps: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let device = Device::flex().autodiff();
    let mut init = Init::new(0, &device);
    // Without the graph, which a step's backward pass ends.
    let mut noise = |shape: [usize; 4]| activation::sigmoid(init.normal(1.0, shape).val().inner());
    let plain = Device::flex();
    match name.as_str() {
        "draem" => {
            let clean = noise([8, 3, 256, 256]);
            let mask = Tensor::<4>::zeros([8, 1, 256, 256], &plain);
            let mask =
                mask.slice_assign([0..8, 0..1, 64..128, 64..128], Tensor::ones([8, 1, 64, 64], &plain));
            let inputs = vec![clean.clone(), clean + mask.clone() * 0.3, mask];
            run(&name, steps, 1e-4, Draem::new(16, &mut init), inputs, |network, inputs| {
                let [clean, spoilt, mask] = inputs.try_into().expect("three inputs");
                network.loss(clean, spoilt, mask)
            });
        }
        "vae" => {
            let inputs = vec![noise([32, 3, 128, 128]), noise([32, 128, 1, 1]) * 4.0 - 2.0];
            run(&name, steps, 1e-3, Vae::new(&mut init), inputs, |network, inputs| {
                let [x, noise] = inputs.try_into().expect("two inputs");
                network.loss(x, noise)
            });
        }
        _ => {
            let inputs = vec![noise([4, 3, 256, 256]) * 2.0 - 1.0];
            let items = init.normal(1.0, [10, 128]).val().inner().abs();
            let length = (items.clone() * items.clone()).sum_dim(1).sqrt();
            let items = items / length;
            run(&name, steps, 2e-4, Mnad::new(16, &mut init), inputs, |network, mut inputs| {
                network.loss(inputs.remove(0), Tensor::from_inner(items.clone()))
            });
        }
    }
}

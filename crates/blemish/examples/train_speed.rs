//! Steps a second of the stacks of `benches/flows/train_speed.py`, for comparison with PyTorch.
//!
//! `cargo run --release -p blemish --example train_speed -- maps|vectors|wide [steps] [device] [single|mixed]`; `RAYON_NUM_THREADS` sets the
//! threads of a CPU. A GPU needs its feature: `--features cuda ... -- maps 50 cuda`.

use blemish_features::{Device, burn_device};
use blemish_nn::Tensor;
use blemish_nn::flow::{
    Chain, ChannelAffine, CouplingBlock, HalfStep, Part, Permutation, Piece, latent_energy,
};
use blemish_nn::init::Init;
use blemish_nn::layers::Subnet;
use blemish_nn::train::{Optimiser, Plan, Precision, Schedule, TrainError, Verdict, Watch, train};
use blemish_ops::{Clamp, Coupling};
use std::cell::RefCell;
use std::time::Instant;

struct Clock {
    /// Steps that are not counted.
    warm_up: u64,
    /// Wall and CPU time after them, and the last loss.
    now: RefCell<(Instant, f64, f64)>,
}

/// CPU seconds of this process so far, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

impl Watch for Clock {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, done: u64, loss: f64, _: f64) {
        let mut clock = self.now.borrow_mut();
        if done == self.warm_up {
            *clock = (Instant::now(), cpu_seconds(), loss);
        }
        clock.2 = loss;
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let stack = arguments.next().unwrap_or_else(|| "maps".into());
    let steps: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let named: Device = arguments.next().map_or(Device::Cpu, |name| name.parse().expect("no such device"));
    let precision =
        if arguments.next().as_deref() == Some("mixed") { Precision::Mixed } else { Precision::Single };
    // A GPU compiles and tunes its kernels on the way.
    let warm_up = if named.is_cpu() { 2 } else { 20 };
    let plain = burn_device::open(named).expect("the device cannot be opened");
    let device = plain.clone().autodiff();
    let mut init = Init::new(0, &device);
    let tanh = Coupling { clamp: Clamp::Tanh { limit: 2.0, rate: 0.1 }, gain: 0.1, shift_first: false };
    let atan = Coupling {
        clamp: Clamp::Atan { limit: 0.636 * 3.0, rate: 1.0 / 3.0 },
        gain: 1.0,
        shift_first: false,
    };
    let mut pieces = Vec::new();
    let (shape, condition, scale) = match stack.as_str() {
        "maps" => {
            for _ in 0..8 {
                let subnet = Subnet::conv([128, 128, 256], 3, &mut init);
                let steps = vec![HalfStep { changes: Part::Second, subnet }];
                pieces.push(Piece::Coupling(CouplingBlock { first: 128, steps, coupling: tanh }));
                pieces.push(Piece::Affine(ChannelAffine::new(256, &init)));
                pieces.push(Piece::Permutation(Permutation::new(256, &mut init)));
            }
            ([8, 256, 32, 32], 0, 1.0)
        }
        "vectors" => {
            for _ in 0..8 {
                let subnet = Subnet::dense(&[256, 512, 256], &mut init);
                let steps = vec![HalfStep { changes: Part::Second, subnet }];
                pieces.push(Piece::Coupling(CouplingBlock { first: 128, steps, coupling: tanh }));
                pieces.push(Piece::Affine(ChannelAffine::new(256, &init)));
                pieces.push(Piece::Permutation(Permutation::new(256, &mut init)));
            }
            ([1024, 256, 1, 1], 128, 1.0)
        }
        _ => {
            for _ in 0..4 {
                pieces.push(Piece::Permutation(Permutation::new(768, &mut init)));
                let mut step = |changes| HalfStep {
                    changes,
                    subnet: Subnet::dense(&[384, 2048, 2048, 2048, 768], &mut init),
                };
                let steps = vec![step(Part::First), step(Part::Second)];
                pieces.push(Piece::Coupling(CouplingBlock { first: 384, steps, coupling: atan }));
            }
            ([96, 768, 1, 1], 0, 1.0 / 768.0)
        }
    };
    let x = init.normal(1.0, shape).val().inner();
    let condition = (condition > 0).then(|| init.normal(1.0, [shape[0], condition, 1, 1]).val().inner());
    let optimiser = Optimiser { decay: 1e-5, ..Optimiser::ADAM };
    let schedule = Schedule::constant(if stack == "wide" { 2e-4 } else { 1e-3 });
    let plan = Plan { precision, ..Plan::new(steps + warm_up, optimiser, schedule) };
    let clock = Clock { warm_up, now: RefCell::new((Instant::now(), 0.0, 0.0)) };
    let loss = |network: &Chain, x: Tensor<4>| {
        let condition = condition.clone().map(Tensor::from_inner);
        let (z, log_det) = network.forward(x, condition.as_ref());
        (latent_energy(z) - log_det).sum() * (scale / shape[0] as f64)
    };
    let network = Chain { pieces };
    let batch = |_| Ok::<_, TrainError>(Tensor::from_inner(x.clone()));
    let trained = train(network, &plan, &device, batch, loss, &clock).expect("the training failed");
    plain.sync().expect("the device failed");
    let (start, cpu, loss) = *clock.now.borrow();
    let counted = (trained.steps - warm_up) as f64;
    println!(
        "{{\"stack\": \"{stack}\", \"steps_per_second\": {:.3}, \"steps_per_cpu_second\": {:.3}, \"loss\": {loss}}}",
        counted / start.elapsed().as_secs_f64(),
        counted / (cpu_seconds() - cpu)
    );
}

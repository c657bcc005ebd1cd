mod turns;

use super::*;
use crate::flow::{Chain, ChannelAffine, CouplingBlock, HalfStep, Part, Permutation, Piece, latent_energy};
use crate::init::Init;
use crate::layers::{Dense, Subnet};
use crate::weights::{Values, collect};
use blemish_ops::{Clamp, Coupling};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

fn device() -> Device {
    Device::flex().autodiff()
}

/// Says `verdict` before step number `at`, and calls `before` before every step.
struct Watcher<F> {
    at: u64,
    verdict: Verdict,
    before: F,
    done: Cell<u64>,
}

impl<F: Fn(u64)> Watch for Watcher<F> {
    fn verdict(&self) -> Verdict {
        (self.before)(self.done.get());
        if self.done.get() == self.at { self.verdict } else { Verdict::Go }
    }
    fn step(&self, done: u64, _: f64, _: f64) {
        self.done.set(done);
    }
}

fn watcher(at: u64, verdict: Verdict) -> Watcher<impl Fn(u64)> {
    Watcher { at, verdict, before: |_| {}, done: Cell::new(0) }
}

fn plan(steps: u64, rate: f64) -> Plan {
    Plan::new(steps, Optimiser::ADAM, Schedule::constant(rate))
}

/// Everything that has a memory; the curve has parts of two steps.
fn full_plan(path: Option<&Path>) -> Plan {
    let schedule = Schedule { rate: 3e-3, warm_up: 20, decay: Decay::Cosine { floor: 1e-4, stairs: 0 } };
    let checkpoints = path.map(|path| Checkpoints {
        path: path.to_owned(),
        every: Duration::from_secs(3600),
        resume: true,
        fingerprint: "a flow".into(),
    });
    let optimiser = Optimiser { kind: AdamKind::AmsGrad, ..Optimiser::ADAM }.into();
    Plan { optimiser, schedule, clip: Some(2.0), average: Some(0.9), checkpoints, ..plan(230, 3e-3) }
}

/// A training of a small flow on maps that differ from step to step.
fn flow_training(plan: &Plan, watch: &dyn Watch) -> Result<Trained<Chain>, TrainError> {
    let mut init = Init::new(1, &device());
    let coupling = Coupling { clamp: Clamp::Tanh { limit: 2.0, rate: 0.1 }, gain: 0.1, shift_first: false };
    let pieces = (0..2).flat_map(|_| {
        let steps = vec![HalfStep { changes: Part::Second, subnet: Subnet::conv([2, 4, 4], 3, &mut init) }];
        let block = Piece::Coupling(CouplingBlock { first: 2, steps, coupling });
        let affine = Piece::Affine(ChannelAffine::new(4, &init));
        [block, affine, Piece::Permutation(Permutation::new(4, &mut init))]
    });
    let network = Chain { pieces: pieces.collect() };
    let batch = |step| {
        let x = Init::new(step, &device()).normal(1.7, [5, 4, 4, 5]).val().detach();
        Ok(x + 0.5)
    };
    let loss = |network: &Chain, x| {
        let (z, log_det) = network.forward(x, None);
        (latent_energy(z) - log_det).sum() / 5.0
    };
    train(network, plan, &device(), batch, loss, watch)
}

/// Every bit that a training gives.
fn bits(trained: &Trained<Chain>) -> (BTreeMap<String, Vec<u32>>, Vec<u64>, u64) {
    let bits = |(_, values): Values| values.into_iter().map(f32::to_bits).collect();
    let weights = collect(&trained.network).into_iter().map(|(name, values)| (name, bits(values))).collect();
    (weights, trained.curve.losses.iter().map(|loss| loss.to_bits()).collect(), trained.steps)
}

fn run(plan: &Plan) -> Result<Trained<Chain>, TrainError> {
    flow_training(plan, &watcher(u64::MAX, Verdict::Go))
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = bits(&run(&full_plan(None)).unwrap());
    assert_eq!((whole.1.len(), whole.2), (115, 230));
    for stop in [0, 1, 19, 87, 128, 229] {
        let plan = full_plan(Some(&folder.path().join(format!("{stop}"))));
        let stopped = flow_training(&plan, &watcher(stop, Verdict::Stop));
        assert!(matches!(stopped, Err(TrainError::Interrupted)));
        let before = |done| assert!(done == 0 || done > stop, "step {done} is done again");
        let watch = Watcher { at: u64::MAX, verdict: Verdict::Go, before, done: Cell::new(0) };
        assert!(bits(&flow_training(&plan, &watch).unwrap()) == whole, "stopped before step {stop}");
    }
}

#[test]
fn products_in_half_precision_lead_near_where_single_precision_leads() {
    let single = run(&plan(40, 3e-3)).unwrap();
    let mixed = run(&Plan { precision: Precision::Mixed, ..plan(40, 3e-3) }).unwrap();
    let [single, mixed] = [&single, &mixed].map(|trained| &trained.curve.losses);
    // Eight bits of a product: another way down, to the same place.
    assert!(single != mixed, "nothing was in half precision");
    let (first, last) = (single[0], single[single.len() - 1]);
    let off = (mixed[mixed.len() - 1] - last).abs();
    assert!(off < 0.05 * (first - last), "{off} off after falling from {first} to {last}");
}

#[test]
fn a_killed_training_goes_on_from_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy] = ["kept", "copy"].map(|name| folder.path().join(name));
    let whole = bits(&run(&full_plan(None)).unwrap());
    let timed = |path: &Path, resume| {
        let mut plan = full_plan(Some(path));
        if let Some(checkpoints) = &mut plan.checkpoints {
            (checkpoints.every, checkpoints.resume) = (Duration::ZERO, resume);
        }
        plan
    };
    for killed in [1, 64, 111, 230] {
        let before = |done| {
            if done == killed {
                std::fs::copy(&path, &copy).unwrap();
            }
        };
        let watch = Watcher { at: u64::MAX, verdict: Verdict::Go, before, done: Cell::new(0) };
        // The file of the run before is there, but not wanted.
        assert!(bits(&flow_training(&timed(&path, false), &watch).unwrap()) == whole, "without a resumption");
        if killed == 230 {
            std::fs::copy(&path, &copy).unwrap();
        }
        assert!(bits(&run(&timed(&copy, true)).unwrap()) == whole, "killed before step {killed}");
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bits(&pool.install(|| run(&Plan { steps: 40, ..full_plan(None) })).unwrap())
    };
    assert!(of(1) == of(3));
}

#[test]
fn checkpoints_of_another_training_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let mut plan = full_plan(Some(&path));
    assert!(flow_training(&plan, &watcher(5, Verdict::Stop)).is_err());
    plan.checkpoints.as_mut().unwrap().fingerprint = "another flow".into();
    let error = run(&plan).err().unwrap();
    assert!(matches!(error, TrainError::OtherTraining { .. }));
    assert!(error.to_string().contains(path.to_str().unwrap()));
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let plan = full_plan(Some(&path));
    assert!(flow_training(&plan, &watcher(5, Verdict::Stop)).is_err());
    let error = line_training(&plan, 0.0, &watcher(u64::MAX, Verdict::Go)).err().unwrap();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn damaged_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let plan = full_plan(Some(&path));
    assert!(flow_training(&plan, &watcher(5, Verdict::Stop)).is_err());
    let intact = std::fs::read(&path).unwrap();
    let refused = |damaged: &[u8], what: String| {
        std::fs::write(&path, damaged).unwrap();
        let error = run(&plan).err().expect(&what);
        assert!(matches!(error, TrainError::Checkpoint { .. }), "{what}: {error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
    };
    let mut init = Init::new(3, &device());
    for _ in 0..400 {
        let (at, flip) = (init.seed() as usize % intact.len(), (init.seed() % 255) as u8 + 1);
        let mut damaged = intact.clone();
        damaged[at] ^= flip;
        refused(&damaged, format!("byte {at} changed by {flip}"));
    }
    for _ in 0..100 {
        let length = init.seed() as usize % intact.len();
        refused(&intact[..length], format!("cut to {length} bytes"));
    }
    refused(&[], "empty".into());
    refused(&[&intact[..], &[0]].concat(), "longer".into());
    std::fs::write(&path, intact).unwrap();
    assert!(run(&plan).is_ok());
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("kept");
    let error = flow_training(&full_plan(Some(&path)), &watcher(1, Verdict::Stop)).err().unwrap();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_training_that_is_to_finish_gives_what_it_has() {
    let constant = Plan { schedule: Schedule::constant(1e-3), ..full_plan(None) };
    let finished = flow_training(&constant, &watcher(17, Verdict::Finish)).unwrap();
    let planned = run(&Plan { steps: 17, ..constant }).unwrap();
    assert_eq!(finished.steps, 17);
    assert!(bits(&finished).0 == bits(&planned).0, "other weights");
    // Half a part at the end counts.
    assert_eq!(finished.curve.losses.len(), 9);
}

/// Learns 2 x - 1, from broken numbers at step 7 if `damage` is not 0.
fn line_training(plan: &Plan, damage: f32, watch: &dyn Watch) -> Result<Trained<Dense>, TrainError> {
    let mut init = Init::new(2, &device());
    let batch = |step| {
        let x = Init::new(step, &device()).normal(1.0, [16, 1, 1, 1]).val().detach();
        Ok(if step == 7 { x + damage } else { x })
    };
    let loss = |network: &Dense, x: Tensor<4>| {
        let error = network.forward(x.clone()) - (x * 2.0 - 1.0);
        (error.clone() * error).mean()
    };
    train(Dense::new(1, 1, &mut init), plan, &device(), batch, loss, watch)
}

#[test]
fn a_learnable_problem_is_learned() {
    for kind in [AdamKind::Adam, AdamKind::AmsGrad, AdamKind::Adamax] {
        let optimiser = Optimiser { kind, ..Optimiser::ADAM };
        let plan = Plan { optimiser: optimiser.into(), ..plan(600, 0.1) };
        let trained = line_training(&plan, 0.0, &watcher(u64::MAX, Verdict::Go)).unwrap();
        let losses = &trained.curve.losses;
        assert!(losses[0] > 0.5 && losses[losses.len() - 1] < 1e-3, "{losses:?}");
        let weights = collect(&trained.network);
        assert!((weights["weight"].1[0] - 2.0).abs() < 0.01 && (weights["bias"].1[0] + 1.0).abs() < 0.01);
    }
}

#[test]
fn a_loss_that_is_no_number_is_an_error_that_names_the_step() {
    for damage in [f32::NAN, f32::INFINITY] {
        let error = line_training(&plan(20, 0.01), damage, &watcher(u64::MAX, Verdict::Go)).err().unwrap();
        assert!(matches!(error, TrainError::NotFinite { step: 7, what: "loss" }), "{error}");
        assert!(error.to_string().contains("loss of step 7"));
    }
}

/// A network of two weights.
#[derive(Module, Debug)]
struct Two {
    a: Param<Tensor<1>>,
    b: Param<Tensor<1>>,
}

fn two(
    plan: &Plan,
    loss: impl Fn(Tensor<1>, Tensor<1>, u64) -> Tensor<1>,
) -> Result<([f32; 2], u64), TrainError> {
    let init = Init::new(0, &device());
    let network = Two { a: init.of(vec![0.5], [1]), b: init.of(vec![-0.25], [1]) };
    let loss = |network: &Two, step| loss(network.a.val(), network.b.val(), step);
    let watch = watcher(u64::MAX, Verdict::Go);
    let trained = train(network, plan, &device(), Ok::<_, TrainError>, loss, &watch)?;
    let weights = collect(&trained.network);
    Ok(([weights["a"].1[0], weights["b"].1[0]], trained.steps))
}

#[test]
fn a_gradient_that_is_no_number_is_an_error_that_names_the_step() {
    // The slope of a root at 0.
    let loss =
        |a: Tensor<1>, b: Tensor<1>, step| if step == 3 { ((a.clone() - a) * 1.0).sqrt() + b } else { a + b };
    let error = two(&plan(9, 0.01), loss).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 3, what: "gradient" }), "{error}");
}

#[test]
fn clipping_bounds_the_norm_of_all_gradients_together() {
    // Gradients (3, 4) times a factor a step: norm 5, then 50, then 2.5.
    let steep = |factors: [f64; 3]| {
        move |a: Tensor<1>, b: Tensor<1>, step: u64| (a * 3.0 + b * 4.0) * factors[step as usize]
    };
    let plan = plan(3, 0.1);
    let clipped = two(&Plan { clip: Some(5.0), ..plan.clone() }, steep([1.0, 10.0, 0.5])).unwrap().0;
    let expected = two(&plan, steep([1.0, 1.0, 0.5])).unwrap().0;
    let steeper = two(&plan, steep([1.0, 10.0, 0.5])).unwrap().0;
    for at in 0..2 {
        assert!((clipped[at] - expected[at]).abs() < 1e-6, "{clipped:?} instead of {expected:?}");
        assert!((clipped[at] - steeper[at]).abs() > 1e-3);
    }
}

#[test]
fn weight_decay_pulls_towards_zero() {
    let optimiser = Optimiser { decay: 0.1, ..Optimiser::ADAM };
    let flat = |a: Tensor<1>, b: Tensor<1>, _| (a + b) * 0.0;
    assert_eq!(two(&plan(1, 0.1), flat).unwrap().0, [0.5, -0.25]);
    // A first step of Adam is as long as the rate.
    let [a, b] = two(&Plan { optimiser: optimiser.into(), ..plan(1, 0.1) }, flat).unwrap().0;
    assert!((a - 0.4).abs() < 1e-6 && (b + 0.15).abs() < 1e-6, "{a} {b}");
}

#[test]
fn decoupled_decay_shrinks_weights_by_rate_times_decay() {
    let optimiser = Optimiser { decay: 0.1, is_decoupled: true, ..Optimiser::ADAM };
    let flat = |a: Tensor<1>, b: Tensor<1>, _| (a + b) * 0.0;
    let [a, b] = two(&Plan { optimiser: optimiser.into(), ..plan(1, 0.1) }, flat).unwrap().0;
    assert!((a - 0.5 * 0.99).abs() < 1e-7 && (b + 0.25 * 0.99).abs() < 1e-7, "{a} {b}");
}

#[test]
fn amsgrad_keeps_to_the_largest_second_moment() {
    // PyTorch 2.15: AdamW(rate 0.1, decay 0.05, amsgrad), gradients 1, 10, 0.1, 0.1 of a and 4, 3, 2, 1 of b.
    let slopes = [[1.0, 4.0], [10.0, 3.0], [0.1, 2.0], [0.1, 1.0]];
    let slope = |a: Tensor<1>, b: Tensor<1>, step: u64| {
        let [of_a, of_b] = slopes[step as usize];
        a * of_a + b * of_b
    };
    let optimiser = Optimiser { kind: AdamKind::AmsGrad, decay: 0.05, is_decoupled: true, ..Optimiser::ADAM };
    let [a, b] = two(&Plan { optimiser: optimiser.into(), ..plan(4, 0.1) }, slope).unwrap().0;
    assert!((a - 0.196_833_85).abs() < 2e-6 && (b + 0.621_134_8).abs() < 2e-6, "{a} {b}");
}

#[test]
fn the_average_runs_over_the_weights_after_every_step() {
    let bowl = |a: Tensor<1>, b: Tensor<1>, _| (a.clone() - 3.0) * (a - 3.0) + b.clone() * b;
    let mut expected = [0.5, -0.25];
    for steps in 1..=6 {
        let weights = two(&plan(steps, 0.2), bowl).unwrap().0;
        for at in 0..2 {
            expected[at] = 0.8 * expected[at] + 0.2 * weights[at];
        }
        let averaged = two(&Plan { average: Some(0.8), ..plan(steps, 0.2) }, bowl).unwrap().0;
        for at in 0..2 {
            assert!((averaged[at] - expected[at]).abs() < 1e-6, "{averaged:?} instead of {expected:?}");
        }
    }
}

#[test]
fn a_weight_that_the_loss_does_not_know_stays() {
    let [a, b] = two(&plan(5, 0.1), |a, _, _| a).unwrap().0;
    assert!(a < 0.1 && b == -0.25);
}

#[test]
fn patience_ends_a_training_that_has_stalled() {
    let patience = Some(Patience { window: 5, windows: 3 });
    let stalled = Plan { patience, ..plan(200, 0.01) };
    // The first window sets the low, three more do not beat it.
    assert_eq!(two(&stalled, |a, b, _| (a + b) * 0.0 + 1.0).unwrap().1, 20);
    assert_eq!(two(&stalled, |a, b, _| a + b).unwrap().1, 200);
    // Lows until step 50.
    let falls = |a: Tensor<1>, b: Tensor<1>, step: u64| (a + b) * 0.0 + 1.0 / (1.0 + step.min(50) as f64);
    assert_eq!(two(&stalled, falls).unwrap().1, 55 + 15);
    // Parts of the curve of 3 steps: windows of 6.
    assert_eq!(two(&Plan { steps: 500, ..stalled }, |a, b, _| (a + b) * 0.0 + 1.0).unwrap().1, 24);
}

/// Both weights fall by 0.1 a step, from 0.5 and -0.25; what `cost` says of the first decides which are kept.
fn selected(plan: &Plan, every: u64, verdict: Verdict, cost: &dyn Fn(f32) -> f64) -> Result<f32, TrainError> {
    let init = Init::new(0, &device());
    let network = Two { a: init.of(vec![0.5], [1]), b: init.of(vec![-0.25], [1]) };
    let of_network = |network: &Two| cost(collect(network)["a"].1[0]);
    let selection = Some(Selection { every, cost: &of_network });
    let loss = |network: &Two, _: u64| network.a.val() + network.b.val();
    let watch = watcher(if verdict == Verdict::Go { u64::MAX } else { 5 }, verdict);
    let trained = train_selecting(network, plan, &device(), Ok::<_, TrainError>, loss, selection, &watch)?;
    Ok(collect(&trained.network)["a"].1[0])
}

#[test]
fn a_selection_keeps_the_weights_that_cost_least_at_one_of_its_looks() {
    let from = |goal: f32| move |a: f32| f64::from((a - goal).abs());
    let is = |found: Result<f32, TrainError>, expected: f32| {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
    };
    // Looks after steps 2, 4, 6, 8 and the last, 9: a = 0.3, 0.1, -0.1, -0.3, -0.4.
    is(selected(&plan(9, 0.1), 2, Verdict::Go, &from(0.12)), 0.1);
    is(selected(&plan(9, 0.1), 2, Verdict::Go, &from(-9.0)), -0.4);
    // Equal costs: the first.
    is(selected(&plan(9, 0.1), 2, Verdict::Go, &|_| 1.0), 0.3);
    // Ended by a time limit after 5 steps: that is looked at, too.
    is(selected(&plan(9, 0.1), 2, Verdict::Finish, &from(-9.0)), 0.0);
}

#[test]
fn a_resumed_training_knows_the_best_weights_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints {
        path: folder.path().join("two.checkpoint"),
        every: Duration::from_secs(60),
        resume: true,
        fingerprint: "two".into(),
    };
    let plan = Plan { checkpoints: Some(checkpoints), ..plan(9, 0.1) };
    let cost = |a: f32| f64::from((a - 0.3).abs());
    assert!(matches!(selected(&plan, 2, Verdict::Stop, &cost), Err(TrainError::Interrupted)));
    // The best look, at a = 0.3, was before the interruption.
    let found = selected(&plan, 2, Verdict::Go, &cost).unwrap();
    assert!((found - 0.3).abs() < 1e-4, "{found}");
}

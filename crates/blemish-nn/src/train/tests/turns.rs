//! Several networks, losses and optimisers by turns.

use super::*;
use crate::layers::{Activation, Conv, ConvUnit, Convolution, Phase};
use crate::loss::l2;
use crate::optim::{RmsProp, Sgd};
use safetensors::SafeTensors;
use std::cell::RefCell;

/// Two sides of a small GAN, both with running moments, the critic's first convolution with a bias that is not trained.
#[derive(Module, Debug)]
struct Pair {
    generator: ConvUnit,
    critic: Vec<ConvUnit>,
}

fn pair() -> Pair {
    let mut init = Init::new(4, &device());
    let mut unit = |inputs, outputs, activation, has_bias| {
        let conv = Conv::new(inputs, outputs, 3, &mut init);
        let init = Init::new(0, &device());
        let conv = if has_bias { conv } else { conv.without_bias(&init) };
        ConvUnit::normed(conv, activation, &init)
    };
    let generator = unit(2, 3, Activation::Tanh, true);
    let critic = [(3, 4, Activation::LeakyRelu(0.2), false), (4, 1, Activation::Identity, true)];
    Pair {
        generator,
        critic: critic.map(|(i, o, activation, has_bias)| unit(i, o, activation, has_bias)).into(),
    }
}

impl Pair {
    fn generate(&self, noise: Tensor<4>) -> Tensor<4> {
        self.generator.forward(noise, Phase::Training)
    }

    /// How far the critic is from a verdict on images.
    fn doubt(&self, images: Tensor<4>, verdict: f64) -> Tensor<1> {
        let found = self.critic.iter().fold(images, |x, unit| unit.forward(x, Phase::Training));
        let verdict = found.zeros_like() + verdict;
        l2(found, verdict)
    }
}

type Batch = (Tensor<4>, Tensor<4>);

fn batch(draw: Draw) -> Result<Batch, TrainError> {
    let seed = draw.step * 100 + draw.turn as u64 * 10 + draw.repeat;
    let mut init = Init::new(seed, &device());
    let [noise, images] = [2, 3].map(|channels| init.normal(1.0, [4, channels, 5, 5]).val().detach());
    Ok((noise, images))
}

/// Uses the critic's first kernel twice beside its bias and once without it, deep in the graph: three gradients whose sum depends on their
/// order, which depends on how deep the bias lies.
fn of_critic(pair: &Pair, (noise, images): Batch) -> Tensor<1> {
    let Convolution::Plain(conv) = &pair.critic[0].conv else {
        unreachable!("the critic is of plain convolutions")
    };
    let deep = (0..9).fold(Tensor::cat(vec![noise.clone(), noise.clone()], 1), |x, _| x.tanh());
    let spread = conv.adjoint(deep, [5, 5]);
    pair.doubt(images, 1.0) + pair.doubt(pair.generate(noise), 0.0) + (spread.clone() * spread).mean()
}

fn of_generator(pair: &Pair, (noise, _): Batch) -> Tensor<1> {
    pair.doubt(pair.generate(noise), 1.0)
}

/// The bias that is not trained.
const FIXED: &str = "critic.0.conv.Plain.bias";
const CRITIC: Scope<'static> = Scope::Fields(&["critic"]);
const GENERATOR: Scope<'static> = Scope::Fields(&["generator"]);

/// Everything that has a memory.
fn turns() -> [Turn<'static, Pair, Batch>; 2] {
    let rms_prop = RmsProp { momentum: 0.5, is_centred: true, ..RmsProp::PLAIN };
    let rate = Schedule { rate: 1e-3, warm_up: 3, decay: Decay::Step { every: 5, factor: 0.5 } };
    let critic = Turn::new("critic", CRITIC, rms_prop, rate, &of_critic);
    let generator =
        Turn::new("generator", GENERATOR, Optimiser::ADAM, Schedule::constant(1e-2), &of_generator);
    [Turn { repeats: 2, clip: Some(0.5), ..critic }, Turn { average: Some(0.8), ..generator }]
}

type Bits = (BTreeMap<String, Vec<u32>>, Vec<Vec<u64>>);

fn run_turns(
    course: &Course,
    turns: &[Turn<'_, Pair, Batch>],
    watch: &dyn Watch,
) -> Result<Bits, TrainError> {
    let trained = train_by_turns(pair(), course, turns, &device(), batch, None, watch)?;
    let curves = trained.curves.iter().map(|curve| curve.losses.iter().map(|loss| loss.to_bits()).collect());
    Ok((bits_of(&trained.network), curves.collect()))
}

fn bits_of(network: &Pair) -> BTreeMap<String, Vec<u32>> {
    let bits = |(_, values): Values| values.into_iter().map(f32::to_bits).collect();
    collect(network).into_iter().map(|(name, values)| (name, bits(values))).collect()
}

fn go() -> Watcher<impl Fn(u64)> {
    watcher(u64::MAX, Verdict::Go)
}

#[test]
fn a_turn_changes_its_own_part_and_not_a_bit_of_the_other() {
    let before = bits_of(&pair());
    let [critic, generator] = turns();
    for (turn, own) in [(critic, "critic."), (generator, "generator.")] {
        let after = run_turns(&Course::new(3), &[turn], &go()).unwrap().0;
        for (name, bits) in &after {
            let is_trained = name.starts_with(own) && name != FIXED;
            assert_eq!(*bits != before[name], is_trained, "{name} after {own}");
        }
        // Weights, normalisation and running moments.
        assert!(after.keys().any(|name| name.starts_with(own) && name.ends_with("variance")));
    }
}

#[test]
fn a_loss_reaches_its_part_through_the_other() {
    let [_, generator] = turns();
    let network = pair();
    let frozen = crate::optim::weights::frozen_outside(network.clone(), generator.scope);
    let draw = Draw { step: 0, turn: 0, repeat: 0 };
    let [whole, own] = [&network, &frozen].map(|it| {
        let gradients = of_generator(it, batch(draw).unwrap()).backward();
        crate::optim::weights::gradients_of(it, GENERATOR, gradients)
    });
    // Four weights: kernel, bias, scale and shift.
    assert_eq!((whole.len(), own.len()), (4, 4));
    for (whole, own) in whole.into_iter().zip(own) {
        let [whole, own] = [whole, own].map(|slopes| slopes.unwrap().into_data());
        assert_eq!(whole, own);
    }
    let gradients = of_generator(&frozen, batch(draw).unwrap()).backward();
    assert!(crate::optim::weights::gradients_of(&frozen, CRITIC, gradients).is_empty());
}

#[test]
fn an_interrupted_training_by_turns_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for order in [Order::Sequential, Order::Joint] {
        let whole = run_turns(&Course { order, ..Course::new(12) }, &turns(), &go()).unwrap();
        assert_eq!(whole.1.iter().map(Vec::len).collect::<Vec<_>>(), [12, 12]);
        for stop in [0, 1, 7, 11] {
            let checkpoints = Some(Checkpoints {
                path: folder.path().join(format!("{order:?}-{stop}")),
                every: Duration::from_secs(3600),
                resume: true,
                fingerprint: "a pair".into(),
            });
            let course = Course { order, checkpoints, ..Course::new(12) };
            let stopped = run_turns(&course, &turns(), &watcher(stop, Verdict::Stop));
            assert!(matches!(stopped, Err(TrainError::Interrupted)));
            assert!(run_turns(&course, &turns(), &go()).unwrap() == whole, "{order:?} stopped at {stop}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit_of_any_turn() {
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run_turns(&Course::new(5), &turns(), &go()).unwrap())
    };
    assert!(of(1) == of(3));
}

#[test]
fn one_turn_of_all_fields_is_the_training_of_one_network() {
    let loss = |pair: &Pair, batch: Batch| of_critic(pair, batch);
    let plan = Plan { clip: Some(0.5), average: Some(0.9), ..plan(8, 1e-2) };
    let of_step = |step| batch(Draw { step, turn: 0, repeat: 0 });
    let trained = train(pair(), &plan, &device(), of_step, loss, &go()).unwrap();
    let turn = Turn {
        clip: plan.clip,
        average: plan.average,
        ..Turn::new("both", Scope::Fields(&["critic", "generator"]), plan.optimiser, plan.schedule, &loss)
    };
    let (weights, curves) = run_turns(&Course::new(8), &[turn], &go()).unwrap();
    assert!(weights == bits_of(&trained.network));
    assert_eq!(curves[0], trained.curve.losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>());
}

#[test]
fn updates_come_in_order_and_every_turn_is_told_of() {
    let (draws, told) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    struct Tell<'a>(&'a RefCell<Vec<(String, f64)>>);
    impl Watch for Tell<'_> {
        fn verdict(&self) -> Verdict {
            Verdict::Go
        }
        fn step(&self, _: u64, loss: f64, rate: f64) {
            let told = self.0.borrow();
            let [.., first, _] = &told[..] else { panic!("a turn was not told of") };
            assert!(first.0 == "critic" && first.1 == rate && loss > 0.0);
        }
        fn turn(&self, name: &str, _: f64, rate: f64) {
            self.0.borrow_mut().push((name.to_owned(), rate));
        }
    }
    let drawn = |order| {
        draws.borrow_mut().clear();
        let batch = |draw: Draw| {
            draws.borrow_mut().push((draw.step, draw.turn, draw.repeat));
            batch(draw)
        };
        let course = Course { order, ..Course::new(2) };
        train_by_turns(pair(), &course, &turns(), &device(), batch, None, &Tell(&told)).map(|_| ()).unwrap();
        draws.borrow().clone()
    };
    let expected = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0)];
    assert_eq!(drawn(Order::Sequential), expected);
    assert_eq!(told.borrow()[..2], [("critic".to_owned(), 1e-4), ("generator".to_owned(), 1e-2)]);
    assert_eq!(drawn(Order::Joint)[..3], [(0, 0, 0), (0, 1, 0), (0, 0, 1)]);
}

/// a and b after a step of each on a * b, from a = 1 and b = 2, at a rate of 0.1.
fn product(order: Order) -> [f32; 2] {
    let init = Init::new(0, &device());
    let network = Two { a: init.of(vec![1.0], [1]), b: init.of(vec![2.0], [1]) };
    let loss = |two: &Two, ()| two.a.val() * two.b.val();
    let descent = Sgd { momentum: 0.0, ..Sgd::MOMENTUM };
    let turn = |name, scope| Turn::new(name, scope, descent, Schedule::constant(0.1), &loss);
    let turns = [turn("a", Scope::Fields(&["a"])), turn("b", Scope::Fields(&["b"]))];
    let course = Course { order, ..Course::new(1) };
    let batch = |_| Ok::<_, TrainError>(());
    let trained = train_by_turns(network, &course, &turns, &device(), batch, None, &go()).unwrap();
    let weights = collect(&trained.network);
    [weights["a"].1[0], weights["b"].1[0]]
}

#[test]
fn a_loss_sees_the_updates_before_it_unless_all_come_first() {
    let close = |found: [f32; 2], expected: [f32; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    };
    close(product(Order::Sequential), [0.8, 1.92]);
    close(product(Order::Joint), [0.8, 1.9]);
}

#[test]
fn weights_are_made_anew_at_the_end_of_a_step_whose_loss_is_too_small() {
    // The loss of step s is the weight before it; a descent by 1 each step, from 3.
    let loss = |two: &Two, ()| two.a.val();
    let descent = Sgd { momentum: 0.0, ..Sgd::MOMENTUM };
    let renew =
        |two: Two, step: u64| Two { a: Init::new(0, &device()).of(vec![10.0 + step as f32], [1]), ..two };
    let end = |steps, below| {
        let init = Init::new(0, &device());
        let network = Two { a: init.of(vec![3.0], [1]), b: init.of(vec![2.0], [1]) };
        let turn = Turn::new("a", Scope::Fields(&["a"]), descent, Schedule::constant(1.0), &loss);
        let turn = Turn { renewal: Some(Renewal { below, renew: &renew }), ..turn };
        let batch = |_| Ok::<_, TrainError>(());
        let trained =
            train_by_turns(network, &Course::new(steps), &[turn], &device(), batch, None, &go()).unwrap();
        let weights = collect(&trained.network);
        [weights["a"].1[0], weights["b"].1[0]]
    };
    // Losses 3, 2: neither is below 2.
    assert_eq!(end(2, 2.0), [1.0, 2.0]);
    // The third loss is 1.
    assert_eq!(end(3, 2.0), [12.0, 2.0]);
    assert_eq!(end(4, 2.0), [11.0, 2.0]);
}

#[test]
fn faults_name_their_turn() {
    let [critic, generator] = turns();
    let nowhere = Turn { scope: Scope::Fields(&["encoder"]), ..generator };
    let error = run_turns(&Course::new(2), &[critic, nowhere], &go()).unwrap_err();
    assert!(error.to_string().contains("turn `generator` trains nothing"), "{error}");
    let broken = |pair: &Pair, batch| of_generator(pair, batch) * f64::NAN;
    let broken = Turn { loss: &broken, ..generator };
    let error = run_turns(&Course::new(2), &[critic, broken], &go()).unwrap_err();
    assert!(error.to_string().contains("loss of step 0 of turn `generator`"), "{error}");
}

#[test]
fn patience_looks_at_the_first_turn() {
    let falls = |two: &Two, step: u64| two.a.val() * 0.0 + 1.0 / (1.0 + step as f64);
    let stays = |two: &Two, _| two.b.val() * 0.0 + 1.0;
    let steps = |of_a: &dyn Fn(&Two, u64) -> Tensor<1>, of_b: &dyn Fn(&Two, u64) -> Tensor<1>| {
        let init = Init::new(0, &device());
        let network = Two { a: init.of(vec![1.0], [1]), b: init.of(vec![2.0], [1]) };
        let rate = Schedule::constant(0.1);
        let turns = [
            Turn::new("a", Scope::Fields(&["a"]), Optimiser::ADAM, rate, of_a),
            Turn::new("b", Scope::Fields(&["b"]), Optimiser::ADAM, rate, of_b),
        ];
        let course = Course { patience: Some(Patience { window: 5, windows: 3 }), ..Course::new(60) };
        let batch = |draw: Draw| Ok::<_, TrainError>(draw.step);
        train_by_turns(network, &course, &turns, &device(), batch, None, &go()).unwrap().steps
    };
    let stays_too = |two: &Two, _| two.a.val() * 0.0 + 1.0;
    let falls_too = |two: &Two, step: u64| two.b.val() * 0.0 + 1.0 / (1.0 + step as f64);
    assert_eq!(steps(&falls, &stays), 60);
    assert_eq!(steps(&stays_too, &falls_too), 20);
}

#[test]
fn the_checkpoint_of_one_network_keeps_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    let optimiser = Optimiser::ADAM.into();
    let plan = Plan { optimiser, average: Some(0.9), ..full_plan(Some(&path)) };
    assert!(line_training(&plan, 0.0, &watcher(5, Verdict::Stop)).is_err());
    let bytes = std::fs::read(&path).unwrap();
    let bytes = &bytes[..bytes.len() - 32];
    let mut names: Vec<String> =
        SafeTensors::deserialize(bytes).unwrap().names().into_iter().map(str::to_owned).collect();
    names.sort();
    let expected = [
        "average.0",
        "average.1",
        "first.0",
        "first.1",
        "network.bias",
        "network.weight",
        "second.0",
        "second.1",
    ];
    assert_eq!(names, expected);
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let header = header.metadata().clone().unwrap();
    assert_eq!((&header["fingerprint"][..], &header["done"][..]), ("a flow", "5"));
    assert!(header["curve"].starts_with("[2,1,"));
}

use super::critic::Critic;
use super::network::{Gan, Lesson, critic_loss, generator_loss};
use super::residual::{ResidualEncoder, Widths};
use super::training::{with_encoder_turn, with_turns};
use super::*;
use crate::contract::Small;
use crate::shared::dcgan::{Encoder, EncoderNorm, Plan};
use crate::testing::{Golden, blank_of, close_as, image_batch, with_epsilon};
use blemish_core::check::{Images, Scene};
use blemish_nn::layers::{Activation, Conv, ConvUnit};
use blemish_nn::testing::{check_gradients, close, double, random, values};
use blemish_nn::train::{
    Course, Draw, Optimiser, Schedule, Scope, TrainError, Turn, Verdict, Watch, train_by_turns,
};
use blemish_nn::weights::{collect, trained_values};
use burn::tensor::DType;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        "fanogan",
        &[
            ("width", "4"),
            ("latent", "8"),
            ("critic_steps", "2"),
            ("steps", "12"),
            ("encoder_steps", "16"),
            ("encoder_rate", "0.002"),
            ("batch", "3"),
            ("sigma", "2"),
        ],
    )
    .on(32)
    .untaught(),
    Small::new(
        "fanogan",
        &[
            ("architecture", "residual"),
            ("objective", "cross_entropy"),
            ("width", "2"),
            ("latent", "8"),
            ("critic_steps", "1"),
            ("steps", "8"),
            ("encoder_steps", "16"),
            ("encoder_rate", "0.002"),
            ("batch", "3"),
        ],
    )
    .on(32)
    .untaught(),
];

fn tiny(architecture: Architecture) -> FanoganConfig {
    FanoganConfig { architecture, width: 2, latent: 5, batch: 3, ..FanoganConfig::default() }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn plan(side: usize, width: usize) -> Plan {
    FanoganConfig { width, ..tiny(Architecture::Dcgan) }.plan(side)
}

/// A critic of convolutions with layer normalisation, in double precision, with signals as large as in training.
fn strided_critic() -> Critic {
    let mut init = double();
    let mut critic = Encoder::new(&plan(16, 2), 1, EncoderNorm::Image, &mut init);
    for (unit, inputs) in critic.units.iter_mut().zip([3, 2]) {
        let outputs = unit.conv.outputs();
        let conv = Conv::normal(inputs, outputs, 4, 0.3, &mut init).with_stride(2).with_padding(1);
        unit.conv = conv.without_bias(&init).into();
    }
    critic.head = Conv::normal(4, 1, 4, 0.3, &mut init).unpadded().without_bias(&init);
    Critic::Dcgan(critic)
}

fn residual_critic() -> Critic {
    Critic::Residual(ResidualEncoder::new(Widths { side: 8, width: 2 }, 1, false, &mut double()))
}

#[test]
fn the_penalty_of_a_plane_is_the_distance_of_its_slope_from_1() {
    let init = &mut double();
    let head = Conv::normal(3, 1, 4, 0.3, init).unpadded().without_bias(init);
    let critic = Critic::Dcgan(Encoder { units: Vec::new(), head: head.clone() });
    let weight = values(head.weight.val());
    let norm = weight.iter().map(|w| w * w).sum::<f64>().sqrt();
    assert!((norm - 1.0).abs() > 0.1);
    for seed in [1, 2] {
        let u = random([5, 3, 4, 4], seed).detach();
        let penalty = critic.penalty(u.clone());
        close(&values(penalty.clone()), &[(norm - 1.0).powi(2)], 1e-10);
        let expected: Vec<f64> = weight.iter().map(|w| 2.0 * (norm - 1.0) * w / norm).collect();
        close(&values(head.weight.val().grad(&penalty.backward()).unwrap()), &expected, 1e-9);
        close(&values(critic.slope(u)), &weight.repeat(5), 1e-12);
    }
    // Where the slope vanishes the penalty is 1 and has a finite gradient.
    let head = Conv::zero(3, 1, 4, init).unpadded().without_bias(init);
    let flat = Critic::Dcgan(Encoder { units: Vec::new(), head: head.clone() });
    let penalty = flat.penalty(random([2, 3, 4, 4], 1).detach());
    close(&values(penalty.clone()), &[1.0], 1e-5);
    assert!(
        values(head.weight.val().grad(&penalty.backward()).unwrap()).iter().all(|slope| slope.is_finite())
    );
}

#[test]
fn the_slope_written_out_is_the_gradient() {
    for (critic, side) in [(strided_critic(), 16), (residual_critic(), 8)] {
        let x = random([3, 3, side, side], 4);
        let gradients = critic.forward(x.clone(), Phase::Training).sum().backward();
        let expected = values(x.grad(&gradients).unwrap());
        assert!(expected.iter().any(|slope| slope.abs() > 1e-2));
        close(&values(critic.slope(x)), &expected, 1e-10);
    }
}

#[test]
fn second_derivatives_through_the_penalty_are_the_slopes_of_the_loss() {
    let config = tiny(Architecture::Dcgan);
    for (critic, side) in [(strided_critic(), 16), (residual_critic(), 8)] {
        let [x, made] = [5, 6].map(|seed| random([2, 3, side, side], seed).detach());
        let mix = (random([2, 1, 1, 1], 7) * 0.1 + 0.4).detach();
        // The penalty alone reaches no last shift or bias; all of the loss reaches everything.
        let all = |critic: &Critic| {
            let value = critic.forward(x.clone(), Phase::Training).powi_scalar(2).sum();
            critic_loss(&config, critic, x.clone(), made.clone(), mix.clone()) + value
        };
        check_gradients(critic, all);
    }
}

#[test]
fn the_critics_loss_is_the_difference_of_means_and_the_penalty_between() {
    let config = FanoganConfig { penalty: 3.0, ..tiny(Architecture::Dcgan) };
    let critic = strided_critic();
    let [x, made] = [5, 6].map(|seed| random([2, 3, 16, 16], seed).detach());
    let mean = |x: &Tensor<4>| values(critic.forward(x.clone(), Phase::Training).mean())[0];
    let mix = |share: f64| Tensor::full([2, 1, 1, 1], share, (&x.device(), x.dtype()));
    let loss = |share| values(critic_loss(&config, &critic, x.clone(), made.clone(), mix(share)))[0];
    let penalty = |u: &Tensor<4>| values(critic.penalty(u.clone()))[0];
    let distance = mean(&made) - mean(&x);
    // At the ends u is the image or the made one.
    close(&[loss(0.0), loss(1.0)], &[distance + 3.0 * penalty(&x), distance + 3.0 * penalty(&made)], 1e-10);
    let found = critic.forward(made.clone(), Phase::Training);
    close(&values(generator_loss(&config, found)), &[-mean(&made)], 1e-12);
    let plain = FanoganConfig { objective: Objective::CrossEntropy, ..config };
    let nothing = found_nothing();
    close(&values(generator_loss(&plain, nothing)), &[std::f64::consts::LN_2], 1e-12);
}

fn found_nothing() -> Tensor<4> {
    random([3, 1, 1, 1], 1).detach() * 0.0
}

#[test]
fn an_image_has_the_same_value_whatever_the_others_are() {
    for (critic, side) in [(strided_critic(), 16), (residual_critic(), 8)] {
        let [x, other] = [1, 2].map(|seed| random([1, 3, side, side], seed));
        let alone = values(critic.forward(x.clone(), Phase::Training));
        for company in [other.clone(), other * 30.0] {
            let both = values(critic.forward(Tensor::cat(vec![x.clone(), company], 0), Phase::Training));
            close(&both[..1], &alone, 1e-12);
        }
    }
}

#[test]
fn the_published_networks_have_this_many_weights() {
    let config = FanoganConfig::of(Preset::Paper);
    let mut init = Init::blank(&device());
    let gan = Gan::new(&config, 64, &mut init);
    // Of a block: norms of both inputs, 3x3 to the inner width and on, 1x1 with biases.
    let down = |i: usize, o: usize| 4 * i + 9 * i * i + 9 * i * o + o + i * o + o;
    let up = |i: usize, o: usize| 2 * i + 2 * o + 9 * i * o + 9 * o * o + o + i * o + o;
    let widths = [64, 128, 256, 512, 512];
    let downs: usize = widths.windows(2).map(|pair| down(pair[0], pair[1])).sum();
    let ups: usize = widths.windows(2).map(|pair| up(pair[1], pair[0])).sum();
    let first = 27 * 64 + 64;
    assert_eq!(trained_values(&gan.critic), first + downs + 8192 + 1);
    let last = 2 * 64 + 27 * 64 + 3;
    assert_eq!(trained_values(&gan.generator), 128 * 8192 + 8192 + ups + last);
    let encoder = Reader::new(&config, 64, &mut init);
    assert_eq!(trained_values(&encoder), first + downs + 8192 * 128 + 128);
}

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// A generator of one number and a critic of it.
#[derive(Module, Debug)]
struct Toy {
    generator: Vec<ConvUnit>,
    critic: Critic,
}

fn pixelwise(inputs: usize, outputs: usize, activation: Activation, init: &mut Init) -> ConvUnit {
    ConvUnit::plain(Conv::new(inputs, outputs, 1, init), activation)
}

#[test]
#[ignore = "a minute: cargo test --release -p blemish-methods normal_distribution -- --ignored"]
fn a_generator_learns_a_normal_distribution_of_mean_3() {
    let leaky = Activation::LeakyRelu(0.2);
    let init = &mut Init::new(1, &device());
    let generator = vec![pixelwise(1, 16, leaky, init), pixelwise(16, 1, Activation::Identity, init)];
    let units = vec![pixelwise(1, 16, leaky, init), pixelwise(16, 16, leaky, init)];
    let toy = Toy { generator, critic: Critic::Dcgan(Encoder { units, head: Conv::new(16, 1, 1, init) }) };
    // On a line a critic whose slope is held at 1 sends the generator back and forth for ever, here and in PyTorch.
    let config = FanoganConfig { penalty: 0.1, ..tiny(Architecture::Dcgan) };
    let make =
        |toy: &Toy, z: Tensor<4>| toy.generator.iter().fold(z, |z, unit| unit.forward(z, Phase::Training));
    let of_critic = |toy: &Toy, Lesson { images, codes, mix }: Lesson| {
        critic_loss(&config, &toy.critic, images, make(toy, codes).detach(), mix)
    };
    let of_generator = |toy: &Toy, lesson: Lesson| {
        generator_loss(&config, toy.critic.forward(make(toy, lesson.codes), Phase::Training))
    };
    let optimiser = Optimiser { betas: [0.0, 0.9], ..Optimiser::ADAM };
    let turn = |name, scope, rate, loss| {
        Turn::new(name, Scope::Fields(scope), optimiser, Schedule::constant(rate), loss)
    };
    let turns = [
        Turn { repeats: 5, ..turn("critic", &["critic"], 3e-3, &of_critic) },
        turn("generator", &["generator"], 5e-4, &of_generator),
    ];
    let batch = |draw: Draw| {
        let number = 1000 + draw.step * 8 + draw.turn as u64 * 5 + draw.repeat;
        let init = &mut Init::new(number, &device());
        let mut normal = || init.normal(1.0, [64, 1, 1, 1]).val().detach();
        let (images, codes) = (normal() * 0.5 + 3.0, normal());
        let mix = init.uniform(0.5, [64, 1, 1, 1]).val().detach() + 0.5;
        Ok::<_, TrainError>(Lesson { images, codes, mix })
    };
    let trained = train_by_turns(toy, &Course::new(2000), &turns, &device(), batch, None, &Alone).unwrap();
    let z = Init::new(7, &device()).normal(1.0, [4000, 1, 1, 1]).val();
    let made = values(make(&trained.network, z));
    let mean = made.iter().sum::<f64>() / 4000.0;
    let deviation = (made.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0).sqrt();
    println!("mean {mean}, deviation {deviation}");
    assert!((mean - 3.0).abs() < 0.2, "mean {mean}");
    assert!((deviation - 0.5).abs() < 0.3, "deviation {deviation}");
}

fn training_set() -> Images<'static> {
    Images::new(Scene { side: 32, count: 6 }.good(), None)
}

#[test]
fn scores_do_not_depend_on_the_batch_to_the_last_bit() {
    let scene = Scene { side: 32, count: 6 };
    for (architecture, objective, score) in [
        (Architecture::Dcgan, Objective::Wasserstein, ImageScore::Residual),
        (Architecture::Dcgan, Objective::CrossEntropy, ImageScore::Residual),
        (Architecture::Residual, Objective::Wasserstein, ImageScore::Code),
    ] {
        let base = tiny(architecture);
        let config = FanoganConfig { objective, score, steps: 2, encoder_steps: 2, critic_steps: 1, ..base };
        let fitted = Fanogan::fit(&config, &training_set(), &FitContext::new(3, None)).unwrap();
        let pixels: Vec<Vec<f32>> = (0..3).map(|number| scene.image(number, number == 1)).collect();
        let score = |numbers: &[usize]| {
            let images: Vec<_> = numbers.iter().map(|&number| pixels[number].clone()).collect();
            fitted.score(&Input::of_images(&image_batch((32, 32), &images))).unwrap()
        };
        let (together, backwards) = (score(&[0, 1, 2]), score(&[2, 1, 0]));
        assert!(together.iter().eq(backwards.iter().rev()));
        (0..3).for_each(|number| assert_eq!(score(&[number])[0], together[number]));
        // In one pass of the networks the stored moments count as well, but products round otherwise.
        for (alone, all) in together.iter().zip(fitted.score_pixels(pixels.concat()).unwrap()) {
            let [alone, all] = [alone, &all].map(|scores| scores.image_score.unwrap());
            assert!((alone - all).abs() <= 1e-4 * alone.abs().max(1e-3), "{alone} {all}");
        }
    }
}

#[test]
fn the_second_stage_changes_the_encoder_alone() {
    let config = FanoganConfig { steps: 2, encoder_steps: 2, ..tiny(Architecture::Dcgan) };
    let longer = FanoganConfig { encoder_steps: 4, ..config.clone() };
    let [short, long] = [&config, &longer]
        .map(|config| Fanogan::fit(config, &training_set(), &FitContext::new(3, None)).unwrap().networks);
    assert_eq!(collect(&short.generator), collect(&long.generator));
    assert_eq!(collect(&short.critic), collect(&long.critic));
    assert_ne!(collect(&short.encoder), collect(&long.encoder));
}

/// Values, losses and weights after a step of each stage of an independent implementation; slope, penalty and steps in `exact` precision.
///
/// In a wide network some values lie within rounding of zero, where a rectifier's slope jumps: only double precision has the same slopes.
fn agrees(golden: &Golden, case: &str, config: &FanoganConfig, side: usize, exact: DType) {
    const EPSILON: f64 = 1e-2;
    let device = device();
    let config = &FanoganConfig { critic_steps: 1, ..config.clone() };
    let named = |name: &str| format!("{case}.{name}");
    let tensor = |name: &str, dtype| golden.tensor::<4>(&named(name), &device).cast(dtype);
    let close = |found: Tensor<1>, name: &str| golden.close(&values_of(found).unwrap(), &named(name));
    let gan_of =
        |when: &str, dtype| golden.load(&named(when), Gan::new(config, side, &mut blank_of(dtype, &device)));
    let lesson = |codes: &str, dtype| {
        let [images, codes, mix] = ["x", codes, "mix"].map(|name| tensor(name, dtype));
        Lesson { images, codes, mix }
    };
    let gan = gan_of("before.", DType::F32);
    golden.check(gan.generator.forward(tensor("codes", DType::F32), Phase::Training), &named("made"));
    golden.check(gan_of("before.", exact).critic.slope(tensor("x", exact)), &named("slope"));
    // The first update's codes are the critic's, the second's the generator's.
    let codes = ["codes", "other_codes"];
    let batch = |draw: Draw| Ok::<_, TrainError>(lesson(codes[draw.turn], exact));
    let trained = with_turns(config, |turns| {
        let (gan, turns) = (gan_of("before.", exact), with_epsilon(turns, EPSILON));
        train_by_turns(gan, &Course::new(1), &turns, &device, batch, None, &Alone).unwrap()
    });
    let losses: Vec<f32> = trained.curves.iter().map(|curve| curve.losses[0] as f32).collect();
    golden.close(&losses[..1], &named("critic_loss"));
    golden.close(&losses[1..], &named("generator_loss"));
    close_as(exact, golden.check_weights(&trained.network, &named("after.")));

    let networks_of = |when: &str, dtype| {
        let Gan { generator, critic } = gan_of("after.", dtype);
        let encoder = Reader::new(config, side, &mut blank_of(dtype, &device));
        Networks { generator, critic, encoder: golden.load(&named(when), encoder) }
    };
    let first = networks_of("encoder_before.", DType::F32);
    close(first.of_encoder(config, tensor("x", DType::F32)), "encoder_loss");
    let batch = |_: Draw| Ok::<_, TrainError>(tensor("x", exact));
    let trained = with_encoder_turn(config, |turns| {
        let (networks, turns) = (networks_of("encoder_before.", exact), with_epsilon(turns, EPSILON));
        train_by_turns(networks, &Course::new(1), &turns, &device, batch, None, &Alone).unwrap()
    });
    golden.close(&[trained.curves[0].losses[0] as f32], &named("encoder_loss"));
    close_as(exact, golden.check_weights(&trained.network.encoder, &named("encoder_after.")));

    let networks = networks_of("encoder_after.", DType::F32).valid();
    let fitted = Fanogan { config: config.clone(), side, networks, curves: Default::default() };
    let pixels: Vec<f32> = golden.values(&named("y")).1.iter().map(|value| (value + 1.0) / 2.0).collect();
    let scores = fitted.score_pixels(pixels.clone()).unwrap();
    let scores: Vec<f32> = scores.iter().map(|scores| scores.image_score.unwrap()).collect();
    golden.close(&scores, &named("scores"));
    let config = FanoganConfig { score: ImageScore::Code, ..config.clone() };
    let scores = Fanogan { config, ..fitted }.score_pixels(pixels).unwrap();
    let scores: Vec<f32> = scores.iter().map(|scores| scores.image_score.unwrap()).collect();
    golden.close(&scores, &named("code_scores"));
}

#[test]
fn forward_pass_losses_and_a_step_of_each_stage_equal_pytorchs() {
    let golden = Golden::read("fanogan");
    for (case, architecture) in [("residual", Architecture::Residual), ("dcgan", Architecture::Dcgan)] {
        let config = FanoganConfig { rate: Some(1e-2), encoder_rate: 1e-3, ..tiny(architecture) };
        agrees(&golden, case, &config, 16, DType::F32);
    }
}

#[test]
fn the_published_width_agrees_too() {
    let Some(golden) = Golden::published("fanogan") else { return };
    let config = FanoganConfig { rate: Some(1e-3), encoder_rate: 1e-4, ..FanoganConfig::of(Preset::Paper) };
    agrees(&golden, "residual", &config, 64, DType::F64);
}

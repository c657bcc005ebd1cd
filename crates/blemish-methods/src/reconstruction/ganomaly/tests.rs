use super::network::{Made, Networks, discriminator_loss, generator_loss};
use super::training::{Start, with_turns};
use super::*;
use crate::contract::Small;
use crate::shared::dcgan::{Decoder, Encoder, EncoderNorm, Plan};
use crate::testing::{Golden, blank_of, close_as, image_batch, with_epsilon};
use blemish_core::check::{Images, Scene};
use blemish_nn::Module;
use blemish_nn::train::{Course, Draw, Optimiser, TrainError, Verdict, Watch, train_by_turns};
use blemish_nn::weights::{collect, trained_values};
use burn::tensor::DType;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        "ganomaly",
        &[("width", "4"), ("latent", "8"), ("steps", "40"), ("batch", "3"), ("rate", "0.003")],
    )
    .on(32),
    Small::new(
        "ganomaly",
        &[
            ("variant", "anomalib"),
            ("sspcab", "true"),
            ("score", "map"),
            ("width", "4"),
            ("latent", "8"),
            ("steps", "40"),
            ("batch", "3"),
            ("rate", "0.003"),
        ],
    )
    .on(32),
];

fn tiny(variant: Variant) -> GanomalyConfig {
    GanomalyConfig { variant, width: 4, latent: 8, steps: 1, batch: 4, ..GanomalyConfig::default() }
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn networks(plan: &Plan) -> Networks {
    Networks::new(plan, &mut Init::new(5, &device()))
}

fn images(count: usize, side: usize, seed: u64) -> Tensor<4> {
    Init::new(seed, &device()).uniform(1.0, [count, 3, side, side]).val().detach()
}

fn single(x: Tensor<1>) -> f32 {
    x.into_scalar::<f32>()
}

#[test]
fn networks_have_the_published_numbers_of_weights() {
    let config = GanomalyConfig::of(Preset::Paper);
    for (side, encoder, decoder, discriminator) in [
        (32, 1_068_800, 1_068_928, 663_296),
        (64, 3_576_576, 3_576_704, 2_765_568),
        (128, 12_786_432, 12_786_560, 11_164_416),
    ] {
        let networks = Networks::new(&config.plan(side), &mut Init::blank(&device()));
        let Networks { generator: Generator { encoder: first, decoder: middle, second }, discriminator: own } =
            &networks;
        assert_eq!([trained_values(first), trained_values(second)], [encoder; 2], "side {side}");
        assert_eq!(trained_values(middle), decoder, "side {side}");
        assert_eq!(trained_values(own), discriminator, "side {side}");
        assert_eq!(trained_values(&networks), 2 * encoder + decoder + discriminator);
    }
    let narrow = GanomalyConfig { width: 8, widest: Some(16), ..config };
    let encoder = Encoder::new(&narrow.plan(64), 100, EncoderNorm::Batch, &mut Init::blank(&device()));
    assert_eq!(trained_values(&encoder), 16 * (3 * 8 + 8 * 16 + 2 * 16 * 16 + 16 * 100) + 3 * 32);
}

#[test]
fn extra_layers_and_the_predictive_block_stand_at_half_the_side() {
    let config = tiny(Variant::Published);
    let count = |extra, sspcab| {
        let plan = GanomalyConfig { extra, sspcab, ..config.clone() }.plan(32);
        trained_values(&Decoder::new(&plan, &mut Init::blank(&device())))
    };
    // Four channels: a 3x3 convolution and its norm; four corners, attention through one channel, and the norm.
    let (plain, block) = (4 * 4 * 9 + 8, 4 * (4 * 4 + 4) + (4 + 1) + (4 + 4) + 8);
    assert_eq!(count(2, false) - count(0, false), 2 * plain);
    assert_eq!(count(0, true) - count(0, false), block);
    assert_eq!(count(1, true), count(0, true));
    assert_eq!(count(2, true) - count(1, true), plain);
    let plan = GanomalyConfig { sspcab: true, ..config.clone() }.plan(32);
    let (with, without) = (networks(&plan), networks(&config.plan(32)));
    let made = with.generator.forward(images(2, 32, 1), Phase::Training);
    assert_eq!(made.image.dims(), [2, 3, 32, 32]);
    assert!(single(made.block.unwrap()) > 0.0);
    assert!(without.generator.forward(images(2, 32, 1), Phase::Training).block.is_none());
}

#[test]
fn a_discriminator_without_an_opinion_costs_ln_2() {
    let nothing = Tensor::<4>::zeros([3, 1, 1, 1], &device());
    let loss = single(discriminator_loss(nothing.clone(), nothing));
    assert!((loss - std::f32::consts::LN_2).abs() < 1e-6, "{loss}");
}

/// L_G of a reconstruction that differs by `off` in every value, with codes that differ by `code`.
fn cost(config: &GanomalyConfig, off: f64, code: f64) -> f32 {
    let networks = networks(&config.plan(32));
    let x = images(2, 32, 1);
    let z = images(2, 32, 2).reshape([2, 3 * 32 * 32, 1, 1]);
    let made = Made { image: x.clone() + off, code: z.clone(), second_code: z.clone() + code, block: None };
    let features = networks.discriminator.features(x.clone(), Phase::Training);
    single(generator_loss(config, &networks.discriminator, x, made, [features.clone(), features]))
}

#[test]
fn the_generators_loss_is_the_weighted_sum_of_three() {
    let config = tiny(Variant::Published);
    let close =
        |found: f32, expected: f32| assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
    close(cost(&config, 0.0, 0.0), 0.0);
    close(cost(&config, 0.1, 0.0), 5.0);
    close(cost(&config, 0.0, 3.0), 9.0);
    close(cost(&GanomalyConfig { encoding: 2.0, reconstruction: 0.0, ..config.clone() }, 0.1, 3.0), 18.0);
    // Huber's loss is linear beyond 1.
    close(cost(&tiny(Variant::Anomalib), 0.0, 3.0), 2.5);
    let x = images(2, 32, 1);
    let networks = networks(&config.plan(32));
    let [real, fake] = [1, 2].map(|seed| images(2, 8, seed));
    let made = Made { image: x.clone(), code: x.clone(), second_code: x.clone(), block: None };
    let found = generator_loss(&config, &networks.discriminator, x, made, [real.clone(), fake.clone()]);
    close(single(found), single((real - fake).powi_scalar(2).mean()));
    let codes = code_scores(images(2, 4, 3).reshape([2, 48, 1, 1]), images(2, 4, 3).reshape([2, 48, 1, 1]));
    assert_eq!(codes.unwrap(), [[0.0; 2]; 2]);
    let z = Tensor::<4>::from_data([[[[1.0]], [[2.0]]], [[[0.0]], [[5.0]]]], &device());
    let other = Tensor::<4>::from_data([[[[4.0]], [[1.0]]], [[[0.0]], [[5.0]]]], &device());
    assert_eq!(code_scores(z, other).unwrap(), [[5.0, 2.0], [0.0, 0.0]]);
}

#[test]
fn equal_encoders_find_equal_codes_of_equal_images() {
    let mut networks = networks(&tiny(Variant::Published).plan(32));
    networks.generator.second = networks.generator.encoder.clone();
    let x = images(3, 32, 1);
    let [one, other] = [&networks.generator.encoder, &networks.generator.second]
        .map(|it| it.forward(x.clone(), Phase::Scoring));
    assert_eq!(code_scores(one, other).unwrap(), [[0.0; 2]; 3]);
}

#[test]
fn a_reconstruction_in_the_discriminators_loss_gives_the_generator_no_gradient() {
    let networks = networks(&tiny(Variant::Published).plan(32));
    let x = images(4, 32, 1);
    let (loss, made) = networks.of_generator(&tiny(Variant::Published), x.clone());
    let gradients = networks.of_discriminator(x, made).backward();
    let weight = |encoder: &Encoder| encoder.head.weight.val();
    assert!(weight(&networks.generator.encoder).grad(&gradients).is_none());
    assert!(weight(&networks.generator.second).grad(&gradients).is_none());
    assert!(weight(&networks.discriminator).grad(&gradients).is_some());
    // Both encoders learn from the distance of the codes.
    let gradients = loss.backward();
    assert!(weight(&networks.generator.encoder).grad(&gradients).is_some());
    assert!(weight(&networks.generator.second).grad(&gradients).is_some());
}

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// One step of some of the turns on given images, and the losses.
fn step(
    config: &GanomalyConfig,
    side: usize,
    networks: Networks,
    x: &Tensor<4>,
    turns: std::ops::Range<usize>,
    epsilon: f64,
) -> (Networks, Vec<f64>) {
    let (plan, device) = (config.plan(side), device());
    let start = Start { plan: &plan, seed: 0, device: &device };
    with_turns(config, start, HOPELESS, |course, all| {
        let course = Course { steps: 1, ..course };
        let batch = |_: Draw| Ok::<_, TrainError>(x.clone());
        let turns = with_epsilon(&all[turns], epsilon);
        let trained = train_by_turns(networks, &course, &turns, &device, batch, None, &Alone).unwrap();
        (trained.network, trained.curves.iter().map(|curve| curve.losses[0]).collect())
    })
}

#[test]
fn an_update_of_one_side_leaves_every_bit_of_the_other() {
    let config = tiny(Variant::Published);
    let before = networks(&config.plan(32));
    let old = collect(&before);
    for (turn, own) in [(0, "generator."), (1, "discriminator.")] {
        let (x, epsilon) = (images(4, 32, 1), Optimiser::ADAM.epsilon);
        let after = step(&config, 32, before.clone(), &x, turn..turn + 1, epsilon).0;
        for (name, values) in collect(&after) {
            if name.starts_with(own) {
                // Convolutions without bias keep their zeros.
                assert!(values != old[&name] || name.ends_with("bias"), "{name} stays");
            } else {
                assert_eq!(values, old[&name], "{name}");
            }
        }
    }
}

fn training_set() -> Images<'static> {
    Images::new(Scene { side: 32, count: 6 }.good(), None)
}

fn kept() -> Kept {
    let context = FitContext::new(3, None);
    Kept::collect(NAME, &training_set(), Pass::IMAGES, &context, "reading", |input| {
        Ok(vec![Planes::of_images(input.images()?)])
    })
    .unwrap()
}

#[test]
fn a_discriminator_that_is_always_right_starts_anew_and_the_generator_does_not() {
    let generator = |steps, hopeless| {
        let config = GanomalyConfig { steps, ..tiny(Variant::Published) };
        let context = FitContext::new(3, None);
        collect(&train(&config, &kept(), &[0, 1, 2, 3, 4, 5], 32, hopeless, &context).unwrap().0)
    };
    // Every loss is below infinity: it starts anew after the first step, of which the generator learns in the second.
    assert_eq!(generator(1, f64::INFINITY), generator(1, HOPELESS));
    assert_ne!(generator(2, f64::INFINITY), generator(2, HOPELESS));
    let (config, device) = (tiny(Variant::Published), device());
    let plan = config.plan(32);
    let before = networks(&plan);
    let start = Start { plan: &plan, seed: 5, device: &device };
    let (old, renewed) = (collect(&before), collect(&start.renewed(before.clone(), 0)));
    for (name, values) in &renewed {
        let is_drawn =
            name.starts_with("discriminator.") && (name.ends_with("weight") || name.ends_with("gain"));
        assert_eq!(*values != old[name], is_drawn, "{name}");
    }
    assert_eq!(renewed, collect(&start.renewed(before.clone(), 0)));
    assert_ne!(renewed, collect(&start.renewed(before, 1)));
}

#[test]
fn scores_do_not_depend_on_the_batch_to_the_last_bit() {
    let scene = Scene { side: 32, count: 6 };
    for variant in [Variant::Published, Variant::Anomalib] {
        let config = GanomalyConfig { steps: 3, ..tiny(variant) };
        let fitted = Ganomaly::fit(&config, &training_set(), &FitContext::new(3, None)).unwrap();
        let pixels: Vec<Vec<f32>> = (0..4).map(|number| scene.image(number, number % 2 == 1)).collect();
        let score = |numbers: &[usize]| {
            let images: Vec<_> = numbers.iter().map(|&number| pixels[number].clone()).collect();
            fitted.score(&Input::of_images(&image_batch((32, 32), &images))).unwrap()
        };
        let together = score(&[0, 1, 2, 3]);
        let backwards = score(&[3, 1, 0]);
        assert_eq!([&together[3], &together[1], &together[0]], [&backwards[0], &backwards[1], &backwards[2]]);
        (0..4).for_each(|number| assert_eq!(score(&[number])[0], together[number]));
        // In one pass of the network the stored moments count as well, but products round otherwise.
        let all = fitted.find(pixels.concat()).unwrap();
        for (number, found) in all.iter().enumerate() {
            let alone = &fitted.find(pixels[number].clone()).unwrap()[0];
            assert!((found.code[0] - alone.code[0]).abs() <= 1e-4 * alone.code[0].abs().max(1e-3));
        }
    }
}

#[test]
fn a_combined_score_is_measured_in_deviations_over_held_out_images() {
    let usual = Usual::of(&[1.0, 3.0]);
    assert_eq!((usual.mean, usual.deviation, usual.distance(4.0)), (2.0, 1.0, 2.0));
    assert_eq!(Usual::of(&[2.0]).deviation, 0.1);
    let combined = GanomalyConfig { score: ImageScore::Combined, ..tiny(Variant::Published) };
    let (learned, held_out) = shares(&combined, 25);
    assert_eq!((learned.len(), &held_out[..]), (23, &[9, 19][..]));
    assert_eq!(shares(&combined, 9).0, shares(&combined, 9).1);
    let code = GanomalyConfig { score: ImageScore::Code, ..combined };
    assert_eq!(shares(&code, 25).0.len(), 25);
}

#[test]
fn images_of_other_sizes_are_refused_with_what_to_do() {
    for (size, is_good) in
        [((16, 16), true), ((128, 128), true), ((96, 96), false), ((64, 32), false), ((8, 8), false)]
    {
        assert_eq!(side_of(size).is_ok(), is_good, "{size:?}");
    }
    let odd = Images::new(vec![((48, 48), vec![0.5; 3 * 48 * 48])], None);
    let error = Ganomaly::fit(&tiny(Variant::Published), &odd, &FitContext::new(0, None)).err().unwrap();
    assert!(error.to_string().contains("power of two"), "{error}");
    let fitted =
        Ganomaly::fit(&tiny(Variant::Published), &training_set(), &FitContext::new(0, None)).unwrap();
    let other = image_batch((64, 64), &[vec![0.5; 3 * 64 * 64]]);
    let error = fitted.score(&Input::of_images(&other)).unwrap_err().to_string();
    assert!(error.contains("32x32") && error.contains("64x64"), "{error}");
}

/// Values, losses, weights after one step and scores of an independent implementation, the step in `exact` precision.
///
/// In a wide network some value lies within rounding of zero, where a rectifier's slope jumps: only double precision has the same slopes.
fn agrees(golden: &Golden, case: &str, config: &GanomalyConfig, side: usize, exact: DType) {
    let config = &GanomalyConfig { rate: 1e-2, ..config.clone() };
    let networks_of = |when: &str, dtype| {
        let blank = Networks::new(&config.plan(side), &mut blank_of(dtype, &device()));
        golden.load(&format!("{case}.{when}."), blank)
    };
    let tensor = |name: &str, dtype| golden.tensor::<4>(&format!("{case}.{name}"), &device()).cast(dtype);
    let before = || networks_of("before", DType::F32);
    let x = || tensor("x", DType::F32);
    let made = before().generator.forward(x(), Phase::Training);
    golden.check(made.image, &format!("{case}.image"));
    golden.check(made.code, &format!("{case}.code"));
    golden.check(made.second_code, &format!("{case}.second_code"));
    let (of_generator, image) = before().of_generator(config, x());
    let of_discriminator = before().of_discriminator(x(), image);
    golden.close(&[single(of_generator), single(of_discriminator)], &format!("{case}.losses"));

    let (after, losses) = step(config, side, networks_of("before", exact), &tensor("x", exact), 0..2, 1e-2);
    golden.close(&losses.iter().map(|&loss| loss as f32).collect::<Vec<_>>(), &format!("{case}.losses"));
    close_as(exact, golden.check_weights(&after, &format!("{case}.after.")));

    let generator = networks_of("after", DType::F32).generator.valid();
    let scored = generator.forward(tensor("y", DType::F32).inner(), Phase::Scoring);
    let scores = code_scores(scored.code, scored.second_code).unwrap();
    golden.close(&scores.iter().map(|score| score[0]).collect::<Vec<_>>(), &format!("{case}.scores"));
}

#[test]
fn forward_pass_losses_and_a_step_equal_pytorchs_and_anomalibs() {
    let golden = Golden::read("ganomaly");
    for (case, variant) in [("published", Variant::Published), ("anomalib", Variant::Anomalib)] {
        agrees(&golden, case, &GanomalyConfig { extra: 1, ..tiny(variant) }, 32, DType::F32);
    }
}

#[test]
fn the_published_width_agrees_too() {
    let Some(golden) = Golden::published("ganomaly") else { return };
    for (case, variant) in [("published", Variant::Published), ("anomalib", Variant::Anomalib)] {
        let config = GanomalyConfig { variant, ..GanomalyConfig::of(Preset::Paper) };
        agrees(&golden, case, &config, 64, DType::F64);
    }
}

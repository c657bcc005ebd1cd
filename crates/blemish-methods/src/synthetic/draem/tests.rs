use super::network::Losses;
use super::*;
use crate::contract::Small;
use crate::shared::defects::DefectBatch;
use crate::slopes::slopes_agree;
use crate::testing::Golden;
use blemish_nn::Device;
use blemish_nn::layers::{Interpolation, upsample};
use blemish_nn::loss::{Border, Focal, FocalForm, Ssim};
use blemish_nn::train::{TrainError, Verdict, Watch, train};
use blemish_nn::weights::trained_values;
use burn::tensor::DType;
use burn::tensor::ops::PadMode;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        NAME,
        &[
            ("repair_width", "4"),
            ("segment_width", "4"),
            ("steps", "8"),
            ("batch", "4"),
            ("rate", "0.005"),
            ("turned", "0"),
            ("window", "7"),
        ],
    )
    .untaught(),
    Small::new(
        NAME,
        &[
            ("repair_width", "2"),
            ("segment_width", "2"),
            ("steps", "6"),
            ("batch", "2"),
            ("sspcab", "on"),
            ("score", "max"),
        ],
    )
    .on(128)
    .untaught(),
];

fn narrow(sspcab: Sspcab) -> DraemConfig {
    DraemConfig { repair_width: 4, segment_width: 4, sspcab, ..DraemConfig::default() }
}

/// Single precision with gradients.
fn with_gradients() -> Device {
    Device::flex().autodiff()
}

/// Images, their defective twins and masks, that no two values of are alike.
fn made_up(count: usize, [height, width]: [usize; 2], device: &Device) -> DefectBatch {
    let plane = height * width;
    let tensor = |channels: usize, of: &dyn Fn(usize) -> f32| {
        let values: Vec<f32> = (0..count * channels * plane).map(of).collect();
        Tensor::from_data(TensorData::new(values, [count, channels, height, width]), device)
    };
    let value = |at: usize, factor: usize| (at * factor % 1009) as f32 / 1009.0;
    let is_marked = |at: usize| at % plane > plane / 3 && at % plane < plane / 2;
    DefectBatch {
        good: tensor(3, &|at| value(at, 37)),
        images: tensor(3, &|at| if is_marked(at) { value(at, 53) } else { value(at, 37) }),
        masks: tensor(1, &|at| f32::from(u8::from(is_marked(at)))),
    }
}

#[test]
fn both_networks_have_the_published_number_of_weights() {
    let network = Network::new(&DraemConfig::of(Preset::Paper), &mut Init::blank(&with_gradients()));
    assert_eq!(trained_values(&network.repair), 69_048_579);
    assert_eq!(trained_values(&network), 97_422_725);
    // What the block of anomalib's layout takes away and adds: two convolutions of 1024 channels and their norms, 4.46 M.
    let config = DraemConfig { sspcab: Sspcab::Anomalib, ..DraemConfig::of(Preset::Paper) };
    let with_block = Network::new(&config, &mut Init::blank(&with_gradients()));
    let stage = 2 * (1024 * 1024 * 9 + 1024 + 2 * 1024);
    assert_eq!(trained_values(&with_block), 97_422_725 - stage + 4_461_696);
}

#[test]
fn maps_are_as_large_as_the_images_and_probabilities_sum_to_one() {
    let network = Network::new(&narrow(Sspcab::Off), &mut Init::new(1, &Device::flex()));
    for size in [[256, 256], [320, 320], [32, 96]] {
        let found = network.forward(made_up(1, size, &Device::flex()).images, Phase::Scoring);
        assert_eq!(found.repaired.dims(), [1, 3, size[0], size[1]]);
        assert_eq!(found.probabilities.dims(), [1, 2, size[0], size[1]]);
        let sums = values_of(found.probabilities.sum_dim(1)).unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    }
}

#[test]
fn an_image_is_scored_alone() {
    let network = Network::new(&narrow(Sspcab::On), &mut Init::new(1, &Device::flex()));
    let images = made_up(3, [128, 128], &Device::flex()).images;
    let together = network.forward(images.clone(), Phase::Scoring).probabilities.narrow(0, 1, 1);
    let alone = network.forward(images.narrow(0, 1, 1), Phase::Scoring).probabilities;
    assert_eq!(values_of(together).unwrap(), values_of(alone).unwrap());
}

#[test]
fn similarity_has_the_values_of_the_specification() {
    let grey = |value: f64| {
        let data = TensorData::new(vec![value; 3 * 32 * 32], [1, 3, 32, 32]);
        Tensor::<4>::from_data(data, (&Device::flex(), DType::F64))
    };
    let map = |x, y| -> Vec<f64> { Ssim::default().map(x, y).into_data().try_into_vec().unwrap() };
    let found = map(grey(0.5), grey(0.6))[16 * 32 + 16];
    assert!((found - 0.983_609_244).abs() < 1e-8, "{found}");
    assert!(map(grey(0.5), grey(0.5)).iter().all(|value| (value - 1.0).abs() < 1e-9));
}

#[test]
fn the_focal_loss_has_the_values_of_the_specification() {
    let focal = Focal { gamma: 2.0, smoothing: 1e-5, form: FocalForm::TrueClass };
    for (probability, expected) in [(0.9f32, 0.001_053_541), (0.5, 0.173_274_86), (0.1f32, 1.864_873_5)] {
        let device = Device::flex();
        let p = Tensor::<4>::from_data([[[[1.0 - probability]], [[probability]]]], &device);
        let truth = Tensor::<4>::from_data([[[[0.0]], [[1.0]]]], &device);
        let found = values_of(focal.forward(p, truth)).unwrap()[0];
        assert!((found - expected).abs() < 3e-6 * expected.max(0.1), "{found} instead of {expected}");
    }
}

#[test]
fn images_are_doubled_with_aligned_corners() {
    let line = Tensor::<4>::from_data([[[[0.0, 1.0], [0.0, 1.0]]]], &Device::flex());
    let found = values_of(upsample(line, 2, Interpolation::BilinearAligned)).unwrap();
    for (found, expected) in found.iter().zip([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0].repeat(4)) {
        assert!((found - expected).abs() < 1e-6);
    }
}

#[test]
fn the_slopes_of_the_whole_loss_are_its_gradients() {
    // Of weights as large as a training makes them: on those that it starts with, steps of any length cross kinks.
    let (golden, device) = (Golden::read("draem"), with_gradients());
    for (case, sspcab) in [("plain", Sspcab::Off), ("sspcab", Sspcab::Anomalib)] {
        let blank = Network::new(&golden_config(sspcab), &mut Init::blank(&device).double());
        let network = golden.load(&format!("{case}.before."), blank);
        let double = |name: &str| golden.tensor::<4>(&format!("{case}.{name}"), &device).cast(DType::F64);
        let batch = || DefectBatch { good: double("good"), images: double("images"), masks: double("masks") };
        slopes_agree(network, |network| network.losses(batch(), 2.0).total(0.1), 1e-4);
    }
    // With the block in both networks there are no stored weights: as small as it can be, on the smallest image that it takes.
    let config = DraemConfig { repair_width: 1, segment_width: 1, ..narrow(Sspcab::On) };
    let network = Network::new(&config, &mut Init::new(3, &device).double());
    let DefectBatch { good, images, masks } = made_up(1, [128, 128], &device);
    let [good, images, masks] = [good, images, masks].map(|x| x.cast(DType::F64));
    let loss = |network: &Network| {
        let batch = DefectBatch { good: good.clone(), images: images.clone(), masks: masks.clone() };
        network.losses(batch, 2.0).total(0.1)
    };
    slopes_agree(network, loss, 1e-3);
}

#[test]
fn without_weight_the_predictive_loss_changes_nothing() {
    let device = with_gradients();
    let network = Network::new(&narrow(Sspcab::On), &mut Init::new(1, &device));
    let losses = || network.losses(made_up(2, [128, 128], &device), 2.0);
    let total = |losses: Losses, weight| values_of(losses.total(weight)).unwrap()[0];
    let predictive = values_of(losses().predictive.unwrap()).unwrap()[0];
    let plain = losses();
    let host = values_of(plain.l2 + plain.ssim + plain.focal).unwrap()[0];
    assert_eq!(total(losses(), 0.0).to_bits(), host.to_bits());
    assert!((total(losses(), 0.1) - host - 0.1 * predictive).abs() < 1e-6 && predictive > 0.0);
    let without = Network::new(&narrow(Sspcab::Off), &mut Init::new(1, &device));
    assert!(without.losses(made_up(2, [128, 128], &device), 2.0).predictive.is_none());
}

/// A model that is not trained.
fn untrained(config: DraemConfig) -> Draem {
    let network = Network::new(&config, &mut Init::new(1, &Device::flex()));
    Draem { config, network, curve: Curve::default() }
}

#[test]
fn a_score_is_the_largest_mean_of_a_window_or_the_largest_value() {
    let mut map = vec![0.0; 64 * 64];
    map[20 * 64 + 30] = 1.0;
    let smoothed = untrained(DraemConfig { window: 21, ..narrow(Sspcab::Off) });
    let found = smoothed.score_of(&map, (64, 64)).unwrap();
    assert!((found - 0.002_267_574).abs() < 1e-8, "{found}");
    let max = untrained(DraemConfig { score: Score::Max, ..narrow(Sspcab::Off) });
    assert_eq!(max.score_of(&map, (64, 64)), None);
}

#[test]
fn what_lies_outside_the_region_does_not_count() {
    let model = untrained(narrow(Sspcab::Off));
    let images = crate::testing::image_batch((64, 64), &[vec![0.5; 3 * 64 * 64]]);
    let whole = model.score(&Input::of_images(&images)).unwrap().remove(0);
    let marked: Vec<bool> = (0..64 * 64).map(|at| at % 64 < 8).collect();
    let mask = blemish_data::Mask { height: 64, width: 64, marked };
    let part = blemish_data::ImageBatch { region_of_interest: Some(mask.into()), ..images };
    let part = model.score(&Input::of_images(&part)).unwrap().remove(0);
    assert!(part.image_score < whole.image_score);
    assert_eq!(part.values[10], 0.0);
    assert_eq!(part.values[3], whole.values[3]);
}

#[test]
fn sizes_that_cannot_be_halved_are_named() {
    let message = |config: &DraemConfig, size| check_size(config, size).unwrap_err();
    assert!(message(&narrow(Sspcab::Off), (100, 128)).contains("128x100"));
    assert!(message(&narrow(Sspcab::On), (96, 96)).contains("maps of 3x3"));
    assert!(check_size(&narrow(Sspcab::Anomalib), (64, 64)).is_ok());
    assert!(check_size(&narrow(Sspcab::On), (128, 128)).is_ok());
    let even = DraemConfig { window: 20, ..narrow(Sspcab::Off) };
    let images = crate::testing::Images::new(vec![((32, 32), vec![0.5; 3 * 32 * 32])], None);
    let error = Draem::fit(&even, &images, &FitContext::new(0, None)).err().unwrap().to_string();
    assert!(error.contains("window"), "{error}");
}

#[test]
fn presets_differ_in_size_and_the_rounds_of_the_paper_are_counted() {
    let paper = DraemConfig::of(Preset::Paper);
    assert_eq!((paper.steps(200), paper.steps(1)), (17_500, 88));
    assert_eq!(DraemConfig::default(), DraemConfig::of(Preset::Cpu));
    let multiply_adds = Network::products(&paper, 256 * 256);
    assert!((multiply_adds / 1e9 - 198.0).abs() < 0.5, "{multiply_adds}");
    assert!(DraemConfig::default().steps.is_some());
}

#[test]
#[ignore = "half a minute: cargo test --release -p blemish-methods by_heart -- --ignored"]
fn one_image_is_learned_by_heart() {
    // On a narrow network, with defects that can be seen: those of the paper let up to four fifths of the image through.
    let side = 64;
    let image: Vec<f32> =
        (0..3 * side * side).map(|at| 0.5 + 0.2 * ((at % side) as f32 * 0.5).sin()).collect();
    let good = crate::testing::Images::new(vec![((side, side), image)], None);
    let config = DraemConfig {
        repair_width: 8,
        segment_width: 8,
        steps: Some(500),
        batch: 4,
        rate: 2e-3,
        turned: 0.0,
        defects: 1.0,
        beta: 0.2,
        ..DraemConfig::default()
    };
    let model = Draem::fit(&config, &good, &FitContext::new(1, None)).unwrap();
    let simulated = Simulated {
        simulation: Simulation { rate: Rate::Chance(1.0), beta: (0.0, config.beta), ..Simulation::draem() },
        textures: None,
        foreground: Foreground::Everywhere,
        seed: 77,
    };
    let context = FitContext::new(1, None);
    let stream = DefectStream::collect(NAME, &good, Augmentation::NONE, simulated, &context).unwrap();
    let found = textures(NAME, (side, side), &FitContext::new(1, None)).unwrap();
    let stream = stream.with_maker(|maker, _| Simulated { textures: Some(found), ..maker });
    let mut found: Vec<(f32, bool)> = Vec::new();
    for number in 0..20 {
        let sample = stream.sample(number);
        let batch = crate::testing::image_batch((side, side), &[sample.image]);
        let map = model.score(&Input::of_images(&batch)).unwrap().remove(0).values;
        found.extend(map.into_iter().zip(sample.mask.iter().map(|&mask| mask > 0.0)));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut sum) = (0.0, 0.0);
    for (rank, (_, is_marked)) in found.iter().enumerate() {
        if *is_marked {
            hits += 1.0;
            sum += hits / (rank + 1) as f64;
        }
    }
    let precision = sum / hits;
    assert!(precision > 0.95, "average precision {precision}");
}

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// What the networks make of images, what that costs, and the weights after a step.
fn agrees(golden: &Golden, case: &str, config: &DraemConfig) {
    let device = with_gradients();
    let blank = |init: Init| golden.load(&format!("{case}.before."), Network::new(config, &mut { init }));
    let network = blank(Init::blank(&device));
    let tensor = |name: &str| golden.tensor::<4>(&format!("{case}.{name}"), &device);
    let scored = network.clone().valid().forward(tensor("images").inner(), Phase::Scoring);
    let largest = scored.probabilities.clone().narrow(1, 1, 1).max();
    golden.check(scored.repaired, &format!("{case}.scored.repaired"));
    golden.check(scored.probabilities, &format!("{case}.scored.probabilities"));
    golden.close(&values_of(largest).unwrap(), &format!("{case}.scored.largest"));
    let batch = || DefectBatch { good: tensor("good"), images: tensor("images"), masks: tensor("masks") };
    let losses = network.clone().losses(batch(), 2.0);
    let value = |loss: &Tensor<1>| values_of(loss.clone()).unwrap()[0];
    let mut found = vec![value(&losses.l2), value(&losses.ssim), value(&losses.focal)];
    found.extend(losses.predictive.iter().map(value));
    golden.close(&found, &format!("{case}.losses"));

    // anomalib's loss: its similarity mirrors the images at the border, and its focal loss, with an alpha of 1, weights good pixels by
    // nothing and averages over both classes.
    let made = network.clone().forward(tensor("images"), Phase::Training);
    let mirrored = |x: Tensor<4>| x.pad([(5, 5); 2], PadMode::Reflect);
    let inside = Ssim { border: Border::Inside, ..Ssim::default() };
    let ssim = 1.0 - value(&inside.mean(mirrored(made.repaired), mirrored(tensor("good"))));
    let probabilities = values_of(made.probabilities.narrow(1, 1, 1)).unwrap();
    let masks = golden.values(&format!("{case}.masks")).1;
    let costs = probabilities.iter().zip(&masks).map(|(p, mask)| -mask * (1.0 - p).powi(2) * p.ln());
    let focal = costs.sum::<f32>() / (2 * masks.len()) as f32;
    golden.close(&[value(&losses.l2) + ssim + focal], &format!("{case}.anomalib.loss"));

    // The step in double precision, and with an epsilon at which rounding does not decide the direction of small gradients.
    let network = blank(Init::blank(&device).double());
    let double = |name: &str| tensor(name).cast(DType::F64);
    let batch = || DefectBatch { good: double("good"), images: double("images"), masks: double("masks") };
    let plan = Plan::new(1, Optimiser { epsilon: 1e-3, ..Optimiser::ADAM }, Schedule::constant(1e-2));
    let loss = |network: &Network, batch| network.losses(batch, 2.0).total(0.1);
    let trained = train(network, &plan, &device, |_| Ok::<_, TrainError>(batch()), loss, &Alone).unwrap();
    golden.check_weights(&trained.network, &format!("{case}.after."));
}

fn golden_config(sspcab: Sspcab) -> DraemConfig {
    DraemConfig { repair_width: 2, segment_width: 1, sspcab, ..DraemConfig::default() }
}

#[test]
fn forward_pass_losses_and_a_step_equal_those_of_anomalibs_networks() {
    let golden = Golden::read("draem");
    agrees(&golden, "plain", &golden_config(Sspcab::Off));
    agrees(&golden, "sspcab", &golden_config(Sspcab::Anomalib));
}

#[test]
fn so_they_do_at_the_published_width() {
    let Some(golden) = Golden::published("draem") else { return };
    agrees(&golden, "plain", &DraemConfig::of(Preset::Paper));
}

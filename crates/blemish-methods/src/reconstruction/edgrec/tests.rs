use super::*;
use crate::contract::Small;
use crate::slopes::slopes_agree;
use crate::testing::{Golden, Images};
use blemish_nn::layers::{BatchNorm2d, Interpolation, upsample};
use blemish_nn::train::{TrainError, Verdict, Watch, train};
use blemish_nn::weights::trained_values;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(NAME, &[("width", "4"), ("steps", "8"), ("batch", "3"), ("rate", "0.005"), ("turned", "0")])
        .untaught(),
    Small::new(
        NAME,
        &[("width", "2"), ("steps", "8"), ("batch", "2"), ("source", "training"), ("colours", "compat")],
    )
    .untaught(),
];

fn with_gradients() -> Device {
    Device::flex().autodiff()
}

fn narrow(width: usize) -> EdgRecConfig {
    EdgRecConfig { width, ..EdgRecConfig::of(Preset::Paper) }
}

#[test]
fn it_has_the_published_number_of_weights() {
    for (width, weights) in [(128, 69_046_275), (64, 17_270_787)] {
        assert_eq!(trained_values(&network(&narrow(width), &mut Init::blank(&with_gradients()))), weights);
    }
    let encoder = network(&narrow(128), &mut Init::blank(&with_gradients())).encoder;
    assert_eq!(trained_values(&encoder), 37_620_096);
    let multiply_adds = Repainter::products(1, 128, 256 * 256);
    assert!((multiply_adds / 1e9 - 159.9).abs() < 0.5, "{multiply_adds}");
}

#[test]
fn the_first_weights_are_those_of_the_released_code() {
    let network = network(&narrow(16), &mut Init::new(1, &Device::flex()));
    let spread = |values: Vec<f32>, mean: f32| {
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    };
    let unit = &network.encoder.stages[3].first;
    let weights = spread(values_of(unit.conv.weight.val()).unwrap(), 0.0);
    assert!((weights - 0.02).abs() < 0.001, "{weights}");
    let gains = spread(values_of(unit.norm.gain.val()).unwrap(), 1.0);
    assert!((gains - 0.02).abs() < 0.005, "{gains}");
    assert!(values_of(unit.norm.shift.val()).unwrap().iter().all(|&shift| shift == 0.0));
}

#[test]
fn paintings_are_as_large_as_the_edges_and_skips_matter() {
    let device = Device::flex();
    let init = || Init::new(2, &device);
    let with = network(&narrow(2), &mut init());
    let without = Repainter::new(Shape { inputs: 1, width: 2, skips: false, block: None }, &mut init());
    let edges: Vec<f32> = (0..48 * 64).map(|at| (at * 37 % 101) as f32 / 101.0).collect();
    let edges = Tensor::<4>::from_data(TensorData::new(edges, [1, 1, 48, 64]), &device);
    let (one, _) = with.forward(edges.clone(), Phase::Scoring);
    let (other, _) = without.forward(edges, Phase::Scoring);
    assert_eq!(one.dims(), [1, 3, 48, 64]);
    assert_ne!(values_of(one).unwrap(), values_of(other).unwrap());
}

#[test]
fn doubling_keeps_the_corners() {
    let x = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex());
    let y = values_of(upsample(x, 2, Interpolation::BilinearAligned)).unwrap();
    assert_eq!([y[0], y[3], y[12], y[15]], [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn a_norm_by_stored_moments_is_a_scale_and_a_shift() {
    let mut init = Init::new(3, &Device::flex());
    let mut norm = BatchNorm2d::new(3, &init);
    norm.gain = init.normal(1.0, [3]);
    let x = init.normal(1.0, [2, 3, 4, 5]).val();
    norm.forward(x.clone(), Phase::Training);
    let scale = norm.gain.val() / (norm.variance.val() + 1e-5).sqrt();
    let shift = norm.shift.val() - norm.mean.val() * scale.clone();
    let folded = x.clone() * scale.reshape([1, 3, 1, 1]) + shift.reshape([1, 3, 1, 1]);
    let found = values_of(norm.forward(x, Phase::Scoring)).unwrap();
    let close = found.iter().zip(values_of(folded).unwrap()).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close);
}

#[test]
fn the_slopes_of_the_loss_are_its_gradients() {
    // Of weights as large as a training makes them: on those that it starts with, steps of any length cross kinks.
    let (golden, device) = (Golden::read("edgrec"), with_gradients());
    let blank = network(&narrow(2), &mut Init::blank(&device).double());
    let double = |name: &str| golden.tensor::<4>(name, &device).cast(burn::tensor::DType::F64);
    let batch = || (double("edges"), double("good"));
    slopes_agree(golden.load("before.", blank), |network| loss(network, batch()), 1e-4);
}

#[test]
fn what_it_needs_is_said_before_it_starts() {
    assert!(check_size((40, 64)).unwrap_err().contains("64x40"));
    let images = Images::new(vec![((32, 32), vec![0.5; 3 * 32 * 32])], None);
    for (key, config) in [
        ("edge", EdgRecConfig { edge: 4, ..narrow(2) }),
        ("gradient_window", EdgRecConfig { gradient_window: 20, ..narrow(2) }),
        ("colour_window", EdgRecConfig { colour_window: 10, ..narrow(2) }),
    ] {
        let error = EdgRec::fit(&config, &images, &FitContext::new(0, None)).err().unwrap().to_string();
        assert!(error.contains(key), "{error}");
    }
    let paper = EdgRecConfig::of(Preset::Paper);
    assert_eq!((paper.steps(200), EdgRecConfig::default().preset), (20_000, Preset::Cpu));
}

#[test]
fn textures_of_a_folder_are_learned_from_and_an_empty_one_is_an_error() {
    let image: Vec<f32> = (0..3 * 1024).map(|at| (at * 31 % 97) as f32 / 97.0).collect();
    let images = Images::new(vec![((32, 32), image)], None);
    let folder = tempfile::tempdir().unwrap();
    let config = EdgRecConfig { steps: Some(6), batch: 2, defects: 1.0, cut_paste: 0.0, ..narrow(1) };
    let fit = |textures: Option<&std::path::Path>| {
        let mut context = FitContext::new(5, None);
        context.training.textures = textures.map(std::path::Path::to_owned);
        EdgRec::fit(&config, &images, &context)
    };
    let error = fit(Some(folder.path())).err().unwrap().to_string();
    assert!(error.contains("textures"), "{error}");
    image::RgbImage::from_fn(20, 20, |x, y| image::Rgb([(x * 12) as u8, (y * 12) as u8, 90]))
        .save(folder.path().join("picture.png"))
        .unwrap();
    let weights = |model: EdgRec| values_of(model.network.out.weight.val()).unwrap();
    let (made_up, given) = (weights(fit(None).unwrap()), weights(fit(Some(folder.path())).unwrap()));
    assert_ne!(made_up, given);
    assert_eq!(given, weights(fit(Some(folder.path())).unwrap()));
}

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// The network, its loss, a step and the maps of an independent implementation.
fn agrees(golden: &Golden, config: &EdgRecConfig) {
    let device = with_gradients();
    let blank = |init: Init| golden.load("before.", network(config, &mut { init }));
    let network = blank(Init::blank(&device));
    let (shape, images) = golden.values("images");
    let size = (shape[2], shape[3]);
    let plane = size.0 * size.1;
    let model = EdgRec { config: config.clone(), network: network.clone().valid(), curve: Curve::default() };
    let (mut edges, mut painted, mut clean, mut compat) = (vec![], vec![], vec![], vec![]);
    let given = golden.values("given").1;
    for (image, given) in images.chunks_exact(3 * plane).zip(given.chunks_exact(3 * plane)) {
        edges.extend(compare::edges(image, size, 3));
        painted.extend(model.painted(image, size).unwrap());
        clean.extend(compare::map(image, given, size, config));
        let wrapping = EdgRecConfig { colours: Colours::Compat, ..config.clone() };
        compat.extend(compare::map(image, given, size, &wrapping));
    }
    golden.close(&edges, "edges");
    golden.close(&painted, "painted");
    golden.close(&clean, "map.clean");
    golden.close(&compat, "map.compat");
    let (levels, theirs) = (golden.values("lab.levels").1, golden.values("lab.opencv").1);
    let mut equal = 0;
    for (levels, theirs) in levels.chunks_exact(3).zip(theirs.chunks_exact(2)) {
        let ours = compare::lab_levels([0, 1, 2].map(|channel| levels[channel] as u8));
        assert!((0..2).all(|channel| ours[channel].abs_diff(theirs[channel] as u8) <= 1), "{levels:?}");
        equal += usize::from(ours == [theirs[0] as u8, theirs[1] as u8]);
    }
    assert!(equal > levels.len() / 3 * 99 / 100, "{equal} of {}", levels.len() / 3);
    let batch = || (golden.tensor("edges", &device), golden.tensor("good", &device));
    golden.check(loss(&network, batch()), "loss");
    // The step in double precision: rounding of a small gradient would be a large part of it.
    let network = blank(Init::blank(&device).double());
    let double = |x: Tensor<4>| x.cast(burn::tensor::DType::F64);
    let batch = || (double(golden.tensor("edges", &device)), double(golden.tensor("good", &device)));
    let plan = Plan::new(1, Optimiser { epsilon: 1e-3, ..Optimiser::ADAM }, Schedule::constant(1e-2));
    let step = |network, plan: &Plan| {
        train(network, plan, &device, |_| Ok::<_, TrainError>(batch()), loss, &Alone).unwrap()
    };
    golden.check_weights(&step(network, &plan).network, "after.");
}

#[test]
fn forward_pass_maps_loss_and_a_step_equal_pytorchs() {
    agrees(&Golden::read("edgrec"), &narrow(2));
}

#[test]
fn so_they_do_at_the_published_width() {
    let Some(golden) = Golden::published("edgrec") else { return };
    agrees(&golden, &narrow(128));
}

//! The loss and score by hand, what rotations do to vectors and scores, the map against finite differences, and the authors' toy set.

use super::views::{Views, angles};
use super::{DifferNet, DifferNetConfig, Localisation, flow, losses, mean_square, tensor_of};
use crate::contract::Small;
use crate::testing::{self, Images, backbone, image_batch, relative_difference};
use blemish_core::map::PatchScores;
use blemish_core::method::{FitContext, Method, Stored};
use blemish_data::ImageBatch;
use blemish_features::graph::Tensor as StoredTensor;
use blemish_features::networks::build;
use blemish_features::{Architecture, Backbone, BackboneState, EngineOptions, Weights};
use blemish_kernels::image::rotation::rotate_back;
use blemish_nn::Device;
use blemish_nn::flow::Chain;
use blemish_nn::init::Init;
use std::sync::Arc;

/// Small models for the contract suite; the gradient of a flow that has learned so little points anywhere.
pub(crate) const SMALL: &[Small] = &[Small::new(
    "differnet",
    &[
        ("blocks", "2"),
        ("width", "16"),
        ("scales", "1"),
        ("rotation", "0"),
        ("train_transforms", "1"),
        ("transforms", "1"),
        ("map_transforms", "1"),
        ("steps", "40"),
        ("batch", "4"),
        ("rate", "0.003"),
    ],
)
.anywhere()];

/// Odd, so that no pixel of a turned canvas lies halfway between two.
const SIDE: usize = 129;
const SIZE: (usize, usize) = (SIDE, SIDE);

/// An image of 3 x SIDE x SIDE from a function of (y, x), from the centre.
fn image(of: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let centre = (SIDE as f64 - 1.0) / 2.0;
    let at = |i: usize| ((i / SIDE) as f64 - centre, (i % SIDE) as f64 - centre);
    let plane: Vec<f32> = (0..SIDE * SIDE).map(|i| of(at(i).0, at(i).1) as f32).collect();
    plane.repeat(3)
}

fn batch(images: &[Vec<f32>]) -> ImageBatch {
    image_batch(SIZE, images)
}

/// AlexNet with made-up weights.
fn alexnet() -> Backbone {
    let architecture = Architecture::AlexNet;
    let layers = architecture.layers_at(&[16, 32]);
    let graph = build(architecture).cut(&layers).unwrap();
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let tensors = graph.tensor_shapes().map(|(name, shape)| {
        let fan_in: usize = shape.iter().skip(1).product();
        let data =
            (0..shape.iter().product()).map(|_| next() * 4.9 / (fan_in.max(1) as f32).sqrt()).collect();
        (name, StoredTensor { shape, data })
    });
    let weights: Weights = tensors.collect();
    let state = BackboneState::Network { architecture, layers, weights };
    Backbone::from_state(state, &EngineOptions::default()).unwrap()
}

/// Small and fast.
fn tiny() -> DifferNetConfig {
    DifferNetConfig {
        blocks: 4,
        width: 32,
        train_transforms: 8,
        transforms: 8,
        map: Localisation::None,
        map_transforms: 2,
        steps: 60,
        batch: 16,
        rate: 1e-3,
        ..DifferNetConfig::default()
    }
}

fn fit(config: &DifferNetConfig, images: Vec<Vec<f32>>) -> DifferNet {
    let context = FitContext::new(1, Some(backbone(&[16])));
    DifferNet::fit(
        config,
        &Images::new(images.into_iter().map(|image| (SIZE, image)).collect(), None),
        &context,
    )
    .unwrap()
}

/// A flow that has learned nothing yet.
fn unfitted(config: DifferNetConfig, backbone: Arc<Backbone>) -> DifferNet {
    let dimensions = Views { backbone: &backbone, scales: config.scales }.dimensions();
    let network = flow(&config, dimensions, &mut Init::new(3, &Device::flex().autodiff()));
    DifferNet { backbone, config, network: blemish_nn::Module::no_grad(network), curve: Default::default() }
}

fn score(model: &DifferNet, batch: &ImageBatch) -> Vec<PatchScores> {
    testing::score(model, None, batch).unwrap()
}

fn scores(model: &DifferNet, images: &[Vec<f32>]) -> Vec<f32> {
    score(model, &batch(images)).iter().map(|one| one.image_score.unwrap()).collect()
}

#[test]
fn loss_has_the_log_determinant_and_half_the_squares() {
    // No pieces: z is x and the log-determinant 0; 6 / 2 / 4. The specification's 0.5 is taken off by hand: (3 - 0.5) / 4 = 0.625.
    let device = Device::flex();
    let z = tensor_of(vec![1.0, -1.0, 2.0, 0.0], 4, &device);
    let loss = losses(&Chain { pieces: Vec::new() }, z.clone()).into_scalar::<f32>();
    assert_eq!(loss - 0.5 / 4.0, 0.625);
    assert_eq!(mean_square(&[1.0, -1.0, 2.0, 0.0]), 1.5);
    // With pieces, the flow's own.
    let network = flow(&DifferNetConfig { width: 8, ..tiny() }, 4, &mut Init::new(1, &device));
    let (latent, log_det) = network.forward(z.clone(), None);
    let squares = (latent.clone() * latent).sum().into_scalar::<f32>();
    let expected = (0.5 * squares - log_det.into_scalar::<f32>()) / 4.0;
    assert!((losses(&network, z).into_scalar::<f32>() - expected).abs() < 1e-6);
}

#[test]
fn the_published_flow_has_the_published_size() {
    let network = flow(
        &DifferNetConfig { blocks: 1, ..Default::default() },
        768,
        &mut Init::blank(&Device::flex().autodiff()),
    );
    assert_eq!(blemish_nn::weights::trained_values(&network), 21_509_632);
}

#[test]
fn angles_are_fixed_and_within_the_range() {
    assert_eq!(angles(4, 180.0), [0.0, 90.0, -180.0, -90.0]);
    assert_eq!(angles(3, 30.0), [0.0, 20.0, -20.0]);
    assert_eq!(angles(1, 180.0), [0.0]);
    assert_eq!(angles(64, 0.0), [0.0]);
}

#[test]
fn vectors_of_alexnet_are_the_means_of_its_last_pooling_at_three_sizes() {
    let backbone = alexnet();
    let views = Views { backbone: &backbone, scales: 3 };
    assert_eq!(views.dimensions(), 768);
    let noise: Vec<f32> = (0..3 * 448 * 448).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let vector = views.vectors(&noise, (448, 448), &[0.0]).unwrap();
    for (scale, side) in [13, 6, 2].into_iter().enumerate() {
        let step = 1 << scale;
        let small = 448 / step;
        let pixel =
            |i: usize| noise[i / (small * small) * 448 * 448 + (i / small % small * 448 + i % small) * step];
        let pixels: Vec<f32> = (0..3 * small * small).map(pixel).collect();
        let map = backbone.extract(&pixels, [1, small, small]).unwrap().pop().unwrap();
        assert_eq!((map.channels, map.height, map.width), (256, side, side));
        let means: Vec<f32> =
            map.data.chunks(side * side).map(|map| map.iter().sum::<f32>() / (side * side) as f32).collect();
        assert!(relative_difference(&vector[scale * 256..][..256], &means) < 1e-5);
    }
}

#[test]
fn corners_are_black_before_the_normalisation() {
    let backbone = backbone(&[16]);
    let views = Views { backbone: &backbone, scales: 2 };
    let vectors = |grey: f32| views.vectors(&vec![grey; 3 * SIDE * SIDE], SIZE, &[0.0, 45.0]).unwrap();
    let halves = |vectors: Vec<f32>| (vectors[..224].to_vec(), vectors[224..].to_vec());
    let (upright, turned) = halves(vectors(0.0));
    assert_eq!(upright, turned, "a black image is the same at every angle");
    let (upright, turned) = halves(vectors(0.5));
    assert!(relative_difference(&turned, &upright) > 0.05);
}

#[test]
fn scores_do_not_depend_on_how_a_disc_lies() {
    let model = unfitted(tiny(), backbone(&[16]));
    // Bright and dark halves within a disc, the same at every turn of the camera.
    let disc = |degrees: f64| {
        let (sin, cos) = degrees.to_radians().sin_cos();
        image(move |y, x| {
            let (along, distance) = (x * cos - y * sin, y.hypot(x));
            let inside = 1.0 / (1.0 + (0.5 * (distance - 45.0)).exp());
            inside * (0.5 + 0.4 * (along / 9.0).tanh())
        })
    };
    let scores = scores(&model, &[disc(0.0), disc(90.0), disc(45.0), disc(-135.0)]);
    assert!(relative_difference(&scores[1..2], &scores[..1]) < 1e-4, "{scores:?}");
    // Between quarter turns, the nearest pixels of an image are not those of the turned one.
    assert!(relative_difference(&scores[2..], &[scores[0]; 2]) < 5e-2, "{scores:?}");
}

/// Of the loss with respect to the pixels, through rotation, reduction, network and flow.
#[test]
fn gradients_are_those_of_finite_differences() {
    let config = DifferNetConfig { scales: 2, ..tiny() };
    for backbone in [backbone(&[16]), Arc::new(alexnet())] {
        let model = unfitted(config.clone(), backbone);
        let views = model.views();
        let picture = image(|y, x| 0.5 + 0.2 * (y / 7.0).sin() + 0.2 * (x / 5.0 + y / 11.0).cos());
        let loss = |pixels: &[f32]| {
            let vectors = views.vectors(pixels, SIZE, &[90.0]).unwrap();
            let vectors = tensor_of(vectors, views.dimensions(), &Device::flex().autodiff());
            f64::from(losses(&model.network, vectors).into_scalar::<f32>())
        };
        let gradients = model.vector_gradients(&picture, SIZE, &[90.0]).unwrap();
        let mut gradient = Vec::new();
        let std = model.backbone.normalization().std;
        views
            .for_each_gradient(&picture, SIZE, &[90.0], &gradients, |angle, found| {
                for (plane, std) in found.chunks_exact(SIDE * SIDE).zip(std) {
                    let back = rotate_back(plane, SIZE, angle);
                    gradient.extend(back.iter().map(|value| f64::from(value / std)));
                }
            })
            .unwrap();
        // Along the gradient at random halves of the pixels: single precision hides what one pixel does, and larger steps cross kinks.
        for mask in 0..10usize {
            let is_kept = |at: usize| (at + 1).wrapping_mul(2_654_435_761 + 40_503 * mask) >> 9 & 1 == 1;
            let direction: Vec<f64> =
                gradient.iter().enumerate().map(|(at, &g)| if is_kept(at) { g } else { 0.0 }).collect();
            let length = direction.iter().map(|g| g * g).sum::<f64>().sqrt();
            let moved = |by: f64| {
                let moved = picture.iter().zip(&direction).map(|(x, g)| x + (by / length * g) as f32);
                loss(&moved.collect::<Vec<f32>>())
            };
            let found = (moved(0.001) - moved(-0.001)) / 0.002;
            assert!((found / length - 1.0).abs() < 1e-2, "{found} along a gradient of {length}");
        }
    }
}

fn square(turn: f64, half: f64) -> Vec<f32> {
    let (sin, cos) = turn.sin_cos();
    image(move |y, x| f64::from(u8::from((x * cos - y * sin).abs().max((x * sin + y * cos).abs()) < half)))
}

fn circle(radius: f64) -> Vec<f32> {
    image(move |y, x| f64::from(u8::from(y.hypot(x) < radius)))
}

#[test]
fn circles_among_squares_are_found() {
    let squares = |sizes: [f64; 4]| {
        sizes.iter().enumerate().map(|(i, &half)| square(i as f64, half)).collect::<Vec<_>>()
    };
    let model = fit(&tiny(), squares([24.0, 28.0, 32.0, 36.0]));
    let good = scores(&model, &squares([26.0, 30.0, 34.0, 35.0]));
    let bad = scores(&model, &[circle(28.0), circle(32.0), circle(36.0), circle(40.0)]);
    let (worst, best) =
        (good.iter().copied().fold(0.0, f32::max), bad.iter().copied().fold(f32::MAX, f32::min));
    assert!(worst < best, "{good:?} {bad:?}");

    // The same after a round trip and in any company.
    let restored = |config| {
        let (state, backbone) = (model.state(), Some(model.backbone.clone()));
        DifferNet::restore(Stored { config, state, backbone, device: Default::default() }).unwrap()
    };
    let with_map = DifferNetConfig { map: Localisation::Gradient, ..model.config.clone() };
    let with_map = restored(with_map);
    let images = [circle(28.0), square(0.3, 30.0)];
    let both = score(&with_map, &batch(&images));
    assert_eq!(both[1], score(&with_map, &batch(&images[1..]))[0]);
    assert_eq!(scores(&with_map, &images), scores(&model, &images));
    assert_eq!(score(&restored(model.config.clone()), &batch(&images)), score(&model, &batch(&images)));
    assert_eq!((both[0].height, both[0].width), SIZE);
    assert!(
        both[0].values.iter().all(|&value| value >= 0.0) && both[0].values.iter().any(|&value| value > 0.0)
    );
}

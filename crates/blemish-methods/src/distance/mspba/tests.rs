//! The analytic cases of the specification, both kinds of passes, and what a fit must not do.

use super::losses::{cluster_loss, near_loss};
use super::network::{Classifier, Head};
use super::sampling::{Field, direction};
use super::training::Sampler;
use super::*;
use crate::contract::Small;
use crate::registry;
use crate::testing::score;
use crate::testing::{backbone, image_batch};
use blemish_core::entry::Fitted;
use blemish_core::method::{FitContext, Stored};
use blemish_features::Backbone;
use blemish_features::{BackboneSpec, EngineOptions};
use blemish_nn::Device;
use blemish_nn::loss::cross_entropy;
use blemish_nn::weights::{collect, trained_values};
use burn::tensor::{DType, Int};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        NAME,
        &[
            ("epochs", "4"),
            ("batch", "2"),
            ("repeats", "4"),
            ("rate", "0.0003"),
            ("combination", "sum"),
            ("coreset_max", "100"),
        ],
    )
    .on(128),
    Small::new(
        NAME,
        &[
            ("epochs", "2"),
            ("batch", "3"),
            ("repeats", "2"),
            ("combination", "normalised_sum"),
            ("coreset_max", "100"),
        ],
    )
    .untaught()
    .on(128),
];

#[test]
fn heads_of_vgg_end_in_one_vector_with_the_published_number_of_weights() {
    let device = Device::flex();
    let mut init = Init::new(0, &device);
    for (patch, side, channels, weights) in
        [(64, 4, 512, 692_736), (32, 8, 256, 1_000_064), (16, 8, 128, 248_096)]
    {
        let head = Head::new(patch, side, channels, 64, &mut init).unwrap();
        let count: usize = collect(&head).values().map(|(_, values)| values.len()).sum();
        assert_eq!(count, weights, "{patch}");
        let map = Tensor::zeros([2, channels, side, side], &device);
        assert_eq!(head.forward(map).dims(), [2, 64, 1, 1], "{patch}");
        // One more cell: one more place.
        let map = Tensor::zeros([1, channels, side + 1, side], &device);
        assert_eq!(head.forward(map).dims(), [1, 64, 2, 1], "{patch}");
    }
    // The analogous heads of other layers.
    for (patch, side) in [(64, 8), (32, 4), (16, 4)] {
        let head = Head::new(patch, side, 5, 64, &mut init).unwrap();
        let map = Tensor::ones([1, 5, side, side], &device);
        let h = values_of(head.forward(map)).unwrap();
        assert!(h.len() == 64 && h.iter().all(|value| value.abs() < 1.0) && h[0] != h[1]);
    }
    assert!(Head::new(64, 3, 5, 64, &mut init).is_none());
    let classifier = Classifier::new(64, 12, &mut init);
    let count: usize = collect(&classifier).values().map(|(_, values)| values.len()).sum();
    assert_eq!(count, 179_084);
}

#[test]
fn directions_are_thirty_degrees_apart_rows_first() {
    let root = 0.75f64.sqrt();
    for (class, (down, right)) in [
        (0, (1.0, 0.0)),
        (1, (root, 0.5)),
        (3, (0.0, 1.0)),
        (6, (-1.0, 0.0)),
        (8, (-0.5, -root)),
        (11, (root, -0.5)),
    ] {
        let found = direction(class, 12);
        assert!((found.0 - down).abs() < 1e-11 && (found.1 - right).abs() < 1e-11, "{class}: {found:?}");
    }
}

fn field(patch: usize, step: usize) -> Field {
    Field { patch, step, last: (256 - patch, 256 - patch) }
}

/// Smallest and largest of many draws of each component.
fn ranges(mut draw: impl FnMut(&mut ChaCha12Rng) -> (i64, i64)) -> [(i64, i64); 2] {
    let mut random = ChaCha12Rng::seed_from_u64(1);
    let draws: Vec<(i64, i64)> = (0..4000).map(|_| draw(&mut random)).collect();
    let range = |part: &dyn Fn(&(i64, i64)) -> i64| {
        (draws.iter().map(part).min().unwrap(), draws.iter().map(part).max().unwrap())
    };
    [range(&|draw| draw.0), range(&|draw| draw.1)]
}

#[test]
fn neighbours_lie_three_quarters_to_one_patch_away() {
    let field = field(64, 1);
    assert_eq!(ranges(|random| field.offset(0, 12, random)), [(48, 63), (0, 0)]);
    // Halves to even: 0.5 * 63 = 31.5 becomes 32.
    assert_eq!(ranges(|random| field.offset(1, 12, random)), [(42, 55), (24, 32)]);
    let small = super::tests::field(16, 1);
    assert_eq!(ranges(|random| small.offset(6, 12, random)), [(-15, -12), (0, 0)]);
    // On a layer's grid.
    let coarse = super::tests::field(32, 8);
    assert_eq!(ranges(|random| coarse.offset(3, 12, random)), [(0, 0), (24, 32)]);
}

#[test]
fn near_patches_are_never_the_same_and_within_a_sixteenth() {
    for (patch, reach) in [(64, 4), (32, 2), (16, 1)] {
        let field = field(patch, 1);
        let draw = |random: &mut ChaCha12Rng| {
            let drawn = field.jitter(random);
            assert_ne!(drawn, (0, 0));
            drawn
        };
        assert_eq!(ranges(draw), [(-reach, reach), (-reach, reach)], "{patch}");
    }
    // A dense pass has no places nearer than a cell.
    let coarse = field(64, 16);
    assert_eq!(ranges(|random| coarse.jitter(random)), [(-16, 16), (-16, 16)]);
}

#[test]
fn far_patches_lie_three_quarters_farther_and_clipping_keeps_them_inside() {
    let field = field(64, 1);
    assert_eq!(field.far((50, -30)), (98, -78));
    assert_eq!(field.far((0, 0)), (48, 48));
    assert_eq!(field.moved((10, 180), (-20, 30)), (0, 192));
    let mut random = ChaCha12Rng::seed_from_u64(2);
    for _ in 0..500 {
        let item = field.item(12, &mut random);
        let all = [item.pair[0], item.pair[1], item.triple[0], item.triple[1], item.triple[2], item.single];
        assert!(all.iter().all(|corner| corner.0 <= 192 && corner.1 <= 192) && item.class < 12);
    }
}

fn rows(values: &[f64], columns: usize) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / columns, columns]);
    Tensor::from_data(data, (&Device::flex().autodiff(), DType::F64))
}

#[test]
fn losses_of_known_embeddings() {
    let near = near_loss(rows(&[1.0, 0.0], 2), rows(&[0.0, 1.0], 2), rows(&[1.0, 1.0], 2));
    assert!((near.inner().into_scalar::<f64>() - 2.121_320_344).abs() < 1e-8);
    let classes = Tensor::<1, Int>::from_data([3, 11], &Device::flex().autodiff());
    let uniform = cross_entropy(rows(&[0.7; 24], 12), classes);
    assert!((uniform.inner().into_scalar::<f64>() - 2.484_906_650).abs() < 1e-8);
    // Squared distances 1 and 4 to the nearer centre.
    let cluster = cluster_loss(rows(&[1.0, 0.0, 5.0, 2.0], 2), rows(&[0.0, 0.0, 5.0, 0.0], 2));
    assert!((cluster.inner().into_scalar::<f64>() - 2.5).abs() < 1e-12);
}

#[test]
fn the_last_layer_has_rows_of_unit_norm_that_do_not_learn() {
    let device = Device::flex().autodiff();
    let classifier = Classifier::new(8, 12, &mut Init::new(3, &device));
    let weights = collect(&classifier);
    for row in weights["last.weight"].1.chunks_exact(12) {
        assert!((row.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let input = Tensor::<2>::ones([4, 8], &device);
    let classes = Tensor::<1, Int>::from_data([0, 1, 2, 3], &device);
    let gradients = cross_entropy(classifier.forward(input), classes).backward();
    let last = &classifier.last;
    assert!(last.weight.val().grad(&gradients).is_none() && last.bias.val().grad(&gradients).is_some());
    // What learns is all but the matrix of the last layer.
    let all: usize = weights.values().map(|(_, values)| values.len()).sum();
    assert_eq!(trained_values(&classifier), all - weights["last.weight"].1.len());
}

const FULL: (usize, usize) = (256, 256);

fn grid(patch: usize, stride: usize) -> PatchGrid {
    PatchGrid { patch, stride, size: FULL }
}

#[test]
fn constant_scores_give_a_constant_map_and_pixels_are_covered_as_often_as_they_should() {
    for (patch, stride, cells, inner) in [(64, 16, 13, 16.0), (32, 4, 57, 64.0), (16, 4, 61, 16.0)] {
        let grid = grid(patch, stride);
        assert_eq!(grid.cells(), (cells, cells));
        let map = grid.spread(&vec![0.3; cells * cells]);
        assert!(map.iter().all(|&value| (value - 0.3).abs() < 1e-6));
        // A single patch in the middle shares its pixels with all that cover them; one in the corner has its pixel for itself.
        let mut one = vec![0.0; cells * cells];
        one[cells / 2 * cells + cells / 2] = 1.0;
        let pixel = cells / 2 * stride + patch / 2;
        assert!((grid.spread(&one)[pixel * 256 + pixel] - 1.0 / inner).abs() < 1e-6);
        let mut corner = vec![0.0; cells * cells];
        corner[0] = 1.0;
        assert_eq!(grid.spread(&corner)[0], 1.0);
    }
}

#[test]
fn one_patch_score_spreads_over_its_pixels() {
    let mut scores = vec![0.0; 169];
    scores[0] = 1.0;
    let map = grid(64, 16).spread(&scores);
    let at = |y: usize, x: usize| map[y * 256 + x];
    assert_eq!([at(0, 0), at(15, 15), at(0, 16), at(16, 16)], [1.0, 1.0, 0.5, 0.25]);
    assert!((at(48, 48) - 1.0 / 16.0).abs() < 1e-7 && (at(63, 63) - 1.0 / 16.0).abs() < 1e-7);
    assert!(at(64, 0).abs() < 1e-7 && at(0, 64).abs() < 1e-7 && at(200, 200).abs() < 1e-7);
    // The same by going over every patch's pixels.
    let scores: Vec<f32> = (0..57 * 57).map(|at| ((at * 37) % 101) as f32).collect();
    let grid = grid(32, 4);
    let map = grid.spread(&scores);
    let mut sums = vec![(0.0f64, 0u32); 256 * 256];
    for (cell, &score) in scores.iter().enumerate() {
        for y in 0..32 {
            for x in 0..32 {
                let (sum, count) = &mut sums[(cell / 57 * 4 + y) * 256 + cell % 57 * 4 + x];
                *sum += f64::from(score);
                *count += 1;
            }
        }
    }
    let worst = sums
        .iter()
        .zip(&map)
        .map(|((sum, count), &found)| (sum / f64::from(*count) - f64::from(found)).abs());
    assert!(worst.fold(0.0, f64::max) < 1e-4);
}

#[test]
fn maps_are_added_multiplied_or_added_in_their_own_measure() {
    let maps = [vec![1.0; 4], vec![2.0; 4], vec![3.0; 4]];
    let found = |combination| combined(combination, &maps, &[0.5, 4.0, 3.0]);
    assert_eq!(found(Combination::Sum), [6.0; 4]);
    assert_eq!(found(Combination::Product), [6.0; 4]);
    assert_eq!(found(Combination::NormalisedSum), [3.5; 4]);
}

/// A toy encoder of two channels in double precision: 3x3 patches to 4 values. Its weights, and what it makes of some patches.
fn toy(weights: &[f64], input: &Tensor<4>) -> (Tensor<4>, Tensor<2>) {
    let device = (&Device::flex().autodiff(), DType::F64);
    let weight =
        Tensor::<4>::from_data(TensorData::new(weights.to_vec(), [4, 2, 3, 3]), device).require_grad();
    let bias = Tensor::<1>::from_data(TensorData::new(vec![0.1, -0.2, 0.3, 0.05], [4]), device);
    let map = blemish_ops::convolve(input.clone(), weight.clone(), bias, 1, 0).tanh();
    (weight, training::as_rows(map))
}

#[test]
fn gradients_of_the_losses_are_their_slopes() {
    let device = Device::flex().autodiff();
    let value = |at: usize| ((at * 7919) % 997) as f64 / 997.0 - 0.5;
    let input: Vec<f64> = (0..6 * 18).map(|at| 2.0 * value(at + 5)).collect();
    let input = Tensor::<4>::from_data(TensorData::new(input, [6, 2, 3, 3]), (&device, DType::F64));
    let classifier = Classifier::new(4, 12, &mut Init::new(3, &device).double());
    let centres = rows(&(0..12).map(|at| value(at * 3)).collect::<Vec<_>>(), 4);
    let losses: [&dyn Fn(Tensor<2>) -> Tensor<1>; 3] = [
        &|h| {
            let difference = h.clone().narrow(0, 0, 3) - h.narrow(0, 3, 3);
            cross_entropy(classifier.forward(difference), Tensor::<1, Int>::from_data([1, 4, 9], &device))
        },
        &|h| near_loss(h.clone().narrow(0, 0, 2), h.clone().narrow(0, 2, 2), h.narrow(0, 4, 2)),
        &|h| cluster_loss(h, centres.clone()),
    ];
    let weights: Vec<f64> = (0..72).map(|at| value(at * 13 + 1)).collect();
    for (number, loss) in losses.iter().enumerate() {
        let (weight, rows) = toy(&weights, &input);
        let gradients = loss(rows).backward();
        let gradient = weight.grad(&gradients).unwrap().into_data().try_into_vec::<f64>().unwrap();
        for at in [0, 17, 40, 71] {
            let moved = |by: f64| {
                let mut weights = weights.clone();
                weights[at] += by;
                loss(toy(&weights, &input).1).inner().into_scalar::<f64>()
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let relative = (slope - gradient[at]).abs() / gradient[at].abs().max(1e-4);
            assert!(relative < 1e-5, "loss {number}: {slope} is not {}", gradient[at]);
        }
    }
}

const SIDE: usize = 128;

/// A texture: stripes and grain.
fn texture(number: usize) -> Vec<f32> {
    let plane = (0..SIDE * SIDE).map(|at| {
        let (y, x) = (at / SIDE, at % SIDE);
        let grain = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0 * 0.2;
        0.4 + 0.2 * ((x + 3 * number) as f32 * 0.4).sin() * ((y + number) as f32 * 0.23).cos() + grain
    });
    plane.collect::<Vec<f32>>().repeat(3)
}

fn fit(pairs: &[(&str, &str)]) -> Result<Box<dyn Fitted>, Error> {
    let entry = registry::method(NAME)?;
    let context = FitContext::new(3, Some(backbone(&[4, 8, 16])));
    let images =
        crate::testing::Images::new((0..4).map(|number| ((SIDE, SIDE), texture(number))).collect(), None);
    let pairs: Vec<(String, String)> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    entry.fit(&entry.parse(&pairs)?, &images, &context)
}

const ALL_KEPT: (&str, &str) = ("coreset_ratio", "1");

#[test]
fn images_whose_patches_are_all_in_the_bank_score_zero_with_either_kind_of_pass() {
    let small = [
        ("epochs", "1"),
        ("batch", "2"),
        ("repeats", "2"),
        ("stride_32", "16"),
        ("stride_16", "8"),
        ALL_KEPT,
    ];
    for passes in ["dense", "exact"] {
        let pairs = [&small[..], &[("passes", passes)]].concat();
        let model = fit(&pairs).unwrap();
        let seen = score(&*model, None, &image_batch((SIDE, SIDE), &[texture(1)])).unwrap();
        assert!(seen[0].values.iter().all(|&value| value.abs() < 1e-4), "{passes}");
        let other = score(&*model, None, &image_batch((SIDE, SIDE), &[texture(9)])).unwrap();
        assert!(other[0].values.iter().all(|&value| value > 1e-3), "{passes}");
        assert_eq!((seen[0].height, seen[0].width), (SIDE, SIDE));
    }
}

#[test]
fn embeddings_of_textures_do_not_collapse() {
    let model = fit(&[("epochs", "5"), ("batch", "4"), ("repeats", "16"), ALL_KEPT]).unwrap();
    let state = model.state();
    for size in SIZES {
        let (shape, entries) = state.f32(&format!("bank_{size}.bank"), 2).unwrap();
        let rows: Vec<&[f32]> = entries.chunks_exact(shape[1]).collect();
        let pairs = (0..500).map(|at| (rows[at * 7919 % rows.len()], rows[(at * 104_729 + 31) % rows.len()]));
        let sum: f32 = pairs.map(|(a, b)| blemish_kernels::simd::squared_distance(a, b).sqrt()).sum();
        assert!(sum / 500.0 > 0.1, "patches of {size}: mean distance {}", sum / 500.0);
    }
}

#[test]
fn a_batch_follows_from_its_step_and_the_seed() {
    let images =
        crate::testing::Images::new((0..4).map(|number| ((SIDE, SIDE), texture(number))).collect(), None);
    let images = Images::collect(&images, [1.0, 2.0, 4.0], &FitContext::new(3, None)).unwrap();
    for passes in [Passes::Dense, Passes::Exact] {
        let config = MspbaConfig { passes, batch: 2, repeats: 2, ..MspbaConfig::default() };
        let sampler = |seed| Sampler {
            config: &config,
            images: &images,
            strides: [16, 8, 4],
            seed,
            device: Device::flex(),
        };
        let bits = |seed, step| sampler(seed).batch(step).pixels();
        assert_eq!(bits(1, 5), bits(1, 5));
        assert_ne!(bits(1, 5), bits(1, 6));
        assert_ne!(bits(1, 5), bits(2, 5));
    }
    // The mean image is taken off: pixels of all images together have mean zero.
    let sum: f64 = (0..4).flat_map(|index| images.centred(index)).map(f64::from).sum();
    assert!(sum.abs() < 1e-2, "{sum}");
    let image = images.centred(1);
    let plane = SIDE * SIDE;
    assert_eq!(
        (image[5] * 2.0, image[5] * 4.0),
        (image[plane + 5], image[2 * plane + 5]),
        "grey, times the factors"
    );
}

#[test]
fn what_cannot_be_is_refused_with_what_to_change() {
    let message = |pairs: &[(&str, &str)]| fit(pairs).err().unwrap().to_string();
    assert!(message(&[("stride_64", "12")]).contains("stride_64"));
    let entry = registry::method(NAME).unwrap();
    let context = FitContext::new(3, Some(backbone(&[4, 8, 16])));
    let odd = crate::testing::Images::new(vec![((100, 128), vec![0.5; 3 * 100 * 128])], None);
    let settings = entry.parse(&[]).unwrap();
    let refused = entry.fit(&settings, &odd, &context).err().unwrap().to_string();
    assert!(refused.contains("multiples of 16"), "{refused}");
    let single = crate::testing::Images::new(vec![((SIDE, SIDE), texture(0))], None);
    let refused = entry.fit(&settings, &single, &context).err().unwrap().to_string();
    assert!(refused.contains("combination") && refused.contains("only one"), "{refused}");
    let two = |names: &[usize]| {
        let known = backbone(&[4, 8, 16]);
        let layers = names.iter().map(|&at| known.taps()[at].name.clone()).collect();
        let spec = BackboneSpec { layers, ..BackboneSpec::default() };
        let backbone = Backbone::load(&spec, &[], &EngineOptions::default()).unwrap();
        let context = FitContext::new(3, Some(Arc::new(backbone)));
        entry.fit(&settings, &odd, &context).err().unwrap().to_string()
    };
    assert!(two(&[0, 1]).contains("three layers"));
    let model = fit(&[("epochs", "1"), ("coreset_max", "50")]).unwrap();
    let other = image_batch((64, 64), &[vec![0.0; 3 * 64 * 64]]);
    assert!(score(&*model, None, &other).unwrap_err().to_string().contains("128x128"));
    for (name, shape, values) in [
        ("mean_image", vec![3, 10, 10], vec![0.0; 300]),
        ("mean_image", vec![3, SIDE, SIDE], vec![f32::NAN; 3 * SIDE * SIDE]),
        ("bank_32.bank", vec![1, 3], vec![0.0; 3]),
        ("parts.0.classifier.last.bias", vec![1], vec![0.0]),
    ] {
        let mut state = model.state();
        state.set_f32(name, &shape, values);
        assert!(
            entry
                .restore(Stored {
                    config: &model.settings(),
                    state,
                    backbone: Some(backbone(&[4, 8, 16])),
                    device: Default::default()
                })
                .is_err(),
            "{name}"
        );
    }
}

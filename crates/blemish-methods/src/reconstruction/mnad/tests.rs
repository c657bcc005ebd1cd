use super::memory::Lookup;
use super::network::Passed;
use super::scoring::{Parts, psnr, published, weighted_error};
use super::*;
use crate::contract::Small;
use crate::testing::image_batch;
use blemish_core::check::Images;
use blemish_data::{Facts, Label, Moment};
use blemish_nn::TensorData;
use blemish_nn::layers::Phase;
use blemish_nn::weights::trained_values;
use burn::tensor::Tensor as Any;

mod golden;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new("mnad", &[("width", "4"), ("steps", "24"), ("batch", "3"), ("rate", "0.003")]),
    Small::new(
        "mnad",
        &[("task", "prediction"), ("width", "4"), ("steps", "20"), ("batch", "2"), ("rate", "0.003")],
    )
    .anywhere(),
    Small::new(
        "mnad",
        &[("memory", "0"), ("width", "4"), ("steps", "24"), ("batch", "3"), ("rate", "0.003")],
    ),
    Small::new(
        "mnad",
        &[
            ("update", "true"),
            ("gamma", "1"),
            ("width", "4"),
            ("steps", "20"),
            ("batch", "3"),
            ("rate", "0.003"),
        ],
    ),
];

#[test]
fn sspcab_takes_the_place_of_a_convolution_and_adds_a_tenth_of_its_loss() {
    let config = MnadConfig { sspcab: true, width: 8, ..MnadConfig::default() };
    let network = Network::new(&config, &mut Init::new(1, &device()));
    let plain = Network::new(&MnadConfig { sspcab: false, ..config.clone() }, &mut Init::new(1, &device()));
    // Four corners of 8 x 8 and 8 and the attention 8 -> 1 -> 8, for 8 x 8 x 9 and 8 and a normalisation of 16.
    let (block, unit) = (4 * (64 + 8) + (8 + 1) + (8 + 8), 576 + 8 + 16);
    assert_eq!(trained_values(&network) + unit, trained_values(&plain) + block);
    let x = tensor((0..3 * 256).map(|at| (at as f32 * 0.37).sin()).collect(), [1, 3, 16, 16]);
    let none = network::Weights { compactness: 0.0, separateness: 0.0 };
    let Passed { made, .. } = network.clone().forward(x.clone(), network.items(), Phase::Training);
    let pixels = values(blemish_nn::loss::l2(made, x.clone()))[0];
    assert!(values(network.clone().loss((x.clone(), x), none))[0] > pixels);
    let narrow = MnadConfig { width: 4, ..config };
    let images = Images::new(vec![((32, 32), disc(0, false)); 2], None);
    let error = Mnad::fit(&narrow, &images, &FitContext::new(0, None)).err().unwrap().to_string();
    assert!(error.contains("width=8"), "{error}");
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Any<D> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn values<const D: usize>(tensor: Any<D>) -> Vec<f32> {
    values_of(tensor).unwrap()
}

/// M unit vectors along the first M axes of so many channels.
fn axes(items: usize, channels: usize) -> Any<2> {
    let values = (0..items * channels).map(|at| f32::from(u8::from(at / channels == at % channels)));
    tensor(values.collect(), [items, channels])
}

/// One query, 1 x channels x 1.
fn query(values: &[f32]) -> Any<3> {
    tensor(values.to_vec(), [1, values.len(), 1])
}

fn close(found: f32, expected: f32) {
    assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
}

#[test]
fn a_query_reads_most_of_the_item_it_is_equal_to() {
    let mut first = vec![0.0; 16];
    first[0] = 1.0;
    let read = values(Lookup::new(axes(10, 16), query(&first)).read());
    // Of orthogonal items the read-out holds the weights: e / (e + 9) and 1 / (e + 9).
    close(read[0], 0.231_97);
    close(read[1], 0.085_34);
    close(read[10], 0.0);
    // With unit vectors no weight is more than e^2 times another.
    let opposed = tensor(vec![1.0, 0.0, -1.0, 0.0], [2, 2]);
    let read = values(Lookup::new(opposed, query(&[1.0, 0.0])).read());
    let (most, least) = ((1.0 + read[0]) / 2.0, (1.0 - read[0]) / 2.0);
    assert!((most / least - 7.389_056).abs() < 1e-3, "{most} {least}");
}

#[test]
fn compactness_is_a_mean_over_channels_as_well() {
    let mut own = vec![0.0; 512];
    own[3] = 1.0;
    close(values(Lookup::new(axes(10, 512), query(&own)).compactness())[0], 0.0);
    let mut strange = vec![0.0; 512];
    strange[100] = 1.0;
    let found = values(Lookup::new(axes(10, 512), query(&strange)).compactness())[0];
    assert!((found - 2.0 / 512.0).abs() < 1e-8, "{found}");
}

#[test]
fn separateness_is_nothing_far_from_the_second_item_and_the_margin_between_equal_ones() {
    let own = query(&[1.0, 0.0, 0.0]);
    close(values(Lookup::new(axes(2, 3), own.clone()).separateness())[0], 0.0);
    let twins = tensor(vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [2, 3]);
    close(values(Lookup::new(twins, own.clone()).separateness())[0], 1.0);
    close(values(Lookup::new(axes(1, 3), own).separateness())[0], 0.0);
}

#[test]
fn an_item_moves_towards_its_queries_and_others_stay_to_the_bit() {
    let items = tensor(vec![1.0, 0.0, 0.0], [1, 3]);
    let moved = values(Lookup::new(items, query(&[0.0, 1.0, 0.0])).updated());
    let half = std::f32::consts::FRAC_1_SQRT_2;
    [half, half, 0.0].into_iter().zip(moved).for_each(|(expected, found)| close(found, expected));
    // The first query and the last are nearest to item 0, the other to item 2; item 1 stays.
    let items = vec![0.6, 0.8, 0.0, 0.3, 0.1, -0.9, 0.0, 0.0, 1.0];
    let queries = tensor(vec![0.8, 0.0, 0.6, 0.6, 0.6, 0.8, 0.0, 0.8, 0.0], [1, 3, 3]);
    let lookup = Lookup::new(tensor(items.clone(), [3, 3]), queries);
    let moved = values(lookup.updated());
    assert_eq!(values(lookup.usage()), [2.0, 0.0, 1.0]);
    assert_eq!(moved[3..6], items[3..6]);
    assert_ne!(moved[..3], items[..3]);
    for item in [0, 2] {
        let length: f32 = moved[3 * item..][..3].iter().map(|value| value * value).sum();
        close(length, 1.0);
    }
}

#[test]
fn the_weights_of_an_update_are_relative_to_the_most_similar_query_of_the_whole_batch() {
    // Both queries are nearest to item 0 or 1 by turns; the largest similarity to item 0 is that of the first, to item 1 that of the second.
    let items = tensor(vec![1.0, 0.0, 0.8, 0.6], [2, 2]);
    let queries = tensor(vec![1.0, 0.0, 0.0, 1.0], [2, 2, 1]);
    let moved = values(Lookup::new(items, queries).updated());
    // Query 0 at item 0 with v = exp(1 - 1) = 1; query 1 at item 1 with v = exp(0.6 - 0.8), since query 0 is more similar to item 1.
    close(moved[0], 1.0);
    let share = (-0.2f32).exp();
    let length = (0.8f32.powi(2) + (0.6 + share).powi(2)).sqrt();
    close(moved[2], 0.8 / length);
    close(moved[3], (0.6 + share) / length);
}

#[test]
fn no_gradient_passes_through_what_is_read_or_to_the_items() {
    let features = tensor(vec![0.3, -0.5, 0.8, 0.1], [1, 4, 1, 1]).require_grad();
    let items = axes(3, 4).require_grad();
    let read = |features: Any<4>| {
        let lookup = Lookup::new(items.clone(), memory::queries_of(features));
        let weights = tensor(vec![0.2, 1.0, -0.7, 0.4], [1, 4, 1]);
        (lookup.read() * weights).sum()
    };
    // It depends on the features all the same.
    let nudged = tensor(vec![0.3, -0.5, 0.81, 0.1], [1, 4, 1, 1]);
    let slope = (values(read(nudged))[0] - values(read(features.clone()))[0]) / 0.01;
    assert!(slope.abs() > 0.01, "{slope}");
    // What passes is the gradient of the queries beside it alone.
    let lookup = Lookup::new(items.clone(), memory::queries_of(features.clone()));
    let both = lookup.with_read(1, 1);
    let weights = tensor(vec![0.5, -1.0, 0.3, 0.9, 0.2, 1.0, -0.7, 0.4], [1, 8, 1, 1]);
    let whole = (both * weights).sum().backward();
    let alone = (memory::queries_of(features.clone()) * tensor(vec![0.5, -1.0, 0.3, 0.9], [1, 4, 1])).sum();
    let alone = alone.backward();
    let of = |gradients: &burn::tensor::Gradients| values(features.grad(gradients).unwrap());
    assert_eq!(of(&whole), of(&alone));
    assert!(items.grad(&whole).is_none());
    let losses = Lookup::new(items.clone(), memory::queries_of(features.clone()));
    let gradients = (losses.compactness() + losses.separateness()).backward();
    assert!(items.grad(&gradients).is_none() && features.grad(&gradients).is_some());
}

#[test]
fn the_order_of_items_does_not_matter_and_that_of_queries_goes_through() {
    let items = vec![0.6, 0.8, 0.0, 0.36, 0.48, 0.8, 0.0, 0.0, 1.0];
    let swapped = [&items[6..], &items[..6]].concat();
    let queries = vec![0.8, 0.0, 0.6, 0.6, 1.0, 0.8];
    let read = |items: &[f32], queries: &[f32]| {
        values(Lookup::new(tensor(items.to_vec(), [3, 3]), tensor(queries.to_vec(), [1, 3, 2])).read())
    };
    let found = read(&items, &queries);
    found.iter().zip(read(&swapped, &queries)).for_each(|(one, other)| close(other, *one));
    let turned: Vec<f32> = queries.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    let expected: Vec<f32> = found.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    assert_eq!(read(&items, &turned), expected);
}

#[test]
fn a_difference_of_a_tenth_of_the_range_is_20_db() {
    // 0.2 in [-1, 1] is 0.1 in [0, 1].
    assert!((psnr(0.01) - 20.0).abs() < 1e-12);
    assert!((psnr(0.0) - 100.0).abs() < 1e-9);
    assert!((weighted_error(&[0.25; 12]) - 0.25).abs() < 1e-9);
    assert_eq!(weighted_error(&[0.0; 3]), 0.0);
    // 1 - exp(-1) for the only error there is.
    assert!((weighted_error(&[1.0, 0.0]) - 1.0).abs() < 1e-9);
}

#[test]
fn a_videos_published_scores_run_over_its_own_range() {
    let parts = |psnr, distance| Parts { psnr, distance };
    let video = [parts(30.0, 0.2), parts(20.0, 0.4), parts(25.0, 0.2)];
    let found = published(&video, 0.6);
    [0.0, 1.0, 0.3].into_iter().zip(&found).for_each(|(expected, found)| close(*found, expected));
    // Nothing differs: one half, whatever the share.
    assert_eq!(published(&[parts(30.0, 0.0); 2], 0.7), [0.5, 0.5]);
    assert!(published(&[], 0.7).is_empty());
}

fn published_network(task: Task) -> Network {
    Network::new(&MnadConfig { task, ..MnadConfig::of(Preset::Paper) }, &mut Init::blank(&device()))
}

#[test]
fn networks_have_the_published_sizes() {
    let prediction = published_network(Task::Prediction);
    assert_eq!(trained_values(&prediction), 15_650_819);
    assert_eq!(trained_values(&published_network(Task::Reconstruction)), 17_195_267);
    let items = prediction.items().unwrap();
    assert_eq!(items.dims(), [10, 512]);
}

#[test]
fn items_begin_in_the_positive_orthant_at_unit_length() {
    let config = MnadConfig { memory: 30, ..MnadConfig::default() };
    let network = Network::new(&config, &mut Init::new(3, &device()));
    let items = values(network.items().unwrap());
    let (one, rest) = items.split_at(128);
    let cosine = |other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    close(cosine(one), 1.0);
    let mean = rest.chunks(128).map(cosine).sum::<f32>() / 29.0;
    assert!(items.iter().all(|value| *value >= 0.0) && (0.70..0.80).contains(&mean), "{mean}");
}

#[test]
fn the_frame_that_is_made_has_the_size_of_those_looked_at_and_skips_are_for_prediction_only() {
    for (task, inputs) in [(Task::Prediction, 12), (Task::Reconstruction, 3)] {
        let config = MnadConfig { task, width: 4, ..MnadConfig::default() };
        let network = Network::new(&config, &mut Init::new(1, &device()));
        let x = tensor(vec![0.1; inputs * 24 * 16], [1, inputs, 24, 16]);
        let Passed { lookup, made, .. } = network.forward(x, network.items(), Phase::Scoring);
        assert_eq!(made.dims(), [1, 3, 24, 16]);
        assert_eq!(lookup.unwrap().distances().dims(), [1, 6]);
    }
    let bare = MnadConfig { memory: 0, width: 4, ..MnadConfig::default() };
    let network = Network::new(&bare, &mut Init::new(1, &device()));
    let passed = network.forward(tensor(vec![0.1; 192], [1, 3, 8, 8]), network.items(), Phase::Scoring);
    assert!(passed.lookup.is_none() && network.items().is_none());
}

/// Frames of a disc that goes to the right over a grey wall, 32 x 32; `odd` puts a bright square in.
fn disc(at: usize, odd: bool) -> Vec<f32> {
    let plane = (0..32 * 32).map(|pixel| {
        let (y, x) = ((pixel / 32) as f32, (pixel % 32) as f32);
        let (dy, dx) = (y - 16.0, x - (4 + 2 * at % 24) as f32);
        let is_square = odd && (4.0..10.0).contains(&y) && (20.0..26.0).contains(&x);
        if is_square {
            0.95
        } else if dy * dy + dx * dx < 20.0 {
            0.15
        } else {
            0.5 + 0.1 * (y * 0.5).sin()
        }
    });
    plane.collect::<Vec<_>>().repeat(3)
}

fn moving(count: usize) -> Images<'static> {
    let images = (0..count).map(|at| ((32, 32), disc(at, false))).collect();
    Images::new(images, None).in_clips(5)
}

fn small_video(steps: u64) -> MnadConfig {
    MnadConfig {
        task: Task::Prediction,
        width: 8,
        steps: Some(steps),
        rate: 3e-3,
        update: true,
        ..MnadConfig::default()
    }
}

/// A model of discs that move.
fn fitted(config: &MnadConfig) -> Mnad {
    Mnad::fit(config, &moving(30), &FitContext::new(3, None)).unwrap()
}

#[test]
#[ignore = "half a minute: cargo test --release -p blemish-methods by_heart -- --ignored"]
fn one_batch_is_learnt_by_heart_and_a_pasted_square_scores_above_every_clean_frame() {
    let config = MnadConfig { batch: 8, update: false, ..small_video(300) };
    let model = Mnad::fit(&config, &moving(12), &FitContext::new(3, None)).unwrap();
    let odd: Vec<_> = (0..12).map(|at| ((32, 32), disc(at, at == 11))).collect();
    let clip = Images::new(odd, None).in_clips(5);
    let all: Vec<usize> = (4..12).collect();
    let scores = clip.with(&all, Pass::IMAGES, |input| model.score(input)).unwrap();
    let scores: Vec<f32> = scores.iter().map(|scores| scores.image_score.unwrap()).collect();
    let clean = scores[..7].iter().copied().fold(f32::MIN, f32::max);
    assert!(scores[7] > clean + 1.0, "{} {clean}", scores[7]);
    let errors = clip.with(&[10], Pass::IMAGES, |input| model.look(input, 0, model.network.items())).unwrap();
    // L_pix is four times the error in [0, 1].
    let pixels = 4.0 * errors.errors.iter().sum::<f32>() / errors.errors.len() as f32;
    assert!(pixels < 1e-3, "{pixels}");
}

/// Frames of one sequence after another in one batch, with their facts, through one session each.
fn in_sessions(model: &Mnad, sequences: &[&[usize]]) -> Vec<Vec<(f32, Vec<f32>)>> {
    let run = |frames: &&[usize]| {
        let images: Vec<_> = frames.iter().map(|&at| ((32, 32), disc(at, at % 7 == 6))).collect();
        let clip = Images::new(images, None).in_clips(5);
        let mut session = model.session().unwrap();
        let score = |at: usize| {
            let scores = clip.with(&[at], Pass::IMAGES, |input| session.score(input)).unwrap().remove(0);
            (scores.image_score.unwrap(), scores.values)
        };
        (0..frames.len()).map(score).collect()
    };
    sequences.iter().map(run).collect()
}

#[test]
fn a_clips_scores_are_its_own_whatever_stands_around_it() {
    let model = fitted(&MnadConfig { gamma: Some(1.0), ..small_video(20) });
    let (one, other): (Vec<usize>, Vec<usize>) = ((0..9).collect(), (5..16).rev().collect());
    let apart = [in_sessions(&model, &[&one]), in_sessions(&model, &[&other])].concat();
    assert_eq!(in_sessions(&model, &[&one, &other]), apart);
    let turned = in_sessions(&model, &[&other, &one]);
    assert_eq!((&turned[0], &turned[1]), (&apart[1], &apart[0]));
}

#[test]
fn the_memory_moves_on_after_a_normal_frame_was_scored_and_not_after_an_odd_one() {
    let scene: Vec<_> = (0..8).map(|at| ((32, 32), disc(at, false))).collect();
    let clip = Images::new(scene, None).in_clips(5);
    let changes = |gamma: f64| {
        let model = fitted(&MnadConfig { gamma: Some(gamma), ..small_video(20) });
        let mut video = Video::new(&model);
        let mut found = Vec::new();
        for at in 0..8 {
            let before = values(video.items().unwrap());
            clip.with(&[at], Pass::IMAGES, |input| video.score(input)).unwrap();
            found.push(values(video.items().unwrap()) != before);
        }
        found
    };
    // Never by the first four frames, whose clips are filled up.
    assert_eq!(changes(1.0), [false, false, false, false, true, true, true, true]);
    assert_eq!(changes(0.0), [false; 8]);
}

#[test]
fn the_published_metric_leaves_the_first_four_frames_out() {
    let model = fitted(&small_video(5));
    let clip = moving(7);
    let mut session = model.session().unwrap();
    for at in 0..7 {
        clip.with(&[at], Pass::IMAGES, |input| session.score(input)).unwrap();
    }
    let whole = session.of_whole().unwrap();
    assert_eq!(
        whole.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, false, false, false, true, true, true]
    );
    assert!(whole.iter().flatten().all(|score| (0.0..=1.0).contains(score)));
    let still = MnadConfig { width: 4, steps: Some(2), ..MnadConfig::default() };
    let images = Images::new((0..4).map(|at| ((32, 32), disc(at, false))).collect(), None);
    let still = Mnad::fit(&still, &images, &FitContext::new(0, None)).unwrap();
    assert!(still.session().is_none(), "still images have no order");
}

#[test]
fn what_lies_outside_the_region_does_not_count() {
    let model = fitted(&MnadConfig { update: false, ..small_video(5) });
    let score = |odd: bool, region: bool| {
        let images = [disc(0, false), disc(1, false), disc(2, false), disc(3, false), disc(4, odd)];
        let mut batch = image_batch((32, 32), &images);
        (batch.count, batch.frames) = (1, 5);
        if region {
            let marked = (0..32 * 32).map(|at| at / 32 >= 12).collect();
            let mask = blemish_data::Mask { height: 32, width: 32, marked };
            batch.region_of_interest = Some(std::sync::Arc::new(mask));
        }
        model.score(&Input::of_images(&batch)).unwrap()[0].image_score.unwrap()
    };
    assert_ne!(score(true, false), score(false, false));
    let off = (score(true, true) - score(false, true)).abs();
    assert!(off < (score(true, false) - score(false, false)).abs() / 3.0, "{off}");
}

#[test]
fn short_clips_loose_images_and_odd_sizes_are_errors() {
    let fit = |set: &Images<'_>, config: &MnadConfig| {
        Mnad::fit(config, set, &FitContext::new(0, None)).err().unwrap().to_string()
    };
    let short = fit(&moving(4), &small_video(2));
    assert!(short.contains("has 4 frames") && short.contains("5 that follow each other"), "{short}");
    let loose = Images::new(vec![((32, 32), disc(0, false)); 6], None);
    assert!(fit(&loose, &small_video(2)).contains("not a frame of a sequence"));
    let odd = Images::new(vec![((20, 32), vec![0.5; 3 * 20 * 32]); 3], None);
    let message = fit(&odd, &MnadConfig { width: 4, steps: Some(1), ..MnadConfig::default() });
    assert!(message.contains("32x20") && message.contains("multiples of 8"), "{message}");
    let model = fitted(&small_video(2));
    let single = image_batch((32, 32), &[disc(0, false)]);
    let message = model.score(&Input::of_images(&single)).unwrap_err().to_string();
    assert!(message.contains("clips of 5 frames"), "{message}");
}

#[test]
fn an_image_without_a_group_is_called_by_its_name() {
    let facts =
        Facts { moment: Some(Moment { sequence: 0, frame: 0 }), ..Facts::new("a/1.png", Label::Good) };
    let error = Clips::of(&[Frame::of(Some(&facts))], 5, 0).unwrap_err();
    assert!(error.contains("`a/1.png` has 1 frames"), "{error}");
}

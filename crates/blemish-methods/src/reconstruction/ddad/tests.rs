use super::compare::{Differences, features, finished, pixels, ratio, ratio_of_batch};
use super::diffusion::{Look, STEPS, lesson, shares};
use super::extractor::loss_of;
use super::unet::Shape;
use super::*;
use crate::contract::Small;
use crate::shared::encoder::Encoder;
use crate::shared::kept::{Kept, Planes};
use crate::shared::tensors::values_of;
use crate::testing::{Images, backbone, image_batch, relative_difference};
use blemish_core::method::Pass;
use blemish_features::FeatureMap;
use blemish_nn::train::{Optimiser, Plan, Schedule};
use blemish_nn::weights::trained_values;
use blemish_nn::{Device, Tensor};

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[
    Small::new(
        NAME,
        &[
            ("width", "4"),
            ("multipliers", "[1,2]"),
            ("groups", "2"),
            ("steps", "6"),
            ("batch", "2"),
            ("attention", "0"),
            ("start", "200"),
            ("skip", "100"),
            ("adapt_epochs", "1"),
            ("adapt_batch", "4"),
        ],
    )
    .on(32)
    .untaught(),
    Small::new(
        NAME,
        &[
            ("width", "2"),
            ("multipliers", "[1,2]"),
            ("groups", "2"),
            ("heads", "1"),
            ("steps", "6"),
            ("batch", "2"),
            ("dropout", "0.3"),
            ("average", "0"),
            ("attention", "16"),
            ("start", "100"),
            ("skip", "auto"),
            ("w", "2"),
            ("eta", "0"),
            ("adapt_epochs", "0"),
            ("crop", "24"),
        ],
    )
    .on(32)
    .untaught(),
];

fn random(shape: [usize; 4], seed: u64) -> Tensor<4> {
    Init::new(seed, &Device::flex()).normal(1.0, shape).val()
}

fn values(x: Tensor<4>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_into_vec().unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-300),
        "{found} instead of {expected}"
    );
}

fn tiny() -> Shape {
    Shape { width: 4, multipliers: vec![1, 2], blocks: 1, attention: 1, heads: 2, groups: 2 }
}

/// A network of which nothing is zero.
fn lively(seed: u64) -> UNet {
    let network = UNet::new(&tiny(), &mut Init::new(seed, &Device::flex()));
    let mut random = Init::new(seed + 1, &Device::flex());
    let stored = blemish_nn::weights::collect(&network);
    blemish_nn::weights::load(network, |name: &str| {
        let (shape, values) = &stored[name];
        let drawn: Vec<f32> = values_of(random.normal(0.2, [values.len()]).val()).unwrap();
        let values = values.iter().zip(drawn).map(|(value, drawn)| value + drawn).collect();
        Ok::<_, blemish_nn::weights::WeightError>((shape.clone(), values))
    })
    .unwrap()
}

#[test]
fn shares_and_factors_are_those_of_the_published_table() {
    let a = shares();
    close(a[250], 0.521_423, 1e-6);
    close(a[999], 4.0358e-5, 1e-4);
    for (t, share, fresh, old, weak, strong) in [
        (225, 0.588_678, 0.293_493, 0.507_459, 1.234, 4.525),
        (150, 0.785_887, 0.223_966, 0.325_347, 0.642, 2.355),
        (100, 0.895_142, 0.164_171, 0.188_212, 0.315, 1.153),
        (50, 0.969_951, 0.079_849, 0.051_565, 0.090, 0.331),
        (25, 0.990_965, 0.009_945, 0.001_047, 0.027, 0.099),
        (0, 0.999_900, 0.0, 0.0, 0.000, 0.001),
    ] {
        let after = if t == 0 { 1.0 } else { a[t - 25] };
        let parts = Look::parts(a[t], after, 1.0);
        let near = |found: f64, expected: f64, half: f64| {
            assert!((found - expected).abs() <= half, "{found} {expected} at {t}")
        };
        near(a[t], share, 6e-7);
        near(parts[0], fresh, 6e-7);
        near(parts[1], old, 6e-7);
        near(3.0 * (1.0 - a[t]), weak, 6e-4);
        near(11.0 * (1.0 - a[t]), strong, 6e-4);
        near(parts[0].powi(2) + parts[1].powi(2), 1.0 - after, 1e-12);
    }
    let way = Way { start: 250, skip: 25, eta: 1.0, w: 3.0 };
    let times: Vec<usize> = way.looks(&a).iter().map(|look| look.time).collect();
    assert_eq!(times, [225, 200, 175, 150, 125, 100, 75, 50, 25, 0]);
    let uneven = Way { skip: 60, ..way }.looks(&a);
    assert_eq!(uneven.iter().map(|look| look.time).collect::<Vec<_>>(), [190, 130, 70, 10]);
    assert_eq!(uneven[3].of_fresh, 0.0);
}

/// The formulas as they are written, one after the other.
fn written_out(x: f64, y: f64, e: f64, z: f64, (t, after): (usize, f64), (w, eta): (f64, f64)) -> [f64; 2] {
    let a = shares()[t];
    let noised = a.sqrt() * y + (1.0 - a).sqrt() * e;
    let bent = e - w * (1.0 - a).sqrt() * (noised - x);
    let clean = (x - (1.0 - a).sqrt() * bent) / a.sqrt();
    let [fresh, old] = Look::parts(a, after, eta);
    [clean, after.sqrt() * clean + fresh * z + old * bent]
}

#[test]
fn the_pull_is_a_blend_and_four_factors_hold_all_of_a_look() {
    let a = shares();
    let mut init = Init::new(4, &Device::flex());
    for number in 0..200 {
        let drawn = values_of(init.normal(1.0, [5]).val()).unwrap();
        let [x, y, e, z, w] = [0, 1, 2, 3, 4].map(|at| f64::from(drawn[at]));
        let (w, t, eta) = (w.abs() * 6.0, 25 + number * 4, f64::from(number as u32 % 3) / 2.0);
        let next = (number % 7 > 0).then_some(t - 25);
        let after = next.map_or(1.0, |next| a[next]);
        let [clean, moved] = written_out(x, y, e, z, (t, after), (w, eta));
        let plain = (x - (1.0 - a[t]).sqrt() * e) / a[t].sqrt();
        let blended = plain + w * (1.0 - a[t]) * (y - plain);
        assert!((clean - blended).abs() < 1e-9 * (1.0 + clean.abs() + plain.abs()), "{clean} {blended}");
        let look = Look::new(t, next, eta, w, &a);
        let found = look.of_x * x + look.of_noise * e + look.of_image * y + look.of_fresh * z;
        assert!((found - moved).abs() < 1e-9 * (1.0 + clean.abs() + moved.abs()), "{found} {moved}");
        // Without a pull and new noise it is DDIM; with a pull of 1 / (1 - a) the image itself.
        let look = Look::new(t, next, 0.0, 0.0, &a);
        let ddim = after.sqrt() * plain + (1.0 - after).sqrt() * e;
        assert!((look.of_x * x + look.of_noise * e - ddim).abs() < 1e-9 * (1.0 + ddim.abs() + plain.abs()));
        assert_eq!((look.of_image, look.of_fresh), (0.0, 0.0));
        let [clean, _] = written_out(x, y, e, z, (t, after), (1.0 / (1.0 - a[t]), eta));
        assert!((clean - y).abs() < 1e-9 * (1.0 + plain.abs()), "{clean} {y}");
    }
}

#[test]
fn a_network_that_knows_the_image_leads_to_it_by_every_way() {
    let (network, a) = (UNet::new(&tiny(), &mut Init::new(1, &Device::flex())), shares());
    let (x, y) = (random([2, 3, 4, 4], 1), random([2, 3, 4, 4], 2));
    let noise: Vec<Tensor<4>> = (0..10).map(|seed| random([2, 3, 4, 4], 10 + seed)).collect();
    for (w, eta, skip) in [(0.0, 0.0, 25), (0.0, 1.0, 25), (3.0, 1.0, 25), (11.0, 0.5, 50), (7.0, 1.0, 125)] {
        let path = Path::new(Way { start: 250, skip, eta, w }, &network);
        let oracle =
            |x: Tensor<4>, t: usize, _: &[Tensor<2>]| (x - y.clone() * a[t].sqrt()) / (1.0 - a[t]).sqrt();
        let made = values(path.walk(x.clone(), y.clone(), &noise[..path.draws()], oracle));
        assert!(relative_difference(&made, &values(y.clone())) < 1e-4, "{w} {eta} {skip}");
    }
}

#[test]
fn an_untrained_network_says_nothing_so_its_loss_is_the_number_of_values() {
    let device = Device::flex();
    let network = UNet::new(&tiny(), &mut Init::new(3, &device));
    let shifts = network.shifts(&[500.0]);
    let found = values(network.forward(random([2, 3, 16, 16], 1), &shifts, None));
    assert!(found.iter().all(|&value| value == 0.0));
    let images = images_of(&vec![vec![0.3; 3 * 64 * 64]; 16]);
    let chosen: Vec<usize> = (0..16).collect();
    let lesson = lesson(&images, &chosen, 16, 0, (7, &shares()), &device);
    let cost = f64::from(diffusion::loss(&network, lesson, 0.0).into_scalar::<f32>());
    // 196608 for 256 x 256; the sum of 16 x 12288 squares of normal values varies by half a percent.
    close(cost, 3.0 * 64.0 * 64.0, 0.02);
}

fn images_of(images: &[Vec<f32>]) -> Kept {
    let side = (images[0].len() / 3).isqrt();
    let set = images.iter().map(|image| ((side, side), image.clone())).collect();
    let context = FitContext::new(0, None);
    Kept::collect(NAME, &Images::new(set, None), Pass::IMAGES, &context, "reading", |input| {
        Ok(vec![Planes::of_images(input.images()?)])
    })
    .unwrap()
}

#[test]
fn what_a_step_learns_from_is_a_function_of_its_number_alone() {
    let images = images_of(&(0..5).map(|n| vec![n as f32 / 5.0; 3 * 64]).collect::<Vec<_>>());
    let (chosen, device, a) = ([0, 1, 2, 3, 4], Device::flex(), shares());
    let of = |step| lesson(&images, &chosen, 3, step, (9, &a), &device);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| values(of(4).noisy))
    };
    assert_eq!(run(1), run(3));
    let (one, other) = (of(0), of(1));
    assert_ne!(values(one.noise.clone()), values(other.noise));
    assert_ne!(one.times, other.times);
    assert!(one.times.iter().all(|&t| t.fract() == 0.0 && (0.0..STEPS as f64).contains(&t)));
    // x_t is made of the image and the noise as the time says.
    let t = one.times[0] as usize;
    let (noisy, noise) = (values(one.noisy), values(one.noise));
    let image = (f64::from(noisy[0]) - (1.0 - a[t]).sqrt() * f64::from(noise[0])) / a[t].sqrt();
    assert!((0..5).any(|n| (image - f64::from(n) / 5.0).abs() < 1e-3), "{image}");
}

/// Two images' features as one map.
fn pair(
    channels: usize,
    side: usize,
    one: impl Fn(usize) -> f32,
    other: impl Fn(usize) -> f32,
) -> FeatureMap {
    let length = channels * side * side;
    let data = (0..length).map(one).chain((0..length).map(other)).collect();
    FeatureMap { channels, height: side, width: side, data }
}

#[test]
fn equal_images_do_not_differ_and_a_tenth_is_a_tenth() {
    let image: Vec<f32> = (0..3 * 64).map(|at| ((at * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let shifted: Vec<f32> = image.iter().map(|value| value + 0.1).collect();
    assert!(pixels(&image, &image).iter().all(|&value| value == 0.0));
    assert!(pixels(&shifted, &image).iter().all(|value| (value - 0.1).abs() < 1e-6));
    let of = |at: usize| ((at * 7919) % 997) as f32 / 997.0 - 0.3;
    let same = [pair(5, 4, of, of), pair(3, 2, of, of)];
    let found = Differences { pixels: vec![0.0; 64], features: features(&same, (8, 8)) };
    assert!(found.features.iter().all(|value| value.abs() < 1e-6), "{:?}", found.features);
    let map = finished(found.combined(ratio(&[[0.3, 0.0]])), (8, 8), 1.0, None, None);
    assert!(map.iter().all(|value| value.abs() < 1e-6));
    // Opposite features are as far apart as can be, in each of two layers.
    let opposite = [pair(5, 4, of, |at| -of(at)), pair(3, 2, of, |at| -of(at))];
    assert!(features(&opposite, (8, 8)).iter().all(|value| (value - 4.0).abs() < 1e-5));
}

#[test]
fn means_of_neighbours_fade_at_the_border_and_do_not_turn_constant_features() {
    let ones =
        crate::shared::box_mean::box_mean(&[1.0; 25], (5, 5), 3, crate::shared::box_mean::Outside::Zeros);
    for (at, expected) in [(12, 1.0), (2, 6.0 / 9.0), (0, 4.0 / 9.0)] {
        assert!((ones[at] - expected).abs() < 1e-6);
    }
    // 1 against (1, 1): a cosine of 1 / sqrt 2 everywhere, border or not.
    let found = features(&[pair(2, 5, |at| f32::from(u8::from(at < 25)), |_| 1.0)], (9, 9));
    assert!(found.iter().all(|value| (value - (1.0 - 0.5f32.sqrt())).abs() < 1e-6), "{found:?}");
    // Nothing has no direction.
    let nothing = features(&[pair(2, 4, |_| 0.0, |_| 1.0)], (4, 4));
    assert!(nothing.iter().all(|value| *value == 1.0));
    // Corners meet corners.
    let step = features(&[pair(1, 2, |at| if at == 0 { -9.0 } else { 1.0 }, |_| 1.0)], (4, 4));
    assert!(step.iter().all(|value| value.is_finite()));
}

#[test]
fn a_ratio_of_the_batch_makes_scores_depend_on_it_and_a_constant_one_does_not() {
    let found =
        |features: f32, pixels: f32| Differences { pixels: vec![pixels, 0.0], features: vec![features, 0.0] };
    let (one, odd) = (found(0.4, 0.2), found(0.9, 0.9));
    let alone = one.combined(ratio_of_batch(std::slice::from_ref(&one)));
    assert_eq!(alone, one.combined(ratio_of_batch(&[one.clone(), one.clone()])));
    assert_ne!(alone, one.combined(ratio_of_batch(&[one.clone(), odd.clone()])));
    assert!((ratio(&[one.maxima(), odd.maxima()]) - 1.3 / 1.1).abs() < 1e-6);
    assert!(ratio_of_batch(&[found(0.5, 0.0)]).is_finite() && ratio(&[[0.5, 0.0]]).is_finite());
}

#[test]
fn what_is_around_the_centre_or_outside_the_region_does_not_count() {
    let mut map = vec![0.0f32; 100];
    (map[0], map[55]) = (9.0, 1.0);
    let whole = finished(map.clone(), (10, 10), 1.0, None, None);
    let centre = finished(map.clone(), (10, 10), 1.0, Some(4), None);
    for at in 0..100 {
        let inside = (3..7).contains(&(at / 10)) && (3..7).contains(&(at % 10));
        assert_eq!(centre[at], if inside { whole[at] } else { 0.0 });
    }
    let region: Vec<bool> = (0..100).map(|at| at > 30).collect();
    let looked_at = finished(map, (10, 10), 1.0, None, Some(&region));
    assert!(looked_at.iter().copied().fold(0.0, f32::max) < 0.2);
}

#[test]
fn networks_have_the_published_numbers_of_weights() {
    let device = Device::flex().autodiff();
    let weights = |config: &DdadConfig| {
        trained_values(&UNet::new(&fit::shape(config, (256, 256)), &mut Init::blank(&device)))
    };
    let paper = DdadConfig::of(Preset::Paper);
    assert_eq!(weights(&paper), 32_952_707);
    let small = DdadConfig { variant: Variant::Small, ..paper.clone() };
    assert_eq!((small.width(), small.heads(), small.dropout(), small.batch()), (32, 2, 0.3, 16));
    assert_eq!(weights(&small), 8_257_731);
    // Half of the convolutions' work is in the two upper levels, as published; a pass takes about 0.1 T multiply-adds.
    let (products, kept) = fit::shape(&paper, (256, 256)).cost(256 * 256);
    assert!((5e10..1.5e11).contains(&products) && kept > 10_000_000, "{products} {kept}");
    assert_eq!((paper.steps_of(209), paper.adapt_steps_of(209)), (2000 * 6, 4 * 13));
    assert!(
        (paper.decay_of(256 * 256) - 0.05).abs() < 1e-12 && DdadConfig::default().decay_of(128 * 128) < 0.013
    );
}

#[test]
fn maps_keep_their_size_and_gradients_are_the_slopes_of_the_loss() {
    let device = Device::flex().autodiff();
    let shape = Shape { width: 2, multipliers: vec![1, 2], blocks: 1, attention: 1, heads: 1, groups: 2 };
    let golden = lively(5);
    assert_eq!(golden.forward(random([1, 3, 8, 12], 1), &golden.shifts(&[7.0]), None).dims(), [1, 3, 8, 12]);
    let mut init = Init::new(6, &device).double();
    let network = UNet::new(&shape, &mut init);
    let stored = blemish_nn::weights::collect(&network);
    let network = blemish_nn::weights::load(network, |name: &str| {
        let (shape, values) = &stored[name];
        let off = |at: usize| ((at * 7919 + name.len() * 31) % 61) as f32 / 100.0 - 0.3;
        let values = values.iter().enumerate().map(|(at, value)| value + off(at)).collect();
        Ok::<_, blemish_nn::weights::WeightError>((shape.clone(), values))
    })
    .unwrap();
    let tensor = |seed| Init::new(seed, &device).double().normal(1.0, [2, 3, 4, 4]).val().detach();
    let given =
        || diffusion::Lesson { noisy: tensor(1), noise: tensor(2), times: vec![3.0, 600.0], dropout: 3 };
    crate::slopes::slopes_agree(network, |network| diffusion::loss(network, given(), 0.2), 1e-4);
}

#[test]
fn an_extractor_that_has_not_moved_costs_nothing_where_images_are_equal() {
    let backbone = backbone(&[4, 8, 16]);
    let device = Device::flex().autodiff();
    let encoder = Encoder::new(&backbone, 0, &Init::new(0, &device)).unwrap();
    let image = || random([1, 3, 32, 32], 3);
    let input = |one: Tensor<4>, other: Tensor<4>| Tensor::from_inner(Tensor::cat(vec![one, other], 0));
    let cost = |one: Tensor<4>, other: Tensor<4>, frozen: Tensor<4>| {
        let maps = |x: Tensor<4>| encoder.forward(Tensor::from_inner(x));
        let frozen = maps(frozen).into_iter().map(|map| map.detach()).collect();
        loss_of(encoder.forward(input(one, other)), frozen, 0.1).into_scalar::<f32>()
    };
    let both = || Tensor::cat(vec![image(), image()], 0);
    assert!(cost(image(), image(), both()).abs() < 1e-5);
    let other = || random([1, 3, 32, 32], 4);
    let near = cost(image(), other(), Tensor::cat(vec![image(), other()], 0));
    // Distillation alone costs more where phi(x) is not psi(x).
    assert!(near > 0.01 && cost(image(), other(), Tensor::cat(vec![other(), image()], 0)) > near);
}

#[test]
fn adapted_weights_are_those_of_the_network_that_scores() {
    let original = backbone(&[4, 8, 16]);
    let device = Device::flex().autodiff();
    let encoder = Encoder::new(&original, 0, &Init::new(0, &device)).unwrap();
    let plain = Extractor::plain(original.clone());
    let same = Extractor::adapted(&original, encoder.weights().unwrap()).unwrap();
    let image: Vec<f32> = (0..3 * 32 * 32).map(|at| ((at * 7919) % 997) as f32 / 500.0 - 1.0).collect();
    let of = |extractor: &Extractor| extractor.compared(&[&image, &image], (32, 32)).unwrap();
    assert_eq!(of(&plain), of(&same));
    assert_eq!(of(&plain).len(), 2);
    // A step moves it, and the model file keeps where to.
    let trained = blemish_nn::train::train(
        encoder,
        &Plan::new(1, Optimiser::ADAM_W, Schedule::constant(1e-2)),
        &device,
        |_| Ok::<_, blemish_nn::train::TrainError>(()),
        |encoder, ()| {
            let maps = encoder.forward(Tensor::from_inner(random([2, 3, 32, 32], 1)));
            loss_of(maps.clone(), maps.into_iter().map(|map| map.detach()).collect(), 0.1)
        },
        &Alone,
    )
    .unwrap();
    let moved = Extractor::adapted(&original, trained.network.weights().unwrap()).unwrap();
    assert_ne!(of(&plain), of(&moved));
    let mut state = State::default();
    moved.store(&mut state);
    assert_eq!(of(&Extractor::restore(&original, &state).unwrap()), of(&moved));
    let error = Extractor::restore(&original, &State::default()).err().unwrap().to_string();
    assert!(error.contains("extractor."), "{error}");
}

struct Alone;

impl blemish_nn::train::Watch for Alone {
    fn verdict(&self) -> blemish_nn::train::Verdict {
        blemish_nn::train::Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

#[test]
fn what_is_chosen_separates_best_and_explicit_numbers_are_kept() {
    let config = DdadConfig { skip: Skip::Chosen(Automatic::Auto), ..DdadConfig::default() };
    let ways = choice::candidates(&config);
    assert_eq!(ways.len(), 12);
    assert_eq!((ways[0].skip, ways[0].w, ways[11].skip, ways[11].w), (25, 0.0, 50, 11.0));
    let given = DdadConfig { w: Guidance::Given(2.5), skip: Skip::Given(40), ..config };
    assert_eq!(choice::candidates(&given), [Way { start: 250, skip: 40, eta: 1.0, w: 2.5 }]);
    assert!(!given.is_open());
    let good = [vec![0.1, 0.2], vec![0.2, 0.1]];
    let mask = [0.0, 1.0];
    assert_eq!(choice::separation(&good, &[(vec![0.1, 0.9], &mask[..])]), 1.0);
    // The defect is the least of pixels, its image the least of images.
    assert_eq!(choice::separation(&good, &[(vec![0.05, 0.01], &mask[..])]), 0.0);
    assert_eq!(choice::separation(&good, &[]), 0.0);
    for count in [1, 9, 10, 100, 400] {
        let (learned, looked_at) = choice::split(count, true, 3);
        let held_out = if count < 10 { 0 } else { (count / 10).min(16) };
        assert_eq!(learned.len(), count - held_out);
        assert!(looked_at.len() == if held_out > 0 { held_out } else { count });
        assert!(held_out == 0 || looked_at.iter().all(|number| !learned.contains(number)));
        assert_eq!(choice::split(count, false, 3).0.len(), count);
    }
}

#[test]
fn what_cannot_be_is_said_before_it_starts() {
    let images = Images::new(vec![((32, 32), vec![0.5; 3 * 32 * 32])], Some(backbone(&[4, 8, 16])));
    let context = FitContext::new(0, Some(backbone(&[4, 8, 16])));
    let tiny = DdadConfig { width: Some(4), multipliers: vec![1, 2], ..DdadConfig::default() };
    for (words, config) in [
        ("odd", DdadConfig { width: Some(5), ..tiny.clone() }),
        ("multipliers", DdadConfig { multipliers: vec![], ..tiny.clone() }),
        ("multipliers", DdadConfig { multipliers: vec![1, 0], ..tiny.clone() }),
        ("heads", DdadConfig { heads: Some(3), ..tiny.clone() }),
        ("above start", DdadConfig { skip: Skip::Given(300), ..tiny.clone() }),
        ("multiples of 64", DdadConfig { multipliers: vec![1; 7], ..tiny }),
    ] {
        let error = Ddad::fit(&config, &images, &context).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_model_makes_an_image_anew_and_refuses_another_size() {
    let scene = blemish_core::check::Scene { side: 32, count: 3 };
    let backbone = backbone(&[4, 8, 16]);
    let images = Images::new(scene.good(), Some(backbone.clone()));
    let config = DdadConfig {
        width: Some(4),
        multipliers: vec![1, 2],
        steps: Some(3),
        batch: Some(2),
        w: Guidance::Given(1.0),
        start: 100,
        skip: Skip::Given(50),
        adapt_epochs: 0,
        ..DdadConfig::default()
    };
    let model = Ddad::fit(&config, &images, &FitContext::new(5, Some(backbone))).unwrap();
    let image = scene.image(1, false);
    let made = model.reconstruct(&image).unwrap();
    assert_eq!(made.len(), image.len());
    assert!(made.iter().all(|value| value.is_finite()) && made != image);
    assert_eq!(made, model.reconstruct(&image).unwrap());
    assert!(model.reconstruct(&image[..12]).is_err());
    let other = image_batch((16, 16), &[vec![0.5; 3 * 256]]);
    let error = model.score(&Input::of_images(&other)).err().unwrap().to_string();
    assert!(error.contains("16x16") && error.contains("32x32"), "{error}");
}

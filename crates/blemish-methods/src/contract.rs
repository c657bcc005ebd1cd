//! What every method that trains promises: it finds a defect, does not depend on the batch, survives being stored, resumes bit for bit
//! and can be ended early. On tiny images with the embedded backbone.

use crate::registry;
use crate::testing::{self, Images, backbone_on, image_batch};
use blemish_core::entry::Fitted;
use blemish_core::error::Error;
use blemish_core::map::PatchScores;
use blemish_core::method::{FitContext, Stored};
use blemish_core::needs::Needs;
use blemish_core::observer::Observer;
use blemish_core::state::{StateTensor, Values};
use blemish_core::training::{Precision, TrainingOptions};
use blemish_data::ImageBatch;
use blemish_features::{Backbone, Device, Engine, EngineOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SIDE: usize = 128;

/// Settings of small models of each method.
const SMALL: &[(&str, &[(&str, &str)])] = &[
    ("fastflow", &[("blocks", "2"), ("steps", "30"), ("batch", "4"), ("rate", "0.003")]),
    ("cflow", &[("blocks", "2"), ("condition", "16"), ("epochs", "6"), ("batch", "4"), ("rate", "0.002")]),
    (
        "csflow",
        &[
            ("blocks", "1"),
            ("hidden", "8"),
            ("side", "128"),
            ("steps", "40"),
            ("batch", "4"),
            ("rate", "0.003"),
        ],
    ),
    ("glow", &[("depth", "2"), ("width", "16"), ("steps", "30"), ("batch", "4"), ("rate", "0.002")]),
    (
        "glow",
        &[
            ("input", "image"),
            ("depth", "1"),
            ("width", "8"),
            ("levels", "2"),
            ("steps", "20"),
            ("batch", "4"),
            ("rate", "0.002"),
        ],
    ),
    ("cfa", &[("epochs", "15"), ("batch", "4")]),
    ("cfa", &[("variant", "anomalib"), ("epochs", "15"), ("batch", "4"), ("bank_compression", "4")]),
    (
        "mspba",
        &[
            ("epochs", "4"),
            ("batch", "2"),
            ("repeats", "4"),
            ("rate", "0.0003"),
            ("combination", "sum"),
            ("coreset_max", "300"),
        ],
    ),
    (
        "mspba",
        &[
            ("epochs", "8"),
            ("batch", "4"),
            ("repeats", "16"),
            ("cluster_weight", "1"),
            ("combination", "normalised_sum"),
            ("coreset_max", "300"),
        ],
    ),
    (
        "pni",
        &[
            ("coreset_ratio", "0.1"),
            ("distribution_size", "32"),
            ("width", "16"),
            ("epochs", "4"),
            ("positions", "512"),
            ("batch", "64"),
        ],
    ),
    (
        "pni",
        &[
            ("neighbourhood", "false"),
            ("coreset_ratio", "0.1"),
            ("distribution_size", "32"),
            ("refinement", "true"),
            ("refine_side", "64"),
            ("refine_samples", "10"),
            ("refine_steps", "20"),
            ("refine_batch", "2"),
        ],
    ),
];

/// Stripes that lie a little differently in every image; a defective one has a bright patch.
fn image(number: usize, is_defective: bool) -> Vec<f32> {
    let plane: Vec<f32> = (0..SIDE * SIDE)
        .map(|at| {
            let (y, x) = (at / SIDE, at % SIDE);
            let noise = ((at * 7919 + number * 104_729) % 997) as f32 / 997.0 * 0.05;
            let stripes = 0.4 + 0.2 * ((x + 2 * number) as f32 * 0.4).sin();
            let inside = is_defective && (40..72).contains(&y) && (56..88).contains(&x);
            if inside { 0.95 - noise } else { stripes + noise }
        })
        .collect();
    plane.repeat(3)
}

fn batch(images: &[Vec<f32>]) -> ImageBatch {
    image_batch((SIDE, SIDE), images)
}

/// Cancels after so many steps of progress.
struct Impatient {
    steps: AtomicU64,
    after: u64,
}

impl Observer for Impatient {
    fn advance(&self, steps: u64) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }
    fn is_cancelled(&self) -> bool {
        self.steps.load(Ordering::Relaxed) >= self.after
    }
}

/// The backbone of a method that needs one.
fn needed(needs: Needs, engine: &EngineOptions) -> Option<Arc<Backbone>> {
    needs.has_backbone().then(|| backbone_on(engine, needs.strides()))
}

/// What a model makes of a batch, on the CPU.
fn score(model: &dyn Fitted, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error> {
    testing::score(model, needed(model.needs(), &EngineOptions::default()).as_deref(), batch)
}

/// The same model as a model file on a machine without a GPU gives it.
fn stored(model: &dyn Fitted) -> Box<dyn Fitted> {
    let entry = registry::method(model.info().name).unwrap();
    let backbone = needed(model.needs(), &EngineOptions::default());
    let (config, state) = (&model.settings(), model.state());
    entry.restore(Stored { config, state, backbone, device: Device::Cpu }).unwrap()
}

/// Fits with what `change` makes of a plain context.
fn fit<'a>(
    (method, settings): (&str, &[(&str, &str)]),
    engine: &EngineOptions,
    change: impl FnOnce(FitContext<'a>) -> FitContext<'a>,
) -> Result<Box<dyn Fitted>, Error> {
    let entry = registry::method(method)?;
    let pairs: Vec<(String, String)> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let settings = entry.parse(&pairs)?;
    let backbone = needed(entry.needs(&settings)?, engine);
    let mut context = FitContext::new(3, backbone.clone());
    context.device = engine.device;
    let images = (0..8).map(|number| ((SIDE, SIDE), image(number, false))).collect();
    entry.fit(&settings, &Images::new(images, backbone), &change(context))
}

fn fit_plainly(small: (&str, &[(&str, &str)])) -> Result<Box<dyn Fitted>, Error> {
    fit(small, &EngineOptions::default(), |context| context)
}

fn largest(scores: &PatchScores) -> (usize, f32) {
    let best = scores.values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    (best.0, *best.1)
}

#[test]
fn defects_are_found_where_they_are_and_scores_depend_on_nothing_else() {
    for &small in SMALL {
        let model = fit_plainly(small).unwrap();
        let images = [image(20, false), image(21, true), image(22, false)];
        let together = score(&*model, &batch(&images)).unwrap();
        let alone: Vec<PatchScores> = images
            .iter()
            .flat_map(|image| score(&*model, &batch(std::slice::from_ref(image))).unwrap())
            .collect();
        for (one, other) in alone.iter().zip(&together) {
            let scale = largest(other).1.abs().max(1e-3);
            let differs = one.values.iter().zip(&other.values).any(|(a, b)| (a - b).abs() > 1e-4 * scale);
            assert!(!differs, "{small:?}: a score depends on the batch");
        }
        let (at, worst) = largest(&together[1]);
        let good = largest(&together[0]).1.max(largest(&together[2]).1);
        assert!(worst > good, "{small:?}: {worst} is not above {good}");
        let (y, x) = (at / together[1].width, at % together[1].width);
        let cell = SIDE / together[1].width;
        let near = |at: usize, from: usize, to: usize| (from..to).contains(&(at * cell + cell / 2));
        assert!(near(y, 24, 88) && near(x, 40, 104), "{small:?}: the defect is seen at ({y}, {x})");
        // As a model file keeps it.
        assert_eq!(score(&*stored(&*model), &batch(&images)).unwrap(), together, "{small:?}");
    }
}

/// Bits of all weights and of the loss curve.
fn weights(model: &dyn Fitted) -> Vec<(String, Vec<u32>)> {
    let state = model.state();
    let bits = |(name, tensor): (&String, &StateTensor)| match &tensor.values {
        Values::F32(values) => Some((name.clone(), values.iter().map(|value| value.to_bits()).collect())),
        _ => None,
    };
    state.tensors().iter().filter_map(bits).collect()
}

fn training(checkpoint: &Path, resume: bool) -> TrainingOptions {
    TrainingOptions { checkpoint: Some(checkpoint.to_owned()), resume, ..TrainingOptions::default() }
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.checkpoint");
    for &small in SMALL {
        let whole = fit_plainly(small).unwrap();
        // 8 images are extracted first; then a training is stopped at its 13th step, one of two (cflow) in the second.
        let between = match small.0 {
            "cflow" => 20,
            // A tenth of 8 x 14 x 14 patches are picked, and 8 images looked at again or 10 defects made.
            "pni" => 156 + 8,
            _ => 0,
        };
        let after = 8 + between + 13;
        let observer = Impatient { steps: AtomicU64::new(0), after };
        let stopped = fit(small, &EngineOptions::default(), |context| FitContext {
            observer: &observer,
            training: training(&path, false),
            ..context
        });
        assert!(matches!(stopped, Err(Error::Interrupted)), "{small:?}");
        let found = training(&path, true).checkpoints();
        assert!(!found.is_empty(), "{small:?} left no checkpoint");
        let resume = |context| FitContext { training: training(&path, true), ..context };
        let resumed = fit(small, &EngineOptions::default(), resume).unwrap();
        assert!(weights(&*resumed) == weights(&*whole), "{small:?}: another model after a resume");
        found
            .into_iter()
            .chain(training(&path, true).checkpoints())
            .for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// Losses of a training, step by step or averaged over parts.
fn losses(model: &dyn Fitted) -> Vec<f32> {
    let curves = weights(model).into_iter().filter(|(name, _)| name.starts_with("loss_curve."));
    curves.flat_map(|(_, bits)| bits.into_iter().map(f32::from_bits)).collect()
}

/// Learns on a device and on the CPU: as good as the same losses, and the device's model scores alike on both.
fn learn_on_both(small: (&str, &[(&str, &str)]), device: Device) -> Result<String, String> {
    let ensure = |holds: bool, words: &dyn Fn() -> String| if holds { Ok(()) } else { Err(words()) };
    // The same features on both sides.
    let engine = EngineOptions { device, engine: Engine::Native, ..EngineOptions::default() };
    let images = [image(1, false), image(9, true)];
    let there = fit(small, &engine, |context| context).map_err(|error| error.to_string())?;
    let here = fit_plainly(small).unwrap();
    // The first loss tells the same network on the same images, the last ones the same way down.
    let (there_losses, here_losses) = (losses(&*there), losses(&*here));
    let last = here_losses.len() - 1;
    let near = |at: usize, tolerance: f32| {
        let (a, b) = (there_losses[at], here_losses[at]);
        (a - b).abs() <= tolerance * b.abs().max(0.1)
    };
    ensure(there_losses.len() == here_losses.len() && near(0, 0.01) && near(last, 0.2), &|| {
        format!("losses {there_losses:?}, on the CPU {here_losses:?}")
    })?;
    let found = score(&*there, &batch(&images)).map_err(|error| error.to_string())?;
    let (good, worst) = (largest(&found[0]).1, largest(&found[1]).1);
    ensure(worst > good, &|| format!("the defect's {worst} is not above {good}"))?;
    // The model file on a machine without a GPU.
    let moved = stored(&*there);
    let mut most = 0.0f32;
    for (there, here) in found.iter().zip(&score(&*moved, &batch(&images)).unwrap()) {
        let range = here.values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let off = there.values.iter().zip(&here.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        ensure(off < 0.01 * range, &|| format!("{off} off in maps up to {range}"))?;
        most = most.max(off / range);
    }
    Ok(format!("losses from {} to {}, maps within {most:.1e}", there_losses[0], there_losses[last]))
}

#[test]
#[ignore = "needs a GPU: BLEMISH_DEVICE=cuda cargo test --release -p blemish --features cuda on_a_gpu -- --ignored"]
fn what_is_learned_on_a_gpu_is_what_a_cpu_learns_and_scores_alike_on_both() {
    let device: Device = std::env::var("BLEMISH_DEVICE").unwrap().parse().unwrap();
    // A GPU tunes its kernels for every shape: methods in processes of their own are done sooner.
    let only = std::env::var("BLEMISH_METHOD").ok();
    let mut failed = Vec::new();
    for &small in SMALL.iter().filter(|small| only.as_ref().is_none_or(|only| only == small.0)) {
        let learned = learn_on_both(small, device);
        println!("{small:?}: {learned:?}");
        failed.extend(learned.err().map(|reason| format!("{small:?}: {reason}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn mixed_precision_on_a_cpu_is_refused() {
    let training = TrainingOptions { precision: Precision::Mixed, ..TrainingOptions::default() };
    let fitted = fit(SMALL[0], &EngineOptions::default(), |context| FitContext { training, ..context });
    let message = fitted.err().unwrap().to_string();
    assert!(message.contains("bfloat16") && message.contains("single precision"), "{message}");
}

#[test]
fn a_time_limit_ends_a_training_with_a_usable_model() {
    let training =
        TrainingOptions { time_limit: Some(Duration::from_nanos(1)), ..TrainingOptions::default() };
    for &small in SMALL {
        let limited = |context| FitContext { training: training.clone(), ..context };
        let fitted = fit(small, &EngineOptions::default(), limited).unwrap();
        let scores = score(&*fitted, &batch(&[image(9, true)])).unwrap();
        assert!(scores[0].values.iter().all(|score| score.is_finite()), "{small:?}");
    }
}

#[test]
fn a_step_that_cannot_fit_into_memory_is_refused_with_settings_to_change() {
    let limited = |context| FitContext { memory_limit: Some(1 << 20), ..context };
    let message = fit(SMALL[0], &EngineOptions::default(), limited).err().unwrap().to_string();
    assert!(message.contains("fastflow") && message.contains("smaller batch"), "{message}");
}

//! `blemish fit`: good images in, one model file out.

use super::{engine_options, open_in_groups, tiles, transform};
use crate::args::{BackboneArgs, Bits, FitArgs, LearnArgs, ResourceArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, print, print_as_is};
use crate::terminal::{shown, shown_path};
use blemish::config::ensemble_member;
use blemish::data::layout::Layout;
use blemish::data::names::text_of;
use blemish::data::{Dataset, Files, Skipped};
use blemish::features::{BackboneSpec, EngineOptions};
use blemish::file::Claim;
use blemish::metrics::{Calibration, GroupedBy, Grouping};
use blemish::{
    BackbonePrecision, CalibrationConfig, Detector, DetectorConfig, Error, FitOptions, Groups, Observer,
    Precision, Suspect, TrainingOptions,
};
use blemish_report::shortened;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a training may take to keep what it has learnt when it is interrupted.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(20);

pub fn run(args: &FitArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let (mut config, dataset, options) = prepare(&args.learn, args.updatable, threads, console)?;
    config.calibration.false_alarm = args.false_alarm;
    config.trim = args.trim;
    config.precision = match args.precision {
        Bits::Single | Bits::Mixed => BackbonePrecision::Single,
        Bits::Int8 => BackbonePrecision::Int8,
        Bits::Auto => BackbonePrecision::Auto,
    };
    let output = args.output.clone().unwrap_or_else(|| default_output(&dataset.category, &config.method));
    super::taken::tell(&dataset, args.machine.json, console)?;
    let options = FitOptions { training: training(args, &output), ..options };
    let written: Vec<&Path> = [Some(&output), options.training.checkpoint.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    check_writable(&written, inputs(&args.learn, &dataset))?;
    super::unused::warn(args, console)?;
    if let Some(folder) = &args.pictures {
        console.keep_pictures(folder);
    }
    let detector = fit_or_keep(&config, &dataset, &options)?;
    detector.save_claimed(&Claim::new(&output, console)?)?;
    console.finish();
    if args.pictures.is_some() && !console.has_pictures() {
        console.warn(&format!("not used, since {} draws no pictures: --pictures", config.method));
    }
    for checkpoint in options.training.checkpoints() {
        // The model is complete; a checkpoint that stays is waste, not a fault.
        let _ = std::fs::remove_file(checkpoint);
    }
    report_skipped(dataset.skipped.iter().chain(detector.skipped()), console);
    let bytes = std::fs::metadata(&output).map_or(0, |metadata| metadata.len());
    let images = detector.header().data.images;
    let seconds = started.elapsed().as_secs_f64();
    if args.machine.json {
        let trimmed: Vec<serde_json::Value> = detector.trimmed().iter().map(suspect).collect();
        let summary = serde_json::json!({
            "model": text_of(&output),
            "method": config.method,
            "images": images,
            "taken": super::taken::as_json(&dataset),
            "skipped": dataset.skipped.len() + detector.skipped().len(),
            "trimmed": trimmed,
            "calibration": detector.calibration().map(summary),
            "bytes": bytes,
            "seconds": seconds,
            "peak_memory_bytes": blemish::memory::peak(),
        });
        return print_as_is(&summary.to_string());
    }
    for one in detector.trimmed() {
        let path = shown_path(&one.path);
        print(&format!(
            "trimmed `{path}`: score {:.3}, {:+.1} deviations from the median",
            one.score, one.deviations
        ))?;
    }
    if detector.calibration().is_none() && args.learn.folds > 0 {
        print(&format!(
            "no threshold: `blemish calibrate {} --with-good MORE_GOOD_IMAGES` sets one, or --labelled LABELLED_IMAGES",
            output.display()
        ))?;
    }
    if let Some(calibration) = detector.calibration() {
        print(&in_words(calibration))?;
        if !detector.trimmed().is_empty() {
            print(
                "  this holds for images like those that were kept: if good ones were trimmed, more will be flagged",
            )?;
        }
    }
    let model = output.display();
    print(&format!(
        "wrote {model}: {} fitted on {images} images in {seconds:.1} s, {:.1} MB{}",
        config.method,
        bytes as f64 / 1e6,
        super::next::images_of(&dataset)
            .map_or(String::new(), |images| format!("\n{}", super::next::predict(&output, &images)))
    ))
}

/// Checkpoints lie beside the model that they become.
fn training(args: &FitArgs, output: &Path) -> TrainingOptions {
    let mut checkpoint = output.to_owned().into_os_string();
    checkpoint.push(".checkpoint");
    TrainingOptions {
        time_limit: args.time_limit,
        checkpoint: Some(checkpoint.into()),
        resume: args.resume,
        precision: match args.precision {
            Bits::Single | Bits::Int8 | Bits::Auto => Precision::Single,
            Bits::Mixed => Precision::Mixed,
        },
        textures: args.textures.clone(),
    }
}

/// A fit; if it was interrupted, the error says how to go on.
fn fit_or_keep(
    config: &DetectorConfig,
    dataset: &Dataset,
    options: &FitOptions<'_>,
) -> Result<Detector, Failure> {
    if trains_long(config)? {
        // A step may take longer than a moment, and then what was learnt is kept.
        crate::interrupt::set_patience(CHECKPOINT_PATIENCE);
    }
    match Detector::fit(config, &Files::training(dataset), options) {
        Err(Error::Interrupted) if !options.training.checkpoints().is_empty() => {
            Err(Failure::interrupted_with(
                "interrupted: the same command with --resume goes on from its checkpoint",
            ))
        }
        other => Ok(other?),
    }
}

fn trains_long(config: &DetectorConfig) -> Result<bool, Failure> {
    Ok(blemish::registry::method(&config.method)?.needs(&config.settings)?.trains_long())
}

/// Whether there is no folder of images or nothing in it: enough for methods that need none.
fn holds_nothing(data: Option<&Path>) -> bool {
    data.is_none_or(|data| std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none()))
}

/// Data, configuration and options of a fit from the command line; `updatable` is for a model that is to learn on.
pub fn prepare<'a>(
    args: &LearnArgs,
    updatable: bool,
    threads: Option<usize>,
    console: &'a Console,
) -> Result<(DetectorConfig, Dataset, FitOptions<'a>), Failure> {
    let entry = blemish::registry::method(&args.method)?;
    let settings = entry.parse(&args.settings)?;
    let needs = entry.needs(&settings)?;
    let (dataset, groups) = match &args.data {
        _ if needs.good_images == 0 && holds_nothing(args.data.as_deref()) => {
            let named = args.data.as_deref().and_then(Path::file_name);
            let category = named.map_or(String::new(), |name| name.to_string_lossy().into_owned());
            let root = args.data.as_deref().unwrap_or(Path::new(""));
            (Dataset::empty(root, Layout::Folder, category), Groups::Auto)
        }
        Some(data) => open_in_groups(needs.clip, data, &args.layout, &args.groups)?,
        None => {
            let text = format!("{} learns from good images; name a folder of them", args.method);
            return Err(Failure::usage(text));
        }
    };
    let mut config = DetectorConfig {
        method: args.method.clone(),
        transform: None,
        tiles: tiles(&args.views),
        input_sizes: args.views.multi_scale.clone(),
        settings,
        backbone: backbone_spec(&args.backbone)?,
        ensemble: ensemble_specs(&args.backbone)?,
        precision: BackbonePrecision::Single,
        image_text: None,
        seed: args.seed,
        calibration: CalibrationConfig { folds: args.folds, groups, ..CalibrationConfig::default() },
        trim: None,
    };
    if updatable {
        config = config.updatable()?;
    }
    let engine = engine_options(&args.engine, threads)?;
    config.choose_preset(engine.device)?;
    super::inputs::choose(&mut config, &args.transform, &dataset, console)?;
    let transform = transform(&args.transform, config.default_transform()?)?;
    config.transform = Some(super::values::settled(transform, &args.transform, &dataset, console));
    let options = fit_options(&args.resources, engine, args.layout.skip_bad, console);
    Ok((config, dataset, options))
}

/// Thresholds, how they were got and what they promise, in lines.
pub fn in_words(calibration: &Calibration) -> String {
    let thresholds = match (calibration.image_threshold, calibration.pixel_threshold) {
        (Some(image), Some(pixel)) => format!("thresholds: image score {image:.4}, pixel score {pixel:.4}\n"),
        _ => String::new(),
    };
    let option = match calibration.image_threshold {
        None => format!(" (--false-alarm {})", calibration.lowest_rate()),
        Some(_) => String::new(),
    };
    let is_found = |grouping: &Grouping| matches!(grouping.by, GroupedBy::Names | GroupedBy::Looks);
    let groups = match calibration.grouping.filter(is_found) {
        Some(_) => {
            "\n  images of a group are left out together and count as one; --groups none takes each for itself"
        }
        None => "",
    };
    let mut text = format!(
        "{thresholds}calibrated on {}\n{}{option}{groups}",
        calibration.origin(),
        calibration.promise()
    );
    for one in &calibration.categories {
        text += &format!("\n  {}: {}", shown(&one.category), of_category(&one.calibration));
    }
    text
}

/// The thresholds of one of several categories, in a line.
fn of_category(calibration: &Calibration) -> String {
    let images = calibration.images();
    match (calibration.image_threshold, calibration.pixel_threshold) {
        (Some(image), Some(pixel)) => {
            format!("image score {image:.4}, pixel score {pixel:.4}, by {images} good images of its own")
        }
        _ => format!("the thresholds of all, since its own {images} good images are too few"),
    }
}

/// A calibration without its scores, for machines.
pub fn summary(calibration: &Calibration) -> serde_json::Value {
    serde_json::json!({
        "image_threshold": calibration.image_threshold,
        "pixel_threshold": calibration.pixel_threshold,
        "images": calibration.images(),
        "source": calibration.source,
        "rule": calibration.rule,
        "grouping": calibration.grouping,
        "origin": calibration.origin(),
        "promise": calibration.promise(),
        "categories": calibration.categories.iter().map(|one| (one.category.clone(), json!({
            "image_threshold": one.calibration.image_threshold,
            "pixel_threshold": one.calibration.pixel_threshold,
            "images": one.calibration.images(),
        }))).collect::<serde_json::Map<_, _>>(),
    })
}

/// A suspicious training image, for machines.
pub fn suspect(one: &Suspect) -> serde_json::Value {
    serde_json::json!({"path": text_of(&one.path), "score": one.score, "deviations": one.deviations})
}

/// The backbone of the command line; nothing said is the embedded one.
pub fn backbone_spec(args: &BackboneArgs) -> Result<BackboneSpec, Failure> {
    let default = BackboneSpec::default();
    Ok(BackboneSpec {
        source: args.backbone.as_deref().map_or(Ok(default.source), str::parse)?,
        layers: args.layers.clone(),
        weights: args.weights.clone(),
        normalization: default.normalization,
    })
}

/// The further backbones of the command line.
pub fn ensemble_specs(args: &BackboneArgs) -> Result<Vec<BackboneSpec>, Failure> {
    let member = |word: &String| {
        ensemble_member(word).map_err(|error| match error {
            Error::Setting { reason, .. } => {
                Failure::usage(format!("--ensemble: {reason}; make it the --backbone, with --layers"))
            }
            other => other.into(),
        })
    };
    args.ensemble.iter().map(member).collect()
}

fn default_output(category: &str, method: &str) -> PathBuf {
    // Names of checkpoints are longer still.
    let name = if category.is_empty() { method.to_owned() } else { format!("{category}-{method}") };
    PathBuf::from(format!("{}.blemish", shortened(name, 180)))
}

/// How a fit, an update or a merge is to run.
pub fn fit_options<'a>(
    args: &ResourceArgs,
    engine: EngineOptions,
    skip_bad: bool,
    observer: &'a dyn Observer,
) -> FitOptions<'a> {
    FitOptions {
        engine,
        batch_size: args.batch_size.max(1),
        skip_bad,
        memory_limit: args.memory_limit,
        scratch: args.scratch.clone(),
        training: TrainingOptions::default(),
        observer,
    }
}

/// Every file that a fit reads.
pub fn inputs<'a>(args: &'a LearnArgs, dataset: &'a Dataset) -> impl Iterator<Item = &'a Path> {
    let BackboneArgs { backbone, weights, ensemble, .. } = &args.backbone;
    // The name of a network is the name of no file, mostly.
    let graph = backbone.iter().map(Path::new);
    let weights = weights.iter().chain(&args.transform.roi).map(PathBuf::as_path);
    let others = ensemble.iter().filter_map(|one| one.split_once(':')).map(|(_, file)| Path::new(file));
    dataset.files().chain(graph).chain(weights).chain(others)
}

/// Lists what was left out.
pub fn report_skipped<'a>(skipped: impl Iterator<Item = &'a Skipped>, console: &Console) {
    for one in skipped {
        console.warn(&format!("left out `{}`: {}", shown_path(&one.path), one.reason));
    }
}

//! `blemish fit`: good images in, one model file out.

use super::{engine_options, open, transform};
use crate::args::{BackboneArgs, FitArgs, ResourceArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::print;
use blemish::data::Skipped;
use blemish::data::files::unfinished;
use blemish::features::{BackboneSpec, EngineOptions};
use blemish::{Detector, DetectorConfig, FitOptions, Observer};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub fn run(args: &FitArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let entry = blemish::registry::method(&args.method)?;
    let mut pairs = args.settings.clone();
    if args.updatable {
        if entry.living().is_none() {
            return Err(Failure::new(format!(
                "models of {} cannot be updated; leave --updatable out, or use one of: {}",
                args.method,
                blemish::registry::living_names()
            )));
        }
        pairs.push(("updatable".into(), "true".into()));
    }
    let settings = entry.parse(&pairs)?;
    let dataset = open(&args.data, &args.layout)?;
    let output = args.output.clone().unwrap_or_else(|| default_output(&dataset.category, &args.method));
    check_writable(&output)?;
    let config = DetectorConfig {
        method: args.method.clone(),
        transform: Some(transform(&args.transform, entry.default_transform(&settings)?)?),
        settings,
        backbone: backbone_spec(&args.backbone)?,
        seed: args.seed,
    };
    let options =
        fit_options(&args.resources, engine_options(&args.engine, threads)?, args.layout.skip_bad, console);
    let detector = Detector::fit(&config, &dataset, &options)?;
    detector.save(&output)?;
    console.finish();
    report_skipped(dataset.skipped.iter().chain(detector.skipped()), console);
    let bytes = std::fs::metadata(&output).map_or(0, |metadata| metadata.len());
    let images = detector.header().data.images;
    let seconds = started.elapsed().as_secs_f64();
    if args.machine.json {
        let summary = serde_json::json!({
            "model": output.display().to_string(),
            "method": args.method,
            "images": images,
            "skipped": dataset.skipped.len() + detector.skipped().len(),
            "bytes": bytes,
            "seconds": seconds,
        });
        return print(&summary.to_string());
    }
    let model = output.display();
    print(&format!(
        "wrote {model}: {} fitted on {images} images in {seconds:.1} s, {:.1} MB\nnext: blemish predict {model} IMAGES -o PICTURES",
        args.method,
        bytes as f64 / 1e6
    ))
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

fn default_output(category: &str, method: &str) -> PathBuf {
    PathBuf::from(format!("{category}-{method}.blemish"))
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
        observer,
    }
}

/// Finds out before hours of work whether the model could be written at all.
pub fn check_writable(output: &Path) -> Result<(), Failure> {
    if output.is_dir() {
        return Err(Failure::new(format!("`{}` is a folder; give the model file a name", output.display())));
    }
    unfinished(output).map(drop).map_err(|error| Failure::io("write", output, &error))
}

/// Lists what was left out.
pub fn report_skipped<'a>(skipped: impl Iterator<Item = &'a Skipped>, console: &Console) {
    for one in skipped {
        console.warn(&format!("left out `{}`: {}", one.path.display(), one.reason));
    }
}

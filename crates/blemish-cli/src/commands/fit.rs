//! `blemish fit`: good images in, one model file out.

use super::{engine_options, open, tiles, transform};
use crate::args::{BackboneArgs, FitArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::print;
use blemish::data::files::unfinished;
use blemish::data::{Skipped, Transform};
use blemish::features::BackboneSpec;
use blemish::{Detector, DetectorConfig, FitOptions, Observer};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub fn run(args: &FitArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let entry = blemish::registry::method(&args.method)?;
    let settings = entry.parse(&args.settings)?;
    let dataset = open(&args.data, &args.layout)?;
    let output = args.output.clone().unwrap_or_else(|| default_output(&dataset.category, &args.method));
    check_writable(&output)?;
    let tiles = tiles(&args.views);
    let default_transform =
        if tiles.is_some() { Transform::native() } else { entry.default_transform(&settings)? };
    let config = DetectorConfig {
        method: args.method.clone(),
        transform: Some(transform(&args.transform, default_transform)?),
        tiles,
        input_sizes: args.views.multi_scale.clone(),
        settings,
        backbone: backbone_spec(&args.backbone)?,
        seed: args.seed,
    };
    let options = FitOptions {
        engine: engine_options(&args.engine, threads)?,
        batch_size: args.batch_size.max(1),
        skip_bad: args.layout.skip_bad,
        memory_limit: args.memory_limit,
        scratch: args.scratch.clone(),
        observer: console,
    };
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

/// Finds out before hours of work whether the model could be written at all.
fn check_writable(output: &Path) -> Result<(), Failure> {
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

//! `blemish update` and `blemish merge`: models that go on learning.

use super::fit::{fit_options, report_skipped};
use super::{engine_options, load, open_options};
use crate::args::{MachineArgs, MergeArgs, UpdateArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, print, print_as_is};
use blemish::data::names::text_of;
use blemish::data::{Files, open_good};
use blemish::file::Claim;
use blemish::{Detector, FitOptions};
use std::path::Path;
use std::time::Instant;

pub fn update(args: &UpdateArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let output = args.output.as_deref().unwrap_or(&args.model);
    check_writable(&[output], [])?;
    let engine = engine_options(&args.engine, threads)?;
    // Before reading: what another process changes meanwhile would be lost.
    let claim = Claim::new(output, console)?;
    let detector = load(&args.model, &engine, console)?;
    let new = open_good(&args.data, &open_options(1, &args.layout))?;
    check_writable(&[output], new.files())?;
    let options = fit_options(&args.resources, engine, args.layout.skip_bad, console);
    let updated = detector.update(&Files::training(&new), &options)?;
    updated.save_claimed(&claim)?;
    console.finish();
    report_skipped(new.skipped.iter().chain(updated.skipped()), console);
    tell(&updated, output, "update", started, &args.machine)
}

pub fn merge(args: &MergeArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    check_writable(&[&args.output], [])?;
    let engine = engine_options(&args.engine, threads)?;
    let claim = Claim::new(&args.output, console)?;
    let parts =
        args.models.iter().map(|model| load(model, &engine, console)).collect::<Result<Vec<_>, _>>()?;
    let options: FitOptions<'_> = fit_options(&args.resources, engine, false, console);
    let merged = Detector::merge(&parts, &options)?;
    merged.save_claimed(&claim)?;
    console.finish();
    tell(&merged, &args.output, "merge", started, &args.machine)
}

fn tell(
    detector: &Detector,
    output: &Path,
    verb: &str,
    started: Instant,
    machine: &MachineArgs,
) -> Result<(), Failure> {
    let header = detector.header();
    let (images, seconds) = (header.data.images, started.elapsed().as_secs_f64());
    let bytes = std::fs::metadata(output).map_or(0, |metadata| metadata.len());
    let coverage = detector.coverage().unwrap_or_default();
    if machine.json {
        let summary = serde_json::json!({
            "model": text_of(output), "method": header.method, "images": images,
            "coverage": coverage, "bytes": bytes, "seconds": seconds,
        });
        return print_as_is(&summary.to_string());
    }
    print(&format!(
        "wrote {}: {} after the {verb} stands for {images} images in {seconds:.1} s, {:.1} MB\n{coverage}",
        output.display(),
        header.method,
        bytes as f64 / 1e6
    ))
}

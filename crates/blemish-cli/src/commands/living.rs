//! `blemish update` and `blemish merge`: models that go on learning.

use super::fit::{fit_options, report_skipped};
use super::{engine_options, load, open};
use crate::args::{LayoutArgs, MachineArgs, MergeArgs, UpdateArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, print, print_as_is};
use blemish::data::names::text_of;
use blemish::data::{Dataset, Files, Layout, Sample, find_images};
use blemish::file::Claim;
use blemish::{Detector, FitOptions};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub fn update(args: &UpdateArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let output = args.output.as_deref().unwrap_or(&args.model);
    check_writable(&[output], [])?;
    let engine = engine_options(&args.engine, threads)?;
    // Before reading: what another process changes meanwhile would be lost.
    let claim = Claim::new(output, console)?;
    let detector = load(&args.model, &engine, console)?;
    let new = good_images(&args.data, &args.layout)?;
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

/// The good images of data sets as `fit` takes them, and of single files and globs.
fn good_images(inputs: &[PathBuf], layout: &LayoutArgs) -> Result<Dataset, Failure> {
    let mut all: Option<Dataset> = None;
    for path in inputs {
        let is_list = path.extension().is_some_and(|extension| extension == "csv" || extension == "json");
        let one = if path.is_dir() || is_list {
            open(path, layout)?
        } else {
            let found = find_images(&[path], layout.skip_bad)?;
            let train = found.images.iter().map(|path| Sample::unlabelled(path)).collect();
            Dataset { train, skipped: found.skipped, ..Dataset::empty(path, Layout::Folder, "") }
        };
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                all.train.extend(one.train);
                all.skipped.extend(one.skipped);
            }
        }
    }
    all.ok_or_else(|| Failure::new("there are no new images; name files or folders of good images"))
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

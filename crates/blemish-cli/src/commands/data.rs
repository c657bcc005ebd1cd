//! `blemish data`: synthetic and imported data sets.

use crate::args::{DataCommand, ImportCommand, Size, SynthArgs};
use crate::console::{Console, with_progress};
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::data::import::{ElpvOptions, import_elpv};
use blemish::data::layout::table::{LAYOUTS, LISTS, LayoutPicture};
use blemish::data::names::text_of;
use blemish::data::synth::traffic::{TrafficOptions, write_traffic_set};
use blemish::data::synth::{SynthOptions, SynthReport, write_synthetic_set};
use serde_json::json;
use std::path::Path;

pub fn run(command: &DataCommand, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    match command {
        DataCommand::Check(args) => super::check::run(args, console),
        DataCommand::Layouts => print(&layouts()),
        DataCommand::Synth(args) => synth(args, console),
        DataCommand::Suspects(args) => super::suspects::run(args, threads, console),
        DataCommand::Import(ImportCommand::Elpv { source, output, cells, seed, machine }) => {
            let options = ElpvOptions { cell_type: cells.parse()?, seed: *seed, ..ElpvOptions::default() };
            let report = with_progress(console, "importing", |progress| {
                import_elpv(source, output, &options, progress)
            })?;
            if !machine.json {
                return print(&format!(
                    "wrote {}: {} good images to train on, {} good and {} defective to test with ({} uncertain ones and {} of \
                     other cells left out)\n{}",
                    report.folder.display(),
                    report.train,
                    report.test_good,
                    report.test_defective,
                    report.uncertain,
                    report.other_type,
                    super::next::fit(&report.folder),
                ));
            }
            print_as_is(
                &json!({
                    "folder": text_of(&report.folder), "train": report.train, "test_good": report.test_good,
                    "test_defective": report.test_defective, "uncertain_left_out": report.uncertain,
                    "other_cells_left_out": report.other_type,
                })
                .to_string(),
            )
        }
    }
}

/// The layouts that are read, with pictures.
fn layouts() -> String {
    let picture = |layout: &LayoutPicture| {
        let tree: String = layout.tree.lines().map(|line| format!("    {line}\n")).collect();
        format!("{}: {}\n{tree}", layout.name, layout.about)
    };
    let pictures: Vec<String> = LAYOUTS.iter().map(picture).collect();
    format!("{}\n{LISTS}", pictures.join("\n"))
}

/// Height and width that are asked for, or the usual ones.
fn sides(size: Option<Size>, usual: (usize, usize)) -> (usize, usize) {
    match size {
        None => usual,
        Some(Size::Exact { width, height }) => (height, width),
        Some(Size::ShorterSide(side)) => (side, side),
    }
}

fn synth(args: &SynthArgs, console: &Console) -> Result<(), Failure> {
    if args.look == "traffic" {
        return traffic(args, console);
    }
    if args.frames.is_some() {
        return Err(Failure::usage("only clips have frames: --frames is for --look traffic"));
    }
    let usual = SynthOptions::new(args.look.parse()?);
    let (height, width) = sides(args.size, (usual.height, usual.width));
    let options = SynthOptions {
        seed: args.seed,
        train: args.train.unwrap_or(usual.train),
        test_good: args.test_good.unwrap_or(usual.test_good),
        test_per_defect: args.test_per_defect.unwrap_or(usual.test_per_defect),
        height,
        width,
        overwrite: args.overwrite,
        ..usual
    };
    let report = make_set(&args.output, &options, console)?;
    let (folder, train, test_good) = (&report.folder, report.train, report.test_good);
    if args.machine.json {
        let defects: serde_json::Map<_, _> =
            report.defects.iter().map(|(defect, count)| (defect.name().to_owned(), json!(count))).collect();
        let line =
            json!({"folder": text_of(folder), "train": train, "test_good": test_good, "defects": defects});
        return print_as_is(&line.to_string());
    }
    let defects: Vec<String> =
        report.defects.iter().map(|(defect, count)| format!("{count} {}", defect.name())).collect();
    let (name, defects) = (folder.display(), defects.join(", "));
    print(&format!(
        "wrote {name}: {train} good images to train on, to test with {test_good} good, {defects}\n{}",
        super::next::fit(folder)
    ))
}

fn traffic(args: &SynthArgs, console: &Console) -> Result<(), Failure> {
    let usual = TrafficOptions::default();
    let (height, width) = sides(args.size, (usual.height, usual.width));
    let options = TrafficOptions {
        seed: args.seed,
        train: args.train.unwrap_or(usual.train),
        test_good: args.test_good.unwrap_or(usual.test_good),
        test_per_motion: args.test_per_defect.unwrap_or(usual.test_per_motion),
        frames: args.frames.unwrap_or(usual.frames),
        height,
        width,
        overwrite: args.overwrite,
    };
    let report = with_progress(console, "synthesising", |progress| {
        write_traffic_set(&args.output, &options, progress)
    })?;
    let (folder, train, test_good, frames) = (&report.folder, report.train, report.test_good, report.frames);
    if args.machine.json {
        let motions: serde_json::Map<_, _> =
            report.motions.iter().map(|(motion, count)| (motion.name().to_owned(), json!(count))).collect();
        let line = json!({
            "folder": text_of(folder), "train": train, "test_good": test_good, "motions": motions, "frames": frames,
        });
        return print_as_is(&line.to_string());
    }
    let motions: Vec<String> =
        report.motions.iter().map(|(motion, count)| format!("{count} {}", motion.name())).collect();
    print(&format!(
        "wrote {}: {train} good clips to learn from, to test with {test_good} good, {}, of {frames} frames each\n{}",
        folder.display(),
        motions.join(", "),
        super::next::fit_video(folder)
    ))
}

/// Writes a synthetic set, showing its progress.
pub fn make_set(output: &Path, options: &SynthOptions, console: &Console) -> Result<SynthReport, Failure> {
    Ok(with_progress(console, "synthesising", |progress| write_synthetic_set(output, options, progress))?)
}

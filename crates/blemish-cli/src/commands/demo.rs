//! `blemish demo`: the main job on a fresh machine, end to end.

use super::eval::table;
use super::{engine_options, tiles};
use crate::args::DemoArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{print, print_as_is, write_file};
use blemish::data::synth::SynthOptions;
use blemish::data::{Files, Label, OpenOptions, open_dataset};
use blemish::evaluate::{EvaluateOptions, evaluate};
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions};
use blemish_report::{Heat, Picture, SheetRow, contact_sheet};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Instant;

/// A picture of the sheet: where the image is, its outcome, its mask.
struct Shown {
    image: PathBuf,
    caption: String,
    map: Vec<f32>,
    size: (usize, usize),
    mask: Option<Vec<bool>>,
}

pub fn run(args: &DemoArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let started = Instant::now();
    let set = args.output.join("data");
    let options =
        SynthOptions { seed: args.seed, train: 40, overwrite: true, ..SynthOptions::new(args.look.parse()?) };
    std::fs::create_dir_all(&args.output).map_err(|error| Failure::io("create", &args.output, &error))?;
    super::data::make_set(&set, &options, console)?;

    let dataset = open_dataset(&set, &OpenOptions::default())?;
    let engine = engine_options(&args.engine, threads)?;
    let fit = FitOptions { engine, observer: console, ..FitOptions::default() };
    // Forty images cannot promise the usual 1 %.
    let calibration = CalibrationConfig { false_alarm: 0.05, ..CalibrationConfig::default() };
    let config = DetectorConfig {
        seed: args.seed,
        tiles: tiles(&args.views),
        input_sizes: args.views.multi_scale.clone(),
        calibration,
        ..DetectorConfig::default()
    };
    let detector = Detector::fit(&config, &Files::training(&dataset), &fit)?;
    let model = args.output.join("demo.blemish");
    detector.save(&model)?;

    let mut shown = Vec::new();
    let mut defects = HashSet::new();
    let options = EvaluateOptions { observer: console, ..EvaluateOptions::default() };
    let outcome = evaluate(&detector, &Files::test(&dataset), &options, &mut |index, scored, mask| {
        let sample = &dataset.test[index];
        // One image of every kind of defect, and a good one.
        if defects.insert(sample.defect.clone()) {
            let kind = if sample.label == Label::Good { "good" } else { &sample.defect };
            shown.push(Shown {
                image: sample.path.clone(),
                caption: format!("{kind} - score {:.2}", scored.score),
                map: scored.map.values.clone(),
                size: (scored.map.height, scored.map.width),
                mask: mask.map(|mask| mask.marked.clone()),
            });
        }
    })?;
    console.finish();
    let sheet = args.output.join("demo.png");
    draw(&shown, detector.colour_range())?.save_png(&sheet)?;
    let json = serde_json::to_string_pretty(&outcome.evaluation).map_err(Failure::new)?;
    write_file(&args.output.join("metrics.json"), &format!("{json}\n"))?;
    if args.machine.json {
        return print_as_is(&json);
    }
    print(&table(&outcome.evaluation))?;
    print(&format!(
        "\nmade in {:.1} s: images {}, model {}, pictures {}, metrics {}\n{}\nthen `blemish fit` on a folder of your own good images",
        started.elapsed().as_secs_f64(),
        set.display(),
        model.display(),
        sheet.display(),
        args.output.join("metrics.json").display(),
        super::next::predict(&model, &set.join("test")),
    ))
}

fn draw(shown: &[Shown], range: (f32, f32)) -> Result<Picture, Failure> {
    let pictures = shown.iter().map(|one| Picture::read(&one.image)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<SheetRow<'_>> = shown
        .iter()
        .zip(&pictures)
        .map(|(one, image)| SheetRow {
            image,
            mask: one.mask.as_deref(),
            heat: Some(Heat { map: &one.map, size: one.size, range }),
            caption: &one.caption,
        })
        .collect();
    Ok(contact_sheet(&rows, (192, 192))?)
}

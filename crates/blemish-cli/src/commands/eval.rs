//! `blemish eval`: metrics on labelled images, per defect type and overall.

use super::report::Gathered;
use super::{engine_options, load, open_for};
use crate::args::EvalArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, picture_folder, print, print_as_is, write_file};
use crate::pictures;
use crate::terminal::shown;
use blemish::Observer;
use blemish::data::{Dataset, Files};
use blemish::evaluate::{EvaluateOptions, EvaluationOutcome, evaluate};
use blemish::metrics::Evaluation;
use blemish::metrics::decisions::{DecisionReport, Observed};
use blemish::metrics::report::{CategoryReport, ImageSummary, PixelSummary, SequenceReport};
use blemish_report::Names;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn run(args: &EvalArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let detector = load(&args.model, &engine_options(&args.engine, threads)?, console)?;
    let dataset = open_for(detector.clip(), &args.data, &args.layout)?;
    let options = EvaluateOptions {
        batch_size: args.batch_size.max(1),
        skip_bad: args.layout.skip_bad,
        observer: console,
    };
    let report =
        args.report.clone().or_else(|| args.output.as_ref().map(|folder| folder.join("report.html")));
    check_outputs(args, report.as_deref(), &dataset)?;
    let mut trouble = None;
    let mut gathered = Gathered::default();
    let mut names = Names::default();
    super::taken::remark(&dataset, console);
    let tests = Files::test(&dataset);
    let outcome = evaluate(&detector, &tests, &options, &mut |index, scored, mask| {
        let sample = &dataset.test[index];
        if report.is_some() {
            gathered.see(sample, scored, mask);
        }
        if let (Some(folder), None) = (&args.output, &trouble) {
            let name = names.unique_in(&sample.defect, &sample.path);
            let path = folder.join(format!("{name}.png"));
            trouble =
                pictures::save(&path, &sample.path, scored, detector.transform(), detector.colour_range())
                    .err();
        }
    })?;
    if let Some(error) = trouble {
        return Err(error);
    }
    if let Some(path) = &report {
        console.stage("writing the report", None);
        write_file(path, &gathered.page(&args.model, &detector, &dataset, &outcome)?)?;
    }
    console.finish();
    super::taken::remark_soft_masks(&tests, console);
    super::fit::report_skipped(dataset.skipped.iter().chain(&outcome.skipped), console);
    let json = serde_json::to_string_pretty(&as_json(&outcome)?).map_err(Failure::new)?;
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => print_as_is(&json),
        Some(path) => {
            write_file(path, &format!("{json}\n"))?;
            print(&table(&outcome.evaluation))
        }
        None => print(&table(&outcome.evaluation)),
    }
}

/// Checks before the work that nothing is written over an input, and that pictures do not lie among images.
fn check_outputs(args: &EvalArgs, report: Option<&Path>, dataset: &Dataset) -> Result<(), Failure> {
    if let Some(folder) = &args.output {
        let searched: Vec<PathBuf> = args.layout.test_dir.iter().chain([&dataset.root]).cloned().collect();
        picture_folder(folder, &searched, dataset.files())?;
    }
    let json = args.json.as_deref().filter(|path| *path != Path::new("-"));
    let written: Vec<&Path> = json.into_iter().chain(report).collect();
    check_writable(&written, dataset.files().chain([args.model.as_path()]))
}

/// The metrics, and what they cost.
fn as_json(outcome: &EvaluationOutcome) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(&outcome.evaluation).map_err(Failure::new)?;
    let counts = &outcome.evaluation.counts;
    value["run"] = json!({
        "scoring_seconds": outcome.scoring_seconds,
        "images_per_second": (counts.good + counts.defective) as f64 / outcome.scoring_seconds.max(1e-9),
        "peak_memory_bytes": blemish::memory::peak(),
    });
    Ok(value)
}

/// The metrics as a table: a line per defect type and one over all, in percent.
pub fn table(evaluation: &Evaluation) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
    let line = |name: &str, images: usize, image: &ImageSummary, pixel: &PixelSummary| {
        let values = [
            image.auroc,
            image.ap,
            image.f1_max,
            pixel.auroc,
            pixel.ap,
            pixel.f1_max,
            pixel.aupro,
            pixel.aupimo_mean,
        ];
        let cells: String = values.into_iter().map(|value| format!("{:>8}", percent(value))).collect();
        format!("{name:<20}{images:>7}{cells}\n")
    };
    let mut text = format!("{:27}{:^24}{:^40}\n", "", "image", "pixel");
    let several = &evaluation.categories;
    text += &format!("{:<20}{:>7}", if several.is_empty() { "defect" } else { "category" }, "images");
    for column in ["AUROC", "AP", "F1-max", "AUROC", "AP", "F1-max", "AUPRO", "AUPIMO"] {
        text += &format!("{column:>8}");
    }
    text.push('\n');
    for defect in &evaluation.per_defect {
        text += &line(&defect.defect, defect.images, &defect.image, &defect.pixel);
    }
    for CategoryReport { category, evaluation } in several {
        text += &line(&shown(category), evaluation.counts.defective, &evaluation.image, &evaluation.pixel);
    }
    let all = if several.is_empty() { "all" } else { "mean" };
    text += &line(all, evaluation.counts.defective, &evaluation.image, &evaluation.pixel);
    text += &format!("good images: {}; values in percent", evaluation.counts.good);
    if let (Some(value), Some(interval)) = (evaluation.image.auroc, evaluation.image.auroc_interval) {
        text += &format!(
            "\nimage AUROC {:.1} (95 % interval {:.1} to {:.1})",
            100.0 * value,
            100.0 * interval.low,
            100.0 * interval.high
        );
    }
    if let Some(videos) = &evaluation.sequences {
        text += &of_videos(videos);
    }
    if let Some(decisions) = &evaluation.decisions {
        text += &decided(decisions);
    }
    text += &decided_by_category(several);
    for note in &evaluation.notes {
        text += &format!("\nnote: {note}");
    }
    text
}

/// How well the anomalous frames of videos stand out, in lines.
fn of_videos(videos: &SequenceReport) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1}", 100.0 * value));
    let width = videos.per_sequence.iter().map(|one| one.name.chars().count()).max().unwrap_or(0).max(5);
    let mut text = format!("\n{:<width$}{:>8}{:>11}{:>13}", "video", "frames", "anomalous", "frame AUROC");
    for one in &videos.per_sequence {
        let (name, auroc) = (shown(&one.name), percent(one.auroc));
        text += &format!("\n{name:<width$}{:>8}{:>11}{auroc:>13}", one.frames, one.defective);
    }
    text += &format!(
        "\nframe AUROC of all videos, each brought to 0 to 1 first: {}; mean over videos with both kinds: {}",
        percent(videos.frame_auroc),
        percent(videos.mean_auroc)
    );
    if videos.published_auroc.is_some() {
        text += &format!(
            "\nby the published rule, which looks at whole videos: {}",
            percent(videos.published_auroc)
        );
    }
    text
}

/// Decisions at the thresholds that each category is judged by, a line a category.
fn decided_by_category(several: &[CategoryReport]) -> String {
    let decisions =
        several.iter().filter_map(|one| Some((&one.category, one.evaluation.decisions.as_ref()?)));
    let mut text = String::new();
    for (category, DecisionReport { image_threshold, false_alarms, misses, .. }) in decisions {
        if text.is_empty() {
            text += "\ndecisions, each category by its own threshold where it has one:";
        }
        text += &format!(
            "\n  {:<18} {image_threshold:>10.4}: {} of {} good images flagged, {} of {} defective missed",
            shown(category),
            false_alarms.count,
            false_alarms.of,
            misses.count,
            misses.of
        );
    }
    text
}

/// Decisions at the model's own thresholds, in lines.
fn decided(decisions: &DecisionReport) -> String {
    let line = |name: &str, seen: &Observed| {
        let rate = seen.rate.map_or("-".to_owned(), |rate| format!("{:.1} %", 100.0 * rate));
        let (low, high) = (100.0 * seen.interval.low, 100.0 * seen.interval.high);
        format!(
            "\n  {name:<32}{:>5} of {:<5}{rate:>8} (95 % interval {low:.1} to {high:.1})",
            seen.count, seen.of
        )
    };
    let mut text = format!("\ndecisions at the model's threshold {:.4}:", decisions.image_threshold);
    text += &line("good images flagged", &decisions.false_alarms);
    text += &line("defective images missed", &decisions.misses);
    for (defect, missed) in &decisions.misses_per_defect {
        text += &line(&format!("  {defect}"), missed);
    }
    if let Some(marked) = &decisions.good_images_marked {
        text += &line("good images with a region", marked);
    }
    if let Some(marked) = &decisions.defective_images_marked {
        text += &line("defective images with a region", marked);
    }
    if let (Some(value), Some(interval)) = (decisions.balanced_accuracy, decisions.balanced_accuracy_interval)
    {
        text += &format!(
            "\n  balanced accuracy {:.1} (95 % interval {:.1} to {:.1})",
            100.0 * value,
            100.0 * interval.low,
            100.0 * interval.high
        );
    }
    text
}

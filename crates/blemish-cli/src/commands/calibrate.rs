//! `blemish calibrate`: other thresholds for a fitted model.

use super::fit::{in_words, report_skipped, summary};
use super::{engine_options, groups, load, open_for};
use crate::args::{Best, CalibrateArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, print, print_as_is};
use blemish::data::layout::in_sequences;
use blemish::data::names::text_of;
use blemish::data::{Dataset, Files, FoundImages, Sample, Source, find_images};
use blemish::evaluate::EvaluateOptions;
use blemish::metrics::Criterion;
use blemish::{Recalibration, recalibrate};

pub fn run(args: &CalibrateArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let engine = engine_options(&args.engine, threads)?;
    let clip = load(&args.model, &engine, console)?.clip();
    let found = match args.with_good.is_empty() {
        true => FoundImages::default(),
        false => find_images(&args.with_good, args.layout.skip_bad)?,
    };
    let good: Vec<Sample> = found.images.iter().map(|path| Sample::unlabelled(path)).collect();
    // Of a model of several categories, those whose thresholds are to change.
    let category = args.layout.category.as_deref().unwrap_or_default();
    let good =
        if clip > 1 { Files::frames(in_sequences(good), category) } else { Files::new(good, category) };
    let labelled: Option<Dataset> =
        args.labelled.as_ref().map(|data| open_for(clip, data, &args.layout)).transpose()?;
    let tests = labelled.as_ref().map(Files::test);
    let criterion = match args.by {
        Best::F1 => Criterion::F1,
        Best::Cost => Criterion::Cost {
            miss: args.miss_cost,
            false_alarm: args.false_alarm_cost,
            defect_share: args.defect_share,
        },
        Best::Recall => Criterion::Recall { wanted: args.recall },
    };
    let groups = groups(&args.groups)?;
    let request = Recalibration {
        good: (!good.is_empty()).then_some(&good),
        false_alarm: args.false_alarm,
        labelled: tests.as_ref().map(|tests| (tests as &dyn Source, criterion)),
        groups: Some(&groups),
    };
    let options = EvaluateOptions {
        batch_size: args.batch_size.max(1),
        skip_bad: args.layout.skip_bad,
        observer: console,
    };
    let output = args.output.as_ref().unwrap_or(&args.model);
    let images = good.samples().iter().map(|sample| sample.path.as_path());
    check_writable(&[output], images.chain(labelled.iter().flat_map(Dataset::files)))?;
    let (calibration, skipped) = recalibrate(&args.model, output, &request, &engine, &options)?;
    console.finish();
    let unlisted = labelled.iter().flat_map(|dataset| &dataset.skipped).chain(&found.skipped);
    report_skipped(unlisted.chain(&skipped), console);
    if args.machine.json {
        let mut value = summary(&calibration);
        value["model"] = text_of(output).into();
        return print_as_is(&value.to_string());
    }
    print(&format!("{}\nwrote {}", in_words(&calibration), output.display()))
}

//! `blemish pick`: which method and settings for these good images, within a limit of time.

use super::fit::{backbone_spec, ensemble_specs};
use super::{engine_options, next, open};
use crate::args::{BackboneArgs, LayoutArgs, PickArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, picture_folder, print, print_as_is};
use crate::shell;
use blemish::data::{Dataset, Files};
use blemish::pick::{Candidate, Judged, Pick, PickOptions, candidates, pick};
use blemish::{Detector, FitOptions, Observer};
use serde_json::{Value, json};
use std::ffi::OsString;

pub fn run(args: &PickArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let dataset = open(&args.data, &args.layout)?;
    let fit = FitOptions {
        engine: engine_options(&args.engine, threads)?,
        skip_bad: args.layout.skip_bad,
        observer: console,
        ..FitOptions::default()
    };
    if let Some(output) = &args.output {
        check_writable(&[output], dataset.files())?;
    }
    if let Some(keep) = &args.keep {
        picture_folder(keep, std::slice::from_ref(&dataset.root), dataset.files())?;
    }
    let options = PickOptions {
        latency_ms: args.latency,
        latency_threads: threads.unwrap_or(1),
        backbone: backbone_spec(&args.backbone)?,
        ensemble: ensemble_specs(&args.backbone)?,
        seed: args.seed,
        per_image: usize::from(args.per_image),
        keep: args.keep.clone(),
        fit: fit.clone(),
    };
    let mut tried = candidates();
    for further in &args.with {
        let further = further.candidate().map_err(Failure::usage)?;
        if !tried.contains(&further) {
            tried.push(further);
        }
    }
    let picked = pick(&dataset, &tried, &options)?;
    if let Some(output) = &args.output {
        console.stage("fitting on all good images", None);
        let config = picked.best().candidate.config(&options.backbone, &options.ensemble, args.seed)?;
        Detector::fit(&config, &Files::training(&dataset), &fit)?.save(output)?;
    }
    console.finish();
    if args.machine.json {
        return print_as_is(&format!("{:#}", as_json(&picked, &options)));
    }
    print(&text(&picked, &dataset, args, &options))
}

fn text(picked: &Pick, dataset: &Dataset, args: &PickArgs, options: &PickOptions<'_>) -> String {
    let mut text = format!("{:<58}{:>9}{:>9}{:>8}{:>8}\n", "candidate", "AUROC", "is best", "ms", "fit, s");
    for judged in &picked.judged {
        let (auroc, wins) = match judged.auroc {
            Some(auroc) => (format!("{:.1} %", 100.0 * auroc), format!("{:.0} %", 100.0 * judged.wins)),
            None => ("-".into(), "too slow".into()),
        };
        let about = if judged.is_estimate { "~" } else { "" };
        let latency = format!("{about}{:.1}", judged.latency_ms);
        text += &format!(
            "{:<58}{auroc:>9}{wins:>9}{latency:>8}{:>8.1}\n",
            judged.candidate.spec(),
            judged.fit_seconds
        );
    }
    if picked.judged.iter().any(|judged| judged.is_estimate) {
        text += "~ too slow already after quick fits on a few images; not fitted on all\n";
    }
    text += &format!(
        "judged on {} made-up defects over {} held-out good images, fitted on {} others; time on {} thread{}\n",
        picked.defects,
        picked.held_out,
        picked.fitted_on,
        options.latency_threads,
        if options.latency_threads == 1 { "" } else { "s" },
    );
    text += &sureness(picked);
    match &args.output {
        Some(model) => {
            text += &format!("\nwrote {}, fitted on all good images", model.display());
            if let Some(images) = next::images_of(dataset) {
                text += &format!("\n{}", next::predict(model, &images));
            }
        }
        None => text += &format!("\n{}", next::line(fit_arguments(&picked.best().candidate, args))),
    }
    text
}

/// The arguments of this program that fit a candidate on all good images, as they were picked for.
fn fit_arguments(candidate: &Candidate, args: &PickArgs) -> Vec<OsString> {
    let mut arguments = vec!["fit".into(), shell::argument(&args.data)];
    let LayoutArgs { test_dir, mask_dir, category, all_categories, skip_bad, trust_folders, frames } =
        &args.layout;
    let mut add = |option: &str, value: Option<OsString>| {
        if let Some(value) = value {
            arguments.extend([option.into(), value]);
        }
    };
    add("--test-dir", test_dir.as_deref().map(shell::argument));
    add("--mask-dir", mask_dir.as_deref().map(shell::argument));
    add("--category", category.as_ref().map(OsString::from));
    if candidate.has_backbone() {
        let BackboneArgs { backbone, layers, weights, ensemble } = &args.backbone;
        add("--backbone", backbone.as_ref().map(OsString::from));
        add("--layers", (!layers.is_empty()).then(|| layers.join(",").into()));
        add("--weights", weights.as_deref().map(shell::argument));
        ensemble.iter().for_each(|further| add("--ensemble", Some(further.into())));
    }
    add("--seed", (args.seed != 0).then(|| args.seed.to_string().into()));
    if *all_categories {
        arguments.push("--all-categories".into());
    }
    if *skip_bad {
        arguments.push("--skip-bad".into());
    }
    if *trust_folders {
        arguments.push("--trust-folders".into());
    }
    if *frames {
        arguments.push("--frames".into());
    }
    arguments.extend(candidate.fit_options().split(' ').map(OsString::from));
    arguments
}

/// Held-out images below which resampling them says little.
const FEW: usize = 10;

/// How sure the choice is, in words.
fn sureness(picked: &Pick) -> String {
    let best = picked.best();
    let mut text = format!(
        "pick: {}, the best in {:.0} % of 2,000 resamples of the held-out images",
        best.candidate.spec(),
        100.0 * best.wins
    );
    if let (Some(margin), Some(second)) =
        (picked.margin, picked.judged.get(1).filter(|second| second.auroc.is_some()))
    {
        text += &format!(
            "; ahead of {} by {:.1} points of AUROC (95 % interval {:.1} to {:.1})",
            second.candidate.spec(),
            100.0 * (best.auroc.unwrap_or(0.0) - second.auroc.unwrap_or(0.0)),
            100.0 * margin.low,
            100.0 * margin.high
        );
        if picked.held_out >= FEW && margin.low <= 0.0 {
            text += "\non these images neither is better for certain; the faster one is as good a choice";
        }
    }
    if picked.held_out < FEW {
        text += &format!(
            "\nonly {} images were held out, too few to trust the shares and the interval; bring at least {} good images",
            picked.held_out,
            4 * FEW
        );
    }
    text
}

fn as_json(picked: &Pick, options: &PickOptions<'_>) -> Value {
    let one = |judged: &Judged| {
        json!({
            "candidate": judged.candidate.spec(), "fit_options": judged.candidate.fit_options(),
            "auroc": judged.auroc, "is_best_share": judged.wins, "latency_ms": judged.latency_ms,
            "latency_is_estimate": judged.is_estimate, "fit_seconds": judged.fit_seconds,
        })
    };
    json!({
        "pick": one(picked.best()),
        "lead_over_second": picked.margin,
        "candidates": picked.judged.iter().map(one).collect::<Vec<_>>(),
        "latency_limit_ms": options.latency_ms, "latency_threads": options.latency_threads,
        "fitted_on": picked.fitted_on, "held_out": picked.held_out, "made_up_defects": picked.defects,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn the_fit_that_comes_next_is_the_one_that_was_picked() {
        let line = "blemish pick SET --latency 50 --seed 2 --backbone resnet18 --weights W --category screw --skip-bad";
        let words = line.split(' ').map(|word| if word == "SET" { "my set" } else { word });
        let Command::Pick(args) = Cli::try_parse_from(words).unwrap().command else { panic!("{line}") };
        let next = |method: &str| {
            let settings = vec![("image_score".to_owned(), "max".to_owned())];
            let settings = if method == "patchcore" { settings } else { Vec::new() };
            let candidate = Candidate { method: method.into(), settings, side: Some(160) };
            next::line(fit_arguments(&candidate, &args))
        };
        assert_eq!(
            next("patchcore"),
            "next: blemish fit 'my set' --category screw --backbone resnet18 --weights W --seed 2 --skip-bad --method patchcore \
             --set image_score=max --size 160x160"
        );
        assert!(!next("filter").contains("resnet18"), "it has no backbone");
    }
}

//! `blemish bench`: methods on data sets over seeds, each fit and each evaluation in a process of its own.
//!
//! A process of its own is what makes memory a figure of one fit. What is done is kept as `cells/NAME.json`, so an interrupted bench
//! goes on where it was.

use super::child;
use crate::args::BenchArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::interrupt::is_interrupted;
use crate::method_spec::MethodSpec;
use crate::output::{check_writable, print, print_as_is, write_file};
use crate::shell;
use blemish::Observer;
use blemish::data::OpenOptions;
use blemish::data::check::open_all;
use blemish::data::files::Scratch;
use blemish::data::names::text_of;
use blemish_report::html::bench_page;
use blemish_report::leaderboard::{Cell, Leaderboard};
use blemish_report::shortened;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What is to be done, and what came of it: the content of a cell's file.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Everything the outcome depends on; a cell with another key is done anew.
    key: Key,
    /// The two commands, to repeat them by hand.
    commands: Vec<String>,
    cell: Cell,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    version: String,
    data: String,
    category: String,
    fit: Vec<String>,
    /// Engine and limits, of the fit and the evaluation.
    engine: Vec<String>,
    seed: u64,
}

/// A cell to fill.
struct Task {
    key: Key,
    data: PathBuf,
    method: String,
    path: PathBuf,
}

pub fn run(args: &BenchArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let folder = args.output.join("cells");
    std::fs::create_dir_all(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
    let boards = ["leaderboard.html", "leaderboard.csv", "leaderboard.md"].map(|name| args.output.join(name));
    check_writable(&boards.each_ref().map(PathBuf::as_path), args.datasets.iter().map(PathBuf::as_path))?;
    let tasks = tasks(args, threads, &folder)?;
    console.stage("benchmarking", Some(tasks.len() as u64));
    let mut cells = Vec::new();
    for task in &tasks {
        if is_interrupted() {
            return Err(Failure::interrupted());
        }
        let record = match finished(task) {
            Some(record) => record,
            None => {
                let record = task.run(&args.output)?;
                let text = serde_json::to_string_pretty(&record).map_err(Failure::new)?;
                write_file(&task.path, &format!("{text}\n"))?;
                let auroc = record.cell.evaluation.image.auroc;
                console.say(&format!(
                    "{} {} seed {}: image AUROC {}",
                    task.key.category,
                    task.method,
                    task.key.seed,
                    auroc.map_or("undefined".into(), |auroc| format!("{:.1} %", 100.0 * auroc))
                ));
                record
            }
        };
        cells.push(record.cell);
        console.advance(1);
    }
    console.finish();
    let board = Leaderboard::new(&cells);
    let facts = facts(args);
    for (path, text) in boards.iter().zip([bench_page(&board, &facts), board.csv(), board.markdown()]) {
        write_file(path, &text)?;
    }
    if args.machine.json {
        return print_as_is(&format!("{:#}", json!({"cells": cells})));
    }
    let page = args.output.join("leaderboard.html");
    print(&format!("{}wrote {}, .csv and .md", board.markdown(), page.display()))
}

fn facts(args: &BenchArgs) -> Vec<(String, String)> {
    vec![
        ("command".into(), super::report::command_line()),
        ("blemish".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), super::report::machine()),
        ("seeds".into(), format!("0 to {}", args.seeds - 1)),
        (
            "memory".into(),
            "the most that the process of a fit or an evaluation held; an evaluation keeps the scores of all pixels".into(),
        ),
    ]
}

/// Every cell, data set by data set.
fn tasks(args: &BenchArgs, threads: Option<usize>, folder: &Path) -> Result<Vec<Task>, Failure> {
    let mut engine =
        vec!["--device".into(), args.engine.device.clone(), "--engine".into(), args.engine.engine.clone()];
    if let Some(threads) = threads {
        engine.extend(["--threads".into(), threads.to_string()]);
    }
    let limits = [("--max-pixels", args.limits.max_pixels), ("--memory-limit", args.limits.memory_limit)];
    for (option, limit) in limits {
        engine.extend(limit.into_iter().flat_map(|limit| [option.to_owned(), limit.to_string()]));
    }
    let mut tasks: Vec<Task> = Vec::new();
    for data in &args.datasets {
        let several = open_all(data, &OpenOptions::default())?;
        for dataset in &several {
            if dataset.train.is_empty() || dataset.test.is_empty() {
                return Err(Failure::new(format!(
                    "`{}` has {} images to learn from and {} to test with; a bench needs both",
                    dataset.root.display(),
                    dataset.train.len(),
                    dataset.test.len()
                )));
            }
            for method in &args.methods {
                let fit = fit_arguments(method, args);
                for seed in 0..args.seeds {
                    let key = Key {
                        version: env!("CARGO_PKG_VERSION").into(),
                        data: text_of(data),
                        category: dataset.category.clone(),
                        fit: fit.clone(),
                        engine: engine.clone(),
                        seed,
                    };
                    let name = shortened(format!("{}-{}-{seed}", dataset.category, method.text), 200);
                    let mut path = folder.join(format!("{}.json", safe(&name)));
                    // Two sets of one name, or names that only differ in what a file name cannot hold.
                    if tasks.iter().any(|task| task.path == path) {
                        path = folder.join(format!("{}-{}.json", safe(&name), tasks.len()));
                    }
                    tasks.push(Task { key, data: data.clone(), method: method.text.clone(), path });
                }
            }
        }
    }
    Ok(tasks)
}

/// The backbones of the command line go to methods that name none, ensembles only to those that can use them. A method that names no size has
/// its own, so that methods are compared on inputs that do not depend on the set; `size=auto` is what `fit` does by itself.
fn fit_arguments(method: &MethodSpec, args: &BenchArgs) -> Vec<String> {
    let mut arguments = method.fit_arguments();
    if !method.names("size") {
        arguments.push("--fast".into());
    }
    let mut add = |option: &str, value: Option<String>| {
        if let Some(value) = value.filter(|_| !method.names(option)) {
            arguments.extend([format!("--{option}"), value]);
        }
    };
    add("backbone", args.backbone.backbone.clone());
    add("weights", args.backbone.weights.as_ref().map(|path| path.display().to_string()));
    add("layers", (!args.backbone.layers.is_empty()).then(|| args.backbone.layers.join(",")));
    if method.has_backbone() {
        args.backbone.ensemble.iter().for_each(|further| add("ensemble", Some(further.clone())));
    }
    arguments
}

fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.=".contains(c) { c } else { '_' }).collect()
}

/// What an earlier run left, if it is of the very same task.
fn finished(task: &Task) -> Option<Record> {
    let text = std::fs::read_to_string(&task.path).ok()?;
    serde_json::from_str::<Record>(&text).ok().filter(|record| record.key == task.key)
}

impl Task {
    fn run(&self, output: &Path) -> Result<Record, Failure> {
        let scratch = Scratch::new(output).map_err(|error| Failure::io("write into", output, &error))?;
        let (model, metrics) = (scratch.path().join("model.blemish"), scratch.path().join("metrics.json"));
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let own = |list: &[String]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let (model_name, metrics_name) = (model.clone().into_os_string(), metrics.clone().into_os_string());
        let data = [vec![shell::argument(&self.data)], words(&["--category", &self.key.category])].concat();
        let seed = self.key.seed.to_string();
        let fit = [
            words(&["fit"]),
            data.clone(),
            own(&self.key.fit),
            own(&self.key.engine),
            words(&["--folds", "0", "--seed", &seed, "--json", "-o"]),
            vec![model_name.clone()],
        ]
        .concat();
        let fitted: Value = serde_json::from_str(&child::run(&fit)?).map_err(Failure::new)?;
        let eval = [
            words(&["eval"]),
            vec![model_name],
            data,
            own(&self.key.engine),
            words(&["--json"]),
            vec![metrics_name],
        ]
        .concat();
        child::run(&eval)?;
        let text =
            std::fs::read_to_string(&metrics).map_err(|error| Failure::io("read", &metrics, &error))?;
        let measured: Value = serde_json::from_str(&text).map_err(Failure::new)?;
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let cell = Cell {
            dataset: self.key.category.clone(),
            method: self.method.clone(),
            seed: self.key.seed,
            fit_seconds: number(&fitted["seconds"]),
            images_per_second: number(&measured["run"]["images_per_second"]),
            fit_memory: fitted["peak_memory_bytes"].as_u64(),
            eval_memory: measured["run"]["peak_memory_bytes"].as_u64(),
            model_bytes: fitted["bytes"].as_u64().unwrap_or(0),
            evaluation: serde_json::from_value(measured).map_err(Failure::new)?,
        };
        let shown = |line: &[OsString]| {
            let named = line.iter().map(|word| match word {
                word if word == model.as_os_str() => "MODEL.blemish".into(),
                word if word == metrics.as_os_str() => "METRICS.json".into(),
                word => word.clone(),
            });
            shell::command_line(named)
        };
        Ok(Record { key: self.key.clone(), commands: vec![shown(&fit), shown(&eval)], cell })
    }
}

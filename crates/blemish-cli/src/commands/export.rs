//! `blemish export`: the model as an ONNX graph, proved equal.

use crate::args::{ExportArgs, LayoutArg};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, picture_folder, print, print_as_is};
use blemish::export::{Depth, ExportOptions, Layout, OPENVINO, Parity, second_file};
use blemish::features::{Engine, EngineOptions};
use serde_json::json;
use std::path::Path;

pub fn run(args: &ExportArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    // ONNX Runtime where it is found; the model itself scores natively.
    let engine = EngineOptions { engine: Engine::Auto, threads, ..EngineOptions::default() };
    let detector = super::load(&args.model, &engine, console)?;
    if let Some(file) = &args.check {
        let parity = detector.check_export(file, &engine)?;
        report(args, file, &parity, None)?;
        return if parity.passed { Ok(()) } else { Err(too_far(&parity, "export it again")) };
    }
    let options = ExportOptions {
        images: args.input,
        depth: if args.depth == "16" { Depth::Sixteen } else { Depth::Eight },
        layout: match args.layout {
            LayoutArg::Blemish => Layout::Blemish,
            LayoutArg::Anomalib => Layout::Anomalib,
        },
        half_tables: args.fp16_bank,
    };
    detector.check_exportable(&options)?;
    let out = args.out.clone().unwrap_or_else(|| args.model.with_extension("onnx"));
    check_writable(&[&out, &second_file(&out)], [&*args.model])?;
    if let Some(folder) = &args.selftest_images {
        picture_folder(folder, &[], [&*args.model])?;
    }
    let mut exported = detector.export(&options, &engine)?;
    if !exported.parity.passed {
        if !args.force {
            return Err(too_far(
                &exported.parity,
                "nothing was written (--force writes it nevertheless, and says so in it)",
            ));
        }
        exported.force();
    }
    let files = exported.write(&out)?;
    if let Some(folder) = &args.selftest_images {
        detector.write_selftest(&exported, folder)?;
    }
    let bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    report(args, &out, &exported.parity, Some(bytes))
}

fn report(args: &ExportArgs, file: &Path, parity: &Parity, bytes: Option<u64>) -> Result<(), Failure> {
    if args.machine.json {
        return print_as_is(&json!({"file": file, "bytes": bytes, "parity": parity}).to_string());
    }
    let written = bytes.map_or_else(
        || format!("{}\n", file.display()),
        |bytes| format!("wrote {} ({:.1} MB)\n", file.display(), bytes as f64 / 1e6),
    );
    let outcome = if parity.passed { "proved" } else { "NOT proved" };
    print(&format!("{written}{}\n{outcome}; {OPENVINO}", parity.in_words()))
}

fn too_far(parity: &Parity, mend: &str) -> Failure {
    let worst = parity.images.iter().find(|image| !image.passed);
    let which = worst.map_or_else(String::new, |image| {
        format!(
            " ({}: score off by {:.1e}, map by {:.1e} of its maximum{})",
            image.name,
            image.score_difference,
            image.map_difference,
            if image.is_decision_equal { "" } else { ", another decision" }
        )
    });
    Failure::new(format!(
        "the graph does not give the model's scores: {}{which}; {mend}",
        parity.in_words().replace("; ", ", ")
    ))
}

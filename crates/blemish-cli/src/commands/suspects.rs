//! `blemish data suspects`: training images that look defective, ranked, with pictures.

use super::fit::{inputs, prepare, report_skipped, suspect};
use crate::args::SuspectsArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{check_writable, picture_folder, print, print_as_is, write_file};
use crate::terminal::shown_path;
use blemish::data::names::text_of;
use blemish::data::{Files, Transform};
use blemish::{Suspect, find_suspects};
use blemish_report::{Heat, Picture, SheetRow, contact_sheet, extended, text_cell};
use serde_json::json;

/// Side of a cell of the sheet, in pixels.
const CELL: usize = 224;

pub fn run(args: &SuspectsArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let (config, dataset, options) = prepare(&args.learn, false, threads, console)?;
    let files = args.output.as_ref().map(|folder| [folder.join("suspects.csv"), folder.join("suspects.png")]);
    if let (Some(folder), Some([list, sheet])) = (&args.output, &files) {
        let images = dataset.train.iter().map(|sample| sample.path.as_path());
        picture_folder(folder, std::slice::from_ref(&dataset.root), images)?;
        check_writable(&[list, sheet], inputs(&args.learn, &dataset))?;
    }
    let found = find_suspects(&config, &Files::training(&dataset), &options, usize::from(args.show))?;
    console.finish();
    report_skipped(dataset.skipped.iter().chain(&found.skipped), console);
    let shown: Vec<&Suspect> = found.ranked.iter().take(usize::from(args.show)).collect();
    if let Some([list, sheet]) = &files {
        write_file(list, &table(&found.ranked)?)?;
        // The command line always settles a transform.
        if let Some(transform) = &config.transform {
            draw(&shown, transform)?.save_png(sheet)?;
        }
    }
    if args.machine.json {
        let ranked: Vec<_> = found.ranked.iter().map(suspect).collect();
        let (list, sheet) = files.map(|[list, sheet]| (text_of(&list), text_of(&sheet))).unzip();
        let line = json!({"ranking": list, "pictures": sheet, "suspects": ranked});
        return print_as_is(&line.to_string());
    }
    let mut text = "rank     score  deviations  image\n".to_owned();
    for (place, one) in shown.iter().enumerate() {
        let (score, deviations) = (one.score, one.deviations);
        let name = shown_path(&one.path);
        text += &format!("{:>4}{score:>10.4}{deviations:>+12.1}  {name}\n", place + 1);
    }
    let ranked = found.ranked.len();
    text += &match files {
        Some([list, sheet]) => {
            format!("{ranked} images ranked in {}, pictures in {}", list.display(), sheet.display())
        }
        None if ranked > shown.len() => format!(
            "the first {} of {ranked} images; --show N shows more, -o DIR writes the whole ranking and pictures",
            shown.len()
        ),
        None => format!("all {ranked} images; -o DIR writes the ranking and pictures"),
    };
    print(&format!("{text}\nlook at them; `blemish fit --trim N` leaves the first N out"))
}

fn table(ranked: &[Suspect]) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["rank", "path", "score", "deviations"]).map_err(Failure::new)?;
    for (place, one) in ranked.iter().enumerate() {
        let name = text_of(&one.path);
        let line = (place + 1, text_cell(&name), one.score, one.deviations);
        writer.serialize(line).map_err(Failure::new)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::new(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The suspects with their maps, on one scale of colours: from what is usual on the last of them to the highest of all.
fn draw(shown: &[&Suspect], transform: &Transform) -> Result<Picture, Failure> {
    let mut usual: Vec<f32> =
        shown.iter().rev().find_map(|one| one.map.as_ref()).map_or(Vec::new(), |map| map.values.clone());
    usual.sort_unstable_by(f32::total_cmp);
    let low = usual.get(usual.len() / 2).copied().unwrap_or(0.0);
    let values = shown.iter().filter_map(|one| one.map.as_ref()).flat_map(|map| &map.values);
    let high = values.copied().fold(low, f32::max);
    let mut drawn = Vec::new();
    for (place, one) in shown.iter().enumerate() {
        let image = Picture::read_with(&one.path, &transform.read_options())?;
        let heat = match &one.map {
            Some(map) => {
                let (height, width) = image.size();
                let covered = transform.covered(height, width).map_err(Failure::new)?;
                Some(extended(&map.values, (map.height, map.width), covered, image.size(), low)?)
            }
            None => None,
        };
        let name = one.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let caption = format!("{} {name} {:.2} ({:+.1})", place + 1, one.score, one.deviations);
        drawn.push((image, heat, caption));
    }
    let rows: Vec<SheetRow<'_>> = drawn
        .iter()
        .map(|(image, heat, caption)| SheetRow {
            image,
            mask: None,
            heat: heat.as_ref().map(|(map, size)| Heat { map, size: *size, range: (low, high) }),
            caption,
        })
        .collect();
    Ok(contact_sheet(&rows, (CELL, CELL))?)
}

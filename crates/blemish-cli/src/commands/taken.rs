//! What was taken of a data set, in lines and for machines.

use crate::console::Console;
use crate::failure::Failure;
use crate::output::print;
use blemish::Observer;
use blemish::data::layout::{FolderUse, PassedOver, Reason};
use blemish::data::{Dataset, Files};
use serde_json::{Value, json};

/// Folders that are listed one by one.
const LISTED: usize = 20;

/// Prints a line a folder, and warns of what one should know.
pub fn tell(dataset: &Dataset, is_for_machines: bool, console: &Console) -> Result<(), Failure> {
    remark(dataset, console);
    if is_for_machines {
        return Ok(());
    }
    match lines(&dataset.account.folders, &dataset.account.passed_over).as_slice() {
        [] => Ok(()),
        lines => print(&lines.join("\n")),
    }
}

/// Warns of what one should know of how a set was read.
pub fn remark(dataset: &Dataset, console: &Console) {
    for remark in &dataset.account.remarks {
        console.warn(remark);
    }
}

/// Says how many pictures were passed over, and why; files that are no pictures are nobody's loss.
pub fn remark_passed_over(passed_over: &PassedOver, console: &Console) {
    let mut pictures = passed_over.clone();
    pictures.counts.retain(|reason, _| !matches!(reason, Reason::Hidden | Reason::System | Reason::Other));
    let words = pictures.words();
    if !words.is_empty() {
        console.warn(&format!("passed over: {words}"));
    }
}

/// Says once a set how masks with grey values were taken.
pub fn remark_soft_masks(images: &Files, console: &Console) {
    let count = images.soft_masks();
    if count > 0 {
        console.warn(&format!(
            "{count} {} a spread of grey values, as JPEG or a resampling gives; values above half were taken as marked",
            if count == 1 { "mask has" } else { "masks have" }
        ));
    }
}

/// A line a folder: its name, its images and what they were taken as; then what was passed over.
pub fn lines(folders: &[FolderUse], passed_over: &PassedOver) -> Vec<String> {
    let shown = if folders.len() > LISTED { LISTED - 1 } else { folders.len() };
    let width = folders[..shown].iter().map(|one| one.folder.chars().count()).max().unwrap_or(0).min(60);
    let images = |count: usize| format!("{count:>6} {}", if count == 1 { "image " } else { "images" });
    let line =
        |one: &FolderUse| format!("{:<width$} {}  {}", one.folder, images(one.images), one.taken_as.words());
    let mut lines: Vec<String> = folders[..shown].iter().map(line).collect();
    if shown < folders.len() {
        let rest = &folders[shown..];
        let mut uses: Vec<(String, usize)> = Vec::new();
        for one in rest {
            let words = one.taken_as.words();
            match uses.iter_mut().find(|(known, _)| *known == words) {
                Some((_, count)) => *count += one.images,
                None => uses.push((words, one.images)),
            }
        }
        for (words, count) in uses {
            lines.push(format!("{:<width$} {}  {words}", "(other folders)", images(count)));
        }
    }
    let over = passed_over.words();
    if !over.is_empty() {
        lines.push(format!("passed over: {over}"));
    }
    lines
}

/// The same for machines.
pub fn as_json(dataset: &Dataset) -> Value {
    json!({
        "folders": dataset.account.folders,
        "passed_over": dataset.account.passed_over,
        "remarks": dataset.account.remarks,
    })
}

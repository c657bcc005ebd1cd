//! What a job works with, in its own folder: pictures of the history, and what an earlier job has left.

use crate::fault::Fault;
use crate::station::Station;
use crate::station::feedback::Picture;
use crate::station::upload::cannot_write;
use blemish::data::{Label, OpenOptions, open_dataset};
use std::path::{Path, PathBuf};

/// Makes a folder, unless it is there.
pub(super) fn make(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))
}

/// Lays pictures of the history into a folder: second names for them, which cost nothing, where the disk has such.
pub(super) fn lay(station: &Station, folder: &Path, pictures: Vec<Picture>) -> Result<(), Fault> {
    make(folder)?;
    for picture in pictures {
        // One that retention has taken meanwhile is left out.
        link(&station.pictures.root().join(&picture.file), &folder.join(name_of(&picture)));
    }
    Ok(())
}

/// Gives a file a second name.
fn link(from: &Path, to: &Path) {
    if std::fs::hard_link(from, to).is_err() {
        let _ = std::fs::copy(from, to);
    }
}

/// An uploaded set as a folder to evaluate on. The program learns from folders named good, so that in a set without a division into train and
/// test nothing good would be left to evaluate on: such a set is laid into a folder named test.
pub(super) fn tested(station: &Station, set: &str, folder: &Path) -> Result<PathBuf, Fault> {
    let images = station.uploads.images(set)?;
    if has_both_kinds(&images) {
        return Ok(images);
    }
    let test = folder.join("test");
    for file in station.uploads.set(set)?.files {
        let to = test.join(&file.name);
        make(to.parent().unwrap_or(&test))?;
        link(&images.join(&file.name), &to);
    }
    if has_both_kinds(&test) {
        return Ok(test);
    }
    Err(Fault::new(
        "conflict",
        "this set has not both good and defective images; upload folders that are named so, such as good/ and scratch/",
    ))
}

/// Whether the program finds good and defective images to evaluate on in a folder.
fn has_both_kinds(folder: &Path) -> bool {
    let Ok(dataset) = open_dataset(folder, &OpenOptions { skip_bad: true, ..OpenOptions::default() }) else {
        return false;
    };
    [Label::Good, Label::Defective].iter().all(|kind| dataset.test.iter().any(|sample| sample.label == *kind))
}

/// The name of a picture in a folder of a job.
fn name_of(picture: &Picture) -> String {
    let extension = Path::new(&picture.file).extension();
    let extension = extension.map_or("bin".into(), |extension| extension.to_string_lossy());
    format!("{}.{extension}", picture.id)
}

/// A list of labelled pictures, as the program reads them.
pub(super) fn list(station: &Station, folder: &Path, pictures: Vec<Picture>) -> Result<PathBuf, Fault> {
    let has = |label: &str| pictures.iter().any(|picture| picture.label == label);
    if !has("good") || !has("defective") {
        return Err(Fault::new(
            "conflict",
            "labelled images of both kinds are needed, good and defective; label some first",
        ));
    }
    let images = folder.join("images");
    let mut text = String::from("path,split,label\n");
    for picture in &pictures {
        if station.pictures.root().join(&picture.file).is_file() {
            text += &format!("images/{},test,{}\n", name_of(picture), picture.label);
        }
    }
    lay(station, &images, pictures)?;
    let list = folder.join("labelled.csv");
    std::fs::write(&list, text).map_err(|error| cannot_write(&list, &error))?;
    Ok(list)
}

/// Whether a job has left something to go on from.
pub(super) fn has_checkpoint(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_checkpoint(&entry.file_name()))
}

fn is_checkpoint(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("model.blemish.checkpoint")
}

/// Brings a checkpoint of an earlier job into the folder of a new one; whether there was any.
pub(super) fn take_checkpoint(before: &Path, folder: &Path) -> bool {
    let entries = std::fs::read_dir(before).into_iter().flatten().flatten();
    let mut has_any = false;
    for entry in entries.filter(|entry| is_checkpoint(&entry.file_name())) {
        has_any |= std::fs::rename(entry.path(), folder.join(entry.file_name())).is_ok();
    }
    has_any
}

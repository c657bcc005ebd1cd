//! What a job works with, in its own folder: pictures of the history, and what an earlier job has left.

use crate::fault::Fault;
use crate::station::Station;
use crate::station::feedback::Picture;
use crate::station::upload::cannot_write;
use std::path::{Path, PathBuf};

/// Makes a folder, unless it is there.
pub(super) fn make(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))
}

/// Lays pictures of the history into a folder: second names for them, which cost nothing, where the disk has such.
pub(super) fn lay(station: &Station, folder: &Path, pictures: Vec<Picture>) -> Result<(), Fault> {
    make(folder)?;
    for picture in pictures {
        let from = station.pictures.root().join(&picture.file);
        let to = folder.join(name_of(&picture));
        if std::fs::hard_link(&from, &to).is_err() {
            // One that retention has taken meanwhile is left out.
            let _ = std::fs::copy(&from, &to);
        }
    }
    Ok(())
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

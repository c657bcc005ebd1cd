//! What to do next, as lines to paste: quoted, and naming only what is there.

use crate::shell;
use blemish::data::{Dataset, Sample, files};
use blemish_report::shortened;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Scores images with a model, with pictures in a folder named after it.
pub fn predict(model: &Path, images: &Path) -> String {
    let stem = model.file_stem().unwrap_or(model.as_os_str()).to_string_lossy().into_owned();
    let pictures = shell::argument(Path::new(&format!("{}-pictures", shortened(stem, 200))));
    line([OsString::from("predict"), shell::argument(model), shell::argument(images), "-o".into(), pictures])
}

/// Fits on a set.
pub fn fit(data: &Path) -> String {
    line([OsString::from("fit"), shell::argument(data)])
}

/// Fits on clips.
pub fn fit_video(data: &Path) -> String {
    let method = ["--method", "mnad", "--set", "task=prediction"].map(OsString::from);
    line([OsString::from("fit"), shell::argument(data)].into_iter().chain(method))
}

/// Any command of this program.
pub fn line(arguments: impl IntoIterator<Item = OsString>) -> String {
    format!("next: {}", shell::command_line(arguments))
}

/// Images to try a model on: the folder of the test images, or of the good ones where there are no others; a single image where those lie
/// in no folder of their own.
pub fn images_of(dataset: &Dataset) -> Option<PathBuf> {
    let samples = if dataset.test.is_empty() { &dataset.train } else { &dataset.test };
    let first = &samples.first()?.path;
    let home = if dataset.root.is_dir() { Some(dataset.root.as_path()) } else { dataset.root.parent() };
    let shared = shared_folder(samples).filter(|folder| home.is_some_and(|home| folder.starts_with(home)));
    Some(shared.filter(|folder| folder.is_dir()).unwrap_or_else(|| first.clone()))
}

/// The deepest folder that all images are in.
fn shared_folder(samples: &[Sample]) -> Option<PathBuf> {
    let shared = files::shared_folder(samples.iter().map(|sample| sample.path.as_path()));
    (!shared.as_os_str().is_empty()).then_some(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_pasted() {
        let line = predict(Path::new("my models/it's.blemish"), Path::new("-set/test"));
        assert_eq!(
            line,
            r"next: blemish predict 'my models/it'\''s.blemish' ./-set/test -o 'it'\''s-pictures'"
        );
        assert_eq!(fit(Path::new("a b")), "next: blemish fit 'a b'");
    }

    #[test]
    fn images_lie_in_the_folder_that_all_share() {
        let shared = |paths: &[&str]| {
            let samples: Vec<Sample> = paths.iter().map(|path| Sample::unlabelled(Path::new(path))).collect();
            shared_folder(&samples)
        };
        assert_eq!(shared(&["set/test/good/1.png", "set/test/dent/1.png"]), Some("set/test".into()));
        assert_eq!(shared(&["set/1.png"]), Some("set".into()));
        assert_eq!(shared(&["1.png", "a/2.png"]), None);
    }
}

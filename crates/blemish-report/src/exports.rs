//! The regions of many images in the files of other programs.

use crate::annotations::{CocoExport, save_labelme};
use crate::error::ReportError;
use blemish_data::names::text_of;
use blemish_eval::Region;
use std::path::{Path, PathBuf};

/// A format of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One file of all images and regions, for evaluation tools: `coco.json`.
    Coco,
    /// A file an image, to look at and correct by hand: `labelme/NAME.json`.
    LabelMe,
}

/// Writes regions image by image, in any number of formats; the default writes nothing.
#[derive(Debug, Default)]
pub struct Exports {
    coco: Option<(PathBuf, CocoExport)>,
    labelme: Option<PathBuf>,
}

impl Exports {
    /// Files of these formats in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`ReportError::Io`] if the folder cannot be made.
    pub fn new(folder: &Path, formats: &[ExportFormat]) -> Result<Self, ReportError> {
        let coco = formats.contains(&ExportFormat::Coco);
        let labelme = formats.contains(&ExportFormat::LabelMe).then(|| folder.join("labelme"));
        if let Some(deepest) = labelme.as_deref().or(coco.then_some(folder)) {
            std::fs::create_dir_all(deepest).map_err(ReportError::io("create", deepest))?;
        }
        Ok(Self { coco: coco.then(|| (folder.join("coco.json"), CocoExport::default())), labelme })
    }

    /// Adds an image of (height, width) pixels with its regions. `name` is that of its LabelMe file, without an ending.
    ///
    /// COCO has the image's path as given. LabelMe opens the image from the folder of its own file: it has the path from the root where
    /// the image is a file, else what was given.
    ///
    /// # Errors
    /// [`ReportError::Io`] if a file cannot be written.
    pub fn add(
        &mut self,
        image: &Path,
        name: &str,
        size: (usize, usize),
        regions: &[Region],
    ) -> Result<(), ReportError> {
        if let Some((_, coco)) = &mut self.coco {
            coco.add(&text_of(image), size, regions);
        }
        if let Some(folder) = &self.labelme {
            let absolute = std::fs::canonicalize(image).unwrap_or_else(|_| image.to_owned());
            let path = folder.join(format!("{name}.json"));
            save_labelme(&path, &text_of(&absolute), size, regions)?;
        }
        Ok(())
    }

    /// Writes the files that hold all images.
    ///
    /// # Errors
    /// [`ReportError::Io`] if a file cannot be written.
    pub fn finish(self) -> Result<(), ReportError> {
        self.coco.map_or(Ok(()), |(path, coco)| coco.save(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_eval::{Frame, find_regions};
    use serde_json::Value;

    fn read(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// One region in an image of 20 x 30.
    fn export(folder: &Path, image: &Path, formats: &[ExportFormat]) {
        let frame = Frame { rows: 0..20, columns: 0..30 };
        let regions = find_regions(&[0.0, 0.0, 0.0, 0.0, 5.0, 4.0], (2, 3), 1.0, &frame, 0.0);
        let mut exports = Exports::new(folder, formats).unwrap();
        exports.add(image, "part-7", (20, 30), &regions).unwrap();
        exports.add(Path::new("camera"), "camera", (20, 30), &[]).unwrap();
        exports.finish().unwrap();
    }

    #[test]
    fn every_format_has_every_image() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("images/../images/7.png");
        std::fs::create_dir(folder.path().join("images")).unwrap();
        std::fs::write(&image, "").unwrap();
        let out = folder.path().join("out");
        export(&out, &image, &[ExportFormat::Coco, ExportFormat::LabelMe]);
        let coco = read(&out.join("coco.json"));
        assert_eq!(coco["images"][0]["file_name"], image.display().to_string());
        assert_eq!(coco["images"][1]["file_name"], "camera");
        assert_eq!(coco["annotations"].as_array().unwrap().len(), 1);
        let labelme = read(&out.join("labelme/part-7.json"));
        let opened = std::fs::canonicalize(&image).unwrap();
        assert_eq!(labelme["imagePath"], opened.display().to_string());
        assert_eq!(labelme["shapes"].as_array().unwrap().len(), 1);
        assert_eq!(read(&out.join("labelme/camera.json"))["imagePath"], "camera");
    }

    #[test]
    fn formats_that_were_not_asked_for_leave_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        export(&out, Path::new("7.png"), &[]);
        assert!(!out.exists());
        export(&out, Path::new("7.png"), &[ExportFormat::Coco]);
        assert!(out.join("coco.json").exists() && !out.join("labelme").exists());
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = Exports::new(&folder.path().join("file"), &[ExportFormat::LabelMe]).unwrap_err();
        assert!(error.to_string().contains("cannot create"), "{error}");
    }
}

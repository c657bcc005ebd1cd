//! Layouts that say everything by their folders: MVTec AD, and any folder of good images.

use super::dataset::{Dataset, Label, Layout, OpenOptions, Sample, category_name};
use super::scan;
use crate::error::{DataError, Skipped};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// An MVTec AD category: `train/good`, `test/<defect>`, `ground_truth/<defect>`.
pub(super) fn open_mvtec(root: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    let good = root.join("train").join(scan::GOOD);
    let train = if good.is_dir() { good_images(&good, &[])? } else { Vec::new() };
    let test_dir =
        options.test_dir.clone().or_else(|| Some(root.join("test")).filter(|folder| folder.is_dir()));
    let mask_dir =
        options.mask_dir.clone().or_else(|| Some(root.join("ground_truth")).filter(|folder| folder.is_dir()));
    assemble(root, Layout::Mvtec, train, test_dir.as_deref(), mask_dir.as_deref(), options)
}

/// Any folder of good images, with test and mask folders only if the options name them.
pub(super) fn open_plain(root: &Path, options: &OpenOptions) -> Result<Dataset, DataError> {
    // Defective images in a test folder below the good ones must not be learnt as good.
    let named = [&options.test_dir, &options.mask_dir].into_iter().flatten();
    let excluded: Vec<PathBuf> = named.filter_map(|folder| std::fs::canonicalize(folder).ok()).collect();
    let train = good_images(root, &excluded)?;
    assemble(root, Layout::Folder, train, options.test_dir.as_deref(), options.mask_dir.as_deref(), options)
}

fn good_images(folder: &Path, excluded: &[PathBuf]) -> Result<Vec<Sample>, DataError> {
    let images = scan::images_below(folder, excluded)?;
    if images.is_empty() {
        let reason = "it holds no images; supported are PNG, JPEG, BMP, TIFF and WebP";
        return Err(DataError::dataset(folder, reason));
    }
    Ok(images.into_iter().map(Sample::good).collect())
}

fn assemble(
    root: &Path,
    layout: Layout,
    train: Vec<Sample>,
    test_dir: Option<&Path>,
    mask_dir: Option<&Path>,
    options: &OpenOptions,
) -> Result<Dataset, DataError> {
    let mut skipped = Vec::new();
    let test = match test_dir {
        Some(folder) => test_samples(folder, mask_dir, options, &mut skipped)?,
        None => Vec::new(),
    };
    Ok(Dataset { root: root.to_path_buf(), layout, category: category_name(root), train, test, skipped })
}

/// The images of `test_dir/good` and `test_dir/<defect>`, the latter with their masks.
fn test_samples(
    test_dir: &Path,
    mask_dir: Option<&Path>,
    options: &OpenOptions,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for folder in scan::subfolders(test_dir)? {
        let defect = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let images = scan::images_in(&folder)?;
        if defect == scan::GOOD {
            samples.extend(images.into_iter().map(Sample::good));
            continue;
        }
        let masks = mask_dir.map(|folder| Masks::of(folder, &defect)).transpose()?;
        for path in images {
            let mask = match &masks {
                Some(masks) => masks.find(&path),
                None => Ok(None),
            };
            match mask {
                Ok(mask) => {
                    samples.push(Sample {
                        path,
                        label: Label::Defective,
                        defect: defect.clone(),
                        mask,
                        group: None,
                    });
                }
                Err(error) if options.skip_bad => skipped.push(Skipped { path, reason: error.to_string() }),
                Err(error) => return Err(error),
            }
        }
    }
    let loose = scan::images_in(test_dir)?;
    if !loose.is_empty() && samples.is_empty() {
        let reason = "its images have no labels; put them into `good` and folders named by defect";
        return Err(DataError::dataset(test_dir, reason));
    }
    if samples.is_empty() && options.test_dir.is_some() {
        return Err(DataError::dataset(
            test_dir,
            "it holds no `good` folder and no defect folders with images",
        ));
    }
    Ok(samples)
}

/// The masks of one kind of defect, by file name without extension.
struct Masks {
    folder: PathBuf,
    by_stem: HashMap<String, PathBuf>,
}

impl Masks {
    /// Masks in `mask_dir/<defect>`; where that does not exist, those directly in `mask_dir`.
    fn of(mask_dir: &Path, defect: &str) -> Result<Self, DataError> {
        let own = mask_dir.join(defect);
        let folder = if own.is_dir() { own } else { mask_dir.to_path_buf() };
        let files = scan::images_in(&folder)?;
        Ok(Self { folder, by_stem: files.into_iter().map(|path| (stem(&path), path)).collect() })
    }

    /// The mask of an image. A kind of defect without any masks has none; one image without among others is an error.
    fn find(&self, image: &Path) -> Result<Option<PathBuf>, DataError> {
        if self.by_stem.is_empty() {
            return Ok(None);
        }
        let name = stem(image);
        let expected = format!("{name}_mask");
        match self.by_stem.get(&expected).or_else(|| self.by_stem.get(&name)) {
            Some(path) => Ok(Some(path.clone())),
            None => Err(DataError::MissingMask {
                image: image.to_path_buf(),
                expected: self.folder.join(format!("{expected}.png")),
            }),
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

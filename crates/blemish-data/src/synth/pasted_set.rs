//! Good images and their defective twins as a labelled test set on disk.

use super::error::SynthError;
use super::paste::{PasteOptions, Pasted, eight_bits, paste_defect};
use super::write::{write_image, write_mask};
use crate::layout::{Dataset, Label, Layout, Sample};
use crate::progress::Answer;
use crate::reader::{Pixels, ReadOptions, RgbImage, read_image};
use crate::transform::Transform;
use rayon::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What to lay over every image.
#[derive(Clone, Debug)]
pub struct PastedSetOptions {
    /// Defective twins of every image.
    pub per_image: usize,
    /// Fixes everything.
    pub seed: u64,
    /// Images with a longer side are shrunk to it first, in pixels.
    pub longest_side: usize,
    /// How images are read.
    pub read: ReadOptions,
}

impl Default for PastedSetOptions {
    fn default() -> Self {
        Self { per_image: 6, seed: 0, longest_side: 1024, read: ReadOptions::default() }
    }
}

/// A test set of good images and their twins.
#[derive(Clone, Debug)]
pub struct PastedSet {
    /// The images to evaluate on; there are none to learn from.
    pub dataset: Dataset,
    /// For every test image the index of the good image it is or was made from.
    pub origin: Vec<usize>,
}

/// Strengths and sizes that twins take turns in: from hardly visible to obvious.
const STRENGTHS: [f32; 3] = [0.1, 0.35, 0.7];
const SIZES: [f32; 3] = [0.015, 0.035, 0.08];

/// Writes `test/good`, `test/<kind>` and `ground_truth/<kind>` under `out`, from the images of `good`.
///
/// The same images and options give the same bytes, on any number of threads. `progress` is called with the number of images done and may
/// stop the work.
///
/// # Errors
/// [`SynthError`] if an image cannot be read or written, or none shows anything that a defect could change.
pub fn write_pasted_set<A: Answer>(
    out: &Path,
    good: &[Sample],
    options: &PastedSetOptions,
    progress: &(dyn Fn(u64) -> A + Sync),
) -> Result<PastedSet, SynthError> {
    let folders = Pasted::ALL
        .iter()
        .flat_map(|kind| [out.join("test").join(kind.name()), out.join("ground_truth").join(kind.name())]);
    for folder in folders.chain([out.join("test/good")]) {
        std::fs::create_dir_all(&folder).map_err(SynthError::io("create", &folder))?;
    }
    let done = AtomicU64::new(0);
    let twins: Vec<Vec<Sample>> = good
        .par_iter()
        .enumerate()
        .map(|(index, sample)| {
            let made = write_twins(out, index, sample, options)?;
            match progress(done.fetch_add(1, Ordering::Relaxed) + 1).is_stop() {
                true => Err(SynthError::Interrupted),
                false => Ok(made),
            }
        })
        .collect::<Result<_, SynthError>>()?;
    let (mut test, mut origin) = (Vec::new(), Vec::new());
    for (index, samples) in twins.into_iter().enumerate() {
        origin.extend(samples.iter().map(|_| index));
        test.extend(samples);
    }
    let has_defects = test.iter().any(|sample| sample.label == Label::Defective);
    if let Some(first) = good.first().filter(|_| !has_defects) {
        return Err(SynthError::Blank { path: first.path.clone() });
    }
    let dataset = Dataset { test, ..Dataset::empty(out, Layout::Mvtec, "pasted") };
    Ok(PastedSet { dataset, origin })
}

fn write_twins(
    out: &Path,
    index: usize,
    sample: &Sample,
    options: &PastedSetOptions,
) -> Result<Vec<Sample>, SynthError> {
    let image = shrunk(read_image(&sample.path, &options.read)?, options.longest_side);
    let path = out.join("test/good").join(format!("{index:04}.png"));
    write_image(&path, &eight_bits(&image))?;
    let mut samples = vec![Sample::unlabelled(&path)];
    for twin in 0..options.per_image {
        // Every kind in turn, and for each kind every strength and size in turn.
        let number = index * options.per_image + twin;
        let kind = Pasted::ALL[number % Pasted::ALL.len()];
        let turn = number / Pasted::ALL.len();
        let paste = PasteOptions {
            kind,
            strength: STRENGTHS[turn % STRENGTHS.len()],
            size: SIZES[turn / STRENGTHS.len() % SIZES.len()],
            seed: options.seed,
            stream: number as u64,
        };
        let Some(made) = paste_defect(&image, &paste) else { continue };
        let name = format!("{index:04}-{twin}");
        let path = out.join("test").join(kind.name()).join(format!("{name}.png"));
        let mask = out.join("ground_truth").join(kind.name()).join(format!("{name}_mask.png"));
        write_image(&path, &made.image)?;
        write_mask(&mask, &made.mask)?;
        samples.push(Sample {
            path,
            label: Label::Defective,
            defect: kind.name().to_owned(),
            masks: vec![mask],
            group: None,
            category: None,
        });
    }
    Ok(samples)
}

/// The image with its longer side at most `longest` pixels.
fn shrunk(image: RgbImage, longest: usize) -> RgbImage {
    let side = image.height.max(image.width);
    if side <= longest {
        return image;
    }
    let scaled = |extent: usize| (extent * longest / side).max(1);
    let (height, width) = (scaled(image.height), scaled(image.width));
    let Ok(small) = Transform::resize_to(height, width).apply(&image) else { return image };
    let plane = height * width;
    let interleaved = (0..plane).flat_map(|at| [0, 1, 2].map(|c| small.pixels[c * plane + at])).collect();
    RgbImage { height, width, pixels: Pixels::F32(interleaved) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::{Generator, Look};

    #[test]
    fn every_image_has_its_twins_and_every_twin_its_mask() {
        let folder = tempfile::tempdir().unwrap();
        let generator = Generator::new(Look::Fabric, 0, (64, 96)).unwrap();
        let good: Vec<Sample> = (0..3)
            .map(|index| {
                let path = folder.path().join(format!("{index}.png"));
                write_image(&path, &generator.good(index)).unwrap();
                Sample::unlabelled(&path)
            })
            .collect();
        let options = PastedSetOptions { longest_side: 48, ..PastedSetOptions::default() };
        let out = folder.path().join("set");
        let set = write_pasted_set(&out, &good, &options, &|_| {}).unwrap();
        assert_eq!(set.origin.len(), set.dataset.test.len());
        assert_eq!(set.origin.iter().filter(|&&origin| origin == 2).count(), 7);
        let opened = crate::open_dataset(&out, &crate::OpenOptions::default()).unwrap();
        assert_eq!(opened.test.len(), 21);
        for sample in &opened.test {
            let image = read_image(&sample.path, &ReadOptions::default()).unwrap();
            assert_eq!((image.height, image.width), (32, 48));
            assert_eq!(!sample.masks.is_empty(), sample.label == Label::Defective);
        }
        let again = folder.path().join("again");
        write_pasted_set(&again, &good, &options, &|_| {}).unwrap();
        let bytes = |root: &Path| std::fs::read(root.join("test/blur/0001-4.png")).unwrap();
        assert_eq!(bytes(&out), bytes(&again));
    }
}

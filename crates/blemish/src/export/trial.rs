//! Images that a graph is tried on, and what the model itself makes of them.

use super::build::IMAGE;
use super::options::{Depth, ExportOptions, GraphImages, Layout};
use crate::config::ScoreOptions;
use crate::detector::Detector;
use crate::record::{Picture, pictures};
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_core::map::Scored;
use blemish_data::{ImageBatch, Pixels, RgbImage, Transform};
use blemish_features::executors::{Fed, FedTensor};

/// What lies outside the region of interest.
const OUTSIDE: f32 = 0.5;

/// Heights and widths of pictures for graphs that take any: a camera's, larger ones, wide ones, and odd ones beside the usual input size.
const SIZES: [(usize, usize); 6] =
    [(512, 640), (1920, 1080), (3000, 2000), (300, 100), (255, 257), (257, 255)];

/// An image as the graph takes it.
pub(super) struct Trial {
    pub(super) name: String,
    /// H and W of what goes in.
    pub(super) size: (usize, usize),
    pub(super) values: Values,
    /// The picture before the transform, where pictures go in.
    pub(super) picture: Option<RgbImage>,
    /// What the model makes of it.
    pub(super) scored: Scored,
}

/// What goes in.
#[derive(Clone, PartialEq)]
pub(super) enum Values {
    /// 3 x H x W.
    Planes(Vec<f32>),
    /// H x W x 3.
    Bytes(Vec<u8>),
    /// H x W x 3.
    Words(Vec<u16>),
}

impl Trial {
    /// The tensor of one image.
    pub(super) fn fed(&self) -> FedTensor<'_> {
        let (height, width) = self.size;
        match &self.values {
            Values::Planes(values) => {
                FedTensor { name: IMAGE, shape: vec![1, 3, height, width], values: Fed::F32(values) }
            }
            Values::Bytes(values) => {
                FedTensor { name: IMAGE, shape: vec![1, height, width, 3], values: Fed::U8(values) }
            }
            Values::Words(values) => {
                FedTensor { name: IMAGE, shape: vec![1, height, width, 3], values: Fed::U16(values) }
            }
        }
    }
}

/// The stored images of a model, or noise where it has none.
pub(super) fn stored(detector: &Detector, size: (usize, usize)) -> Result<Vec<Picture>, Error> {
    let stored = pictures(&detector.verification)?;
    Ok(if stored.is_empty() { vec![Picture::noise(size, None)] } else { stored })
}

/// Images for a graph of these options whose tensor has this size.
pub(super) fn trials(
    detector: &Detector,
    options: &ExportOptions,
    size: (usize, usize),
) -> Result<Vec<Trial>, Error> {
    let stored = stored(detector, size)?;
    let sizes = match options.images {
        GraphImages::Tensor => {
            return stored.iter().map(|picture| of_tensor(detector, picture, size)).collect();
        }
        GraphImages::Sized { height, width } => vec![(height, width); stored.len()],
        GraphImages::Any => {
            let own = stored.iter().map(|picture| (picture.height, picture.width));
            own.chain(SIZES).collect()
        }
    };
    let usable = |&(height, width): &(usize, usize)| {
        detector.model.views.iter().all(|view| view.transform().output_size(height, width).is_ok())
    };
    let sizes = sizes.into_iter().filter(usable).enumerate();
    sizes.map(|(at, size)| of_picture(detector, &stored[at % stored.len()], options, size)).collect()
}

/// An image as the transform leaves it.
pub(super) fn of_tensor(
    detector: &Detector,
    picture: &Picture,
    size: (usize, usize),
) -> Result<Trial, Error> {
    let name = picture.name.clone();
    if let Some(view) = detector.model.single() {
        let mut batch = picture.batch();
        if (batch.height, batch.width) != size {
            return Err(cannot(
                "the images that the model keeps of its fit have another size than its transform gives",
            ));
        }
        // What the graph paints again, it must find painted.
        if let Some(region) = &batch.region_of_interest {
            let cells = region.marked.len();
            for (at, value) in batch.pixels.iter_mut().enumerate() {
                if !region.marked[at % cells] {
                    *value = OUTSIDE;
                }
            }
        }
        let scored = view.score_batch(&batch, (&[], &[]))?.pop();
        let scored = scored.ok_or_else(|| Error::Score { reason: "the method returned nothing".into() })?;
        let ImageBatch { pixels, .. } = batch;
        return Ok(Trial { name, size, values: Values::Planes(pixels), picture: None, scored });
    }
    let image = picture.image();
    let planar = detector.transform().apply(&image).map_err(|fault| cannot(fault.to_string()))?;
    let scored = detector.score_image(&image, &ScoreOptions::default())?;
    let size = (planar.height, planar.width);
    Ok(Trial { name, size, values: Values::Planes(planar.pixels), picture: None, scored })
}

/// A picture of a size.
fn of_picture(
    detector: &Detector,
    picture: &Picture,
    options: &ExportOptions,
    (height, width): (usize, usize),
) -> Result<Trial, Error> {
    let image = resized(&picture.image(), (height, width), options.depth)?;
    let scored = detector.score_image(&image, &ScoreOptions::default())?;
    let values = match (&image.pixels, options.layout) {
        (Pixels::U8(values), Layout::Anomalib) => {
            Values::Planes(planes(values, |value| f32::from(value) / 255.0))
        }
        (Pixels::U16(values), Layout::Anomalib) => {
            Values::Planes(planes(values, |value| f32::from(value) / 65_535.0))
        }
        (Pixels::U8(values), Layout::Blemish) => Values::Bytes(values.clone()),
        (Pixels::U16(values), Layout::Blemish) => Values::Words(values.clone()),
        (Pixels::F32(_), _) => {
            return Err(cannot("its images are neither of 8 nor of 16 bit; use --input tensor"));
        }
    };
    let name = format!("{} as {width}x{height}", picture.name);
    Ok(Trial { name, size: (height, width), values, picture: Some(image), scored })
}

fn planes<T: Copy>(values: &[T], unit: impl Fn(T) -> f32) -> Vec<f32> {
    (0..3).flat_map(|channel| values[channel..].iter().step_by(3)).map(|&value| unit(value)).collect()
}

/// An image of another size and depth; words are spread over their whole range.
pub(super) fn resized(
    image: &RgbImage,
    (height, width): (usize, usize),
    depth: Depth,
) -> Result<RgbImage, Error> {
    let planar =
        Transform::resize_to(height, width).apply(image).map_err(|fault| cannot(fault.to_string()))?;
    let cells = height * width;
    let sample = |at: usize| depth.white() * planar.pixels[at % 3 * cells + at / 3];
    let pixels = match depth {
        Depth::Eight => Pixels::U8((0..3 * cells).map(|at| sample(at).round() as u8).collect()),
        // Low bits that bytes would not have.
        Depth::Sixteen => Pixels::U16(
            (0..3 * cells)
                .map(|at| (sample(at).round() as u16).wrapping_add((at * 37 % 200) as u16).max(1))
                .collect(),
        ),
    };
    Ok(RgbImage { height, width, pixels })
}

//! Proof that a deployed model scores as the fitted one did.
//!
//! A fit stores a few images (after the transform, as lossless pictures; before it for a model that looks at tiles, at several sizes or
//! through several backbones, which takes images only), and what it made of them: image scores and coarse anomaly maps.
//! [`Detector::verify`] scores them again, wherever the file has come to, and compares. One image of noise, made by rule and not
//! stored, reaches what good images never touch. A digest of the model's content finds alterations that happen to leave these scores
//! alone, even where the file's checksum was made to fit.
//!
//! Scores of the native engine must agree to the last bit. Other engines and devices sum in another order; their scores and maps may
//! differ by [`TOLERANCE`] of the image's highest map value.

use crate::detector::{Detector, ScoreOptions};
use crate::view::View;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_data::digest::hexadecimal;
use blemish_data::transform::{MAXIMUM_SIDE, PlanarImage};
use blemish_data::{ImageBatch, Mask, Pixels, RgbImage, Sample, Transform, png, read_image, read_size};
use blemish_features::{Engine, EngineOptions};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Prefix of the record's tensors in a model file.
pub(crate) const PREFIX: &str = "verification.";

/// Largest difference, as a share of an image's highest map value, that other engines and devices are allowed.
pub const TOLERANCE: f64 = 1e-3;

/// Training images that are stored.
const STORED: usize = 2;

/// Bytes that the stored images may take together.
const BUDGET: usize = 400_000;

/// Pixels that a stored image may have, and noise where the model leaves a choice.
const LARGEST: usize = SIDE * SIDE;

/// Side of noise in place of a larger image.
const SIDE: usize = 1024;

/// Cells of a coarse map, each way.
const COARSE: usize = 8;

/// What verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Each image of the record.
    pub images: Vec<VerifiedImage>,
    /// Whether method, backbone, transform and every tensor are those that the fit wrote.
    pub is_content_intact: bool,
    /// Whether scores had to agree to the last bit: both the fit's and this engine were the native one.
    pub is_exact: bool,
    /// Largest difference allowed, as a share of the highest map value; 0 where scores must agree to the last bit.
    pub tolerance: f64,
    /// Whether all of it holds.
    pub passed: bool,
}

/// An image of the record, scored again.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedImage {
    /// `training image 1`, ..., `noise`.
    pub name: String,
    /// Score at fit time.
    pub recorded: f32,
    /// Score now.
    pub score: f32,
    /// Largest difference of score or map, as a share of the recorded map's highest value.
    pub difference: f64,
    /// Whether the image is, bit for bit, the one that the fit scored.
    pub is_image_intact: bool,
}

impl Detector {
    /// Scores the images of the verification record again and compares. `engine` is what this detector was loaded with.
    ///
    /// # Errors
    /// [`Error::Living`] if the model has no record; [`Error::State`] if the record is damaged; else as [`Self::score`].
    pub fn verify(&self, engine: &EngineOptions) -> Result<Verified, Error> {
        let record = &self.verification;
        if record.tensors().is_empty() {
            let reason =
                "the model has no verification record, it was written by an older program; fit it again"
                    .into();
            return Err(Error::Living { action: "verify", reason });
        }
        let (_, scores) = record.f32("scores", 1)?;
        let (shape, maps) = record.f32("maps", 2)?;
        let (_, digests) = record.u8("digests", 2)?;
        let (_, content) = record.u8("content", 1)?;
        let (_, native) = record.u8("native", 1)?;
        let pictures = pictures(record)?;
        if scores.len() != pictures.len() || shape[0] != scores.len() || digests.len() != 32 * scores.len() {
            let reason = "does not hold one score, map and digest an image".into();
            return Err(StateError { name: format!("{PREFIX}scores"), reason }.into());
        }
        let mut images = Vec::new();
        for (at, picture) in pictures.iter().enumerate() {
            let (score, map) = picture.score(self)?;
            let recorded = &maps[at * shape[1]..][..shape[1]];
            images.push(VerifiedImage {
                name: picture.name.clone(),
                recorded: scores[at],
                score,
                difference: difference((scores[at], recorded), (score, &map)),
                is_image_intact: sha256([&picture.planes[..]])[..] == digests[32 * at..][..32],
            });
        }
        let is_content_intact = self.content()[..] == content[..];
        let is_exact = native[..] == [1] && self.is_native(engine);
        let tolerance = if is_exact { 0.0 } else { TOLERANCE };
        let close = images.iter().all(|image| image.is_image_intact && image.difference <= tolerance);
        Ok(Verified { images, is_content_intact, is_exact, tolerance, passed: close && is_content_intact })
    }

    /// Whether nothing but our own deterministic kernels makes the scores.
    fn is_native(&self, engine: &EngineOptions) -> bool {
        let is_onnx = self.backbones.iter().any(|backbone| backbone.name() == crate::backbone_file::ONNX);
        !is_onnx && matches!(engine.engine, Engine::Auto | Engine::Native) && engine.device.is_cpu()
    }

    /// SHA-256 of what makes this model: method, backbones, transform, and the method's tensors.
    ///
    /// Settings are left out, since later programs add some; what they do shows in the scores.
    pub(crate) fn content(&self) -> [u8; 32] {
        let mut backbones = self.backbones.iter().map(|backbone| backbone.digest());
        let backbone = backbones.next().unwrap_or_default();
        // Transforms and views are plain values, which always serialise.
        let input = match self.whole() {
            Some(_) => serde_json::to_string(&**self.transform()),
            None => serde_json::to_string(&self.views.iter().map(View::header).collect::<Vec<_>>()),
        };
        let input = input.unwrap_or_default();
        let mut digest = Sha256::new();
        for text in [self.entry.info().name, backbone, &input].into_iter().chain(backbones) {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
        for (name, tensor) in self.tensors().tensors() {
            digest.update(format!("{name} {:?}", tensor.shape).as_bytes());
            digest.update(tensor.values.bytes());
        }
        digest.finalize().into()
    }

    /// SHA-256, in hexadecimal, that tells this model from every other: what its verification record states of its content.
    pub fn identity(&self) -> String {
        match self.verification.u8("content", 1) {
            Ok((_, content)) => hexadecimal(&content),
            Err(_) => hexadecimal(&self.content()),
        }
    }
}

/// Makes the record of a new detector from a few of its training images.
///
/// # Errors
/// As [`Detector::score`].
pub(crate) fn record(detector: &Detector, train: &[Sample], engine: &EngineOptions) -> Result<State, Error> {
    let mut pictures: Vec<Picture> = Vec::new();
    let transform = match detector.whole() {
        Some(_) => (**detector.transform()).clone(),
        None => Transform::native(),
    };
    let read = detector.transform().read_options();
    let size = |sample: &Sample| {
        let (height, width) = read_size(&sample.path, &read).ok()?;
        transform.output_size(height, width).ok()
    };
    // The first and the middle one; where they cannot be used, what comes next.
    for start in [0, train.len() / STORED] {
        let usable = train[start.min(train.len())..].iter().take(8).find_map(|sample| {
            size(sample).filter(|(height, width)| height * width <= LARGEST)?;
            let image = read_image(&sample.path, &read).ok()?;
            let picture = Picture::of(&transform.apply(&image).ok()?, pictures.len() + 1);
            let taken: usize = pictures.iter().map(|picture| picture.bytes.len()).sum();
            let is_new = pictures.iter().all(|other| other.planes != picture.planes);
            let fits = pictures.first().is_none_or(|first| first.is_alike(&picture));
            (is_new && fits && taken + picture.bytes.len() <= BUDGET).then_some(picture)
        });
        pictures.extend(usable);
    }
    // Where no image is small enough, noise of its size has to do.
    if let Some(first) = pictures.first() {
        pictures.push(Picture::noise((first.height, first.width), first.region.clone()));
    } else if let Some(size) = train.iter().find_map(size).and_then(|size| noise_size(detector, size)) {
        pictures.push(Picture::noise(size, None));
    }
    store(detector, &pictures, engine)
}

/// The size of noise for a detector of images of `size`; `None` where there is no way but a huge one.
fn noise_size(detector: &Detector, size: (usize, usize)) -> Option<(usize, usize)> {
    let small = (size.0.min(SIDE), size.1.min(SIDE));
    match detector.views.iter().all(|view| view.takes(small)) {
        true => Some(small),
        false => (size.0.max(size.1) <= MAXIMUM_SIDE).then_some(size),
    }
}

/// Makes the record of a detector that came from others, from the images that their records hold.
///
/// # Errors
/// As [`record`].
pub(crate) fn renew(detector: &Detector, records: &[&State], engine: &EngineOptions) -> Result<State, Error> {
    let mut chosen: Vec<Picture> = Vec::new();
    let mut of_parts = records.iter().map(|record| pictures(record)).collect::<Result<Vec<_>, _>>()?;
    of_parts.retain(|pictures| !pictures.is_empty());
    let noise = of_parts.first_mut().and_then(Vec::pop);
    // The first image of every part, then the second ones.
    for nth in 0..STORED {
        for part in &of_parts {
            let Some(picture) = part.get(nth).filter(|picture| picture.name != NOISE) else { continue };
            let is_new = chosen.iter().all(|other| other.planes != picture.planes);
            if chosen.len() < STORED && is_new && chosen.first().is_none_or(|first| first.is_alike(picture)) {
                chosen.push(Picture { name: name(chosen.len() + 1), ..picture.clone() });
            }
        }
    }
    chosen.extend(noise);
    store(detector, &chosen, engine)
}

/// Scores pictures and keeps what came of it.
fn store(detector: &Detector, pictures: &[Picture], engine: &EngineOptions) -> Result<State, Error> {
    let mut state = State::default();
    let (mut scores, mut maps, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    for (at, picture) in pictures.iter().enumerate() {
        let (score, map) = picture.score(detector)?;
        scores.push(score);
        maps.extend(map);
        digests.extend(sha256([&picture.planes[..]]));
        if picture.name == NOISE {
            state.set_u32("noise", &[2], vec![picture.height as u32, picture.width as u32]);
        } else {
            state.set_u8(&format!("image.{at}"), &[picture.bytes.len()], picture.bytes.clone());
        }
    }
    if let Some(region) = pictures.iter().find_map(|picture| picture.region.as_deref()) {
        let planes: Vec<u8> =
            region.marked.iter().map(|&inside| u8::from(inside)).collect::<Vec<_>>().repeat(3);
        let bytes = png::encode_planar(&planes, region.height, region.width).unwrap_or_default();
        state.set_u8("region", &[bytes.len()], bytes);
    }
    let count = scores.len();
    state.set_f32("maps", &[count, maps.len() / count.max(1)], maps);
    state.set_f32("scores", &[count], scores);
    state.set_u8("digests", &[count, 32], digests);
    state.set_u8("native", &[1], vec![u8::from(detector.is_native(engine))]);
    state.set_u8("content", &[32], detector.content().to_vec());
    Ok(state)
}

/// The images of a record in their order, the noise last.
fn pictures(record: &State) -> Result<Vec<Picture>, Error> {
    let damaged = |name: &str, reason: String| StateError { name: format!("{PREFIX}{name}"), reason };
    let mut region = None;
    if record.has("region") {
        let (planes, height, width) =
            png::decode_planar(&record.u8("region", 1)?.1).map_err(|reason| damaged("region", reason))?;
        let marked = planes[..height * width].iter().map(|&inside| inside > 0).collect();
        region = Some(Arc::new(Mask { height, width, marked }));
    }
    let mut pictures: Vec<Picture> = Vec::new();
    for at in 0..STORED {
        let tensor = format!("image.{at}");
        if record.has(&tensor) {
            let bytes = record.u8(&tensor, 1)?.1.to_vec();
            let (planes, height, width) =
                png::decode_planar(&bytes).map_err(|reason| damaged(&tensor, reason))?;
            pictures.push(Picture {
                name: name(at + 1),
                height,
                width,
                planes,
                bytes,
                region: region.clone(),
            });
        }
    }
    if record.has("noise") {
        let (_, size) = record.u32("noise", 1)?;
        let largest = MAXIMUM_SIDE as u32;
        match size[..] {
            [height, width] if (1..=largest).contains(&height) && (1..=largest).contains(&width) => {
                pictures.push(Picture::noise((height as usize, width as usize), region.clone()));
            }
            _ => return Err(damaged("noise", "does not hold a height and a width".into()).into()),
        }
    }
    let fits = |picture: &Picture| {
        picture
            .region
            .as_ref()
            .is_none_or(|mask| (mask.height, mask.width) == (picture.height, picture.width))
    };
    match pictures.iter().all(fits) {
        true => Ok(pictures),
        false => Err(damaged("region", "has another size than the images".into()).into()),
    }
}

const NOISE: &str = "noise";

fn name(number: usize) -> String {
    format!("training image {number}")
}

/// An image as the method sees it, in bytes.
#[derive(Clone)]
struct Picture {
    name: String,
    height: usize,
    width: usize,
    /// 3 x height x width, red first.
    planes: Vec<u8>,
    /// As PNG; empty for noise.
    bytes: Vec<u8>,
    region: Option<Arc<Mask>>,
}

impl Picture {
    fn of(image: &PlanarImage, number: usize) -> Self {
        let (height, width) = (image.height, image.width);
        let planes: Vec<u8> = image.pixels.iter().map(|value| (255.0 * value).round() as u8).collect();
        // A transformed image always has three planes of its size.
        let bytes = png::encode_planar(&planes, height, width).unwrap_or_default();
        Self { name: name(number), height, width, planes, bytes, region: image.region_of_interest.clone() }
    }

    /// Bytes of ChaCha8 with seed 0.
    fn noise((height, width): (usize, usize), region: Option<Arc<Mask>>) -> Self {
        let mut planes = vec![0; 3 * height * width];
        ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut planes);
        Self { name: NOISE.into(), height, width, planes, bytes: Vec::new(), region }
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.height, self.width, &self.region) == (other.height, other.width, &other.region)
    }

    fn batch(&self) -> ImageBatch {
        ImageBatch {
            count: 1,
            height: self.height,
            width: self.width,
            pixels: self.planes.iter().map(|&value| f32::from(value) / 255.0).collect(),
            region_of_interest: self.region.clone(),
        }
    }

    fn image(&self) -> RgbImage {
        let cells = self.height * self.width;
        let pixels = (0..3 * cells).map(|at| self.planes[at % 3 * cells + at / 3]).collect();
        RgbImage { height: self.height, width: self.width, pixels: Pixels::U8(pixels) }
    }

    /// Its score and coarse map: means over a grid of cells, the highest value last.
    fn score(&self, detector: &Detector) -> Result<(f32, Vec<f32>), Error> {
        let scored = match detector.whole() {
            Some(_) => detector.score(&self.batch())?.pop(),
            None => Some(detector.score_image(&self.image(), &ScoreOptions::default())?),
        };
        let scored = scored.ok_or_else(|| Error::Score { reason: "the method returned nothing".into() })?;
        let map = scored.map;
        let mut coarse = Vec::with_capacity(COARSE * COARSE + 1);
        for cell in 0..COARSE * COARSE {
            let span = |at: usize, side: usize| at * side / COARSE..((at + 1) * side).div_ceil(COARSE);
            let (rows, columns) = (span(cell / COARSE, map.height), span(cell % COARSE, map.width));
            let count = (rows.len() * columns.len()).max(1) as f64;
            let row =
                |y: usize| map.values[y * map.width..][columns.clone()].iter().map(|&value| f64::from(value));
            coarse.push((rows.flat_map(row).sum::<f64>() / count) as f32);
        }
        coarse.push(map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        Ok((scored.score, coarse))
    }
}

/// Largest difference of score or map, as a share of the recorded map's largest absolute value; infinite where there is no number.
fn difference(recorded: (f32, &[f32]), now: (f32, &[f32])) -> f64 {
    let scale = recorded.1.iter().fold(recorded.0.abs(), |most, value| most.max(value.abs()));
    let pairs = recorded.1.iter().zip(now.1).chain([(&recorded.0, &now.0)]);
    let apart = pairs.map(|(a, b)| if a == b { 0.0 } else { (f64::from(*a) - f64::from(*b)).abs() });
    let largest =
        apart.fold(0.0, |most: f64, apart| if apart.is_nan() { f64::INFINITY } else { most.max(apart) });
    if recorded.1.len() != now.1.len() {
        f64::INFINITY
    } else if largest == 0.0 {
        0.0
    } else {
        largest / f64::from(scale)
    }
}

/// SHA-256 over all parts.
pub(crate) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

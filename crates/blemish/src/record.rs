//! The verification record of a model: a few images, made into pictures, and what the model made of them at fit time.
//!
//! Stored are a few training images (after the transform, as lossless pictures; before it for a model that looks at tiles, at several
//! sizes or through several backbones, which takes images only), their scores and coarse anomaly maps. One image of noise, made by rule
//! and not stored, reaches what good images never touch. Beside the scores it holds what the calibration makes of them (see `recorded`).

use crate::config::ScoreOptions;
use crate::model::Model;
use crate::recorded;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_data::transform::{MAXIMUM_SIDE, PlanarImage};
use blemish_data::{Facts, ImageBatch, Label, Mask, Pixels, RgbImage, Source, Transform, png};
use blemish_eval::Calibration;
use blemish_features::EngineOptions;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Prefix of the record's tensors in a model file.
pub(crate) const PREFIX: &str = "verification.";

/// Training images that are stored.
const STORED: usize = 2;

/// Bytes that the stored images may take together.
const BUDGET: usize = 400_000;

/// Pixels that a stored image may have, and noise where the model leaves a choice.
const LARGEST: usize = SIDE * SIDE;

/// Side of noise in place of a larger image.
const SIDE: usize = 1024;

/// Height and width of what noise is made from for a model that was fitted without images.
const UNSEEN: (usize, usize) = (256, 256);

/// Cells of a coarse map, each way.
const COARSE: usize = 8;

/// Makes the record of a new detector from a few of its training images.
///
/// # Errors
/// As scoring.
pub(crate) fn record(model: &Model, train: &dyn Source, engine: &EngineOptions) -> Result<State, Error> {
    let mut pictures: Vec<Picture> = Vec::new();
    let transform = match model.single() {
        Some(view) => (**view.transform()).clone(),
        None => Transform::native(),
    };
    let read = model.transform().read_options();
    let size = |image: usize| {
        let (height, width) = train.size(image, &read).ok()?;
        transform.output_size(height, width).ok()
    };
    // The first and the middle one; where they cannot be used, what comes next.
    for start in [0, train.len() / STORED] {
        let usable = (start..train.len()).take(8).find_map(|image| {
            size(image).filter(|(height, width)| height * width <= LARGEST)?;
            let pixels = train.read(image, &read).ok()?;
            let category = match train.categories() {
                [] | [_] => None,
                several => several.get(train.facts(image).category).cloned(),
            };
            let picture = Picture::of(&transform.apply(&pixels).ok()?, pictures.len() + 1, category);
            let taken: usize = pictures.iter().map(|picture| picture.bytes.len()).sum();
            let is_new = pictures.iter().all(|other| other.planes != picture.planes);
            let fits = pictures.first().is_none_or(|first| first.is_alike(&picture));
            (is_new && fits && taken + picture.bytes.len() <= BUDGET).then_some(picture)
        });
        pictures.extend(usable);
    }
    // Where no image is small enough, noise of its size has to do.
    if let Some(first) = pictures.first() {
        let noise = Picture::noise((first.height, first.width), first.region.clone());
        pictures.push(Picture { category: first.category.clone(), ..noise });
    } else {
        let unseen = || transform.output_size(UNSEEN.0, UNSEEN.1).ok().filter(|_| train.is_empty());
        let size = (0..train.len()).find_map(size).or_else(unseen);
        pictures.extend(size.and_then(|size| noise_size(model, size)).map(|size| Picture::noise(size, None)));
    }
    store(model, &pictures, engine)
}

/// The size of noise for a detector of images of `size`; `None` where it would be huge.
fn noise_size(model: &Model, size: (usize, usize)) -> Option<(usize, usize)> {
    let small = (size.0.min(SIDE), size.1.min(SIDE));
    match model.views.iter().all(|view| view.takes(small)) {
        true => Some(small),
        false => (size.0.max(size.1) <= MAXIMUM_SIDE).then_some(size),
    }
}

/// Makes the record of a detector that came from others, from the images that their records hold.
///
/// # Errors
/// As [`record`].
pub(crate) fn renew(model: &Model, records: &[&State], engine: &EngineOptions) -> Result<State, Error> {
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
    store(model, &chosen, engine)
}

/// Scores pictures and keeps what came of it.
fn store(model: &Model, pictures: &[Picture], engine: &EngineOptions) -> Result<State, Error> {
    let mut state = State::default();
    let (mut scores, mut maps, mut digests) = (Vec::new(), Vec::new(), Vec::new());
    for (at, picture) in pictures.iter().enumerate() {
        let (score, map) = picture.score(model)?;
        scores.push(score);
        maps.extend(map);
        digests.extend(sha256([&picture.planes[..]]));
        if picture.name == NOISE {
            state.set_u32("noise", &[2], vec![picture.height as u32, picture.width as u32]);
        } else {
            state.set_u8(&format!("image.{at}"), &[picture.bytes.len()], picture.bytes.clone());
        }
        if let Some(category) = &picture.category {
            let place = if picture.name == NOISE { NOISE.to_owned() } else { at.to_string() };
            state.set_u8(&format!("category.{place}"), &[category.len()], category.as_bytes().to_vec());
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
    state.set_u8("native", &[1], vec![u8::from(model.is_native(engine))]);
    state.set_u8("content", &[32], model.content().to_vec());
    decide(&mut state, None)?;
    Ok(state)
}

/// Writes into a record what a calibration, or none, makes of its scores.
///
/// # Errors
/// [`Error::State`] for a damaged record.
pub(crate) fn decide(record: &mut State, calibration: Option<&Calibration>) -> Result<(), Error> {
    if record.tensors().is_empty() {
        return Ok(());
    }
    let categories: Vec<Option<String>> =
        pictures(record)?.into_iter().map(|picture| picture.category).collect();
    let (_, scores) = record.f32("scores", 1)?;
    recorded::write(record, calibration, &scores, &categories);
    Ok(())
}

/// The images of a record in their order, the noise last.
pub(crate) fn pictures(record: &State) -> Result<Vec<Picture>, Error> {
    let damaged = |name: &str, reason: String| StateError { name: format!("{PREFIX}{name}"), reason };
    let mut region = None;
    if record.has("region") {
        let (planes, height, width) =
            png::decode_planar(&record.u8("region", 1)?.1).map_err(|reason| damaged("region", reason))?;
        let marked = planes[..height * width].iter().map(|&inside| inside > 0).collect();
        region = Some(Arc::new(Mask { height, width, marked }));
    }
    let category = |place: &str| -> Result<Option<String>, StateError> {
        let name = format!("category.{place}");
        if !record.has(&name) {
            return Ok(None);
        }
        let bytes = record.u8(&name, 1)?.1.to_vec();
        String::from_utf8(bytes).map(Some).map_err(|_| damaged(&name, "does not hold a name".into()))
    };
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
                category: category(&at.to_string())?,
            });
        }
    }
    if record.has("noise") {
        let (_, size) = record.u32("noise", 1)?;
        let largest = MAXIMUM_SIDE as u32;
        match size[..] {
            [height, width] if (1..=largest).contains(&height) && (1..=largest).contains(&width) => {
                let noise = Picture::noise((height as usize, width as usize), region.clone());
                pictures.push(Picture { category: category(NOISE)?, ..noise });
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
pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// 3 x height x width, red first.
    pub(crate) planes: Vec<u8>,
    /// As PNG; empty for noise.
    bytes: Vec<u8>,
    region: Option<Arc<Mask>>,
    /// Of several.
    pub(crate) category: Option<String>,
}

impl Picture {
    fn of(image: &PlanarImage, number: usize, category: Option<String>) -> Self {
        let (height, width) = (image.height, image.width);
        let planes: Vec<u8> = image.pixels.iter().map(|value| (255.0 * value).round() as u8).collect();
        // A transformed image always has three planes of its size.
        let bytes = png::encode_planar(&planes, height, width).unwrap_or_default();
        let region = image.region_of_interest.clone();
        Self { name: name(number), height, width, planes, bytes, region, category }
    }

    /// Bytes of ChaCha8 with seed 0.
    pub(crate) fn noise((height, width): (usize, usize), region: Option<Arc<Mask>>) -> Self {
        let mut planes = vec![0; 3 * height * width];
        ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut planes);
        Self { name: NOISE.into(), height, width, planes, bytes: Vec::new(), region, category: None }
    }

    fn is_alike(&self, other: &Self) -> bool {
        (self.height, self.width, &self.region) == (other.height, other.width, &other.region)
    }

    pub(crate) fn batch(&self) -> ImageBatch {
        let pixels = self.planes.iter().map(|&value| f32::from(value) / 255.0).collect();
        ImageBatch::new(1, self.height, self.width, pixels, self.region.clone())
    }

    pub(crate) fn image(&self) -> RgbImage {
        let cells = self.height * self.width;
        let pixels = (0..3 * cells).map(|at| self.planes[at % 3 * cells + at / 3]).collect();
        RgbImage { height: self.height, width: self.width, pixels: Pixels::U8(pixels) }
    }

    /// Its score and coarse map: means over a grid of cells, the highest value last.
    pub(crate) fn score(&self, model: &Model) -> Result<(f32, Vec<f32>), Error> {
        let facts = Facts::new(self.name.clone(), Label::Unknown);
        let categories: Vec<String> = self.category.iter().cloned().collect();
        // Of an image without a category nothing is known.
        let known = (!categories.is_empty()).then_some((&facts, &categories[..]));
        let scored = match model.single() {
            Some(view) => {
                let facts: Vec<&Facts> = known.iter().map(|(facts, _)| *facts).collect();
                view.score_batch(&self.batch(), (&facts, &categories))?.pop()
            }
            None => Some(model.score_known(&self.image(), known, &ScoreOptions::default())?),
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

/// SHA-256 over all parts.
pub(crate) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.into_iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}

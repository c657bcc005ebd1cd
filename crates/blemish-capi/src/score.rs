//! From an image to a result.

use crate::detector::{BlemishDetector, bytes};
use crate::error::BlemishError;
use crate::guard::{give, run};
use crate::image::{Image, image_of};
use crate::observer::{Cancel, CancelFlag};
use crate::result::BlemishResult;
use crate::sized::{self, sized};
use crate::status::{Fault, Status};
use crate::text::{optional, path};
use blemish::data::names::text_of;
use blemish::data::{RgbImage, decode_image, read_image};
use blemish::{AnomalyMap, ScoreOptions, Verdict};
use std::ffi::{c_char, c_void};

/// What an image without a name is called in JSON.
const UNNAMED: &str = "image";

/// How an image is scored. All zero is the default.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Scoring {
    /// sizeof(blemish_score_options).
    pub struct_size: u32,
    /// Not 0: the result has the anomaly map.
    pub want_map: i32,
    /// Regions under so many pixels of the image are left out.
    pub min_area: f64,
    /// Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
    pub cancel: *const CancelFlag,
    /// Judge by the thresholds of this category, where the model has several. NULL: by those of all.
    pub category: *const c_char,
}

sized!(Scoring = "blemish_score_options");

/// What the options say.
pub struct Wanted<'a> {
    pub cancel: Cancel,
    pub minimum_area: f64,
    pub category: Option<&'a str>,
    want_map: bool,
}

impl Wanted<'_> {
    /// No map, every region.
    pub const PLAIN: Self =
        Self { cancel: Cancel(std::ptr::null()), minimum_area: 0.0, category: None, want_map: false };

    /// What the caller's options say, if there are any.
    ///
    /// # Safety
    /// `options` is NULL or a blemish_score_options whose pointers are NULL or live during the call.
    unsafe fn of(options: *const Scoring) -> Result<Self, Fault> {
        // Safety: the caller's promise.
        unsafe {
            let Some(options) = sized::read(options)? else { return Ok(Self::PLAIN) };
            let Scoring { want_map, min_area, cancel, category, .. } = options;
            if !(min_area >= 0.0 && min_area.is_finite()) {
                return Err(Fault::usage(format!(
                    "min_area is {min_area}; give a number of pixels, 0 for every region"
                )));
            }
            Ok(Self {
                cancel: Cancel(cancel),
                minimum_area: min_area,
                category: optional(category, "category")?,
                want_map: want_map != 0,
            })
        }
    }
}

/// Scores an image, whose values are as the model reads them, and judges it.
pub fn judge(
    handle: &BlemishDetector,
    name: &str,
    image: &RgbImage,
    wanted: &Wanted<'_>,
) -> Result<(Verdict, AnomalyMap), Fault> {
    let Wanted { cancel, minimum_area, category, .. } = *wanted;
    let size = (image.height, image.width);
    // Between batches of tiles it is asked whether to go on: one tile at a time where somebody may say no.
    let batch_size = if cancel.is_given() { 1 } else { ScoreOptions::default().batch_size };
    handle.work(cancel, |detector| {
        let options = ScoreOptions { batch_size, observer: &cancel, ..ScoreOptions::default() };
        let scored = detector.score_image(image, &options)?;
        let verdict = match category {
            Some(category) => detector.verdict_in(category, name, &scored, size, minimum_area)?,
            None => detector.verdict(name, &scored, size, minimum_area)?,
        };
        Ok((verdict, scored.map))
    })
}

/// The same as a result for the caller.
fn result(
    handle: &BlemishDetector,
    name: &str,
    image: &RgbImage,
    wanted: &Wanted<'_>,
) -> Result<*mut BlemishResult, Fault> {
    let (verdict, map) = judge(handle, name, image, wanted)?;
    Ok(Box::into_raw(BlemishResult::new(verdict, wanted.want_map.then_some(map))?))
}

/// Scores pixels in memory, which are copied once. options may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_score(
    detector: *const BlemishDetector,
    image: *const Image,
    options: *const Scoring,
    out: *mut *mut BlemishResult,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let handle = BlemishDetector::of(detector)?;
                let wanted = Wanted::of(options)?;
                let image = image_of(image, &handle.read)?;
                result(handle, UNNAMED, &*image.as_read(&handle.read)?, &wanted)
            })
        })
    }
}

/// Scores the bytes of a PNG, JPEG, TIFF, BMP, WebP, PNM or GIF file. options may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_score_encoded(
    detector: *const BlemishDetector,
    data: *const c_void,
    length: usize,
    options: *const Scoring,
    out: *mut *mut BlemishResult,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let handle = BlemishDetector::of(detector)?;
                let wanted = Wanted::of(options)?;
                result(handle, UNNAMED, &decode_image(bytes(data, length)?, &handle.read)?, &wanted)
            })
        })
    }
}

/// Scores an image file. options may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_score_file(
    detector: *const BlemishDetector,
    path: *const c_char,
    options: *const Scoring,
    out: *mut *mut BlemishResult,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let handle = BlemishDetector::of(detector)?;
                let (path, wanted) = (self::path(path, "path")?, Wanted::of(options)?);
                result(handle, &text_of(&path), &read_image(&path, &handle.read)?, &wanted)
            })
        })
    }
}

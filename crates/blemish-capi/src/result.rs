//! What the library says of an image, to look up field by field.

use crate::guard::{looked_up, run};
use crate::sized::{self, sized};
use crate::status::{Fault, Status};
use crate::text::{c_string, null};
use blemish::{AnomalyMap, Verdict};
use std::ffi::{CString, c_char};

/// What a detector says of an image. Free it with blemish_result_free.
pub struct BlemishResult {
    verdict: Verdict,
    map: Option<AnomalyMap>,
    json: CString,
}

/// Where the anomaly map lies above the pixel threshold, in pixels of the image.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Region {
    /// sizeof(blemish_region), set by the caller.
    pub struct_size: u32,
    /// The box: first column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Where its highest score is: column.
    pub peak_x: u32,
    /// Row.
    pub peak_y: u32,
    /// Its highest score.
    pub peak_score: f32,
    /// Centre of mass: from the left edge.
    pub centroid_x: f64,
    /// From the upper edge.
    pub centroid_y: f64,
    /// Area in pixels.
    pub area: f64,
    /// Mean of its scores.
    pub mean_score: f64,
}

sized!(Region = "blemish_region");

impl BlemishResult {
    pub fn new(verdict: Verdict, map: Option<AnomalyMap>) -> Result<Box<Self>, Fault> {
        let json = serde_json::to_string(&verdict).map_err(|error| Fault::new("json", error.to_string()))?;
        Ok(Box::new(Self { json: c_string(&json), verdict, map }))
    }
}

/// Raw image score, unbounded, higher is worse. NaN for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_score(result: *const BlemishResult) -> f32 {
    // Safety: the caller gives a result of this library or NULL.
    looked_up(f32::NAN, || unsafe { result.as_ref() }.map_or(f32::NAN, |result| result.verdict.score))
}

/// The share of good images that score like this or worse, at most. Returns 1 if there is one; 0 without a calibration, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_p_value(result: *const BlemishResult, out: *mut f64) -> i32 {
    looked_up(0, || {
        // Safety: as for the score.
        let decision = unsafe { result.as_ref() }.and_then(|result| result.verdict.decision.as_ref());
        let Some(decision) = decision.filter(|_| !out.is_null()) else { return 0 };
        // Safety: the caller may have it written.
        unsafe { out.write(decision.p_value) };
        1
    })
}

/// An image with a score above it is anomalous. Returns 1 if there is one, 0 if not, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_threshold(result: *const BlemishResult, out: *mut f32) -> i32 {
    looked_up(0, || {
        // Safety: as for the score.
        let decision = unsafe { result.as_ref() }.and_then(|result| result.verdict.decision.as_ref());
        let threshold = decision.and_then(|decision| decision.threshold);
        let Some(threshold) = threshold.filter(|_| !out.is_null()) else { return 0 };
        // Safety: the caller may have it written.
        unsafe { out.write(threshold) };
        1
    })
}

/// Whether the image is anomalous: 1, 0, or -1 without a threshold, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_anomalous(result: *const BlemishResult) -> i32 {
    // Safety: as for the score.
    looked_up(-1, || unsafe { result.as_ref() }.map_or(-1, |result| anomalous(&result.verdict)))
}

/// Whether an image is anomalous, in C's numbers.
pub fn anomalous(verdict: &Verdict) -> i32 {
    verdict.decision.as_ref().and_then(|decision| decision.anomalous).map_or(-1, i32::from)
}

/// The anomaly map, row by row, as large as the model's input; height and width, which may be NULL, become its size. NULL if it was not
/// wanted. Lives as long as the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_map(
    result: *const BlemishResult,
    height: *mut u32,
    width: *mut u32,
) -> *const f32 {
    looked_up(std::ptr::null(), || {
        // Safety: as for the score.
        let map = unsafe { result.as_ref() }.and_then(|result| result.map.as_ref());
        let Some(map) = map else { return std::ptr::null() };
        for (out, side) in [(height, map.height), (width, map.width)] {
            if !out.is_null() {
                // Safety: the caller may have it written.
                unsafe { out.write(side as u32) };
            }
        }
        map.values.as_ptr()
    })
}

/// How many regions there are, the highest peak first. 0 without a pixel threshold, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_region_count(result: *const BlemishResult) -> usize {
    looked_up(0, || {
        // Safety: as for the score.
        let decision = unsafe { result.as_ref() }.and_then(|result| result.verdict.decision.as_ref());
        decision.map_or(0, |decision| decision.regions.len())
    })
}

/// A region by its number from 0; out->struct_size must be set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_region(
    result: *const BlemishResult,
    index: usize,
    out: *mut Region,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(std::ptr::null_mut(), || {
            let result = result.as_ref().ok_or_else(|| null("result"))?;
            let regions = result.verdict.decision.as_ref().map_or(&[][..], |decision| &decision.regions);
            let region = regions.get(index).ok_or_else(|| {
                Fault::usage(format!("there is no region {index}; there are {}, from 0 on", regions.len()))
            })?;
            let (bounds, peak) = (region.bounds, region.peak);
            let value = Region {
                struct_size: 0,
                x: bounds.x as u32,
                y: bounds.y as u32,
                width: bounds.width as u32,
                height: bounds.height as u32,
                peak_x: peak.x as u32,
                peak_y: peak.y as u32,
                peak_score: peak.score,
                centroid_x: region.centroid.x,
                centroid_y: region.centroid.y,
                area: region.area,
                mean_score: region.mean_score,
            };
            sized::write(out, "out", &value)
        })
    }
}

/// All of it as JSON, the same as a line of `blemish predict`. "" for NULL. Lives as long as the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_json(result: *const BlemishResult) -> *const c_char {
    // Safety: as for the score.
    unsafe { result.as_ref() }.map_or(c"".as_ptr(), |result| result.json.as_ptr())
}

/// Frees a result; NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_result_free(result: *mut BlemishResult) {
    if !result.is_null() {
        // Safety: it was boxed by `score`, and the caller gives it back once.
        looked_up((), || drop(unsafe { Box::from_raw(result) }));
    }
}

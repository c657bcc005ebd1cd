//! One call with nothing but numbers and the caller's arrays, for LabVIEW's Call Library node, PLC runtimes and spreadsheets.

use crate::detector::BlemishDetector;
use crate::guard::caught;
use crate::image::{Format, Layout};
use crate::result::anomalous;
use crate::score::{Wanted, judge};
use crate::status::{Code, Fault, Status};
use crate::text::null;
use blemish::{AnomalyMap, Verdict};
use std::ffi::{c_char, c_void};

/// Where the numbers go; each may be NULL but the score.
struct Outputs {
    score: *mut f64,
    p_value: *mut f64,
    anomalous: *mut i32,
    map: *mut f32,
    map_capacity: i32,
    map_height: *mut i32,
    map_width: *mut i32,
}

/// Scores pixels in one call, with nothing to free.
///
/// pixels is the upper row's first; stride in bytes, 0 if rows follow each other without a gap; planes of planar formats follow each other.
/// p_value becomes -1 without a calibration, anomalous 1, 0, or -1 without a threshold. map, with room for map_capacity numbers, gets the
/// anomaly map row by row; if it is too small the status is 1, map_height and map_width tell what is needed, and nothing is written to map.
/// message gets the error, "" if there is none; it is cut to message_capacity bytes, the zero at the end among them. Only detector, pixels
/// and score must not be NULL.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "structs are what its callers cannot make")]
pub unsafe extern "C" fn blemish_score_simple(
    detector: *const BlemishDetector,
    pixels: *const u8,
    width: i32,
    height: i32,
    stride: i32,
    format: i32,
    score: *mut f64,
    p_value: *mut f64,
    anomalous: *mut i32,
    map: *mut f32,
    map_capacity: i32,
    map_height: *mut i32,
    map_width: *mut i32,
    message: *mut c_char,
    message_capacity: i32,
) -> Status {
    let outputs = Outputs { score, p_value, anomalous, map, map_capacity, map_height, map_width };
    // Safety: the caller's promises.
    unsafe {
        let outcome = caught(|| {
            if score.is_null() {
                return Err(null("score"));
            }
            let handle = BlemishDetector::of(detector)?;
            let side = |value: i32, name: &str| {
                usize::try_from(value)
                    .map_err(|_| Fault::usage(format!("{name} is {value}; give the number of pixels")))
            };
            let size = (side(height, "height")?, side(width, "width")?);
            let layout = Layout::new(format, size, stride as isize as usize, &handle.read)?;
            let image = layout.image(planes(pixels, &layout, size.0, format)?, "pixels")?;
            let (verdict, map) = judge(handle, "image", &*image.as_read(&handle.read)?, &Wanted::PLAIN)?;
            outputs.write(&verdict, &map)
        });
        tell(message, message_capacity, outcome.as_ref().err().map_or("", Fault::text));
        outcome.map_or_else(|fault| fault.status(), |()| Code::BLEMISH_OK as Status)
    }
}

/// The planes of pixels that begin at one place.
///
/// # Safety
/// `pixels` is NULL or has the bytes of all planes.
unsafe fn planes(
    pixels: *const u8,
    layout: &Layout,
    height: usize,
    format: i32,
) -> Result<[*const c_void; 3], Fault> {
    if pixels.is_null() {
        return Err(null("pixels"));
    }
    let is_planar =
        [Format::BLEMISH_PLANAR_RGB8, Format::BLEMISH_PLANAR_RGB16].iter().any(|one| *one as i32 == format);
    // The layout's memory limit makes sure that neither product overflows.
    let plane = if is_planar { height * layout.stride } else { 0 };
    // Safety: the caller's promise.
    Ok(unsafe { [pixels.cast(), pixels.add(plane).cast(), pixels.add(2 * plane).cast()] })
}

impl Outputs {
    /// Writes what was found; the map first, since it alone can fail.
    ///
    /// # Safety
    /// Each pointer is NULL or may be written, `map` as far as its capacity.
    unsafe fn write(&self, verdict: &Verdict, map: &AnomalyMap) -> Result<(), Fault> {
        let AnomalyMap { height, width, values } = map;
        let decision = verdict.decision.as_ref();
        // Safety: the caller's promises.
        unsafe {
            set(self.map_height, *height as i32);
            set(self.map_width, *width as i32);
            if !self.map.is_null() {
                if usize::try_from(self.map_capacity).unwrap_or(0) < values.len() {
                    return Err(Fault::usage(format!(
                        "map_capacity is {}, but the map has {height} x {width} values; give room for {}",
                        self.map_capacity,
                        values.len()
                    )));
                }
                std::ptr::copy_nonoverlapping(values.as_ptr(), self.map, values.len());
            }
            set(self.score, f64::from(verdict.score));
            set(self.p_value, decision.map_or(-1.0, |decision| decision.p_value));
            set(self.anomalous, anomalous(verdict));
        }
        Ok(())
    }
}

/// # Safety
/// `out` is NULL or may be written.
unsafe fn set<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // Safety: the caller's promise. LabVIEW's clusters need not be aligned.
        unsafe { out.write_unaligned(value) };
    }
}

/// Writes a text that ends in a zero byte within the capacity, cut between characters.
///
/// # Safety
/// `out` is NULL or has so many bytes.
unsafe fn tell(out: *mut c_char, capacity: i32, text: &str) {
    let Some(room) = usize::try_from(capacity).ok().and_then(|capacity| capacity.checked_sub(1)) else {
        return;
    };
    if out.is_null() {
        return;
    }
    let end = text.floor_char_boundary(room);
    // Safety: the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), end);
        out.add(end).write(0);
    }
}

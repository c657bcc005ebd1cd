//! The border: nothing but a status crosses it.

use crate::error::BlemishError;
use crate::status::{Code, Fault, Status};
use crate::text::null;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};

/// The text and the place of the latest panic.
static LATEST: Mutex<Option<(String, String)>> = Mutex::new(None);

/// Runs the body of a function; its error, or a panic in it, goes to `error` where that is not NULL. On success `*error` becomes NULL.
///
/// # Safety
/// `error` is NULL or may be written.
pub unsafe fn run(error: *mut *mut BlemishError, body: impl FnOnce() -> Result<(), Fault>) -> Status {
    let outcome = caught(body);
    let status = outcome.as_ref().map_or_else(Fault::status, |()| Code::BLEMISH_OK as Status);
    if !error.is_null() {
        let told =
            outcome.map_or_else(|fault| Box::into_raw(BlemishError::new(&fault)), |()| std::ptr::null_mut());
        // Safety: the caller's promise.
        unsafe { error.write(told) };
    }
    status
}

/// What a body gives; a panic in it or in the threads that it waits for is an error.
pub fn caught<T>(body: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    stay_silent();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

/// What a body gives that only looks something up; `otherwise` if it panics.
pub fn looked_up<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    stay_silent();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Gives a result to the caller.
///
/// # Safety
/// `out` is NULL or may be written.
pub unsafe fn give<T>(out: *mut T, name: &str, make: impl FnOnce() -> Result<T, Fault>) -> Result<(), Fault> {
    // Before the work, which would be lost.
    if out.is_null() {
        return Err(null(name));
    }
    let made = make()?;
    // Safety: the caller's promise; a value that was there before is the caller's own.
    unsafe { out.write(made) };
    Ok(())
}

fn panicked(payload: &(dyn Any + Send)) -> Fault {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    let latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
    // Another thread's panic may have come between.
    let place = latest.as_ref().filter(|(known, _)| known == text).map_or("", |(_, place)| place.as_str());
    Fault::new(
        "panic",
        format!("the library has a fault: {text}{place}; please report it, with what was asked for"),
    )
}

/// The standard way of a panic prints; here it is noted. Only the copy of the standard library in this library is concerned.
fn stay_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
            let place = info.location().map_or(String::new(), |place| format!(" ({place})"));
            *LATEST.lock().unwrap_or_else(PoisonError::into_inner) = text.map(|text| (text, place));
        }));
    });
}

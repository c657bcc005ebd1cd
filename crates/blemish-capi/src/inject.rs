//! For tests of the border: a call that panics, in the caller's thread or in one of the detector's.

use crate::detector::BlemishDetector;
use crate::error::BlemishError;
use crate::guard::run;
use crate::observer::Cancel;
use crate::status::Status;

/// Panics in the calling thread (0), or in a thread of the detector.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_inject_panic(
    detector: *const BlemishDetector,
    place: i32,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            let handle = BlemishDetector::of(detector)?;
            match place {
                0 => panic!("injected in the caller"),
                _ => handle.work(Cancel(std::ptr::null()), |_| panic!("injected in a worker")),
            }
        })
    }
}

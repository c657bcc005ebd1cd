//! The C library `libblemish`: a thin layer over the library `blemish`, for everything that can call C.
//!
//! ```text
//! blemish.h <- cbindgen <- detector   load, verify, free: a handle with threads of its own
//!                          score      an image to a result; `simple` in one call
//!                          result     score, p-value, decision, map, regions, JSON
//!                          learn      fit, update, calibrate, save, with progress
//! inside:                  guard      panics and errors become a status and a `blemish_error`
//!                          sized      structs that grow; `image` pixels of the caller's
//! ```
//!
//! The rules, which the header repeats for its readers:
//! - Every function that can fail returns a `blemish_status`; results come by out-parameters, written only on success.
//! - The error comes by the last parameter, never through the thread: C# and LabVIEW go on on another one.
//! - What the library gives it frees. What the caller gives is read during the call and never kept.
//! - A panic is status 7 and the handle stays usable, so the library must be built to unwind.
//! - Nothing is printed, no signal is caught. Threads belong to a detector and have ended when it is freed.

#[cfg(not(panic = "unwind"))]
compile_error!("libblemish turns panics into a status: build it with `panic = \"unwind\"`");

mod detector;
mod error;
mod guard;
mod image;
#[cfg(feature = "inject-panic")]
mod inject;
mod learn;
mod observer;
mod result;
mod score;
mod simple;
mod sized;
mod status;
mod text;

use std::ffi::{CStr, c_char};

/// The number of this interface. A library with another number cannot be used with this header.
pub const BLEMISH_ABI_VERSION: u32 = 0;

/// The number of the interface that the library has: compare it with BLEMISH_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn blemish_abi_version() -> u32 {
    BLEMISH_ABI_VERSION
}

/// The version of the library, such as "0.1.0". Never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn blemish_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no zero byte"),
        };
    VERSION.as_ptr()
}

//! The error of a call, for those who ask for one.

use crate::status::Fault;
use crate::text::c_string;
use blemish::error::in_halves;
use std::ffi::{CString, c_char};

/// What went wrong in a call. Free it with blemish_error_free.
pub struct BlemishError {
    code: CString,
    message: CString,
    help: CString,
}

impl BlemishError {
    pub fn new(fault: &Fault) -> Box<Self> {
        let (message, help) = in_halves(fault.text());
        Box::new(Self { code: c_string(fault.code()), message: c_string(message), help: c_string(help) })
    }
}

/// The error's name for programs, such as "not_a_model": stable, in snake case. "" for NULL. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_error_code(error: *const BlemishError) -> *const c_char {
    // Safety: the caller gives an error of this library or NULL.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.code.as_ptr())
}

/// What is wrong and where. "" for NULL. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_error_message(error: *const BlemishError) -> *const c_char {
    // Safety: as for the code.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// How to mend it; "" where nothing more is to say, and for NULL. Lives as long as the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_error_help(error: *const BlemishError) -> *const c_char {
    // Safety: as for the code.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.help.as_ptr())
}

/// Frees an error; NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_error_free(error: *mut BlemishError) {
    if !error.is_null() {
        // Safety: it was boxed by `BlemishError::new`, and the caller gives it back once.
        drop(unsafe { Box::from_raw(error) });
    }
}

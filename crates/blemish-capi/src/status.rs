//! How a call ended: a number for every caller, and an error for those who ask.

use crate::text::c_string;
use blemish::Error;
use blemish::code::{Class, class_of};
use blemish::data::{DataError, ImageFault};
use blemish::error::in_halves;
use blemish::features::FeatureError;
use std::ffi::{CString, c_char};

/// How a call ended: one of blemish_code. Numbers keep their meaning for ever.
pub type Status = i32;

/// What a blemish_status means.
#[allow(non_camel_case_types, reason = "the names that C sees")]
#[allow(dead_code, reason = "the header lists them all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Code {
    /// Done.
    BLEMISH_OK = 0,
    /// The call was wrong: an argument, a setting, a name, an order of calls.
    BLEMISH_USAGE = 1,
    /// The image or the data set cannot be used.
    BLEMISH_INPUT = 2,
    /// The model file cannot be used.
    BLEMISH_MODEL = 3,
    /// The model has no calibration, and there is nothing to make one of.
    BLEMISH_NOT_CALIBRATED = 4,
    /// Stopped, as was asked for.
    BLEMISH_INTERRUPTED = 5,
    /// The machine: files, memory, devices.
    BLEMISH_ENVIRONMENT = 6,
    /// A fault of the library. Please report it.
    BLEMISH_INTERNAL = 7,
}

/// What went wrong in a call. Free it with blemish_error_free.
pub struct BlemishError {
    code: CString,
    message: CString,
    help: CString,
}

/// What goes wrong inside.
#[derive(Debug)]
pub struct Fault {
    code: &'static str,
    text: String,
}

impl Fault {
    /// From a message of the form `what and where; how to mend it`, with a stable code.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A call that asks for what there is not.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new("usage", text)
    }

    /// The one table from codes to numbers.
    pub fn status(&self) -> Status {
        let code = match self.code {
            "usage" => Code::BLEMISH_USAGE,
            "not_verified" => Code::BLEMISH_MODEL,
            "not_calibrated" => Code::BLEMISH_NOT_CALIBRATED,
            "interrupted" => Code::BLEMISH_INTERRUPTED,
            code => match class_of(code) {
                Class::Usage => Code::BLEMISH_USAGE,
                Class::Input => Code::BLEMISH_INPUT,
                Class::Model => Code::BLEMISH_MODEL,
                Class::Environment => Code::BLEMISH_ENVIRONMENT,
                Class::Internal => Code::BLEMISH_INTERNAL,
            },
        };
        code as Status
    }

    /// What is wrong and how to mend it, in one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The error for whoever asked for one.
    pub fn into_error(self) -> Box<BlemishError> {
        let (message, help) = in_halves(&self.text);
        Box::new(BlemishError { code: c_string(self.code), message: c_string(message), help: c_string(help) })
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<DataError> for Fault {
    fn from(error: DataError) -> Self {
        Error::from(error).into()
    }
}

impl From<FeatureError> for Fault {
    fn from(error: FeatureError) -> Self {
        Error::from(error).into()
    }
}

impl From<ImageFault> for Fault {
    fn from(fault: ImageFault) -> Self {
        Self::new(fault.code(), format!("cannot use the image: {fault}"))
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
        // Safety: it came from `Fault::into_error`, and the caller gives it back once.
        drop(unsafe { Box::from_raw(error) });
    }
}

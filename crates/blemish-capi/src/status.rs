//! How a call ended, as a number, and what makes it end so.

use blemish::Error;
use blemish::code::{Class, class_of};
use blemish::data::{DataError, ImageFault};
use blemish::features::FeatureError;

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

    /// Its stable name.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong and how to mend it, in one line.
    pub fn text(&self) -> &str {
        &self.text
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

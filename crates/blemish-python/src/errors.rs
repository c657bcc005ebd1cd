//! Errors of the library as exceptions. The classes are Python's, in `blemish._errors`, which also chooses one by code and class.

use blemish::Error;
use blemish::code::{Class, class_of};
use blemish::data::ImageFault;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The exception for an error of the library.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    coded(py, error.code(), &error.to_string())
}

/// The exception for a fault of one image that is in memory.
pub fn faulty(py: Python<'_>, name: &str, fault: ImageFault) -> PyErr {
    let error = blemish::data::DataError::Image { path: name.into(), fault };
    raised(py, &error.into())
}

/// The exception for a fault of this module.
pub fn internal(py: Python<'_>, reason: &str) -> PyErr {
    coded(py, "internal", &format!("a fault of blemish: {reason}; please report it"))
}

/// The exception for a stable code and a text of the form "what and where; how to mend it".
pub fn coded(py: Python<'_>, code: &str, text: &str) -> PyErr {
    let class = match class_of(code) {
        Class::Input => "input",
        Class::Model => "model",
        Class::Usage => "usage",
        Class::Environment => "environment",
        Class::Internal => "internal",
    };
    let made = py
        .import("blemish._errors")
        .and_then(|module| module.getattr("error_of"))
        .and_then(|make| make.call1((code, class, text)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        // Only without the Python half of this package.
        Err(_) => PyRuntimeError::new_err(text.to_owned()),
    }
}

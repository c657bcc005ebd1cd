//! The compiled half of the Python package `blemish`, as its module `blemish._native`.
//!
//! ```text
//! python/blemish     arguments, documentation, results   Detector, Result, errors, scikit-learn, PyOD, Ray
//! images, pixels     what Python gives -> a Source        copied once, before the interpreter is let go
//! options            keywords -> DetectorConfig           settings are checked by the library's own schema
//! model              a Detector: fit, predict, ...        every call through `work`
//! work, pools        a thread and a pool of its own       signals, progress, cancellation, forks
//! scored, convert    verdicts -> tuples, JSON -> objects
//! ```
//! Nothing here knows how images are scored, and Python's half knows no pixels.

mod buffers;
mod convert;
mod errors;
mod images;
mod model;
mod options;
mod pictures;
mod pixels;
mod pools;
mod scored;
mod work;

use pyo3::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

/// Runs the program with these arguments, its own name first, and gives its exit code. `program` is the file that runs it again.
#[pyfunction]
#[pyo3(signature = (arguments, program=None))]
fn run_program(py: Python<'_>, arguments: Vec<OsString>, program: Option<PathBuf>) -> u8 {
    if let Some(program) = program {
        blemish::program::set_program(program);
    }
    py.detach(|| blemish_cli::run(arguments))
}

#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()?;
    module.add_class::<images::Images>()?;
    module.add_function(wrap_pyfunction!(model::methods, module)?)?;
    module.add_function(wrap_pyfunction!(model::check, module)?)?;
    module.add_function(wrap_pyfunction!(model::choose_sizes, module)?)?;
    module.add_function(wrap_pyfunction!(pictures::overlay, module)?)?;
    module.add_function(wrap_pyfunction!(pictures::pixels, module)?)?;
    module.add_function(wrap_pyfunction!(run_program, module)?)
}

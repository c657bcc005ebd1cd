//! What goes into a whole model and comes out, on any engine.

use std::path::Path;

/// Values that go into a model.
#[derive(Clone, Copy, Debug)]
pub enum Fed<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// Bytes.
    U8(&'a [u8]),
    /// 16-bit whole numbers; not on rten.
    U16(&'a [u16]),
}

/// A tensor that goes into a model.
#[derive(Clone, Debug)]
pub struct FedTensor<'a> {
    /// Name of the input.
    pub name: &'a str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Fed<'a>,
}

/// A tensor that a model gives; truth values as 0 and 1, single precision as double.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenTensor {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f64>,
}

/// Where a model's file is.
pub enum ModelSource<'a> {
    /// In memory, whole.
    Bytes(Vec<u8>),
    /// On disk, perhaps with a second file beside it.
    File(&'a Path),
}

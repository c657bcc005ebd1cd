//! ONNX files: the description written as one, and users' own graphs read.

mod emit;
mod inspect;
mod proto;
#[cfg(test)]
mod tests;

pub use emit::emit;
pub(crate) use emit::{INPUT, tap_output};
pub use inspect::{OnnxInfo, OnnxTensor, inspect};
pub(crate) use inspect::{read, with_outputs};

//! ONNX files: the description written as one, users' own graphs read, and whole models built.

mod emit;
mod inspect;
mod prepare;
mod proto;
mod shapes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;
mod write;

pub(crate) use emit::{INPUT, tap_output};
pub use emit::{emit, emit_at};
pub(crate) use inspect::read;
pub use inspect::{OnnxInfo, OnnxTensor, inspect};
pub use prepare::{FixedSize, fixed_size};
pub(crate) use prepare::{Prepared, prepare};
pub(crate) use shapes::Demands;
pub use write::{Element, GraphWriter, OnnxModel, Reduction, Setting, Side, Value};

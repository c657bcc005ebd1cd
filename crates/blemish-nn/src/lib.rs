//! Networks that Blemish trains, on Burn: layers, invertible pieces, and the one training loop.
//!
//! | module | gives |
//! |---|---|
//! | [`init`] | first values of weights from one seed |
//! | [`layers`] | layers of small networks |
//! | [`norm`] | batch normalisation |
//! | [`loss`] | losses of several methods |
//! | [`flow`] | invertible pieces and chains with exact log-determinants |
//! | [`weights`] | a network's weights as named tensors, and back |
//! | [`train`] | the loop: optimiser, schedule, clipping, average, checkpoints, time limit |

pub mod flow;
pub mod init;
pub mod layers;
pub mod loss;
pub mod norm;
pub mod train;
pub mod weights;

pub use burn::module::Module;
pub use burn::tensor::{Device, Tensor, TensorData};

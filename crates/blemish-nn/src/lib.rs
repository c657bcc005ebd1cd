//! Networks that Blemish trains, on Burn: layers, losses, optimisers, invertible pieces, and the one training loop.
//!
//! | module | gives |
//! |---|---|
//! | [`init`] | first values of weights from one seed |
//! | [`layers`] | layers, one a file |
//! | [`loss`] | losses, one a file |
//! | [`optim`] | rules by which a step changes weights: Adam and its kin, SGD with momentum, RMSProp |
//! | [`flow`] | invertible pieces and chains with exact log-determinants |
//! | [`weights`] | a network's weights as named tensors, and back |
//! | [`train`] | the loop: schedule, clipping, average, checkpoints, time limit; one network or several by turns |
//!
//! Results never depend on the number of threads. On a CPU a training gives the same bits every time, resumed or not.

pub mod flow;
pub mod init;
pub mod layers;
pub mod loss;
pub mod optim;
#[doc(hidden)]
pub mod testing;
pub mod train;
pub mod weights;

pub use burn::module::Module;
pub use burn::tensor::{Device, Tensor, TensorData};

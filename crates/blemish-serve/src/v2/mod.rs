//! The Open Inference Protocol, version 2 (KServe), over REST.
//!
//! ```text
//! headers and body -> coding (gzip, deflate undone) -> request (JSON | bytes of tensors) -> models -> output -> coding
//! ```
//! All but [`routes()`] are functions of bytes: what real clients send and expect is tested without a server. The protocol is that of
//! `inference_rest.md` in kserve/open-inference-protocol, with Triton's extension for binary tensors.

#[cfg(test)]
mod clients;
pub mod coding;
mod infer;
pub mod output;
pub mod request;
mod routes;
pub mod tensor;
#[cfg(test)]
mod tests;
mod values;

pub use coding::Coding;
pub use output::{Reply, chosen, reply};
pub use request::{Image, InferRequest, Wanted, parse};
pub use routes::routes;
pub use tensor::{Calibrated, Output};

//! Clips of a one-way street under a fixed camera: cars on two lanes, and in some clips an odd motion, marked frame by frame.
//!
//! ```text
//! street (seed) ─> clip: who drives where and when (number) ─> frame: cars on the street ─> lens ─> sensor noise ─> 8 bits
//!                            └─ an odd motion (kind) ────────────┴─> mask: what of it can be seen
//! ```
//! All clips of a set show the same street. Good cars keep to the speed of their lane, to the right; nobody runs into anybody. A frame is
//! anomalous while some of the odd thing can be seen, for a car that stops while it stands.

mod clip;
mod street;
#[cfg(test)]
mod tests;
mod write;

pub use clip::{OddMotion, Traffic, TrafficFrame};
pub use write::{TrafficOptions, TrafficReport, write_traffic_set};

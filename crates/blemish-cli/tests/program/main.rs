//! The program as its users meet it, in processes of its own.

mod exports;
mod living;
mod manners;
mod memory;
mod outputs;
#[cfg(feature = "serve")]
mod pages;
mod report;
#[cfg(feature = "serve")]
mod serving;
#[cfg(feature = "serve")]
mod station;
mod stories;
mod support;
mod version;

//! The program as its users meet it, in processes of its own.

mod living;
mod manners;
mod memory;
mod outputs;
mod report;
mod station;
mod stories;
mod support;

//! Models on the line: one process that programs ask for verdicts over HTTP, and the station that people watch and teach.
//!
//! # Flow of a request
//! ```text
//! listen -> host and token -> route -> model -> place in the queue -> body -> head of the image -> memory permit
//!        -> decode -> batch -> score -> answer -> bus -> listeners
//! ```
//! A place in the model's queue is taken before the body is read, so that a full server says so at once; memory is taken by the size
//! that the head of the image states, so that a server never holds more than it was given.
//!
//! | room | what happens in it |
//! |---|---|
//! | [`options`] | every option, from the command line or `serve.toml` |
//! | [`server`] | listening, TLS, draining; what rooms plug in |
//! | [`rooms`] | the one list of what is plugged in |
//! | [`guard`] | tokens, hosts, origins |
//! | [`models`] | versions of models, queues, the thread that scores |
//! | [`logs`] | what the server says of itself |
//! | [`api`], `v2` | routes: our own interface and the Open Inference Protocol |
//! | [`answer`], [`fault`] | the shape of answers and errors |
//! | [`bus`] | what happened, told to whoever listens: events, metrics, sinks, kept images, the station's history |
//! | [`outputs`] | what goes out beside answers: [`metrics`], [`access`] log, [`sinks`], kept originals ([`keep`]), drift ([`watch`]) |
//! | [`config`] | `serve.toml` |
//! | `station` | the inspector's pages, history, jobs, sources of images |
//!
//! This crate holds no tensors and no rule of decisions: a verdict is what [`blemish::Detector`] says.

pub mod access;
pub mod answer;
pub mod api;
pub mod bus;
pub mod config;
pub mod fault;
pub mod guard;
pub mod keep;
pub mod logs;
pub mod metrics;
pub mod models;
pub mod options;
pub mod outputs;
pub mod rooms;
#[cfg(test)]
mod samples;
pub mod server;
pub mod sinks;
pub mod station;
#[cfg(test)]
pub(crate) mod testing;
pub mod v2;
pub mod watch;

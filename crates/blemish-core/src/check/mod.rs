//! The contract suite: what every method promises, tried on tiny images.
//!
//! [`method`] fits small models of a method and tells every promise that is broken. It needs no test framework, so it serves methods of
//! your own as it serves those of Blemish:
//!
//! ```
//! # use blemish_core::entry::MethodEntry;
//! use blemish_core::check::{self, Subject};
//! # fn holds(entry: &dyn MethodEntry) {
//! let subject = Subject::new(entry, entry.parse(&[]).unwrap());
//! let findings = check::method(&subject);
//! assert!(findings.is_empty(), "{findings:#?}");
//! # }
//! ```
//!
//! A method that looks through a network of images and texts gets a tiny one with random weights.
//!
//! | part | promise |
//! |---|---|
//! | [`Part::Finds`] | a defect scores above good images, and the map is hottest where it is, if the method localises |
//! | [`Part::Seed`], [`Part::Threads`] | the same seed gives the same tensors, whatever the threads and the size of batches |
//! | [`Part::Batch`], [`Part::Order`] | a score depends neither on the other images of its batch nor on what was scored before |
//! | [`Part::Session`] | a session begins afresh |
//! | [`Part::Storage`] | a stored model is the same model; a missing or misshapen tensor is an error |
//! | [`Part::Resume`] | a cancelled training goes on to the very same model |
//! | [`Part::Cancel`] | a cancelled fit ends with [`Error::Interrupted`] and leaves nothing behind |
//! | [`Part::TimeLimit`] | a training that the clock ends gives a usable model |
//! | [`Part::MemoryLimit`] | too little memory is refused, or changes nothing |
//! | [`Part::BadInput`] | few, plain or unequal images give an error or finite scores, never a panic |
//! | [`Part::Device`] | a device that is not there is refused, or was not needed |

mod fits;
mod images;
mod input;
mod lab;
mod scores;
mod storage;
#[cfg(test)]
mod tests;
mod training;

pub use images::{Images, Scene};

use crate::entry::MethodEntry;
use crate::error::Error;
use crate::needs::Needs;
use crate::settings::Settings;
use blemish_features::{Backbone, BackboneSpec, EngineOptions};
use lab::Lab;
use std::fmt;
use std::sync::Arc;

/// Gives the backbone that a method with these needs looks through; `None` for one that looks through none.
pub type Backbones<'a> = dyn Fn(&Needs) -> Result<Option<Arc<Backbone>>, Error> + Sync + 'a;

/// What is tried, and on what.
pub struct Subject<'a> {
    /// The method.
    pub entry: &'a dyn MethodEntry,
    /// Settings of a small model, so that a fit takes a second.
    pub settings: Settings,
    /// The backbone, on the CPU.
    pub backbone: &'a Backbones<'a>,
    /// The images.
    pub scene: Scene,
    /// How far a score may move with the other images of its batch, as a share of the largest; `None` is 1e-4 for methods that train
    /// for long, whose networks multiply in blocks of the batch, and 0 for all others.
    pub tolerance: Option<f32>,
    /// Whether the map is to be hottest where the defect is.
    pub localises: bool,
}

impl<'a> Subject<'a> {
    /// On the embedded backbone and the usual images.
    pub fn new(entry: &'a dyn MethodEntry, settings: Settings) -> Self {
        Self {
            entry,
            settings,
            backbone: &embedded,
            scene: Scene::default(),
            tolerance: None,
            localises: true,
        }
    }
}

/// The embedded backbone with maps at the strides that are needed.
fn embedded(needs: &Needs) -> Result<Option<Arc<Backbone>>, Error> {
    if !needs.has_maps() {
        return Ok(None);
    }
    let backbone = Backbone::load(&BackboneSpec::default(), needs.strides(), &EngineOptions::default())?;
    Ok(Some(Arc::new(backbone)))
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table of the module says what each one means")]
pub enum Part {
    Finds,
    Seed,
    Threads,
    Batch,
    Order,
    Session,
    Storage,
    Resume,
    Cancel,
    TimeLimit,
    MemoryLimit,
    BadInput,
    Device,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The promise.
    pub part: Part,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.part, self.reason)
    }
}

/// Tries every promise of a method; empty if it keeps them all.
///
/// A fit that fails on good images is a finding of [`Part::Finds`] and ends the suite, since nothing else can be tried.
pub fn method(subject: &Subject<'_>) -> Vec<Finding> {
    let mut lab = match Lab::new(subject) {
        Ok(lab) => lab,
        Err(reason) => return vec![Finding { part: Part::Finds, reason }],
    };
    scores::check(&mut lab);
    fits::check(&mut lab);
    storage::check(&mut lab);
    training::check(&mut lab);
    input::check(&mut lab);
    lab.into_findings()
}

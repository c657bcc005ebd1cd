//! The list of methods. Adding a method touches its folder and one line here.

use crate::classical::{FilterBank, Statistical, Structural};
use crate::distance::cfa::Cfa;
use crate::distance::fapm::Fapm;
use crate::distance::mspba::Mspba;
use crate::distance::{padim::Padim, patchcore::PatchCore, pni::Pni};
use crate::flow::cflow::CFlow;
use crate::flow::csflow::CsFlow;
use crate::flow::differnet::DifferNet;
use crate::flow::fastflow::FastFlow;
use crate::flow::glow::Glow;
use blemish_core::entry::{Entry, MethodEntry};
use blemish_core::error::Error;

static METHODS: &[&dyn MethodEntry] = &[
    &Entry::<PatchCore>::new(),
    &Entry::<Padim>::new(),
    &Entry::<Fapm>::new(),
    &Entry::<Pni>::new(),
    &Entry::<Statistical>::new(),
    &Entry::<Structural>::new(),
    &Entry::<FilterBank>::new(),
    &Entry::<FastFlow>::new(),
    &Entry::<CFlow>::new(),
    &Entry::<CsFlow>::new(),
    &Entry::<Glow>::new(),
    &Entry::<DifferNet>::new(),
    &Entry::<Cfa>::new(),
    &Entry::<Mspba>::new(),
];

/// Every method there is, the default one first.
pub fn methods() -> &'static [&'static dyn MethodEntry] {
    METHODS
}

/// The method of that name.
///
/// # Errors
/// [`Error::UnknownMethod`] with the names there are.
pub fn method(name: &str) -> Result<&'static dyn MethodEntry, Error> {
    METHODS.iter().copied().find(|entry| entry.info().name == name).ok_or_else(|| {
        let known: Vec<&str> = METHODS.iter().map(|entry| entry.info().name).collect();
        Error::UnknownMethod { name: name.to_owned(), known: known.join(", ") }
    })
}

/// Names of the methods whose models can be updated and merged.
pub fn updatable_names() -> String {
    let names: Vec<&str> =
        METHODS.iter().filter(|entry| entry.updates().is_some()).map(|entry| entry.info().name).collect();
    names.join(", ")
}

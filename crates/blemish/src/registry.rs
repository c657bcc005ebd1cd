//! The list of methods. Adding a method touches its folder and one line here.

use crate::error::Error;
use crate::method::{Entry, MethodEntry};
use crate::methods::cfa::Cfa;
use crate::methods::classical::{FilterBank, Statistical, Structural};
use crate::methods::fapm::Fapm;
use crate::methods::flows::cflow::CFlow;
use crate::methods::flows::csflow::CsFlow;
use crate::methods::flows::differnet::DifferNet;
use crate::methods::flows::fastflow::FastFlow;
use crate::methods::flows::glow::Glow;
use crate::methods::mspba::Mspba;
use crate::methods::{padim::Padim, patchcore::PatchCore, pni::Pni};

static METHODS: &[&dyn MethodEntry] = &[
    &Entry::<PatchCore>::new().living(),
    &Entry::<Padim>::new().living(),
    &Entry::<Fapm>::new().living(),
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
pub fn living_names() -> String {
    let names: Vec<&str> =
        METHODS.iter().filter(|entry| entry.living().is_some()).map(|entry| entry.info().name).collect();
    names.join(", ")
}

//! The contract suite on every method.

use blemish_core::check::{self, Part, Scene, Subject};
use blemish_core::entry::{Entry, MethodEntry};
use blemish_core::method::Method;
use blemish_core::settings::Settings;

/// A small model of a method, and the images that it is tried on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(crate) method: &'static str,
    settings: &'static [(&'static str, &'static str)],
    side: usize,
    localises: bool,
    /// Whether it learns long enough to tell a defect.
    detects: bool,
}

impl Small {
    /// A method by name, with these settings, on the usual images.
    pub(crate) const fn new(method: &'static str, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self { method, settings, side: 96, localises: true, detects: true }
    }

    /// The same on images of another side, a multiple of 32 pixels.
    pub(crate) const fn on(self, side: usize) -> Self {
        Self { side, ..self }
    }

    /// The same without asking where its maps are hottest.
    pub(crate) const fn anywhere(self) -> Self {
        Self { localises: false, ..self }
    }

    /// The same without asking whether it tells a defect: networks that begin with nothing need more steps than a test has.
    pub(crate) const fn untaught(self) -> Self {
        Self { localises: false, detects: false, ..self }
    }

    /// The images that it is tried on.
    pub(crate) fn scene(self) -> Scene {
        Scene { side: self.side, ..Scene::default() }
    }
}

/// The settings of a small model, the others by default.
pub(crate) fn settings(entry: &dyn MethodEntry, small: Small) -> Settings {
    let pairs: Vec<(String, String)> =
        small.settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    entry.parse(&pairs).unwrap()
}

/// Tries every promise on every small model of a method.
pub(crate) fn check<M: Method>(folder: &[Small]) {
    let entry = Entry::<M>::new();
    let own: Vec<Small> = folder.iter().copied().filter(|small| small.method == M::INFO.name).collect();
    assert!(!own.is_empty(), "the folder's `tests::SMALL` has no settings of {}", M::INFO.name);
    for small in own {
        let started = std::time::Instant::now();
        let subject = Subject::new(&entry, settings(&entry, small));
        let subject = Subject { scene: small.scene(), localises: small.localises, ..subject };
        let mut findings = check::method(&subject);
        findings.retain(|finding| small.detects || finding.part != Part::Finds);
        let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{small:?}:\n{}", words.join("\n"));
        println!("{small:?}: {:?}", started.elapsed());
    }
}

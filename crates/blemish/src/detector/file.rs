//! Detectors as model files.

use super::Detector;
use crate::backbone_file;
use crate::model_file::{self, Header};
use crate::verification;
use crate::view::{View, ViewHeader};
use blemish_core::error::Error;
use blemish_core::state::State;
use blemish_features::{Backbone, EngineOptions};
use blemish_methods::registry;
use std::path::Path;
use std::sync::Arc;

impl Detector {
    /// Writes the detector as one `.blemish` file that holds everything scoring needs.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut state = self.tensors();
        for (number, backbone) in self.backbones.iter().enumerate() {
            state.absorb(&backbone_file::prefix(number), backbone_file::state(backbone));
        }
        state.absorb(verification::PREFIX, self.verification.clone());
        model_file::write(path, &self.header(), &state)
    }

    /// What its methods have learnt.
    pub(crate) fn tensors(&self) -> State {
        let mut state = State::default();
        for (number, view) in self.views.iter().enumerate() {
            state.absorb(&prefix(number, self.views.len()), view.state());
        }
        state
    }

    /// Reads a detector, its tensors mapped into memory.
    ///
    /// # Errors
    /// Corrupt, truncated, newer and foreign files each have their own [`Error`].
    pub fn load(path: &Path, engine: &EngineOptions) -> Result<Self, Error> {
        let (header, mut state) = model_file::read(path)?;
        if header.calibration.as_ref().is_some_and(|calibration| !calibration.is_valid()) {
            let reason = "its calibration is not one of finite, ascending scores".into();
            return Err(Error::Corrupt { path: path.to_owned(), reason });
        }
        let entry = registry::method(&header.method)?;
        let verification = state.split_off_prefix(verification::PREFIX);
        // Only here is it known which file a wrong tensor lies in.
        let locate = |error| match error {
            Error::State(error) => Error::Corrupt { path: path.to_owned(), reason: error.to_string() },
            Error::Data(error) => Error::Corrupt { path: path.to_owned(), reason: error.to_string() },
            other => other,
        };
        let backbones = restore_backbones(&header, &mut state, engine).map_err(locate)?;
        let headers = match header.views.is_empty() {
            true => vec![ViewHeader::of_whole_images(header.transform)],
            false => header.views,
        };
        check_backbones(&headers, backbones.len())
            .map_err(|reason| Error::Corrupt { path: path.to_owned(), reason })?;
        let count = headers.len();
        let mut views = Vec::with_capacity(count);
        for (number, mut view) in headers.into_iter().enumerate() {
            let own = match prefix(number, count).as_str() {
                "" => std::mem::take(&mut state),
                prefix => state.split_off_prefix(prefix),
            };
            let settings = view.settings.take();
            let settings = settings.as_ref().unwrap_or(&header.settings);
            let backbone = backbones.get(view.backbone).cloned();
            let restore = |state| entry.restore(settings, state, backbone.clone());
            views.push(View::restore(view, own, &restore).map_err(locate)?);
        }
        Ok(Self {
            entry,
            views,
            backbones,
            seed: header.seed,
            data: header.data,
            colour_range: header.colour_range,
            calibration: header.calibration,
            verification,
            skipped: Vec::new(),
            trimmed: Vec::new(),
        })
    }

    /// What a model file says of this detector.
    pub fn header(&self) -> Header {
        let views = match self.whole() {
            Some(_) => Vec::new(),
            None => self.view_headers(),
        };
        Header {
            format_version: model_file::version_for(&views),
            written_by: env!("CARGO_PKG_VERSION").into(),
            method: self.entry.info().name.into(),
            settings: self.views.first().map(View::settings).unwrap_or_default(),
            backbone: self.backbones.first().map(|backbone| backbone_file::header(backbone)),
            ensemble: self.backbones.iter().skip(1).map(|backbone| backbone_file::header(backbone)).collect(),
            transform: (**self.transform()).clone(),
            seed: self.seed,
            data: self.data.clone(),
            colour_range: self.colour_range,
            calibration: self.calibration.clone(),
            views,
            checksum: 0,
        }
    }

    /// What a model file says of each view: settings only where they are not those of the first, which are the model's.
    fn view_headers(&self) -> Vec<ViewHeader> {
        let first = self.views.first().map(View::settings).unwrap_or_default();
        let own = |view: &View| {
            let settings = view.settings();
            (!settings.is_empty() && settings != first).then_some(settings)
        };
        self.views.iter().map(|view| ViewHeader { settings: own(view), ..view.header().clone() }).collect()
    }
}

/// Brings the backbones of a model file up, their tensors taken out of `state`.
///
/// # Errors
/// As [`backbone_file::restore`].
fn restore_backbones(
    header: &Header,
    state: &mut State,
    engine: &EngineOptions,
) -> Result<Vec<Arc<Backbone>>, Error> {
    let mut backbones = Vec::new();
    for known in header.backbone.iter().chain(&header.ensemble) {
        backbones.push(Arc::new(backbone_file::restore(known, backbones.len(), state, engine)?));
    }
    Ok(backbones)
}

/// Refuses views of backbones that the file does not have, and backbones that no view uses.
fn check_backbones(views: &[ViewHeader], backbones: usize) -> Result<(), String> {
    // Methods without backbones have views all the same.
    let known = backbones.max(1);
    if let Some(at) = views.iter().position(|view| view.backbone >= known) {
        let missing = views[at].backbone + 1;
        return Err(format!("its view {} needs backbone {missing}, but there are {backbones}", at + 1));
    }
    match (0..known).find(|&number| views.iter().all(|view| view.backbone != number)) {
        Some(unused) => Err(format!("none of its views uses its backbone {}", unused + 1)),
        None => Ok(()),
    }
}

/// What the names of a view's tensors begin with.
fn prefix(view: usize, views: usize) -> String {
    if views > 1 { format!("view.{view}.") } else { String::new() }
}

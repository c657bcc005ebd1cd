//! Detectors as model files.

use super::backbone as backbone_file;
use super::claim::Claim;
use super::format;
use super::header::{Header, version_for};
use crate::detector::Detector;
use crate::model::{Model, prefix};
use crate::record;
use crate::view::{View, ViewHeader};
use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;
use blemish_core::method::Stored;
use blemish_core::observer::Silent;
use blemish_core::state::{Bytes, State};
use blemish_features::{Backbone, EngineOptions};
use blemish_methods::registry;
use std::path::Path;
use std::sync::Arc;

impl Detector {
    /// Writes the detector as one `.blemish` file that holds everything scoring needs. Waits while another process changes the file.
    ///
    /// # Errors
    /// [`Error::Io`]; an existing file stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        self.save_claimed(&Claim::new(path, &Silent)?)
    }

    /// The same to a file that is claimed already, as by those who have read it before.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn save_claimed(&self, claim: &Claim) -> Result<(), Error> {
        format::write(claim.path(), &self.header(), &self.state())
    }

    /// The bytes of the `.blemish` file.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be serialised.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        format::to_bytes(&self.header(), &self.state())
    }

    /// Everything that a model file holds beside its header.
    pub(crate) fn state(&self) -> State {
        let mut state = self.model.tensors();
        for (number, backbone) in self.model.backbones.iter().enumerate() {
            state.absorb(&backbone_file::prefix(number), backbone_file::state(backbone));
        }
        state.absorb(record::PREFIX, self.verification.clone());
        state
    }

    /// Reads a detector, all of it: what happens to the file afterwards changes nothing.
    ///
    /// # Errors
    /// Corrupt, truncated, newer and foreign files each have their own [`Error`].
    pub fn load(path: &Path, engine: &EngineOptions) -> Result<Self, Error> {
        Self::restore(path, None, format::read(path)?, engine)
    }

    /// The same for a method of your own, as [`Self::fit_with`] has fitted it.
    ///
    /// # Errors
    /// As [`Self::load`], and [`Error::UnknownMethod`] for a model of another method.
    pub fn load_with(
        method: &'static dyn MethodEntry,
        path: &Path,
        engine: &EngineOptions,
    ) -> Result<Self, Error> {
        Self::restore(path, Some(method), format::read(path)?, engine)
    }

    /// Reads a detector from the bytes of a model file, which its tensors share.
    ///
    /// # Errors
    /// As [`Self::load`]; errors call it `model in memory`.
    pub fn from_bytes(bytes: Bytes, engine: &EngineOptions) -> Result<Self, Error> {
        Self::restore(Path::new("model in memory"), None, format::from_bytes(bytes)?, engine)
    }

    /// The same for a method of your own, as [`Self::fit_with`] has fitted it.
    ///
    /// # Errors
    /// As [`Self::load_with`].
    pub fn from_bytes_with(
        method: &'static dyn MethodEntry,
        bytes: Bytes,
        engine: &EngineOptions,
    ) -> Result<Self, Error> {
        Self::restore(Path::new("model in memory"), Some(method), format::from_bytes(bytes)?, engine)
    }

    /// The same detector brought up anew, with an engine and threads of its own; both share the tensors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reopened(&self, engine: &EngineOptions) -> Result<Self, Error> {
        let stored = (self.header(), self.state());
        let mut detector =
            Self::restore(Path::new("model in memory"), Some(self.model.entry), stored, engine)?;
        detector.skipped.clone_from(&self.skipped);
        detector.trimmed.clone_from(&self.trimmed);
        detector.is_covered = self.is_covered;
        Ok(detector)
    }

    /// Whether a digest covered all of the file that it was read from, or it was not read from one. Files of programs before that had a
    /// checksum of their tensors alone: damage to thresholds, calibration and settings goes unnoticed there.
    pub fn is_covered(&self) -> bool {
        self.is_covered
    }

    /// Brings up what [`format::read`] gave.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn restore(
        path: &Path,
        own: Option<&'static dyn MethodEntry>,
        (header, mut state): (Header, State),
        engine: &EngineOptions,
    ) -> Result<Self, Error> {
        if header.calibration.as_ref().is_some_and(|calibration| !calibration.is_valid()) {
            let reason = "its calibration is not one of finite, ascending scores".into();
            return Err(Error::Corrupt { path: path.to_owned(), reason });
        }
        let entry = match own {
            None => registry::method(&header.method)?,
            Some(entry) if entry.info().name == header.method => entry,
            Some(entry) => {
                let known = entry.info().name.to_owned();
                return Err(Error::UnknownMethod { name: header.method, known });
            }
        };
        let verification = state.split_off_prefix(record::PREFIX);
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
            let restore = |state| {
                let (backbone, device) = (backbone.clone(), engine.device);
                entry.restore(Stored { config: settings, state, backbone, device })
            };
            views.push(View::restore(view, own, backbone.clone(), &restore).map_err(locate)?);
        }
        Ok(Self {
            model: Model { entry, views, backbones },
            seed: header.seed,
            data: header.data,
            colour_range: header.colour_range,
            calibration: header.calibration,
            verification,
            skipped: Vec::new(),
            trimmed: Vec::new(),
            is_covered: header.file_digest.is_some(),
        })
    }

    /// What a model file says of this detector.
    pub fn header(&self) -> Header {
        let Model { entry, views: fitted, backbones } = &self.model;
        let views = match self.model.single() {
            Some(_) => Vec::new(),
            None => self.view_headers(),
        };
        let mut headers = backbones.iter().map(|backbone| backbone_file::header(backbone));
        let (backbone, ensemble) = (headers.next(), headers.collect::<Vec<_>>());
        Header {
            format_version: version_for(&views, backbone.iter().chain(&ensemble)),
            written_by: env!("CARGO_PKG_VERSION").into(),
            method: entry.info().name.into(),
            settings: fitted.first().map(View::settings).unwrap_or_default(),
            backbone,
            ensemble,
            transform: (**self.transform()).clone(),
            seed: self.seed,
            data: self.data.clone(),
            colour_range: self.colour_range,
            calibration: self.calibration.clone(),
            views,
            checksum: 0,
            file_digest: None,
        }
    }

    /// What a model file says of each view: settings only where they are not those of the first, which are the model's.
    fn view_headers(&self) -> Vec<ViewHeader> {
        let first = self.model.views.first().map(View::settings).unwrap_or_default();
        let own = |view: &View| {
            let settings = view.settings();
            (!settings.is_empty() && settings != first).then_some(settings)
        };
        self.model
            .views
            .iter()
            .map(|view| ViewHeader { settings: own(view), ..view.header().clone() })
            .collect()
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

/// Checks that views look through backbones that the file has, and that every backbone is used.
fn check_backbones(views: &[ViewHeader], backbones: usize) -> Result<(), String> {
    // Methods without backbones have views all the same.
    let known = backbones.max(1);
    if let Some(at) = views.iter().position(|view| view.backbone >= known) {
        let missing = views[at].backbone + 1;
        return Err(format!("its view {} needs backbone {missing}, but there are {backbones}", at + 1));
    }
    match (0..known).find(|&number| views.iter().all(|view| view.backbone != number)) {
        Some(unused) => Err(format!("its backbone {} is used by no view", unused + 1)),
        None => Ok(()),
    }
}

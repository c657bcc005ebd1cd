//! What a fitted detector can still learn, and how detectors fitted on parts of the images become one.

use crate::config::FitOptions;
use crate::detector::Detector;
use crate::file::{DataHeader, Header};
use crate::model::Model;
use crate::record;
use crate::view::{Reading, View, ViewSet};
use blemish_core::entry::{Fitted, UpdateEntry};
use blemish_core::error::Error;
use blemish_data::digest::hexadecimal;
use blemish_data::{Source, Subset, source_digest};

impl Detector {
    /// This detector after learning from more good images, without those it has learnt from before.
    ///
    /// The calibration is dropped: its scores are not those of the new model. The verification record is made anew.
    ///
    /// # Errors
    /// [`Error::Living`] if the method cannot be updated, the model was not fitted for it or looks at tiles, several sizes or through several
    /// backbones; else as [`Self::fit`].
    pub fn update(&self, new: &dyn Source, options: &FitOptions<'_>) -> Result<Self, Error> {
        let updates = self.updates("update")?;
        let view = self.learner("update")?;
        let backbone = self.model.backbones.first().cloned();
        let reading = Reading {
            transform: view.transform().clone(),
            backbone: backbone.clone(),
            clip: view.clip(),
            batch_size: options.batch_size.max(1),
            skip_bad: options.skip_bad,
            observer: options.observer,
        };
        let set = ViewSet::whole(new, reading);
        let context = options.context(self.seed, backbone);
        let method = updates.update(fitted(view)?, &set.all(), &context)?;
        let left_out = set.skipped();
        let learnt = Subset::new(new, (0..new.len()).filter(|image| !left_out.contains_key(image)).collect());
        options.observer.check_cancelled()?;
        options.observer.stage("digesting the images", None);
        let mut added = DataHeader::of(new, learnt.len(), source_digest(&learnt)?);
        if added.categories.is_empty() {
            // More of the same, whatever its folder is called.
            added.category.clone_from(&self.data.category);
        }
        let mut updated = self.successor(method, joined(&[&self.data, &added]), &[self], options)?;
        updated.skipped = left_out.into_values().collect();
        Ok(updated)
    }

    /// The detector that one fit on the images of all `parts` would have given, without those images.
    ///
    /// Calibrations are dropped, as by [`Self::update`].
    ///
    /// # Errors
    /// [`Error::Living`] if the models cannot be merged (as there), or the parts differ in method, settings, backbone, layers or transform.
    pub fn merge(parts: &[Self], options: &FitOptions<'_>) -> Result<Self, Error> {
        Self::merge_of(&parts.iter().collect::<Vec<_>>(), options)
    }

    /// The same of detectors that lie apart.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub fn merge_of(parts: &[&Self], options: &FitOptions<'_>) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Living { action: "merge", reason };
        let [first, others @ ..] = parts else { return Err(refuse("there are no models to merge".into())) };
        let updates = first.updates("merge")?;
        let expected = first.header();
        for (number, other) in others.iter().enumerate() {
            if let Some(difference) = difference(&expected, &other.header()) {
                return Err(refuse(format!(
                    "model {} has {difference}; fit all parts with the same method, settings, backbone and transform",
                    number + 2
                )));
            }
        }
        let methods =
            parts.iter().map(|part| fitted(part.learner("merge")?)).collect::<Result<Vec<_>, _>>()?;
        let context = options.context(first.seed, first.model.backbones.first().cloned());
        let method = updates.merge(&methods, &context)?;
        let data: Vec<&DataHeader> = parts.iter().map(|part| &part.data).collect();
        first.successor(method, joined(&data), parts, options)
    }

    /// What the model stands for and how well, for methods that can say so.
    pub fn coverage(&self) -> Option<String> {
        let view = self.model.single()?;
        Some(self.model.entry.updates()?.coverage(view.models().next()?))
    }

    fn updates(&self, action: &'static str) -> Result<&'static dyn UpdateEntry, Error> {
        self.model.entry.updates().ok_or_else(|| Error::Living {
            action,
            reason: format!(
                "models of {} do not learn on; fit anew on all images, or use one of: {}",
                self.model.entry.info().name,
                blemish_methods::registry::updatable_names()
            ),
        })
    }

    /// The view whose model learns on.
    fn learner(&self, action: &'static str) -> Result<&View, Error> {
        let reason = "models that look at tiles, at several sizes or through several backbones do not learn on; fit anew on all images, or once updatable, which looks at whole images at one size";
        self.model.single().ok_or_else(|| Error::Living { action, reason: reason.into() })
    }

    /// A detector like this one around a new method; what is shown and verified comes from `parts`.
    fn successor(
        &self,
        method: Box<dyn Fitted>,
        data: DataHeader,
        parts: &[&Self],
        options: &FitOptions<'_>,
    ) -> Result<Self, Error> {
        if parts.iter().any(|part| part.calibration.is_some()) {
            options.observer.warn(
                "the calibration belongs to the old model and is dropped; a recalibration makes one from good images that the new model has not seen",
            );
        }
        // Only pictures use it, and scores hardly move: the average over the images.
        let mean = |of: fn(&Self) -> f32| {
            let sum: f64 =
                parts.iter().map(|part| f64::from(of(part)) * part.data.images.max(1) as f64).sum();
            (sum / parts.iter().map(|part| part.data.images.max(1) as f64).sum::<f64>()) as f32
        };
        let Model { entry, views, backbones } = &self.model;
        let views = vec![views[0].with_model(method)];
        let mut successor = Self {
            model: Model { entry: *entry, views, backbones: backbones.clone() },
            seed: self.seed,
            data,
            colour_range: (mean(|part| part.colour_range.0), mean(|part| part.colour_range.1)),
            calibration: None,
            verification: Default::default(),
            skipped: Vec::new(),
            trimmed: Vec::new(),
            is_covered: true,
        };
        let stored: Vec<_> = parts.iter().map(|part| &part.verification).collect();
        successor.verification = record::renew(&successor.model, &stored, &options.engine)?;
        Ok(successor)
    }
}

/// The model of a view of whole images.
fn fitted(view: &View) -> Result<&dyn Fitted, Error> {
    view.models().next().ok_or_else(|| Error::Score { reason: "the model is empty".into() })
}

/// What is the header of data that came in parts: their images together, and a digest of their digests in order.
fn joined(parts: &[&DataHeader]) -> DataHeader {
    let mut categories: Vec<&str> = parts.iter().map(|part| part.category.as_str()).collect();
    categories.dedup();
    let digests: Vec<&str> = parts.iter().map(|part| part.digest.as_str()).collect();
    let mut several: Vec<String> = parts.iter().flat_map(|part| part.categories.iter().cloned()).collect();
    several.sort();
    several.dedup();
    DataHeader {
        category: categories.join("+"),
        categories: several,
        images: parts.iter().map(|part| part.images).sum(),
        digest: hexadecimal(&record::sha256([digests.join("+").as_bytes()])),
    }
}

/// What keeps a model from being merged with the first, in words.
fn difference(first: &Header, other: &Header) -> Option<String> {
    if first.method != other.method {
        return Some(format!("method {}, the first {}", other.method, first.method));
    }
    for (name, value) in &first.settings {
        let theirs = other.settings.get(name).unwrap_or(&serde_json::Value::Null);
        if theirs != value {
            return Some(format!("setting {name} = {theirs}, the first {value}"));
        }
    }
    match (&first.backbone, &other.backbone) {
        (Some(first), Some(other)) if first.name != other.name => {
            return Some(format!("backbone {}, the first {}", other.name, first.name));
        }
        (Some(first), Some(other)) if first.layers != other.layers => {
            let (theirs, ours) = (other.layers.join(","), first.layers.join(","));
            return Some(format!("layers {theirs}, the first {ours}"));
        }
        (Some(first), Some(other)) if first.digest != other.digest => {
            return Some("other backbone weights than the first (their digests differ)".into());
        }
        _ => {}
    }
    (first.transform != other.transform).then(|| "another image transform than the first".into())
}

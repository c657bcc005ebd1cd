//! A fitted detector for Python. Every piece of work goes through [`work::run`].

use crate::buffers::bytes_of;
use crate::convert::object;
use crate::errors;
use crate::images::{Images, Shared};
use crate::options::{Configuration, Running, engine_of};
use crate::pixels::image_of;
use crate::scored::{self, Scored};
use crate::work::{self, CHECKPOINT_PATIENCE, Terms};
use blemish::data::Label;
use blemish::data::RgbImage;
use blemish::evaluate::EvaluateOptions;
use blemish::features::EngineOptions;
use blemish::file::Claim;
use blemish::metrics::{Criterion, Extremes};
use blemish::{Detector, Error, Observer, Recalibration, ScoreOptions};
use numpy::{PyArray1, PyUntypedArray};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A fitted detector. Many threads may use it at once.
#[pyclass(module = "blemish._native", frozen)]
pub struct Model {
    /// The process that brought it up, and the detector. Looked at only while attached to Python: no fork finds the lock taken.
    live: Mutex<(u32, Arc<Detector>)>,
    engine: EngineOptions,
}

impl Model {
    fn new(detector: Detector, engine: EngineOptions) -> Self {
        Self { live: Mutex::new((std::process::id(), Arc::new(detector))), engine }
    }

    /// The detector. In the child of a fork it is brought up anew, since threads that it has for itself stayed with the parent.
    fn detector(&self, py: Python<'_>) -> PyResult<Arc<Detector>> {
        let process = std::process::id();
        let (of, detector) = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            (live.0, live.1.clone())
        };
        if of == process {
            return Ok(detector);
        }
        let engine = self.engine.clone();
        let parent = detector.clone();
        let fresh = work::run(py, self.terms(None), move |_| parent.reopened(&engine))?;
        let fresh = Arc::new(fresh);
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.0 != process {
            // Never dropped: that would wait for threads that are not here.
            std::mem::forget(std::mem::replace(&mut *live, (process, fresh)));
        }
        std::mem::forget(detector);
        Ok(live.1.clone())
    }

    fn terms(&self, report: Option<Py<PyAny>>) -> Terms {
        Terms::new(self.engine.threads, report)
    }
}

/// The images of a list, for another thread.
fn shared(images: &Bound<'_, Images>) -> PyResult<Shared> {
    images.borrow().source().map_err(|error| errors::raised(images.py(), &error.into()))
}

fn engine(py: Python<'_>, engine: &str, device: &str, threads: Option<usize>) -> PyResult<EngineOptions> {
    engine_of(engine, device, threads).map_err(|error| errors::raised(py, &error))
}

#[pymethods]
impl Model {
    /// Learns from good images.
    #[staticmethod]
    #[pyo3(signature = (configuration, images, running, engine, device, threads, roi, report))]
    #[expect(clippy::too_many_arguments, reason = "Python's half names them")]
    fn fit(
        py: Python<'_>,
        configuration: Configuration,
        images: &Bound<'_, Images>,
        running: Running,
        engine: &str,
        device: &str,
        threads: Option<usize>,
        roi: Option<&Bound<'_, PyUntypedArray>>,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let roi: Option<RgbImage> = roi
            .map(|mask| image_of(mask, false).map_err(|fault| errors::faulty(py, "roi", fault)))
            .transpose()?;
        let (good, engine) = (shared(images)?, self::engine(py, engine, device, threads)?);
        let mut terms = Terms::new(threads, report);
        if running.checkpoint.is_some() {
            terms.patience = CHECKPOINT_PATIENCE;
        }
        let asked = engine.clone();
        let detector = work::run(py, terms, move |observer| {
            let config = configuration.detector(roi.as_ref(), &*good, &running, &asked)?;
            let options = running.options(&asked, observer);
            let detector = Detector::fit(&config, &*good, &options)?;
            for checkpoint in options.training.checkpoints() {
                // The model is complete; a checkpoint that stays is waste, not a fault.
                let _ = std::fs::remove_file(checkpoint);
            }
            Ok(detector)
        })?;
        Ok(Self::new(detector, engine))
    }

    /// Reads a model file.
    #[staticmethod]
    #[pyo3(signature = (path, engine, device, threads))]
    fn load(
        py: Python<'_>,
        path: PathBuf,
        engine: &str,
        device: &str,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let engine = self::engine(py, engine, device, threads)?;
        let asked = engine.clone();
        let detector = work::run(py, Terms::new(threads, None), move |_| Detector::load(&path, &asked))?;
        Ok(Self::new(detector, engine))
    }

    /// Reads a model from the bytes of its file, shared where `is_fixed` says that nobody can change them, else copied.
    #[staticmethod]
    #[pyo3(signature = (data, is_fixed, engine, device, threads))]
    fn from_bytes(
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        is_fixed: bool,
        engine: &str,
        device: &str,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let engine = self::engine(py, engine, device, threads)?;
        let (asked, bytes) = (engine.clone(), bytes_of(data, is_fixed)?);
        let detector =
            work::run(py, Terms::new(threads, None), move |_| Detector::from_bytes(bytes, &asked))?;
        Ok(Self::new(detector, engine))
    }

    /// One model of several that were fitted on parts of the images.
    #[staticmethod]
    #[pyo3(signature = (parts, running, report))]
    fn merge(
        py: Python<'_>,
        parts: Vec<Py<Model>>,
        running: Running,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let detectors = parts.iter().map(|part| part.get().detector(py)).collect::<PyResult<Vec<_>>>()?;
        let engine = parts.first().map(|part| part.get().engine.clone()).unwrap_or_default();
        let asked = engine.clone();
        let detector = work::run(py, Terms::new(engine.threads, report), move |observer| {
            let parts: Vec<&Detector> = detectors.iter().map(|part| &**part).collect();
            Detector::merge_of(&parts, &running.options(&asked, observer))
        })?;
        Ok(Self::new(detector, engine))
    }

    /// Writes the model file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let detector = self.detector(py)?;
        work::run(py, self.terms(None), move |observer| detector.save_claimed(&Claim::new(&path, observer)?))
    }

    /// The bytes of the model file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let detector = self.detector(py)?;
        let bytes = work::run(py, self.terms(None), move |_| detector.to_bytes())?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// What the model says of every image, in their order: a tuple for each, see `_result.py`.
    #[pyo3(signature = (images, maps, min_area, batch_size, skip_bad, report))]
    #[expect(clippy::too_many_arguments, reason = "Python's half names them")]
    fn predict<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, Images>,
        maps: bool,
        min_area: f64,
        batch_size: usize,
        skip_bad: bool,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (detector, source) = (self.detector(py)?, shared(images)?);
        let all: Vec<Scored> = work::run(py, self.terms(report), move |observer| {
            scored::judge(
                &detector,
                &*source,
                maps,
                min_area,
                ScoreOptions { batch_size: batch_size.max(1), skip_bad, with_masks: false, observer },
            )
        })?;
        all.into_iter().map(|one| one.into_python(py)).collect()
    }

    /// The image scores alone, in their order.
    #[pyo3(signature = (images, batch_size, report))]
    fn score<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, Images>,
        batch_size: usize,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let (detector, source) = (self.detector(py)?, shared(images)?);
        let scores = work::run(py, self.terms(report), move |observer| {
            let mut scores = vec![0.0; source.len()];
            observer.stage("scoring", Some(source.len() as u64));
            let options =
                ScoreOptions { batch_size: batch_size.max(1), skip_bad: false, with_masks: false, observer };
            detector.score_source(&*source, &options, |one| -> Result<(), Error> {
                scores[one.index] = one.scored.score;
                Ok(())
            })?;
            Ok(scores)
        })?;
        Ok(PyArray1::from_vec(py, scores))
    }

    /// Metrics on labelled images: (metrics, what was left out).
    #[pyo3(signature = (images, batch_size, skip_bad, report))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, Images>,
        batch_size: usize,
        skip_bad: bool,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (detector, source) = (self.detector(py)?, shared(images)?);
        let metrics = work::run(py, self.terms(report), move |observer| {
            let options = EvaluateOptions { batch_size: batch_size.max(1), skip_bad, observer };
            let outcome = blemish::evaluate::evaluate(&detector, &*source, &options, &mut |_, _, _| {})?;
            warn_of_skipped(&outcome.skipped, observer);
            as_json(&outcome.evaluation)
        })?;
        object(py, &metrics)
    }

    /// The same model with other thresholds. `best` is the JSON of what they should be best at on labelled images.
    #[pyo3(signature = (good, labelled, best, false_alarm, batch_size, skip_bad, report))]
    #[expect(clippy::too_many_arguments, reason = "Python's half names them")]
    fn calibrate(
        &self,
        py: Python<'_>,
        good: Option<&Bound<'_, Images>>,
        labelled: Option<&Bound<'_, Images>>,
        best: (String, f64, f64, Option<f64>, f64),
        false_alarm: Option<f64>,
        batch_size: usize,
        skip_bad: bool,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let detector = self.detector(py)?;
        let good = good.map(shared).transpose()?;
        let labelled = labelled.map(shared).transpose()?;
        let asked = self.engine.clone();
        let detector = work::run(py, self.terms(report), move |observer| {
            let criterion = criterion(best)?;
            let request = Recalibration {
                good: good.as_deref().map(|good| good as _),
                false_alarm,
                labelled: labelled.as_deref().map(|labelled| (labelled as _, criterion)),
                groups: None,
            };
            let options = EvaluateOptions { batch_size: batch_size.max(1), skip_bad, observer };
            if let Some(images) = &labelled
                && let Some(at) = (0..images.len()).find(|&at| images.facts(at).label == Label::Unknown)
            {
                let reason = format!(
                    "image `{}` has no label; say of each whether it is defective",
                    images.facts(at).name
                );
                return Err(Error::Calibration { reason });
            }
            let (detector, skipped) = detector.recalibrated(&request, &asked, &options)?;
            warn_of_skipped(&skipped, observer);
            Ok(detector)
        })?;
        Ok(Self::new(detector, self.engine.clone()))
    }

    /// The same model with thresholds from scores and map maxima of unseen good images that it gave elsewhere.
    #[pyo3(signature = (scores, maxima, groups, false_alarm))]
    fn calibrate_by(
        &self,
        py: Python<'_>,
        scores: Vec<f32>,
        maxima: Vec<f32>,
        groups: Option<usize>,
        false_alarm: f64,
    ) -> PyResult<Self> {
        let (detector, asked) = (self.detector(py)?, self.engine.clone());
        let good: Vec<Extremes> = scores
            .into_iter()
            .zip(maxima)
            .map(|(image_score, map_maximum)| Extremes { image_score, map_maximum })
            .collect();
        let detector = work::run(py, self.terms(None), move |_| {
            detector.calibrated_by(&good, groups, false_alarm, &asked)
        })?;
        Ok(Self::new(detector, self.engine.clone()))
    }

    /// The model after learning from more good images.
    fn update(
        &self,
        py: Python<'_>,
        images: &Bound<'_, Images>,
        running: Running,
        report: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let (detector, good, asked) = (self.detector(py)?, shared(images)?, self.engine.clone());
        let detector = work::run(py, self.terms(report), move |observer| {
            detector.update(&*good, &running.options(&asked, observer))
        })?;
        Ok(Self::new(detector, self.engine.clone()))
    }

    /// Scores the images of the verification record again.
    #[pyo3(signature = (report))]
    fn verify<'py>(&self, py: Python<'py>, report: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let (detector, asked) = (self.detector(py)?, self.engine.clone());
        let verified = work::run(py, self.terms(report), move |_| as_json(&detector.verify(&asked)?))?;
        object(py, &verified)
    }

    /// The same model run by another engine, on another device or with other threads.
    fn reopened(&self, py: Python<'_>, engine: &str, device: &str, threads: Option<usize>) -> PyResult<Self> {
        let (detector, engine) = (self.detector(py)?, self::engine(py, engine, device, threads)?);
        let asked = engine.clone();
        let detector = work::run(py, Terms::new(threads, None), move |_| detector.reopened(&asked))?;
        Ok(Self::new(detector, engine))
    }

    /// What its file says of it, the scores of the calibration left out.
    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let detector = self.detector(py)?;
        let mut header = detector.header();
        header.calibration = None;
        let mut header = as_json(&header).map_err(|error| errors::raised(py, &error))?;
        if let Some(fields) = header.as_object_mut() {
            // They say something of files only.
            fields.retain(|name, _| !matches!(name.as_str(), "checksum" | "file_digest" | "calibration"));
        }
        object(py, &header)
    }

    /// Thresholds, the scores that they rest on, and what they promise; `None` without a calibration.
    #[getter]
    fn calibration<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let detector = self.detector(py)?;
        let Some(calibration) = detector.calibration() else { return Ok(None) };
        let mut value = as_json(calibration).map_err(|error| errors::raised(py, &error))?;
        value["origin"] = calibration.origin().into();
        value["promise"] = calibration.promise().into();
        value["lowest_rate"] = calibration.lowest_rate().into();
        value["groups"] = calibration.groups().into();
        // Exactly the numbers that scores are compared with.
        value["image_threshold"] = calibration.image_threshold.map(f64::from).into();
        value["pixel_threshold"] = calibration.pixel_threshold.map(f64::from).into();
        value["image_scores"] = calibration.image_scores.iter().map(|&score| f64::from(score)).collect();
        value["map_maxima"] = calibration.map_maxima.iter().map(|&score| f64::from(score)).collect();
        Ok(Some(object(py, &value)?))
    }

    /// Image score above which an image is anomalous.
    #[getter]
    fn thresholds(&self, py: Python<'_>) -> PyResult<(Option<f32>, Option<f32>)> {
        let detector = self.detector(py)?;
        let of = detector.calibration();
        Ok((of.and_then(|of| of.image_threshold), of.and_then(|of| of.pixel_threshold)))
    }

    /// SHA-256 that identifies the model.
    #[getter]
    fn identity(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.detector(py)?.identity())
    }

    /// What was left out of the fit: name and reason.
    #[getter]
    fn skipped(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let detector = self.detector(py)?;
        let told = detector
            .skipped()
            .iter()
            .map(|one| (one.path.to_string_lossy().into_owned(), one.reason.clone()));
        Ok(told.collect())
    }

    /// What the model stands for and how well, of methods that learn on.
    #[getter]
    fn coverage(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.detector(py)?.coverage())
    }

    /// Frames of the clips that it looks at.
    #[getter]
    fn clip(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.detector(py)?.clip())
    }

    /// Scores that pictures show as the coldest and the hottest colour.
    #[getter]
    fn colour_range(&self, py: Python<'_>) -> PyResult<(f32, f32)> {
        Ok(self.detector(py)?.colour_range())
    }

    /// Engine, device and threads as they were asked for.
    #[getter]
    fn engine(&self) -> (String, String, Option<usize>) {
        (self.engine.engine.to_string(), self.engine.device.to_string(), self.engine.threads)
    }
}

fn warn_of_skipped(skipped: &[blemish::data::Skipped], observer: &dyn Observer) {
    for one in skipped {
        observer.warn(&format!("left out `{}`: {}", one.path.display(), one.reason));
    }
}

/// What thresholds should be best at: name, cost of a miss and of a false alarm, share of defects, recall.
fn criterion(
    (by, miss, false_alarm, defect_share, recall): (String, f64, f64, Option<f64>, f64),
) -> Result<Criterion, Error> {
    match by.as_str() {
        "f1" => Ok(Criterion::F1),
        "cost" => Ok(Criterion::Cost { miss, false_alarm, defect_share }),
        "recall" => Ok(Criterion::Recall { wanted: recall }),
        other => Err(Error::Setting {
            key: "by".into(),
            reason: format!("`{other}` is none"),
            help: "allowed: f1 | cost | recall".into(),
        }),
    }
}

/// # Errors
/// [`Error::Evaluation`] for what no JSON can hold, which none of these types does.
fn as_json(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::Evaluation { reason: error.to_string() })
}

/// The input sizes that a fit on these images would choose; empty where the method or the configuration has one of its own.
#[pyfunction]
#[pyo3(signature = (configuration, images, updatable))]
pub fn choose_sizes(
    py: Python<'_>,
    configuration: Configuration,
    images: &Bound<'_, Images>,
    updatable: bool,
) -> PyResult<Vec<usize>> {
    let good = shared(images)?;
    work::run(py, Terms::new(None, None), move |_| {
        let config = configuration.unfitted()?;
        let mut config = if updatable { config.updatable()? } else { config };
        Ok(config.choose_inputs(&*good)?.map(|choice| choice.sides).unwrap_or_default())
    })
}

/// What can be done and learnt without a model: all methods.
#[pyfunction]
pub fn methods(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let all: Vec<Value> =
        blemish::registry::methods().iter().map(|entry| blemish::entry::described(*entry)).collect();
    object(py, &json!(all))
}

/// Checks a configuration as far as it can be without images.
#[pyfunction]
pub fn check(py: Python<'_>, configuration: Configuration, engine: &str, device: &str) -> PyResult<()> {
    let checked = configuration.unfitted().and_then(|_| engine_of(engine, device, None));
    checked.map(drop).map_err(|error| errors::raised(py, &error))
}

//! What a model says of images, on its way to Python.

use crate::convert::object;
use blemish::data::{DataError, Source};
use blemish::{Detector, Error, Observer, ScoreOptions, Verdict};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use serde_json::Value;

/// The rows and columns of an image that its map covers: top, bottom, left, right.
type Covered = (usize, usize, usize, usize);

/// What is said of one image.
pub enum Scored {
    /// It was scored.
    Judged {
        verdict: Box<Verdict>,
        json: String,
        map: Option<(Vec<f32>, usize, usize)>,
        size: (usize, usize),
        covered: Covered,
    },
    /// It was left out: its name and why.
    Broken { path: String, reason: String },
}

/// Scores the images of a source and decides on each; one outcome an image, in their order.
///
/// # Errors
/// As [`Detector::score_source`].
pub fn judge(
    detector: &Detector,
    source: &dyn Source,
    maps: bool,
    min_area: f64,
    options: ScoreOptions<'_>,
) -> Result<Vec<Scored>, Error> {
    let observer: &dyn Observer = options.observer;
    observer.stage("scoring", Some(source.len() as u64));
    let mut all: Vec<Option<Scored>> = (0..source.len()).map(|_| None).collect();
    let outcome = detector.score_source(source, &options, |one| -> Result<(), Error> {
        let facts = source.facts(one.index);
        let verdict = detector.verdict(&facts.name, &one.scored, one.size, min_area)?;
        let (height, width) = one.size;
        let covered = detector.transform().covered(height, width);
        let (rows, columns) = covered.map_err(|fault| Error::Score { reason: fault.to_string() })?;
        let json =
            serde_json::to_string(&verdict).map_err(|error| Error::Score { reason: error.to_string() })?;
        let map = one.scored.map;
        all[one.index] = Some(Scored::Judged {
            verdict: Box::new(verdict),
            json,
            map: maps.then_some((map.values, map.height, map.width)),
            size: one.size,
            covered: (rows.start, rows.end, columns.start, columns.end),
        });
        Ok(())
    });
    let skipped = match outcome {
        Ok(skipped) => skipped,
        // Who asks for a result an image gets one, even if none can be used.
        Err(Error::Data(DataError::NothingLeft { .. })) if options.skip_bad => Vec::new(),
        Err(error) => return Err(error),
    };
    let broken = |(index, one): (usize, Option<Scored>)| {
        one.unwrap_or_else(|| {
            let path = source.facts(index).name.clone();
            let told = skipped.iter().find(|one| one.path.to_string_lossy() == path);
            let reason = told.map_or_else(|| fault_of(detector, source, index), |one| one.reason.clone());
            Scored::Broken { path, reason }
        })
    };
    Ok(all.into_iter().enumerate().map(broken).collect())
}

/// Why an image cannot be used, by trying once more.
fn fault_of(detector: &Detector, source: &dyn Source, index: usize) -> String {
    let transform = detector.transform();
    let fits = source.read(index, &transform.read_options()).and_then(|image| {
        let size = transform.output_size(image.height, image.width);
        size.map_err(|fault| DataError::Image { path: source.facts(index).name.clone().into(), fault })
    });
    match fits {
        Err(DataError::Image { fault, .. }) => fault.to_string(),
        Err(error) => error.to_string(),
        Ok(_) => "it could not be used; try it once more".into(),
    }
}

impl Scored {
    /// The tuple that Python's `Result` is made of: JSON of the verdict, score, p-value, threshold, anomalous, map, regions, size, covered
    /// part, name, error. The map's values are not copied.
    pub fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Broken { path, reason } => {
                let nothing = || py.None();
                (
                    nothing(),
                    f64::NAN,
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    Vec::<u8>::new(),
                    (0, 0),
                    (0, 0, 0, 0),
                    path,
                    reason,
                )
                    .into_bound_py_any(py)
            }
            Self::Judged { verdict, json, map, size, covered } => {
                let map = match map {
                    None => None,
                    Some((values, height, width)) => {
                        Some(PyArray1::from_vec(py, values).reshape([height, width])?)
                    }
                };
                let decision = verdict.decision.as_ref();
                let regions = match decision {
                    None => py.None().into_bound(py),
                    Some(decision) => {
                        let regions = serde_json::to_value(&decision.regions).unwrap_or(Value::Null);
                        object(py, &regions)?
                    }
                };
                let p_value = decision.map(|decision| decision.p_value);
                let threshold = decision.and_then(|decision| decision.threshold);
                let anomalous = decision.and_then(|decision| decision.anomalous);
                (
                    json,
                    verdict.score,
                    p_value,
                    threshold,
                    anomalous,
                    map,
                    regions,
                    size,
                    covered,
                    verdict.path,
                    py.None(),
                )
                    .into_bound_py_any(py)
            }
        }
    }
}

//! The file in which `predict` keeps its running statistics between runs: the drift test of `blemish-eval` and whose scores it holds.
//!
//! Images are watched beside their scores where the reference has statistics of its images: the first images always do, a model's
//! calibration if it was made by this program, files of older programs do not.

use crate::detector::Detector;
use crate::looks::Look;
use blemish_core::error::Error;
use blemish_data::files;
use blemish_eval::{Calibration, Drift, DriftKind, DriftMonitor, DriftOptions, MetricError, Source};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Scores that a reference must have.
const FEWEST: usize = 20;

/// Monitors are read whole; a larger file is something else.
const MOST_BYTES: u64 = 1 << 28;

/// Where a new monitor's reference scores come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The model's calibration where it is of at least 20 scores by this very model, else the first 100 images. Scores by the
    /// models of folds do not serve: they lie a little higher, which would in the end be found as a move.
    Auto,
    /// So many images, the first that the monitor sees.
    Collected(usize),
}

/// A drift monitor that lives in a file.
pub struct Monitor {
    path: PathBuf,
    content: Content,
    reference: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// Says what the file is.
    format: String,
    /// [`Detector::identity`] of the model whose scores these are.
    model: String,
    drift: DriftMonitor,
}

const FORMAT: &str = "blemish monitor 1";

impl Monitor {
    /// Opens the file, or makes it if there is none; an existing one goes on with the settings it was made with.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read or written, [`Error::Monitor`] if it is not a monitor file, belongs to another model, or `options`
    /// are out of range.
    pub fn open(
        path: &Path,
        detector: &Detector,
        reference: Reference,
        false_alarm: f64,
    ) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Monitor { path: path.to_owned(), reason };
        let text = match files::read(path, MOST_BYTES) {
            // What is no text is no monitor either.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
                return Err(refuse(format!("{error}; give another name")));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let (drift, reference) =
                    begin(detector, reference, false_alarm).map_err(|error| refuse(error.to_string()))?;
                let content = Content { format: FORMAT.into(), model: detector.identity(), drift };
                let monitor = Self { path: path.to_owned(), content, reference };
                // Finds out before any work whether it can be written at all.
                monitor.save()?;
                return Ok(monitor);
            }
            Err(source) => return Err(Error::Io { action: "read", path: path.to_owned(), source }),
        };
        let content: Content = serde_json::from_str(&text)
            .ok()
            .filter(|content: &Content| content.format == FORMAT)
            .ok_or_else(|| refuse("it is not a monitor file; give another name".into()))?;
        if content.model != detector.identity() {
            let reason =
                "it holds scores of another model (or of this one before an update); start a new file";
            return Err(refuse(reason.into()));
        }
        Ok(Self { path: path.to_owned(), content, reference: "an earlier run" })
    }

    /// Takes in the next image: its score and how it looks; returns the drift when its evidence first suffices.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`] for the score.
    pub fn observe(&mut self, score: f32, look: Option<&Look>) -> Result<Option<Drift>, MetricError> {
        self.content.drift.observe_image(score, look.map(|look| &look.statistics))
    }

    /// The test and its counts.
    pub fn drift(&self) -> &DriftMonitor {
        &self.content.drift
    }

    /// Where the reference came from, for people.
    pub fn reference(&self) -> &'static str {
        self.reference
    }

    /// Replaces the file by the present state, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self) -> Result<(), Error> {
        let fail = |source| Error::Io { action: "write", path: self.path.clone(), source };
        let text = serde_json::to_string(&self.content).map_err(|error| fail(error.into()))?;
        files::write(&self.path, text.as_bytes()).map_err(fail)
    }
}

/// A drift in words, without a full stop.
pub fn in_words(drift: &Drift) -> String {
    let what = match drift.kind {
        DriftKind::Higher => "scores of good images are higher than they were",
        DriftKind::Lower => "scores of good images are lower than they were",
        DriftKind::SetAside => "more than a fifth of the images are anomalous of late",
        DriftKind::Darker => "images are darker than they were",
        DriftKind::Brighter => "images are brighter than they were",
        DriftKind::LowerContrast => "images have less contrast than they had",
        DriftKind::HigherContrast => "images have more contrast than they had",
        DriftKind::ColourCast => "the balance of colours of the images has changed",
        DriftKind::Blurred => "images are less sharp than they were",
        DriftKind::Sharper => "images are sharper or noisier than they were",
    };
    format!("drift: {what}, from about image {} on, found at image {}", drift.since, drift.image)
}

fn begin(
    detector: &Detector,
    reference: Reference,
    false_alarm: f64,
) -> Result<(DriftMonitor, &'static str), MetricError> {
    let options = DriftOptions { false_alarm, ..DriftOptions::default() };
    let calibration = detector.calibration().filter(|calibration| is_reference(calibration));
    Ok(match (reference, calibration) {
        (Reference::Collected(reference), _) => {
            (DriftMonitor::new(DriftOptions { reference, ..options })?, "the first images")
        }
        (Reference::Auto, Some(known)) => {
            let (scores, statistics) = (&known.image_scores, &known.statistics);
            let drift = DriftMonitor::with_reference(options, scores, statistics, known.image_threshold)?;
            (drift, "the model's calibration")
        }
        (Reference::Auto, None) => (DriftMonitor::new(options)?, "the first images"),
    })
}

/// Whether a calibration holds scores by the model itself of good images that it has not seen.
fn is_reference(calibration: &Calibration) -> bool {
    let by_the_model_itself = matches!(
        calibration.source,
        Source::GoodImages | Source::Labelled | Source::HeldOut { refitted: false }
    );
    by_the_model_itself && calibration.image_scores.len() >= FEWEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_eval::Extremes;

    #[test]
    fn only_enough_scores_by_the_model_itself_are_a_reference() {
        let is_good = |count: usize, source| {
            let one = |at| Extremes { image_score: at as f32, map_maximum: at as f32 };
            let scores: Vec<Extremes> = (0..count).map(one).collect();
            is_reference(&Calibration::new(&scores, source, 0.1).unwrap())
        };
        assert!(is_good(20, Source::GoodImages) && is_good(20, Source::HeldOut { refitted: false }));
        assert!(!is_good(19, Source::GoodImages));
        assert!(!is_good(20, Source::HeldOut { refitted: true }));
        assert!(!is_good(20, Source::Folds { folds: 5, groups: None }));
    }
}

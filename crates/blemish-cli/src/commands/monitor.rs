//! `blemish predict --monitor`: scores watched for drift.

use crate::args::MonitorArgs;
use crate::console::Console;
use crate::failure::Failure;
use blemish::metrics::{Drift, DriftKind};
use blemish::monitor::{Monitor, Reference};
use blemish::{Detector, Error, Observer};
use serde_json::json;
use std::path::Path;

/// The monitor of a run, if it has one.
pub struct Watch {
    monitor: Option<Monitor>,
}

impl Watch {
    pub fn open(args: &MonitorArgs, detector: &Detector) -> Result<Self, Failure> {
        let reference = args.monitor_reference.map_or(Reference::Auto, Reference::Collected);
        let monitor = match &args.monitor {
            Some(path) => Some(Monitor::open(path, detector, reference, args.monitor_false_alarm)?),
            None => None,
        };
        Ok(Self { monitor })
    }

    /// Takes a score in and warns at once when drift is found.
    pub fn observe(&mut self, image: &Path, score: f32, console: &Console) -> Result<(), Failure> {
        let Some(monitor) = &mut self.monitor else { return Ok(()) };
        let found = monitor.drift().observe(score).map_err(|error| {
            Failure::from(Error::Evaluation { reason: format!("{error} (image `{}`)", image.display()) })
        })?;
        if let Some(drift) = found {
            console.warn(&format!("{} (at `{}`)", in_words(&drift), image.display()));
        }
        Ok(())
    }

    pub fn save(&self) -> Result<(), Failure> {
        self.monitor.as_ref().map_or(Ok(()), |monitor| Ok(monitor.save()?))
    }

    /// Says how things stand after a run.
    pub fn report(&mut self, console: &Console) {
        let Some(monitor) = &mut self.monitor else { return };
        let reference = monitor.reference();
        let state = monitor.drift();
        let (watched, set_aside, missing) = (state.watched(), state.set_aside(), state.missing());
        let (drift, evidence) = (state.drift(), state.evidence());
        let line = match &drift {
            _ if missing > 0 => format!("monitor: {missing} more images until the reference is complete"),
            Some(drift) => {
                format!("monitor: {}; clean or adjust the camera, then start a new file", in_words(drift))
            }
            None => format!(
                "monitor: no drift in {watched} images ({set_aside} set aside as anomalous), evidence {:.0} % of a warning's; \
                 reference: {reference}",
                100.0 * evidence
            ),
        };
        let event = json!({
            "event": "monitor", "watched": watched, "set_aside": set_aside, "missing_reference": missing,
            "evidence": evidence, "drift": drift, "reference": reference,
        });
        console.tell(&line, &event);
    }
}

fn in_words(drift: &Drift) -> String {
    let what = match drift.kind {
        DriftKind::Higher => "scores of good images are higher than they were",
        DriftKind::Lower => "scores of good images are lower than they were",
        DriftKind::SetAside => "more than a fifth of the images are anomalous of late",
    };
    format!("drift: {what}, from about image {} on, found at image {}", drift.since, drift.image)
}

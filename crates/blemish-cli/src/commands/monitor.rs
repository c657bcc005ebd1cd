//! `blemish predict --monitor`: scores and images watched for drift.

use crate::args::MonitorArgs;
use crate::console::Console;
use crate::failure::Failure;
use blemish::file::Claim;
use blemish::monitor::{Monitor, Reference, in_words};
use blemish::{Detector, Error, Look, Observer};
use serde_json::json;
use std::path::Path;

/// The monitor of a run, if it has one.
pub struct Watch {
    monitor: Option<Monitor>,
    /// Runs with one file take turns, so that each goes on where the last one ended.
    _claim: Option<Claim>,
}

impl Watch {
    /// Opens the file of a monitor; while another run uses it, waits.
    pub fn open(args: &MonitorArgs, detector: &Detector, console: &Console) -> Result<Self, Failure> {
        let claim = args.monitor.as_ref().map(|path| Claim::new(path, console)).transpose()?;
        let reference = args.monitor_reference.map_or(Reference::Auto, Reference::Collected);
        let monitor = match &args.monitor {
            Some(path) => Some(Monitor::open(path, detector, reference, args.monitor_false_alarm)?),
            None => None,
        };
        Ok(Self { monitor, _claim: claim })
    }

    /// Whether there is a monitor, which wants to know how images look.
    pub fn is_on(&self) -> bool {
        self.monitor.is_some()
    }

    /// Takes an image in, by its score and how it looks, and warns at once when drift is found.
    pub fn observe(
        &mut self,
        image: &Path,
        score: f32,
        look: Option<&Look>,
        console: &Console,
    ) -> Result<(), Failure> {
        let Some(monitor) = &mut self.monitor else { return Ok(()) };
        let found = monitor.observe(score, look).map_err(|error| {
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
    pub fn report(&self, console: &Console) {
        let Some(monitor) = &self.monitor else { return };
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
        let is_of_images = state.watches_images();
        let line = match is_of_images || missing > 0 {
            true => line,
            false => format!(
                "{line}; only scores are watched, not the images themselves, since the reference has no statistics of its images: \
                 a new file with --monitor-reference N has them, or one after `blemish calibrate --with-good`"
            ),
        };
        let event = json!({
            "event": "monitor", "watches_images": is_of_images, "watched": watched, "set_aside": set_aside, "missing_reference": missing,
            "evidence": evidence, "drift": drift, "reference": reference,
        });
        console.tell(&line, &event);
    }
}

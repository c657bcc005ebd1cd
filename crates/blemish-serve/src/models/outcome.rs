//! From images that were scored to what is said of them.

use super::given::{Prepared, joined};
use super::job::Job;
use super::version::Version;
use crate::answer::{Milliseconds, Verdict};
use crate::fault::Fault;
use blemish::{Decision, Observer, ScoreOptions, Scored};
use std::time::Duration;

/// Watches whether anybody still wants an image.
struct Wanted<'a>(&'a Job);

impl Observer for Wanted<'_> {
    fn is_cancelled(&self) -> bool {
        !self.0.is_wanted()
    }
}

/// What a verdict says beside score and decision.
pub(super) struct About<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) version: &'a Version,
    pub(super) size: (usize, usize),
    pub(super) milliseconds: Milliseconds,
}

impl About<'_> {
    pub(super) fn verdict(self, score: f32, decision: Option<Decision>) -> Verdict {
        let (p_value, threshold, anomalous, regions) = match decision {
            Some(Decision { p_value, threshold, anomalous, regions }) => {
                (Some(p_value), threshold, anomalous, regions)
            }
            None => (None, None, None, Vec::new()),
        };
        Verdict {
            id: self.id.to_owned(),
            model: self.model.to_owned(),
            version: self.version.version.clone(),
            score,
            p_value,
            threshold,
            anomalous,
            regions,
            size: [self.size.0, self.size.1],
            milliseconds: self.milliseconds,
        }
    }
}

/// The outcomes of images that go together.
pub(super) fn scored(version: &Version, jobs: &[Job]) -> Result<Vec<Scored>, Fault> {
    #[cfg(test)]
    if jobs.iter().any(|job| job.asked.name == super::tests::PANICS) {
        panic!("as asked");
    }
    let outcome = match jobs {
        [Job { prepared: Prepared { batch: Some(batch), .. }, .. }] => version.detector.score(batch),
        [job @ Job { prepared: Prepared { image: Some(image), .. }, .. }] => {
            let options = ScoreOptions { observer: &Wanted(job), ..ScoreOptions::default() };
            version.detector.score_image(image, &options).map(|scored| vec![scored])
        }
        jobs => match joined(&jobs.iter().map(|job| &job.prepared).collect::<Vec<_>>()) {
            Some(batch) => version.detector.score(&batch),
            None => return Ok(Vec::new()),
        },
    };
    outcome.map_err(|error| match &error {
        // An image that fits was scored to something that is no number: the model's fault, not the caller's.
        blemish::Error::Score { reason } if reason.contains("finite") => Fault::new("not_finite", error),
        _ => Fault::from(&error),
    })
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    // Microseconds are as fine as clocks are.
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A time that is over.
pub(super) fn late() -> Fault {
    Fault::new("deadline", "the time for the request is over; send less at once, or raise --timeout")
}

/// A panic, which the log knows more of.
pub(super) fn panicked() -> Fault {
    Fault::new("panic", "the server failed on this image; its log has the id of the request")
}

pub(super) fn removed(name: &str) -> Fault {
    Fault::new(
        "no_such_model",
        format!("the model `{name}` was taken away; GET /v1/models lists those that are served"),
    )
}

//! How long an image takes: of a fitted model, and of one that would take long to fit, from quick fits on a few images.

use crate::config::{DetectorConfig, FitOptions};
use crate::detector::Detector;
use blemish_core::error::Error;
use blemish_core::observer::Quiet;
use blemish_data::{Files, Sample};
use blemish_features::EngineOptions;
use std::path::Path;
use std::time::Instant;

/// Images whose time is taken, after one that is not.
pub(super) const TIMED: usize = 9;

/// The same after a quick fit.
const TIMED_QUICKLY: usize = 5;

/// Images of the two quick fits. A method that keeps what it has seen takes longer the more it has seen, so the time is drawn on from
/// them to the whole fit.
const FEW: [usize; 2] = [4, 12];

/// From how many times as many images on quick fits are worth their time.
const WORTH: usize = 2;

/// How far above the limit a time from quick fits must lie: times of single images swing, and a line through two of them swings more.
const MARGIN: f64 = 1.25;

/// Takes the time of images of a model.
pub(super) struct Stopwatch<'a> {
    /// Where the model may be written: its time is that of a freshly loaded one.
    pub(super) model: &'a Path,
    pub(super) images: &'a [Sample],
    /// Most milliseconds an image may take.
    pub(super) limit_ms: f64,
    /// CPU threads that the time is taken with.
    pub(super) threads: usize,
    pub(super) fit: &'a FitOptions<'a>,
}

/// What quick fits let expect.
pub(super) struct Estimate {
    /// Milliseconds an image.
    pub(super) latency_ms: f64,
    limit_ms: f64,
}

impl Estimate {
    /// Whether a whole fit is in vain.
    pub(super) fn is_too_slow(&self) -> bool {
        self.latency_ms > MARGIN * self.limit_ms
    }
}

impl Stopwatch<'_> {
    /// Median time of an image from its file to its map, in milliseconds. Times far beyond the limit are not taken often.
    pub(super) fn measure(&self, detector: &Detector, count: usize) -> Result<f64, Error> {
        detector.save(self.model)?;
        let threads = self.threads.max(1);
        let engine = EngineOptions { threads: Some(threads), ..self.fit.engine };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
            Error::Pick { reason: format!("the system gives no {threads} threads ({error}); ask for fewer") }
        })?;
        pool.install(|| {
            let detector = Detector::load(self.model, &engine)?;
            let mut times: Vec<f64> = Vec::new();
            for (number, sample) in self.images.iter().cycle().take(count + 1).enumerate() {
                self.fit.observer.check_cancelled()?;
                let started = Instant::now();
                detector.score_file(&sample.path)?;
                // The first one finds everything cold.
                if number > 0 {
                    times.push(1000.0 * started.elapsed().as_secs_f64());
                }
                if times.len() == 2 && times.iter().all(|time| *time > 2.0 * MARGIN * self.limit_ms) {
                    break;
                }
            }
            times.sort_unstable_by(f64::total_cmp);
            Ok(times[times.len() / 2])
        })
    }

    /// The time that a fit on all of `training` would come to; `None` where that fit is quick itself, or where so few images allow none.
    pub(super) fn estimate(
        &self,
        config: &DetectorConfig,
        training: &Files,
    ) -> Result<Option<Estimate>, Error> {
        let all = training.samples().len();
        if all < WORTH * FEW[1] {
            return Ok(None);
        }
        let limit_ms = self.limit_ms;
        let mut times = [0.0; 2];
        for (time, count) in times.iter_mut().zip(FEW) {
            // Spread over all, so that an odd beginning does not count.
            let some: Vec<Sample> =
                (0..count).map(|at| training.samples()[at * all / count].clone()).collect();
            let quiet = Quiet(self.fit.observer);
            let fit = FitOptions { observer: &quiet, ..self.fit.clone() };
            let detector = match Detector::fit(config, &Files::new(some, ""), &fit) {
                Ok(detector) => detector,
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                // What a few images do not allow, all of them may; else the whole fit says what is wrong.
                Err(_) => return Ok(None),
            };
            *time = self.measure(&detector, TIMED_QUICKLY)?;
            // A few images are the least that it can take.
            if *time > 2.0 * MARGIN * limit_ms {
                return Ok(Some(Estimate { latency_ms: *time, limit_ms }));
            }
        }
        Ok(Some(Estimate { latency_ms: drawn_on(times, all), limit_ms }))
    }
}

/// The time with `all` images from those with [`FEW`].
fn drawn_on([one, other]: [f64; 2], all: usize) -> f64 {
    let an_image = (other - one).max(0.0) / (FEW[1] - FEW[0]) as f64;
    other + an_image * (all.saturating_sub(FEW[1])) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_grows_with_the_images_is_drawn_on_and_one_that_does_not_stays() {
        assert_eq!(drawn_on([10.0, 18.0], 112), 118.0);
        assert_eq!(drawn_on([10.0, 10.0], 112), 10.0);
        assert_eq!(drawn_on([11.0, 10.0], 112), 10.0, "noise does not make it faster");
        let estimate = |latency_ms| Estimate { latency_ms, limit_ms: 10.0 };
        assert!(estimate(13.0).is_too_slow() && !estimate(12.0).is_too_slow());
    }
}

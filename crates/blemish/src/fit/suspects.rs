//! Defects among the images that are meant to be good: ranked by the scores of models that have not seen them.
//!
//! A few defective images in a training set are the usual case. A model fitted with such an image scores it as good; one fitted without
//! its fold does not. Nothing is left out unless asked for ([`Trim`]), and what is left out is always listed.

use super::calibrate::score_folds;
use super::fits::Fits;
use super::folds::{Units, deal};
use crate::config::{CalibrationConfig, DetectorConfig, FitOptions, Trim};
use crate::looks::Watched;
use crate::view::Plan;
use blemish_core::error::Error;
use blemish_core::map::{AnomalyMap, Scored};
use blemish_data::names::path_of;
use blemish_data::{Skipped, Source};
use std::path::PathBuf;

/// A training image and how suspicious it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The image's name: of a file its path.
    pub path: PathBuf,
    /// Image score by a model that has not seen it.
    pub score: f32,
    /// How far the score lies above the median of all, in robust standard deviations (1.4826 x the median absolute deviation).
    pub deviations: f64,
    /// Its anomaly map; only of those that are to be shown.
    pub map: Option<AnomalyMap>,
}

/// All training images, and those that could not be read.
#[derive(Debug)]
pub struct Suspects {
    /// The most suspicious first; ties in the order of the images.
    pub ranked: Vec<Suspect>,
    /// Images left out on `skip_bad`, with reasons.
    pub skipped: Vec<Skipped>,
}

/// Ranks the images of a source by the scores of models fitted without them; the first `shown` keep their maps.
///
/// # Errors
/// As [`crate::Detector::fit`]; [`Error::Fit`] with fewer than two images, or for a method that trains too long to be fitted several
/// times.
pub fn find_suspects(
    config: &DetectorConfig,
    good: &dyn Source,
    options: &FitOptions<'_>,
    shown: usize,
) -> Result<Suspects, Error> {
    let mut config = config.clone();
    config.choose_preset(options.engine.device)?;
    config.choose_inputs(good)?;
    let plan = Plan::new(&config, options)?;
    let good = Watched::when(good, false);
    let fits = Fits::new(&plan, &config, &good, options, true)?;
    let ranked = rank(&fits, shown)?.into_iter().map(|(_, suspect)| suspect).collect();
    Ok(Suspects { ranked, skipped: fits.skipped() })
}

/// The indices of the images to learn from, ascending, and the suspects that are left out.
///
/// # Errors
/// As [`find_suspects`]; [`Error::Fit`] if nothing would be left.
pub(crate) fn trim(fits: &Fits<'_>, trim: Trim) -> Result<(Vec<usize>, Vec<Suspect>), Error> {
    let mut ranked = rank(fits, 0)?;
    let count = trim.count(ranked.len());
    if count >= ranked.len() {
        let reason = format!("{count} of {} training images would be left out; trim fewer", ranked.len());
        return Err(Error::Fit { method: fits.plan.entry.info().name, reason });
    }
    let mut kept: Vec<usize> = ranked.split_off(count).into_iter().map(|(index, _)| index).collect();
    kept.sort_unstable();
    Ok((kept, ranked.into_iter().map(|(_, suspect)| suspect).collect()))
}

/// Scores every image out of sample and sorts.
fn rank(fits: &Fits<'_>, shown: usize) -> Result<Vec<(usize, Suspect)>, Error> {
    let method = fits.plan.entry.info().name;
    if fits.plan.needs.trains_long() {
        let reason = "it trains too long to be fitted several times; find suspects with another method";
        return Err(Error::Fit { method, reason: reason.into() });
    }
    let images = fits.usable()?;
    let mut ranked: Vec<(usize, Suspect)> = Vec::new();
    let mut collect = |index: usize, scored: Scored| {
        let Scored { score, map } = scored;
        let path = path_of(&fits.source.facts(index).name);
        let suspect = Suspect { path, score, deviations: 0.0, map: Some(map) };
        let place = ranked.partition_point(|(other, known)| (-known.score, *other) < (-score, index));
        ranked.insert(place, (index, suspect));
        // Only maps that may still be shown are held: not a new one beyond them, nor the one that it has pushed out.
        for beyond in [place.max(shown), shown] {
            if let Some((_, suspect)) = ranked.get_mut(beyond) {
                suspect.map = None;
            }
        }
    };
    let folds = match fits.config.calibration.folds {
        0 => CalibrationConfig::default().folds,
        folds => folds,
    };
    let dealt = deal(fits.source, &Units::given(fits.source), &images, folds, fits.config.seed);
    if dealt.len() < 2 {
        let reason =
            "suspects can only be found among at least two training images or groups; bring more".into();
        return Err(Error::Fit { method, reason });
    }
    fits.options.observer.stage("scoring out of fold", Some(images.len() as u64));
    score_folds(fits, &images, &dealt, &mut collect)?;
    let scores: Vec<f64> = ranked.iter().map(|(_, suspect)| f64::from(suspect.score)).collect();
    let (middle, spread) = robust(&scores);
    for (_, suspect) in &mut ranked {
        suspect.deviations = (f64::from(suspect.score) - middle) / spread;
    }
    Ok(ranked)
}

/// Median and 1.4826 x median absolute deviation (never 0).
fn robust(scores: &[f64]) -> (f64, f64) {
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    };
    let middle = median(scores);
    let away: Vec<f64> = scores.iter().map(|score| (score - middle).abs()).collect();
    (middle, (1.4826 * median(&away)).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_far_value_moves_neither_median_nor_spread() {
        assert_eq!(robust(&[1.0, 2.0, 3.0, 4.0, 1000.0]), (3.0, 1.4826));
        assert!(robust(&[5.0; 4]).1 > 0.0);
    }
}

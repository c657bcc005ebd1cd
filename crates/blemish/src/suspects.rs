//! Defects among the images that are meant to be good: ranked by the scores of models that have not seen them.
//!
//! A few defective images in a training set are the usual case. A model fitted with such an image scores it as good; one fitted without
//! its fold does not. Nothing is left out unless asked for ([`Trim`]), and what is left out is always told.

use crate::calibrate::{CachedFits, CalibrationConfig, OutOfFold, deal};
use crate::composed::ComposedFits;
use crate::detector::{DetectorConfig, FitOptions};
use crate::prepared::Prepared;
use crate::view;
use blemish_core::error::Error;
use blemish_core::map::{AnomalyMap, Scored};
use blemish_data::{Dataset, Skipped};
use std::path::PathBuf;

/// How many of the most suspicious training images a fit leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trim {
    /// So many.
    Count(usize),
    /// A share of all, between 0 and 1; rounded to the nearest number.
    Share(f64),
}

impl Trim {
    fn count(self, images: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => (share * images as f64).round() as usize,
        }
    }
}

impl std::str::FromStr for Trim {
    type Err = String;

    /// Reads `3` or `2%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number of images such as 3 nor a share such as 2%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..100.0).contains(&percent) => Ok(Self::Share(percent / 100.0)),
                _ => Err(wrong()),
            },
        }
    }
}

/// A training image and how suspicious it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// The image file.
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
    /// The most suspicious first; ties in the order of the paths.
    pub ranked: Vec<Suspect>,
    /// Images left out on `skip_bad`, with reasons.
    pub skipped: Vec<Skipped>,
}

/// Ranks the training images of a dataset by the scores of models fitted without them; the first `shown` keep their maps.
///
/// # Errors
/// As [`crate::Detector::fit`]; [`Error::Fit`] with fewer than two images, or for a method that trains too long to be fitted several
/// times.
pub fn find_suspects(
    config: &DetectorConfig,
    dataset: &Dataset,
    options: &FitOptions<'_>,
    shown: usize,
) -> Result<Suspects, Error> {
    let prepared = Prepared::new(config, options)?;
    let find = |fits: &dyn OutOfFold, skipped: &dyn Fn() -> Vec<Skipped>| {
        let ranked = rank(fits, config.calibration.folds, shown)?;
        let path = |index: usize| dataset.train[index].path.clone();
        let ranked = ranked.into_iter().map(|(index, suspect)| Suspect { path: path(index), ..suspect });
        Ok(Suspects { ranked: ranked.collect(), skipped: skipped() })
    };
    if view::is_composed(config) {
        let fits = ComposedFits::new(&prepared, config, dataset, options);
        return find(&fits, &|| fits.skipped());
    }
    prepared.with_fits(config, dataset, options, |fits, set| {
        find(&CachedFits { fits, set }, &|| set.loaded().skipped())
    })
}

/// The indices of the images to learn from, ascending, and the suspects that are left out.
pub(crate) fn trim(
    fits: &dyn OutOfFold,
    folds: usize,
    trim: Trim,
) -> Result<(Vec<usize>, Vec<Suspect>), Error> {
    let ranked = rank(fits, folds, 0)?;
    let count = trim.count(ranked.len());
    if count >= ranked.len() {
        let reason = format!("{count} of {} training images would be left out; trim fewer", ranked.len());
        return Err(Error::Fit { method: fits.info().name, reason });
    }
    let mut kept: Vec<usize> = ranked[count..].iter().map(|(index, _)| *index).collect();
    kept.sort_unstable();
    let path = |index: usize| fits.samples()[index].path.clone();
    let left_out = ranked.into_iter().take(count);
    Ok((kept, left_out.map(|(index, suspect)| Suspect { path: path(index), ..suspect }).collect()))
}

/// Scores every image out of sample and sorts; paths are filled in by the caller, who knows them.
fn rank(fits: &dyn OutOfFold, folds: usize, shown: usize) -> Result<Vec<(usize, Suspect)>, Error> {
    let method = fits.info().name;
    if fits.info().needs.long_training {
        let reason = "it trains too long to be fitted several times; find suspects with another method (`blemish data suspects`)";
        return Err(Error::Fit { method, reason: reason.into() });
    }
    let images = fits.usable()?;
    let mut ranked: Vec<(usize, Suspect)> = Vec::new();
    let mut collect = |index: usize, scored: Scored| {
        let Scored { score, map } = scored;
        let suspect = Suspect { path: PathBuf::new(), score, deviations: 0.0, map: Some(map) };
        let place = ranked.partition_point(|(other, known)| (-known.score, *other) < (-score, index));
        ranked.insert(place, (index, suspect));
        // Only maps that may still be shown are held: not a new one beyond them, nor the one that it has pushed out.
        for beyond in [place.max(shown), shown] {
            if let Some((_, suspect)) = ranked.get_mut(beyond) {
                suspect.map = None;
            }
        }
    };
    let folds = if folds == 0 { CalibrationConfig::default().folds } else { folds };
    let dealt = deal(fits.samples(), &images, folds, fits.seed());
    if dealt.len() < 2 {
        let reason =
            "suspects can only be told among at least two training images or groups; bring more".into();
        return Err(Error::Fit { method, reason });
    }
    fits.observer().stage("scoring out of fold", Some(images.len() as u64));
    fits.score_folds(&images, &dealt, &mut collect)?;
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
    fn trims_are_read_and_counted() {
        assert_eq!("3".parse(), Ok(Trim::Count(3)));
        assert_eq!("2.5%".parse(), Ok(Trim::Share(0.025)));
        for wrong in ["", "-1", "half", "120%", "1.5", "%"] {
            assert!(wrong.parse::<Trim>().is_err(), "{wrong}");
        }
        assert_eq!((Trim::Count(3).count(10), Trim::Share(0.16).count(10)), (3, 2));
    }

    #[test]
    fn one_far_value_moves_neither_median_nor_spread() {
        assert_eq!(robust(&[1.0, 2.0, 3.0, 4.0, 1000.0]), (3.0, 1.4826));
        assert!(robust(&[5.0; 4]).1 > 0.0);
    }
}

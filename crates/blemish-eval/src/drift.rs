//! Whether scores of good images have moved: a sequential test whose false alarms are bounded however long it runs.
//!
//! # The test
//! Every score gets its rank among all scores before it, ties broken by a fixed random stream. If scores are exchangeable (nothing has
//! changed), these ranks are independent and uniform, for every distribution of the scores (Vovk's online conformal p-values). Their normal
//! scores z then bet against "nothing has changed": a bet on a move of d standard deviations multiplies its stake by
//! exp(d z - d^2 / 2), which is 1 on average. Bets on moves of both directions and several sizes, started at every image with stakes
//! that sum to 1, make a nonnegative martingale from 1; by Ville's inequality it ever reaches 1 / alpha with probability at most alpha.
//! The stakes fall so slowly (1 / (t log^2 t)) that a move is still found quickly after a long quiet time.
//!
//! # Defects
//! Only good images say something about the lens. Scores at or above a limit are **set aside**: they neither enter the ranks nor bet. The
//! limit is an order statistic of the reference (the model's threshold, or what 2 % of the reference reach); given that value, scores
//! below it are exchangeable again, so the bound holds exactly. A second martingale bets that more than a fifth of the images are set
//! aside, which a move beyond the limit would do. Each of the two gets half of alpha.
//!
//! # The camera
//! A camera that gets darker, takes on a cast or goes out of focus may move scores late or never. Where [`ImageStatistics`] come with the
//! scores, each of them is ranked and bet on like scores, on images that are not set aside. Scores then have half of alpha (a quarter for each
//! of the two martingales) and the statistics the other half, an equal part each. Whatever depends on whatever, the probability that any of
//! them ever warns while nothing changes is at most the sum of the parts: alpha.
//!
//! # Memory
//! Scores are kept as counts over bins of 1/16,384 of a power of two. Rounding a score by a rule fixed beforehand leaves ranks with
//! random ties uniform, so this costs nothing of the bound, and a monitor never grows past a few hundred kilobytes.
//!
//! Sources: Vovk, Nouretdinov, Gammerman, Testing exchangeability on-line, ICML 2003; Ramdas et al., Game-theoretic statistics and
//! safe anytime-valid inference, 2023; the mixture over starts is a Shiryaev-Roberts sum with weights that sum to 1.

mod evidence;
mod kind;
mod ranks;
mod statistics;

use crate::MetricError;
use evidence::{Evidence, MOVES, gain_of_move};
pub use kind::{Drift, DriftKind};
use ranks::{Ranks, bin};
use serde::{Deserialize, Serialize};
pub use statistics::{ImageStatistics, Statistic};

/// Share of set-aside images that is still unsuspicious.
const SET_ASIDE_SHARE: f64 = 0.2;

/// Stakes on a larger share, in units of the excess.
const SHARE_BETS: [f64; 3] = [0.5, 1.5, 3.0];

/// Share of the reference that lies at or above the limit if the model has no threshold.
const REFERENCE_SHARE: f64 = 0.02;

/// How to watch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftOptions {
    /// Bound on the probability of ever warning while nothing changes, between 0 and 1.
    pub false_alarm: f64,
    /// Scores to collect as a reference before watching, where none are given; at least 20.
    pub reference: usize,
}

impl Default for DriftOptions {
    fn default() -> Self {
        Self { false_alarm: 0.01, reference: 100 }
    }
}

/// Running statistics of a stream of image scores, and of the images themselves; serialises to what a restart needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftMonitor {
    options: DriftOptions,
    /// Scores collected so far for the reference; empty once watching.
    collected: Vec<f32>,
    /// Scores at or above are set aside; `None` while collecting.
    limit: Option<f32>,
    /// Images watched, beyond the reference.
    watched: u64,
    /// Those of them that were set aside.
    set_aside: u64,
    /// Scores below the limit, of the reference and since.
    counts: Ranks,
    moves: Evidence,
    share: Evidence,
    drift: Option<Drift>,
    /// Statistics of the images of `collected`, where all have come with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    collected_statistics: Vec<ImageStatistics>,
    /// One for each statistic; empty where only scores are watched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    streams: Vec<Stream>,
}

/// A statistic of images that are not set aside, of the reference and since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stream {
    counts: Ranks,
    moves: Evidence,
}

impl DriftMonitor {
    /// Collects its own reference first. Statistics of images are watched if all images of the reference come with them.
    ///
    /// # Errors
    /// [`MetricError::Setting`] for a bound outside 0 to 1 or a reference below 20 scores.
    pub fn new(options: DriftOptions) -> Result<Self, MetricError> {
        let fail = |reason: String| Err(MetricError::Setting { reason });
        if !(options.false_alarm > 0.0 && options.false_alarm < 1.0) {
            return fail(format!("a false-alarm bound of {} is not between 0 and 1", options.false_alarm));
        }
        if options.reference < 20 {
            return fail(format!(
                "{} reference scores are too few; at least 20 are needed",
                options.reference
            ));
        }
        Ok(Self {
            options,
            collected: Vec::new(),
            limit: None,
            watched: 0,
            set_aside: 0,
            counts: Ranks::default(),
            moves: Evidence::new(MOVES.len()),
            share: Evidence::new(SHARE_BETS.len()),
            drift: None,
            collected_statistics: Vec::new(),
            streams: Vec::new(),
        })
    }

    /// Watches from the first image on, against out-of-sample scores of good images; those at or above `threshold` are set aside.
    /// `statistics` has one an image or is empty: then only scores are watched.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::observe`]; fewer than 20 scores are too few.
    pub fn with_reference(
        options: DriftOptions,
        scores: &[f32],
        statistics: &[ImageStatistics],
        threshold: Option<f32>,
    ) -> Result<Self, MetricError> {
        let mut monitor = Self::new(DriftOptions { reference: scores.len(), ..options })?;
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(MetricError::NotFinite { index });
        }
        monitor.begin(scores, statistics, threshold);
        Ok(monitor)
    }

    /// Takes in the score of the next image; returns the drift when its evidence first suffices.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`].
    pub fn observe(&mut self, score: f32) -> Result<Option<Drift>, MetricError> {
        self.observe_image(score, None)
    }

    /// The same with statistics of the image. Where they are watched, an image without them says nothing about the camera.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`] for the score; statistics that are not finite are as good as none.
    pub fn observe_image(
        &mut self,
        score: f32,
        statistics: Option<&ImageStatistics>,
    ) -> Result<Option<Drift>, MetricError> {
        if !score.is_finite() {
            return Err(MetricError::NotFinite { index: (self.watched as usize) + self.collected.len() });
        }
        let statistics = statistics.filter(|statistics| statistics.are_finite());
        let Some(limit) = self.limit else {
            self.collected.push(score);
            self.collected_statistics.extend(statistics.copied());
            if self.collected.len() == self.options.reference {
                let scores = std::mem::take(&mut self.collected);
                let statistics = std::mem::take(&mut self.collected_statistics);
                self.begin(&scores, &statistics, None);
            }
            return Ok(None);
        };
        self.watched += 1;
        let is_set_aside = bin(score) >= bin(limit);
        self.set_aside += u64::from(is_set_aside);
        if self.drift.is_some() {
            return Ok(None);
        }
        let excess = f64::from(u8::from(is_set_aside)) - SET_ASIDE_SHARE;
        self.share.bet(self.watched, |bet| (1.0 + SHARE_BETS[bet] * excess).ln());
        if !is_set_aside {
            let z = self.counts.normal_score(bin(score), self.watched, 0);
            self.moves.bet(self.watched, |bet| gain_of_move(bet, z));
            for (at, (stream, value)) in
                self.streams.iter_mut().zip(statistics.iter().flat_map(|one| one.values())).enumerate()
            {
                let z = stream.counts.normal_score(value, self.watched, 1 + at as u64);
                stream.moves.bet(self.watched, |bet| gain_of_move(bet, z));
            }
        }
        self.drift = self.decide();
        Ok(self.drift)
    }

    /// The drift that was found, if any; a monitor that has found one only counts from then on.
    pub fn drift(&self) -> Option<Drift> {
        self.drift
    }

    /// Reference scores still to collect before watching begins.
    pub fn missing(&self) -> usize {
        if self.limit.is_some() { 0 } else { self.options.reference - self.collected.len() }
    }

    /// Images watched so far, without the reference.
    pub fn watched(&self) -> u64 {
        self.watched
    }

    /// Watched images that were set aside as anomalous.
    pub fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// Scores at or above this are set aside; `None` while collecting the reference.
    pub fn limit(&self) -> Option<f32> {
        self.limit
    }

    /// Whether statistics of images are watched beside their scores; while the reference is collected, whether they will be.
    pub fn watches_images(&self) -> bool {
        match self.limit {
            None => self.collected_statistics.len() == self.collected.len(),
            Some(_) => !self.streams.is_empty(),
        }
    }

    /// Evidence for drift as a share of what a warning takes: 1 warns.
    pub fn evidence(&self) -> f64 {
        let of_scores = self.moves.capital().max(self.share.capital()) * self.bound_of_scores();
        let of_images = self.streams.iter().map(|stream| stream.moves.capital() * self.bound_of_images());
        of_images.fold(of_scores, f64::max)
    }

    /// The part of the bound that each of the two martingales over scores has.
    fn bound_of_scores(&self) -> f64 {
        self.options.false_alarm / if self.streams.is_empty() { 2.0 } else { 4.0 }
    }

    /// The part of the bound that each statistic has.
    fn bound_of_images(&self) -> f64 {
        self.options.false_alarm / (2 * self.streams.len().max(1)) as f64
    }

    /// Starts watching against these scores, and against statistics of the same images if there is one for each.
    fn begin(&mut self, scores: &[f32], statistics: &[ImageStatistics], threshold: Option<f32>) {
        let mut ascending = scores.to_vec();
        ascending.sort_unstable_by(f32::total_cmp);
        let above = (scores.len() as f64 * REFERENCE_SHARE) as usize;
        let mut own = ascending[scores.len() - 1 - above];
        if scores.iter().filter(|&&score| bin(score) >= bin(own)).count() > 2 * (above + 1) {
            // Many good scores tie here (a score that is capped, say): the limit goes to the next bin but one.
            own += (own.abs() / 8192.0).max(f32::MIN_POSITIVE);
        }
        // A threshold below what good images reach anyway (set for recall, say) would set good images aside.
        let limit = threshold.filter(|&threshold| threshold.is_finite() && threshold > own).unwrap_or(own);
        let is_kept = |score: &f32| bin(*score) < bin(limit);
        for &score in scores.iter().filter(|score| is_kept(score)) {
            self.counts.add(bin(score));
        }
        if statistics.len() == scores.len() {
            let empty = Stream { counts: Ranks::default(), moves: Evidence::new(MOVES.len()) };
            self.streams = vec![empty; Statistic::ALL.len()];
            for (_, one) in scores.iter().zip(statistics).filter(|(score, _)| is_kept(score)) {
                for (stream, value) in self.streams.iter_mut().zip(one.values()) {
                    stream.counts.add(value);
                }
            }
        }
        self.limit = Some(limit);
    }

    fn decide(&self) -> Option<Drift> {
        let found = |kind, since| Some(Drift { kind, image: self.watched, since });
        if self.moves.capital() * self.bound_of_scores() >= 1.0 {
            let (bet, since) = self.moves.leading();
            return found(if MOVES[bet] > 0.0 { DriftKind::Higher } else { DriftKind::Lower }, since);
        }
        let of_images = Statistic::ALL.iter().zip(&self.streams);
        let strongest = of_images
            .map(|(statistic, stream)| (stream.moves.capital() * self.bound_of_images(), statistic, stream))
            .reduce(|best, other| if other.0 > best.0 { other } else { best });
        if let Some((_, statistic, stream)) = strongest.filter(|(evidence, ..)| *evidence >= 1.0) {
            let (bet, since) = stream.moves.leading();
            return found(statistic.moved(MOVES[bet] > 0.0), since);
        }
        if self.share.capital() * self.bound_of_scores() >= 1.0 {
            return found(DriftKind::SetAside, self.share.leading().1);
        }
        None
    }
}

#[cfg(test)]
mod tests;

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
//! # Memory
//! Scores are kept as counts over bins of 1/16,384 of a power of two. Rounding a score by a rule fixed beforehand leaves ranks with
//! random ties uniform, so this costs nothing of the bound, and a monitor never grows past a few hundred kilobytes.
//!
//! Sources: Vovk, Nouretdinov, Gammerman, Testing exchangeability on-line, ICML 2003; Ramdas et al., Game-theoretic statistics and
//! safe anytime-valid inference, 2023; the mixture over starts is a Shiryaev-Roberts sum with weights that sum to 1.

use crate::MetricError;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Moves that are bet on, in standard deviations.
const MOVES: [f64; 8] = [-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0];

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

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// Scores of good images are higher than they were.
    Higher,
    /// Scores of good images are lower than they were.
    Lower,
    /// More than a fifth of the images are set aside as anomalous.
    SetAside,
}

/// A warning, given once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What has changed.
    pub kind: DriftKind,
    /// The watched image at which the evidence sufficed, from 1.
    pub image: u64,
    /// The watched image from which on the evidence has grown, from 1: roughly where the change began.
    pub since: u64,
}

/// Running statistics of a stream of image scores; serialises to what a restart needs.
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
    /// Scores below the limit, of the reference and since: (bin, how many), ascending.
    counts: Vec<(u32, u64)>,
    moves: Evidence,
    share: Evidence,
    drift: Option<Drift>,
}

impl DriftMonitor {
    /// Collects its own reference first.
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
            counts: Vec::new(),
            moves: Evidence::new(MOVES.len()),
            share: Evidence::new(SHARE_BETS.len()),
            drift: None,
        })
    }

    /// Watches from the first image on, against out-of-sample scores of good images; those at or above `threshold` are set aside.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::observe`]; fewer than 20 scores are too few.
    pub fn with_reference(
        options: DriftOptions,
        scores: &[f32],
        threshold: Option<f32>,
    ) -> Result<Self, MetricError> {
        let mut monitor = Self::new(DriftOptions { reference: scores.len(), ..options })?;
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(MetricError::NotFinite { index });
        }
        monitor.begin(scores.to_vec(), threshold);
        Ok(monitor)
    }

    /// Takes in the score of the next image; returns the drift when its evidence first suffices.
    ///
    /// # Errors
    /// [`MetricError::NotFinite`].
    pub fn observe(&mut self, score: f32) -> Result<Option<Drift>, MetricError> {
        if !score.is_finite() {
            return Err(MetricError::NotFinite { index: (self.watched as usize) + self.collected.len() });
        }
        let Some(limit) = self.limit else {
            self.collected.push(score);
            if self.collected.len() == self.options.reference {
                let collected = std::mem::take(&mut self.collected);
                self.begin(collected, None);
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
            let z = normal_quantile(self.rank(bin(score)));
            self.moves.bet(self.watched, |bet| MOVES[bet] * z - MOVES[bet].powi(2) / 2.0);
            self.count(bin(score));
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

    /// Evidence for drift as a share of what a warning takes: 1 warns.
    pub fn evidence(&self) -> f64 {
        self.moves.capital().max(self.share.capital()) * self.options.false_alarm / 2.0
    }

    /// Starts watching against these scores.
    fn begin(&mut self, mut scores: Vec<f32>, threshold: Option<f32>) {
        scores.sort_unstable_by(f32::total_cmp);
        let above = (scores.len() as f64 * REFERENCE_SHARE) as usize;
        let mut own = scores[scores.len() - 1 - above];
        if scores.iter().filter(|&&score| bin(score) >= bin(own)).count() > 2 * (above + 1) {
            // Many good scores tie here (a score that is capped, say): the limit goes to the next bin but one.
            own += (own.abs() / 8192.0).max(f32::MIN_POSITIVE);
        }
        // A threshold below what good images reach anyway (set for recall, say) would set good images aside.
        let limit = threshold.filter(|&threshold| threshold.is_finite() && threshold > own).unwrap_or(own);
        for &score in scores.iter().filter(|&&score| bin(score) < bin(limit)) {
            self.count(bin(score));
        }
        self.limit = Some(limit);
    }

    /// The rank of a score among those kept and itself, in (0, 1), uniform while scores are exchangeable.
    fn rank(&self, bin: u32) -> f64 {
        let (mut below, mut ties, mut all) = (0, 0, 0);
        for &(other, count) in &self.counts {
            all += count;
            below += if other < bin { count } else { 0 };
            ties += if other == bin { count } else { 0 };
        }
        // One draw an image, fixed by its number, so that a restart changes nothing.
        let mut random = ChaCha8Rng::seed_from_u64(self.watched);
        let within: f64 = random.random_range(f64::EPSILON..1.0);
        (below as f64 + within * (ties + 1) as f64) / (all + 1) as f64
    }

    fn count(&mut self, bin: u32) {
        match self.counts.binary_search_by_key(&bin, |&(bin, _)| bin) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (bin, 1)),
        }
    }

    fn decide(&self) -> Option<Drift> {
        let enough = 2.0 / self.options.false_alarm;
        let found = |kind, since| Some(Drift { kind, image: self.watched, since });
        if self.moves.capital() >= enough {
            let (bet, since) = self.moves.leading();
            return found(if MOVES[bet] > 0.0 { DriftKind::Higher } else { DriftKind::Lower }, since);
        }
        if self.share.capital() >= enough {
            return found(DriftKind::SetAside, self.share.leading().1);
        }
        None
    }
}

/// A martingale from 1 that mixes several bets, each started at every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Evidence {
    /// Steps taken.
    steps: u64,
    /// Capital of each bet over all its starts so far. Single precision, which text keeps to the last bit.
    staked: Vec<f32>,
    /// Of each bet: largest log gain of any start (not below 0), and the image it started at.
    runs: Vec<(f32, u64)>,
}

impl Evidence {
    fn new(bets: usize) -> Self {
        Self { steps: 0, staked: vec![0.0; bets], runs: vec![(0.0, 0); bets] }
    }

    /// Takes a step: each bet gains exp(`log_gain`), on average at most 1 while nothing has changed.
    fn bet(&mut self, image: u64, log_gain: impl Fn(usize) -> f64) {
        let stake = unstaked(self.steps) - unstaked(self.steps + 1);
        self.steps += 1;
        for (bet, (staked, run)) in self.staked.iter_mut().zip(&mut self.runs).enumerate() {
            let gain = log_gain(bet);
            *staked = ((f64::from(*staked) + stake) * gain.exp()) as f32;
            if run.0 <= 0.0 {
                *run = (0.0, image);
            }
            run.0 = (run.0 + gain as f32).max(0.0);
        }
    }

    /// The martingale's value: what is staked, on average over the bets, and what waits for later starts.
    fn capital(&self) -> f64 {
        let staked: f64 = self.staked.iter().map(|&staked| f64::from(staked)).sum();
        staked / self.staked.len() as f64 + unstaked(self.steps)
    }

    /// The bet with the largest capital and where its best start lies.
    fn leading(&self) -> (usize, u64) {
        let larger = |best, bet| if self.staked[bet] > self.staked[best] { bet } else { best };
        let bet = (0..self.staked.len()).fold(0, larger);
        (bet, self.runs[bet].1)
    }
}

/// Capital that is not staked yet after so many steps: falls from 1 to 0 so slowly that late starts still get a share.
fn unstaked(steps: u64) -> f64 {
    1.0 / (1.0 + (steps as f64).ln_1p())
}

/// Maps a finite score to a bin, in order: sign, exponent and 14 bits of the fraction.
fn bin(score: f32) -> u32 {
    // Adding zero makes -0 and 0 the same.
    let bits = (score + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    ordered >> 9
}

/// The standard normal quantile of a probability in (0, 1), to 2e-9 of itself (Acklam's rational approximation).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    let horner = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, factor| sum * x + factor);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        horner(&C, q) / horner(&D, q)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * horner(&A, q * q) / horner(&B, q * q)
    }
}

#[cfg(test)]
mod tests;

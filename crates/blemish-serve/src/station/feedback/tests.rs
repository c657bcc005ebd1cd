//! The statistics of feedback: what the audit promises holds, and what it forbids breaks it.

use super::*;
use crate::station::store::images::image_id;
use blemish::metrics::{Calibration, Extremes, Source};
use std::time::{Duration, SystemTime};

/// Images of a run of the line.
const IMAGES: usize = 40_000;

/// Share of defects.
const DEFECTS: f64 = 0.01;

/// Runs.
const RUNS: u64 = 100;

/// Numbers in [0, 1), the same every time.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A score of a good image: exponential. Of a defective one: moved up by 3.
    fn score(&mut self, is_defective: bool) -> f32 {
        let tail = -(1.0 - self.next()).ln();
        (tail + if is_defective { 3.0 } else { 0.0 }) as f32
    }
}

/// The share of good scores above a threshold, exactly.
fn false_alarms(threshold: f32) -> f64 {
    (-f64::from(threshold).max(0.0)).exp()
}

/// The share of defective scores up to a threshold, exactly.
fn misses(threshold: f32) -> f64 {
    1.0 - (-(f64::from(threshold) - 3.0).max(0.0)).exp()
}

fn calibrated(scores: &[f32], rate: f64) -> f32 {
    let good: Vec<Extremes> =
        scores.iter().map(|&score| Extremes { image_score: score, map_maximum: score }).collect();
    Calibration::new(&good, Source::GoodImages, rate).unwrap().image_threshold.unwrap()
}

/// 100 runs of a line with 1 % defects, 2 % audited, at a threshold that flags 5 % of the good ones: the intervals of the audit hold the
/// true rates in at least 93 % of the runs; a threshold calibrated on the audit keeps the promised rate on average; one calibrated on
/// audited and flagged good images together does not come near it.
#[test]
fn the_audit_holds_what_it_promises_and_flagged_good_images_would_break_it() {
    const RATE: f64 = 0.01;
    let threshold = 3.0f32;
    let (mut alarms_held, mut misses_held, mut share_held) = (0, 0, 0);
    let (mut right, mut wrong, mut wrong_misses) = (0.0, 0.0, 0.0);
    for run in 0..RUNS {
        let mut draw = Draw(run * 7919 + 1);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_824_000 + run * 100_000);
        let (mut good, mut flagged, mut defective, mut missed) = (0, 0, 0, 0);
        let (mut audited_good, mut flagged_good) = (Vec::new(), Vec::new());
        for image in 0..IMAGES {
            let id =
                image_id(start + Duration::from_millis(image as u64), &format!("r-{run}-{image}"), "line");
            // Drawn before it is scored.
            let is_drawn = is_audited(&id, 0.02);
            let is_defective = draw.next() < DEFECTS;
            let score = draw.score(is_defective);
            let is_flagged = score > threshold;
            match (is_drawn, is_defective) {
                (true, false) => {
                    good += 1;
                    flagged += u64::from(is_flagged);
                    audited_good.push(score);
                }
                (true, true) => {
                    defective += 1;
                    missed += u64::from(!is_flagged);
                }
                (false, false) if is_flagged => flagged_good.push(score),
                (false, _) => {}
            }
        }
        let holds = |rate: Rate, truth: f64| u32::from(rate.low <= truth && truth <= rate.high);
        alarms_held += holds(Rate::new(flagged, good), false_alarms(threshold));
        misses_held += holds(Rate::new(missed, defective), misses(threshold));
        share_held += holds(Rate::new(defective, good + defective), DEFECTS);
        right += false_alarms(calibrated(&audited_good, RATE)) / RUNS as f64;
        let all = [audited_good, flagged_good].concat();
        let far_up = calibrated(&all, RATE);
        wrong += false_alarms(far_up) / RUNS as f64;
        wrong_misses += misses(far_up) / RUNS as f64;
    }
    let enough = (RUNS as f64 * 0.93) as u32;
    assert!(alarms_held >= enough, "false alarms held in {alarms_held} of {RUNS} runs");
    assert!(misses_held >= enough, "misses held in {misses_held} of {RUNS} runs");
    assert!(share_held >= enough, "the share of defects held in {share_held} of {RUNS} runs");
    // Its mean over calibrations is at most the promise; of 100 runs the mean scatters by some 4 % of it.
    assert!(right <= RATE * 1.08 && right > RATE * 0.8, "promised {RATE}, came to {right}");
    assert!(wrong < RATE / 4.0, "flagged good images pushed the rate to {wrong} only");
    let intended = misses(-(RATE.ln()) as f32);
    assert!(wrong_misses > intended + 0.1, "{wrong_misses} misses instead of {intended}");
}

#[test]
fn the_audit_draws_its_share_and_nothing_but_the_id_decides() {
    let ids: Vec<String> = (0..20_000)
        .map(|image| image_id(SystemTime::UNIX_EPOCH + Duration::from_millis(image), "same", "line"))
        .collect();
    let drawn = |share: f64| ids.iter().filter(|id| is_audited(id, share)).count() as f64 / ids.len() as f64;
    for share in [0.02, 0.3] {
        assert!((drawn(share) - share).abs() < 4.0 * (share * (1.0 - share) / 20_000f64).sqrt(), "{share}");
    }
    assert_eq!((drawn(0.0), drawn(1.0)), (0.0, 1.0));
    // A larger share draws more, never others.
    assert!(ids.iter().all(|id| !is_audited(id, 0.02) || is_audited(id, 0.3)));
}

#[test]
fn what_is_missing_is_counted_by_the_promise() {
    let few = calibrating(80, 0.01);
    assert_eq!((few.needed, few.missing, few.can), (99, 19, false));
    assert_eq!(few.promises, Some(1.0 / 81.0));
    assert_eq!(
        few.words,
        "19 more audited images labelled good are needed to promise 1 %; these 80 can promise 1.24 % at best"
    );
    assert!(calibrating(99, 0.01).can && calibrating(0, 0.01).promises.is_none());
}

#[test]
fn what_cannot_be_calibrated_after_learning_is_told_before() {
    let of = |images, audited| learning(images, audited, true);
    assert!(of(3, 0).can && of(3, 0).words.contains("decides nothing"), "{}", of(3, 0).words);
    assert_eq!(of(3, 1).words, "3 flagged images that are good can be learnt");
    assert!(!of(0, 0).can && !of(0, 0).words.contains("decides nothing"), "{}", of(0, 0).words);
    assert!(!learning(3, 0, false).can);
}

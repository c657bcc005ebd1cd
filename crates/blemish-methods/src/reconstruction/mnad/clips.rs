//! Which frames make the clips that are learnt from, and which are held out.

use blemish_data::loader::order_of;
use blemish_data::{Facts, Moment};
use std::collections::{BTreeMap, HashMap};

/// Most clips that the statistics of good frames are measured on.
const MEASURED: usize = 256;

/// Of how many sequences or images one is held out.
const SHARE: usize = 10;

/// Fewest sequences or images of which some are held out as a whole.
const FEWEST: usize = 4;

/// A frame of the training set: where it is in its sequence, and what messages call that.
pub(super) struct Frame {
    moment: Option<Moment>,
    sequence: String,
}

impl Frame {
    /// Of what is known of an image.
    pub(super) fn of(facts: Option<&Facts>) -> Self {
        let sequence = facts.map(|facts| facts.group.clone().unwrap_or_else(|| facts.name.clone()));
        Self { moment: facts.and_then(|facts| facts.moment), sequence: sequence.unwrap_or_default() }
    }
}

/// Clips by the rows of their frames, oldest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clips {
    /// What is learnt from, at least one.
    pub(super) learnt: Vec<Vec<usize>>,
    /// What statistics are measured on, at least one: clips of sequences (or images) that are not learnt from where there are enough, else the
    /// end of every sequence, else the very clips that are learnt from.
    pub(super) held_out: Vec<Vec<usize>>,
}

impl Clips {
    /// All clips of `length` frames within the sequences of some frames; none reaches over the border of a sequence, and what was left out of
    /// a sequence is in none.
    ///
    /// # Errors
    /// In words: frames that belong to no sequence, or a sequence that is shorter than a clip.
    pub(super) fn of(frames: &[Frame], length: usize, seed: u64) -> Result<Self, String> {
        let sequences = if length > 1 { windows(frames, length)? } else { stills(frames) };
        let count = sequences.len();
        let (mut learnt, mut held_out) = (Vec::new(), Vec::new());
        if count >= FEWEST {
            let mut is_held = vec![false; count];
            let held = (count / SHARE).max(1);
            order_of(count, Some(seed)).into_iter().take(held).for_each(|at| is_held[at] = true);
            for (sequence, is_held) in sequences.into_iter().zip(is_held) {
                if is_held { &mut held_out } else { &mut learnt }.extend(sequence);
            }
        } else {
            for mut sequence in sequences {
                // A clip that is learnt from ends before those that are held out.
                let held = if sequence.len() >= 2 * SHARE { sequence.len() / SHARE } else { 0 };
                held_out.extend(sequence.split_off(sequence.len() - held));
                learnt.extend(sequence);
            }
        }
        if held_out.is_empty() {
            held_out.clone_from(&learnt);
        }
        let step = held_out.len().div_ceil(MEASURED).max(1);
        let held_out = held_out.into_iter().step_by(step).collect();
        Ok(Self { learnt, held_out })
    }
}

/// Single images by their sequences; one without a sequence is on its own.
fn stills(frames: &[Frame]) -> Vec<Vec<Vec<usize>>> {
    let mut sequences: Vec<Vec<Vec<usize>>> = Vec::new();
    let mut known: HashMap<u32, usize> = HashMap::new();
    let mut ordered: Vec<usize> = (0..frames.len()).collect();
    ordered.sort_by_key(|&row| frames[row].moment);
    for row in ordered {
        let next = sequences.len();
        let at = frames[row].moment.map_or(next, |moment| *known.entry(moment.sequence).or_insert(next));
        match sequences.get_mut(at) {
            Some(sequence) => sequence.push(vec![row]),
            None => sequences.push(vec![vec![row]]),
        }
    }
    sequences
}

/// All windows of every sequence, in the order of time.
fn windows(frames: &[Frame], length: usize) -> Result<Vec<Vec<Vec<usize>>>, String> {
    let mut sequences: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
    for (row, frame) in frames.iter().enumerate() {
        let Some(moment) = frame.moment else {
            return Err(format!(
                "`{}` is not a frame of a sequence; give a folder of frames for every video, or set task=reconstruction",
                frame.sequence
            ));
        };
        sequences.entry(moment.sequence).or_default().insert(moment.frame, row);
    }
    let mut found = Vec::with_capacity(sequences.len());
    for rows in sequences.values() {
        let window = |(&last, _): (&u32, &usize)| {
            let first = last.checked_sub(length as u32 - 1)?;
            let window: Vec<usize> = rows.range(first..=last).map(|(_, &row)| row).collect();
            (window.len() == length).then_some(window)
        };
        let windows: Vec<Vec<usize>> = rows.iter().filter_map(window).collect();
        if windows.is_empty() {
            let name = rows.values().next().map_or("", |&row| &frames[row].sequence);
            return Err(format!(
                "the clip `{name}` has {} frames, and {length} that follow each other are needed to learn a prediction; leave it out, or \
                 give longer clips",
                rows.len()
            ));
        }
        found.push(windows);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(lengths: &[u32]) -> Vec<Frame> {
        let of_sequence = |(sequence, &length): (u32, &u32)| {
            (0..length).map(move |frame| Frame {
                moment: Some(Moment { sequence, frame }),
                sequence: format!("clip {sequence}"),
            })
        };
        (0..).zip(lengths).flat_map(of_sequence).collect()
    }

    #[test]
    fn no_window_reaches_over_the_border_of_a_sequence() {
        let clips = Clips::of(&frames(&[6, 5, 7]), 5, 0).unwrap();
        let first: Vec<usize> = clips.learnt.iter().map(|clip| clip[0]).collect();
        // 2 + 1 + 3 windows; frames 0..6, 6..11, 11..18.
        assert_eq!(first, [0, 1, 6, 11, 12, 13]);
        assert!(clips.learnt.iter().all(|clip| clip.windows(2).all(|pair| pair[1] == pair[0] + 1)));
    }

    #[test]
    fn sequences_are_held_out_as_a_whole_where_there_are_enough() {
        let frames = frames(&[8; 12]);
        let clips = Clips::of(&frames, 5, 3).unwrap();
        assert_eq!((clips.learnt.len(), clips.held_out.len()), (11 * 4, 4));
        let sequence = |clip: &Vec<usize>| clip[0] / 8;
        let held = sequence(&clips.held_out[0]);
        assert!(clips.held_out.iter().all(|clip| sequence(clip) == held));
        assert!(clips.learnt.iter().all(|clip| sequence(clip) != held));
        assert_ne!(clips, Clips::of(&frames, 5, 4).unwrap());
    }

    #[test]
    fn of_a_single_video_the_end_is_held_out() {
        let clips = Clips::of(&frames(&[44]), 5, 0).unwrap();
        assert_eq!((clips.learnt.len(), clips.held_out.len()), (36, 4));
        let last_learnt = clips.learnt.iter().map(|clip| clip[4]).max();
        assert!(clips.held_out.iter().all(|clip| Some(clip[4]) > last_learnt));
    }

    #[test]
    fn a_frame_that_was_left_out_is_in_no_window() {
        let mut frames = frames(&[11]);
        frames.remove(5);
        let clips = Clips::of(&frames, 5, 0).unwrap();
        assert_eq!(clips.learnt, [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9]]);
    }

    #[test]
    fn short_clips_and_loose_images_are_errors() {
        let message = |frames: &[Frame]| Clips::of(frames, 5, 0).unwrap_err();
        let short = message(&frames(&[6, 4]));
        assert!(short.contains("`clip 1` has 4 frames") && short.contains("longer clips"), "{short}");
        let loose = [Frame { moment: None, sequence: "a.png".into() }];
        assert!(message(&loose).contains("not a frame of a sequence"));
        let stills = Clips::of(&loose, 1, 0).unwrap();
        assert_eq!(stills, Clips { learnt: vec![vec![0]], held_out: vec![vec![0]] });
    }
}

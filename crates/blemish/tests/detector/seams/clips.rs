//! How fast videos change: a frame scores by how far its change is from what was usual so far in its video.

use super::scenes::{NoSettings, fit, info, plain, scores, scores_in, stored};
use blemish::data::{Frames, ImageBatch, Memory};
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::evaluate::{EvaluateOptions, evaluate};
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Pass, Session, Stored, TrainingSet};
use blemish::state::{State, StateError};
use blemish_core::{Input, Needs};

/// The mean change from frame to frame.
struct Pace(f32);

/// The mean difference of the two frames of every clip.
fn changes(batch: &ImageBatch) -> Vec<f32> {
    let change = |at: usize| {
        let (before, after) = batch.clip(at).split_at(batch.clip(at).len() / 2);
        before.iter().zip(after).map(|(a, b)| (a - b).abs()).sum::<f32>() / before.len() as f32
    };
    (0..batch.count).map(change).collect()
}

fn patch(score: f32) -> PatchScores {
    PatchScores { height: 1, width: 1, values: vec![score], image_score: None }
}

impl Method for Pace {
    type Config = NoSettings;
    const INFO: MethodInfo = info("pace", Family::Video);

    fn needs(_: &NoSettings) -> Needs {
        Needs { clip: 2, ..Needs::of_images() }
    }
    fn fit(_: &NoSettings, good: &dyn TrainingSet, _: &FitContext<'_>) -> Result<Self, Error> {
        let mut seen = Vec::new();
        good.for_each(Pass::IMAGES, &mut |input| {
            seen.extend(changes(input.images()?));
            Ok(())
        })?;
        Ok(Self(seen.iter().sum::<f32>() / seen.len().max(1) as f32))
    }
    /// Of a single clip: by the change that is usual in general.
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        Ok(changes(input.images()?).into_iter().map(|change| patch((change - self.0).abs())).collect())
    }
    fn session(&self) -> Option<Box<dyn Session + '_>> {
        Some(Box::new(Video { usual: self.0 }))
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        state.set_f32("pace", &[1], vec![self.0]);
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        match stored.state.f32("pace", 1)?.1[..] {
            [pace] => Ok(Self(pace)),
            _ => Err(StateError { name: "pace".into(), reason: "is not one number".into() }.into()),
        }
    }
}

/// A video, and the change that is usual in it.
struct Video {
    usual: f32,
}

impl Session for Video {
    fn score(&mut self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let mut score = |change: f32| {
            let score = (change - self.usual).abs();
            self.usual = (self.usual + change) / 2.0;
            patch(score)
        };
        Ok(changes(input.images()?).into_iter().map(&mut score).collect())
    }
}

static ENTRY: Entry<Pace> = Entry::new();

/// Videos by the grey of their frames.
fn videos(videos: &[(&str, &[u8])]) -> Frames<Memory> {
    let frames = videos.iter().flat_map(|(video, greys)| {
        let frame = |(at, grey): (usize, &u8)| {
            plain([*grey; 3]).named(format!("{video}/{at}.png")).in_group(*video).good()
        };
        greys.iter().enumerate().map(frame).collect::<Vec<_>>()
    });
    Frames::by_group(Memory::new(frames).unwrap()).unwrap()
}

fn good() -> Frames<Memory> {
    // Changes of 0, 8, 8, 8 in each: 6 on average.
    let names: Vec<String> = (0..6).map(|number| format!("good {number}")).collect();
    let all: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[40, 48, 56, 64][..])).collect();
    videos(&all)
}

#[test]
fn scores_follow_the_frames_before_and_every_video_begins_afresh() {
    let good = good();
    let detector = fit(&ENTRY, &good, 3).unwrap();
    let calibration = detector.calibration().unwrap();
    assert_eq!((calibration.images(), calibration.groups()), (24, 6), "videos stay together");
    let tried = videos(&[("a", &[0, 8, 16, 56]), ("b", &[100, 108])]);
    // |0 - 6|, then 8 from 3, 8 from 5.5, 40 from 6.75; the next video begins with 6 again.
    let expected = [6.0, 5.0, 2.5, 33.25, 6.0, 5.0];
    let detector = stored(&ENTRY, &detector, &tried);
    for batch_size in [1, 4, 5] {
        let found = scores_in(&detector, &tried, batch_size).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (255.0 * found.score - expected).abs() < 1e-3,
                "{} is not {expected}",
                255.0 * found.score
            );
        }
    }
}

#[test]
fn a_picture_stands_still_and_loose_pictures_are_no_video() {
    let detector = fit(&ENTRY, &good(), 0).unwrap();
    let loose = Memory::new([plain([90; 3])]).unwrap();
    let image = blemish::data::Source::read(&loose, 0, &Default::default()).unwrap();
    let alone = detector.score_image(&image, &Default::default()).unwrap();
    assert!((255.0 * alone.score - 6.0).abs() < 1e-3);
    assert!(scores_in(&detector, &loose, 1).unwrap_err().to_string().contains("not a frame of a sequence"));
    assert!(fit(&ENTRY, &loose, 0).err().unwrap().to_string().contains("not a frame of a sequence"));
}

#[test]
fn an_evaluation_tells_each_video() {
    let detector = fit(&ENTRY, &good(), 0).unwrap();
    let frame = |video: &str, at: usize, grey: u8, is_good: bool| {
        let frame = plain([grey; 3]).named(format!("{video}/{at}.png")).in_group(video);
        if is_good { frame.good() } else { frame.defective("jump") }
    };
    let frames = [
        frame("a", 0, 0, true),
        frame("a", 1, 8, true),
        frame("a", 2, 90, false),
        frame("b", 0, 0, true),
        frame("b", 1, 90, false),
        frame("b", 2, 98, true),
    ];
    let images = Frames::by_group(Memory::new(frames).unwrap()).unwrap();
    let outcome = evaluate(&detector, &images, &EvaluateOptions::default(), &mut |_, _, _| {}).unwrap();
    let videos = outcome.evaluation.sequences.unwrap();
    assert_eq!(
        (videos.per_sequence.len(), videos.per_sequence[1].frames, videos.mean_auroc),
        (2, 3, Some(1.0))
    );
    assert_eq!(scores(&detector, &images).len(), 6);
}

//! The suite finds what is wrong with a method: a sound toy, and toys that break one promise each.

use super::{Finding, Part, Scene, Subject, method};
use crate::entry::{Entry, MethodEntry};
use crate::error::Error;
use crate::input::Input;
use crate::map::{MapStage, PatchScores};
use crate::method::{Family, FitContext, Method, MethodInfo, Pass, Session, Stored, TrainingSet};
use crate::needs::Needs;
use crate::state::{State, StateError};
use crate::training::with_ending;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Promises that a toy breaks.
const SOUND: u8 = 0;
const COMPANY: u8 = 1;
const FORGETS: u8 = 2;
const SEEDLESS: u8 = 3;
const PANICS: u8 = 4;
const LOSES_PROGRESS: u8 = 5;
const STARTS_OVER: u8 = 6;
const ELSEWHERE: u8 = 7;
const COUNTS_THREADS: u8 = 8;
const SLOPPY: u8 = 9;
const DEAF: u8 = 10;
const LITTERS: u8 = 11;
const GREEDY: u8 = 12;
const LEAVES_DEVICE: u8 = 13;
const REMEMBERS: u8 = 14;
const STALE_SESSION: u8 = 15;
const SOUND_LONG: u8 = 16;
const ENDS_EMPTY: u8 = 17;

/// Drawn where the seed should be.
static DRAWN: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
struct NoSettings {}

/// Learns the mean image; a pixel scores by its distance to it.
struct Toy<const FAULT: u8> {
    side: usize,
    mean: Vec<f32>,
    factor: f32,
    scored: AtomicU64,
    config: NoSettings,
}

const STEPS: u64 = 10;

fn trains(fault: u8) -> bool {
    [LOSES_PROGRESS, STARTS_OVER, SOUND_LONG, ENDS_EMPTY].contains(&fault)
}

fn wrong(reason: &str) -> Error {
    Error::Fit { method: "toy", reason: reason.into() }
}

impl<const FAULT: u8> Toy<FAULT> {
    /// The mean of the first channel, and the side of the images.
    fn mean(good: &dyn TrainingSet) -> Result<(Vec<f32>, usize), Error> {
        let (mut images, mut side) = (Vec::new(), None);
        let passed = good.for_each(Pass::IMAGES, &mut |input| {
            let batch = input.images()?;
            if *side.get_or_insert(batch.width) != batch.width {
                return Err(wrong("the images differ in size"));
            }
            images.extend((0..batch.count).map(|at| batch.image(at)[..batch.height * batch.width].to_vec()));
            Ok(())
        });
        if FAULT != DEAF {
            passed?;
        }
        let side = match side {
            Some(side) => side,
            None if FAULT == PANICS => panic!("of no images"),
            None => return Err(wrong("there are no training images")),
        };
        let share = 1.0 / images.len() as f32;
        let mean =
            (0..side * side).map(|at| images.iter().map(|image: &Vec<f32>| image[at]).sum::<f32>() * share);
        Ok((mean.collect(), side))
    }

    /// Goes from grey to the mean image in steps.
    fn train(mean: &[f32], context: &FitContext<'_>) -> Result<Vec<f32>, Error> {
        let path = context.training.checkpoint.as_ref().map(|path| with_ending(path, "toy"));
        let mut learned = vec![0.5f32; mean.len()];
        let mut done = 0;
        let kept = path.as_ref().filter(|_| context.training.resume && FAULT != STARTS_OVER);
        if let Some(bytes) = kept.and_then(|path| std::fs::read(path).ok()) {
            done = bytes[0].into();
            if FAULT != LOSES_PROGRESS {
                learned = bytemuck::pod_collect_to_vec(&bytes[4..]);
            }
        }
        context.observer.stage("training toy", Some(STEPS));
        while done < STEPS {
            if context.observer.is_cancelled() {
                if let Some(path) = &path {
                    let bytes = [&[done as u8, 0, 0, 0], bytemuck::cast_slice::<f32, u8>(&learned)].concat();
                    std::fs::write(path, bytes).unwrap();
                }
                return Err(Error::Interrupted);
            }
            if context.training.time_limit.is_some() {
                if FAULT == ENDS_EMPTY {
                    learned[0] = f32::NAN;
                }
                break;
            }
            learned.iter_mut().zip(mean).for_each(|(learned, mean)| *learned += 0.5 * (mean - *learned));
            done += 1;
            context.observer.advance(1);
        }
        Ok(learned)
    }
}

impl<const FAULT: u8> Method for Toy<FAULT> {
    type Config = NoSettings;
    const INFO: MethodInfo =
        MethodInfo { name: "toy", summary: "", advice: "", citation: "", family: Family::Classical };

    fn needs(_: &NoSettings) -> Needs {
        if trains(FAULT) { Needs::of_images().training_long() } else { Needs::of_images() }
    }

    fn fit(_: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        if FAULT == LITTERS {
            std::fs::write(context.scratch.clone().unwrap_or_else(std::env::temp_dir).join("toy.left"), "")
                .unwrap();
        }
        let (mut mean, side) = Self::mean(good)?;
        if trains(FAULT) {
            mean = Self::train(&mean, context)?;
        }
        if FAULT != DEAF {
            context.check_cancelled()?;
        }
        if FAULT == LEAVES_DEVICE && !context.device.is_cpu() {
            panic!("there is no such device");
        }
        let seed = if FAULT == SEEDLESS { DRAWN.fetch_add(1, Ordering::Relaxed) } else { context.seed };
        let mut random = 1e-3 * seed as f32;
        if FAULT == COUNTS_THREADS {
            random += 1e-3 * rayon::current_num_threads() as f32;
        }
        if FAULT == GREEDY && context.memory_limit.is_some() {
            random += 1e-2;
        }
        mean.iter_mut().for_each(|value| *value += random);
        Ok(Self { side, mean, factor: 2.0, scored: AtomicU64::new(0), config: NoSettings {} })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.images()?;
        if batch.width != self.side || batch.height != self.side {
            return Err(Error::Score { reason: "another size".into() });
        }
        let score = |at: usize| {
            let scored = self.scored.fetch_add(1, Ordering::Relaxed);
            let plane = &batch.image(at)[..self.mean.len()];
            let mut values: Vec<f32> = plane
                .iter()
                .zip(&self.mean)
                .map(|(value, mean)| self.factor * (value - mean).abs())
                .collect();
            match FAULT {
                COMPANY => values.iter_mut().for_each(|value| *value *= batch.count as f32),
                REMEMBERS => values.iter_mut().for_each(|value| *value += 1e-3 * scored as f32),
                ELSEWHERE => values.rotate_right(self.mean.len() / 2),
                _ => {}
            }
            PatchScores { height: self.side, width: self.side, values, image_score: None }
        };
        Ok((0..batch.count).map(score).collect())
    }

    fn session(&self) -> Option<Box<dyn Session + '_>> {
        (FAULT == STALE_SESSION).then(|| Box::new(Goes(self)) as Box<dyn Session>)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        state.set_f32("mean", &[self.side, self.side], self.mean.clone());
        if FAULT != FORGETS {
            state.set_f32("factor", &[1], vec![self.factor]);
        }
        state
    }

    fn config(&self) -> &NoSettings {
        &self.config
    }

    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        let Stored { state, config, .. } = stored;
        let factor = match FAULT {
            FORGETS => 1.0,
            SLOPPY => state.f32("factor", 1).map_or(1.0, |(_, values)| values[0]),
            _ => match state.f32("factor", 1)?.1[..] {
                [factor] => factor,
                _ => {
                    return Err(
                        StateError { name: "factor".into(), reason: "is not one number".into() }.into()
                    );
                }
            },
        };
        let (shape, mean) = state.f32("mean", 2)?;
        if shape[0] != shape[1] {
            return Err(StateError { name: "mean".into(), reason: "is not square".into() }.into());
        }
        Ok(Self { side: shape[0], mean: mean.to_vec(), factor, scored: AtomicU64::new(0), config })
    }
}

/// A session that counts on where the last one ended.
struct Goes<'a, const FAULT: u8>(&'a Toy<FAULT>);

impl<const FAULT: u8> Session for Goes<'_, FAULT> {
    fn score(&mut self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let mut scores = self.0.score(input)?;
        let before = 1e-3 * self.0.scored.load(Ordering::Relaxed) as f32;
        scores.iter_mut().flat_map(|one| &mut one.values).for_each(|value| *value += before);
        Ok(scores)
    }
}

fn findings(entry: &dyn MethodEntry) -> Vec<Finding> {
    let subject = Subject::new(entry, entry.parse(&[]).unwrap());
    method(&Subject { scene: Scene { side: 32, count: 6 }, ..subject })
}

fn broken<const FAULT: u8>() -> Vec<Part> {
    let mut parts: Vec<Part> =
        findings(&Entry::<Toy<FAULT>>::new()).into_iter().map(|finding| finding.part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

#[test]
fn a_sound_method_keeps_every_promise() {
    assert_eq!(findings(&Entry::<Toy<SOUND>>::new()), []);
    assert_eq!(findings(&Entry::<Toy<SOUND_LONG>>::new()), []);
}

#[test]
fn scores_that_depend_on_the_company_or_the_past_are_found() {
    assert_eq!(broken::<COMPANY>(), [Part::Batch]);
    assert_eq!(broken::<STALE_SESSION>(), [Part::Session]);
    let parts = broken::<REMEMBERS>();
    assert!(parts.contains(&Part::Order), "{parts:?}");
}

#[test]
fn a_defect_seen_elsewhere_is_found() {
    assert_eq!(broken::<ELSEWHERE>(), [Part::Finds]);
}

#[test]
fn fits_that_depend_on_more_than_the_seed_are_found() {
    let parts = broken::<SEEDLESS>();
    assert!(parts.contains(&Part::Seed) && !parts.contains(&Part::Threads), "{parts:?}");
    assert_eq!(broken::<COUNTS_THREADS>(), [Part::Threads]);
    assert_eq!(broken::<GREEDY>(), [Part::MemoryLimit]);
    assert_eq!(broken::<LEAVES_DEVICE>(), [Part::Device]);
}

#[test]
fn a_state_that_forgets_a_tensor_or_takes_any_is_found() {
    let parts = broken::<FORGETS>();
    assert!(parts.contains(&Part::Storage), "{parts:?}");
    assert_eq!(broken::<SLOPPY>(), [Part::Storage]);
}

#[test]
fn a_panic_without_images_is_found() {
    assert_eq!(broken::<PANICS>(), [Part::BadInput]);
}

#[test]
fn trainings_that_do_not_go_on_or_are_of_no_use_are_found() {
    assert_eq!(broken::<LOSES_PROGRESS>(), [Part::Resume]);
    assert_eq!(broken::<STARTS_OVER>(), [Part::Resume]);
    assert_eq!(broken::<ENDS_EMPTY>(), [Part::TimeLimit]);
}

#[test]
fn a_fit_that_does_not_stop_or_leaves_files_is_found() {
    assert_eq!(broken::<DEAF>(), [Part::Cancel]);
    assert_eq!(broken::<LITTERS>(), [Part::Cancel]);
}

//! The loop.

use super::checkpoint::{self, Best, Progress, TurnProgress};
use super::curve::Curve;
use super::error::TrainError;
use super::plan::Plan;
use super::trained::{Selection, Trained, TrainedByTurns};
use super::turns::{Course, Draw, Turn};
use super::watch::{Verdict, Watch};
use crate::optim::Scope;
use crate::optim::step::Step;
use crate::optim::weights::{self, Learner};
use blemish_ops::with_products_in;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::time::Instant;

/// Trains a network whose weights lie on a device with gradients.
///
/// `batch` gives what step number s (from 0) learns from, `loss` what that costs, one number.
///
/// # Errors
/// [`TrainError`]; what `batch` returns.
pub fn train<M: Module, B, E: From<TrainError>>(
    network: M,
    plan: &Plan,
    device: &Device,
    batch: impl FnMut(u64) -> Result<B, E>,
    loss: impl Fn(&M, B) -> Tensor<1>,
    watch: &dyn Watch,
) -> Result<Trained<M>, E> {
    train_selecting(network, plan, device, batch, loss, None, watch)
}

/// The same, with the weights that `selection` found best.
///
/// # Errors
/// As [`train`].
pub fn train_selecting<M: Module, B, E: From<TrainError>>(
    network: M,
    plan: &Plan,
    device: &Device,
    mut batch: impl FnMut(u64) -> Result<B, E>,
    loss: impl Fn(&M, B) -> Tensor<1>,
    selection: Option<Selection<'_, M>>,
    watch: &dyn Watch,
) -> Result<Trained<M>, E> {
    let (course, turn) = (Course::of_plan(plan), Turn::of_plan(plan, &loss));
    let batch = |draw: Draw| batch(draw.step);
    let trained = train_by_turns(network, &course, &[turn], device, batch, selection, watch)?;
    let TrainedByTurns { network, steps, curves } = trained;
    Ok(Trained { network, steps, curve: curves.into_iter().next().unwrap_or_default() })
}

/// Trains parts of a network by turns, each by its own loss.
///
/// `batch` gives what each update learns from, whatever it makes of the step, the turn and its repeat. The rest is as with [`train`].
///
/// # Errors
/// [`TrainError`]; what `batch` returns.
pub fn train_by_turns<M: Module, B, E: From<TrainError>>(
    network: M,
    course: &Course,
    turns: &[Turn<'_, M, B>],
    device: &Device,
    mut batch: impl FnMut(Draw) -> Result<B, E>,
    selection: Option<Selection<'_, M>>,
    watch: &dyn Watch,
) -> Result<TrainedByTurns<M>, E> {
    let mut progress = Progress::new(network, course, turns)?;
    if let Some(checkpoints) = &course.checkpoints {
        progress = checkpoint::read(checkpoints, progress, &device.clone().without_autodiff())?;
    }
    let repeats: Vec<u64> = turns.iter().map(|turn| turn.repeats.max(1)).collect();
    let groups = course.order.groups(&repeats);
    let mut kept = Instant::now();
    while progress.done < course.steps {
        match watch.verdict() {
            Verdict::Go => {}
            Verdict::Finish => break,
            Verdict::Stop => {
                keep(course, &progress)?;
                return Err(TrainError::Interrupted.into());
            }
        }
        let step = progress.done;
        let mut losses = vec![0.0; turns.len()];
        for group in &groups {
            let mut lessons = Vec::with_capacity(group.len());
            for &(turn, repeat) in group {
                let batch = batch(Draw { step, turn, repeat })?;
                let lesson = progress.lesson(&turns[turn], batch, course)?;
                losses[turn] += lesson.loss / repeats[turn] as f64;
                lessons.push((turn, repeat, lesson));
            }
            for (turn, repeat, lesson) in lessons {
                let number = step * repeats[turn] + repeat + 1;
                progress = progress.learn(lesson, turn, &turns[turn], number, course.steps);
            }
        }
        for (turn, &loss) in turns.iter().zip(&losses) {
            if let Some(renewal) = turn.renewal.filter(|renewal| loss < renewal.below) {
                progress.network = (renewal.renew)(progress.network, step);
            }
        }
        progress.done += 1;
        progress.turns.iter_mut().zip(&losses).for_each(|(turn, &loss)| turn.curve.push(loss));
        if let Some(selection) = selection.as_ref().filter(|it| progress.done.is_multiple_of(it.every.max(1)))
        {
            progress.look(selection);
        }
        let rates = turns.iter().map(|turn| turn.schedule.at(step, course.steps));
        tell(watch, turns, &losses, &rates.collect::<Vec<_>>(), progress.done);
        let has_stalled =
            |patience| progress.turns.first().is_some_and(|turn| turn.curve.has_stalled(patience));
        if course.patience.is_some_and(has_stalled) {
            break;
        }
        let due = course.checkpoints.as_ref().is_some_and(|checkpoints| kept.elapsed() >= checkpoints.every);
        if due {
            keep(course, &progress)?;
            kept = Instant::now();
        }
    }
    if let Some(selection) = selection.as_ref().filter(|it| !progress.done.is_multiple_of(it.every.max(1))) {
        progress.look(selection);
    }
    // Where several networks are trained one after the other, a resume finds this one done.
    keep(course, &progress)?;
    Ok(progress.finished(turns))
}

fn tell<M, B>(watch: &dyn Watch, turns: &[Turn<'_, M, B>], losses: &[f64], rates: &[f64], done: u64) {
    for ((turn, &loss), &rate) in turns.iter().zip(losses).zip(rates) {
        watch.turn(turn.name, loss, rate);
    }
    if let (Some(&loss), Some(&rate)) = (losses.first(), rates.first()) {
        watch.step(done, loss, rate);
    }
}

fn keep<M: Module>(course: &Course, progress: &Progress<M>) -> Result<(), TrainError> {
    course.checkpoints.as_ref().map_or(Ok(()), |checkpoints| checkpoint::write(checkpoints, progress))
}

/// What a turn has found out of a batch.
struct Lesson {
    loss: f64,
    /// Of all gradients together.
    norm: f64,
    gradients: Vec<Option<Tensor<1>>>,
    /// What the forward pass left of values that are not trained, where it ran on a copy.
    untrained: Option<Vec<Tensor<1>>>,
}

impl<M, B> Turn<'_, M, B> {
    fn learner(&self) -> Learner<'_> {
        Learner { rule: self.rule, scope: self.scope, average: self.average }
    }
}

impl<M: Module> Progress<M> {
    fn new<B>(network: M, course: &Course, turns: &[Turn<'_, M, B>]) -> Result<Self, TrainError> {
        let start = |turn: &Turn<'_, M, B>| {
            let memories = weights::memories(&network, turn.learner());
            if memories.is_empty() && turn.scope != Scope::All {
                return Err(TrainError::NothingToTrain { turn: turn.name.to_owned() });
            }
            let names = turn.rule.memories().into_iter().map(|(name, _)| name).collect();
            Ok(TurnProgress { memories, names, curve: Curve::new(course.steps) })
        };
        let turns = turns.iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self { network, turns, done: 0, best: None })
    }

    /// Loss and gradients of a turn at a batch.
    fn lesson<B>(&self, turn: &Turn<'_, M, B>, batch: B, course: &Course) -> Result<Lesson, TrainError> {
        // The others' weights are constants in a copy, which takes no memory of its own. Its running moments are its own.
        let is_whole = turn.scope == Scope::All;
        let copy = (!is_whole).then(|| weights::frozen_outside(self.network.clone(), turn.scope));
        let network = copy.as_ref().unwrap_or(&self.network);
        let loss = with_products_in(course.precision.products(), || (turn.loss)(network, batch));
        let gradients = weights::gradients_of(network, turn.scope, loss.backward());
        let (loss, norm) = weights::measure(loss.inner(), &gradients);
        for (what, measured) in [("loss", loss), ("gradient", norm)] {
            if measured.is_finite() {
                continue;
            }
            let step = self.done;
            return Err(match self.turns.len() {
                1 => TrainError::NotFinite { step, what },
                _ => TrainError::NotFiniteInTurn { turn: turn.name.to_owned(), step, what },
            });
        }
        let untrained = copy.map(|copy| weights::untrained(&copy, turn.scope));
        Ok(Lesson { loss, norm, gradients, untrained })
    }

    /// Update number `number` (from 1) of a turn.
    fn learn<B>(
        mut self,
        lesson: Lesson,
        index: usize,
        turn: &Turn<'_, M, B>,
        number: u64,
        steps: u64,
    ) -> Self {
        let Lesson { norm, gradients, untrained, .. } = lesson;
        let rate = turn.schedule.at(self.done, steps);
        let gradient_scale = turn.clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0));
        let step = Step { rate, gradient_scale, number };
        if let Some(untrained) = untrained {
            self.network = weights::with_untrained(self.network, turn.scope, untrained);
        }
        let memories = &mut self.turns[index].memories;
        self.network = weights::step(self.network, turn.learner(), gradients, memories, step);
        self
    }

    fn look(&mut self, selection: &Selection<'_, M>) {
        let cost = (selection.cost)(&self.network);
        if self.best.as_ref().is_none_or(|best| cost < best.cost) {
            self.best = Some(Best { cost, network: self.network.clone() });
        }
    }

    fn finished<B>(self, turns: &[Turn<'_, M, B>]) -> TrainedByTurns<M> {
        let Self { mut network, turns: progress, done, best } = self;
        let mut curves = Vec::with_capacity(progress.len());
        for (turn, TurnProgress { memories, mut curve, .. }) in turns.iter().zip(progress) {
            if turn.average.is_some() {
                network = weights::averaged(network, turn.scope, memories);
            }
            curve.close();
            curves.push(curve);
        }
        if let Some(best) = best {
            network = best.network;
        }
        TrainedByTurns { network, steps: done, curves }
    }
}

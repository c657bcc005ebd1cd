//! Frames of one video in their order.

use super::Mnad;
use super::config::Task;
use super::scoring::{Parts, published};
use blemish_core::error::Error;
use blemish_core::input::Input;
use blemish_core::map::PatchScores;
use blemish_core::method::Session;
use blemish_nn::Tensor;

/// A video under way: the memory as its frames have left it, and what their scores were made of.
pub(super) struct Video<'m> {
    model: &'m Mnad,
    items: Option<Tensor<2>>,
    /// `None` for the first frames, of which no clip is complete.
    seen: Vec<Option<Parts>>,
}

impl<'m> Video<'m> {
    /// With the memory of the fit.
    pub(super) fn new(model: &'m Mnad) -> Self {
        Self { model, items: model.network.items(), seen: Vec::new() }
    }

    /// The items of the memory now.
    #[cfg(test)]
    pub(super) fn items(&self) -> Option<Tensor<2>> {
        self.items.clone()
    }
}

impl Session for Video<'_> {
    /// A frame is scored first; then the memory moves on by its queries, if its weighted error E is below gamma.
    fn score(&mut self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let config = &self.model.config;
        let gamma = config.by_task(config.gamma, 0.01, 0.015);
        let mut scores = Vec::with_capacity(input.count());
        for at in 0..input.count() {
            let look = self.model.look(input, at, self.items.clone())?;
            scores.push(look.scores(&self.model.usual, config));
            let moment = input.facts.get(at).and_then(|facts| facts.moment);
            let frame = moment.map_or(self.seen.len(), |moment| moment.frame as usize);
            let is_whole = config.task == Task::Reconstruction || frame + 1 >= config.task.clip();
            self.seen.push(is_whole.then_some(look.parts));
            if let Some(lookup) = look.lookup.as_ref().filter(|_| config.update && is_whole)
                && look.weighted_error() < gamma
            {
                self.items = Some(lookup.updated());
            }
        }
        Ok(scores)
    }

    fn of_whole(&self) -> Option<Vec<Option<f32>>> {
        let whole: Vec<Parts> = self.seen.iter().copied().flatten().collect();
        let mut scores = published(&whole, self.model.config.share()).into_iter();
        Some(self.seen.iter().map(|parts| parts.and_then(|_| scores.next())).collect())
    }
}

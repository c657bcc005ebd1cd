//! The turns of generator and discriminator.

use super::NAME;
use super::config::{GanomalyConfig, Variant};
use super::network::{Generator, Networks, discriminator, scaled};
use crate::shared::dcgan::Plan;
use crate::shared::kept::Kept;
use crate::shared::trainer::{Trainer, batch_of};
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::train::{Course, Curve, Draw, Optimiser, Order, Renewal, Schedule, Scope, Turn};
use blemish_nn::{Device, Module, Tensor};
use std::cell::RefCell;

/// L_D below which the discriminator has nothing to teach any more.
pub(super) const HOPELESS: f64 = 1e-5;

/// What makes a discriminator anew: what its weights are made of, and the seed of the training.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) plan: &'a Plan,
    pub(super) seed: u64,
    pub(super) device: &'a Device,
}

impl Start<'_> {
    /// The networks with a discriminator at another start, that of a step.
    pub(super) fn renewed(&self, networks: Networks, step: u64) -> Networks {
        // The seed itself was that of the first start.
        let init = &mut Init::new(self.seed.wrapping_add(step + 1), self.device);
        Networks { discriminator: discriminator(self.plan, init), ..networks }
    }
}

/// Gives `run` the turns of both networks and what they share; the discriminator starts anew where its loss is below `hopeless`.
pub(super) fn with_turns<R>(
    config: &GanomalyConfig,
    start: Start<'_>,
    hopeless: f64,
    run: impl FnOnce(Course, &[Turn<'_, Networks, Tensor<4>>]) -> R,
) -> R {
    // Both turns of a step see the same weights, so the discriminator looks at what the generator has made in its turn.
    let made = RefCell::new(None);
    let of_generator = |networks: &Networks, x: Tensor<4>| {
        let (loss, image) = networks.of_generator(config, x);
        made.replace(Some(image));
        loss
    };
    let of_discriminator = |networks: &Networks, x: Tensor<4>| {
        let again = || networks.generator.forward(x.clone(), Phase::Training).image.detach();
        networks.of_discriminator(x.clone(), made.take().unwrap_or_else(again))
    };
    let renew = |networks: Networks, step: u64| start.renewed(networks, step);
    let optimiser = Optimiser { betas: [0.5, 0.999], ..Optimiser::ADAM };
    let rate = Schedule::constant(config.rate);
    let is_renewed = config.variant == Variant::Published;
    let discriminator =
        Turn::new("discriminator", Scope::Fields(&["discriminator"]), optimiser, rate, &of_discriminator);
    let turns = [
        Turn::new("generator", Scope::Fields(&["generator"]), optimiser, rate, &of_generator),
        Turn { renewal: is_renewed.then_some(Renewal { below: hopeless, renew: &renew }), ..discriminator },
    ];
    run(Course { order: Order::Joint, ..Course::new(config.steps) }, &turns)
}

/// Trains both networks on some of the images; the generator and both curves.
pub(super) fn train(
    config: &GanomalyConfig,
    kept: &Kept,
    learned: &[usize],
    side: usize,
    hopeless: f64,
    context: &FitContext<'_>,
) -> Result<(Generator, [Curve; 2]), Error> {
    let other = GanomalyConfig::of(config.preset.other());
    let work =
        |config: &GanomalyConfig, side| config.plan(side).work() * config.batch as f64 * config.steps as f64;
    let ratio = work(&other, other.side()) / work(config, side);
    let trainer = Trainer::new(NAME, config, kept.digest(), 1, context)?.beside(other.preset, ratio);
    let (device, seed, plan) = (trainer.device(), context.seed, config.plan(side));
    let networks = Networks::new(&plan, &mut Init::new(seed, &device));
    let batch = |draw: Draw| {
        let images = batch_of(draw.step, learned.len(), config.batch, seed);
        let images: Vec<usize> = images.into_iter().map(|image| learned[image]).collect();
        Ok(scaled(config, kept.batch(0, &images, &device)))
    };
    // E1, decoder and E2, and the discriminator of what they make.
    let activations = 4 * config.batch.min(learned.len()) * plan.kept();
    let start = Start { plan: &plan, seed, device: &device };
    let trained = with_turns(config, start, hopeless, |course, turns| {
        trainer.run_turns(NAME, networks, course, turns, activations, batch)
    })?;
    let mut curves = trained.curves.into_iter();
    let curves = [curves.next().unwrap_or_default(), curves.next().unwrap_or_default()];
    Ok((trained.network.generator.valid(), curves))
}

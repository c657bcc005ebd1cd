//! Both stages of the training.

use super::config::FanoganConfig;
use super::network::{Gan, Lesson, Networks, Reader};
use super::{NAME, scaled};
use crate::shared::kept::Kept;
use crate::shared::trainer::{Trainer, batch_of, gaussian};
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_nn::init::Init;
use blemish_nn::optim::RmsProp;
use blemish_nn::train::{Course, Curve, Draw, Optimiser, Schedule, Scope, Turn};
use blemish_nn::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Turns of the first stage.
const CRITIC: usize = 0;

/// Networks without gradients, and the curves of generator, critic and encoder.
pub(super) struct Fitted {
    pub(super) networks: Networks,
    pub(super) curves: [Curve; 3],
}

/// Trains the GAN, then the encoder.
pub(super) fn train(
    config: &FanoganConfig,
    kept: &Kept,
    side: usize,
    context: &FitContext<'_>,
) -> Result<Fitted, Error> {
    let other = FanoganConfig::of(config.preset.other());
    let ratio = other.work(other.side()) / config.work(side);
    let trainer = Trainer::new(NAME, config, kept.digest(), 2, context)?.beside(other.preset, ratio);
    let (gan, [critic_curve, generator_curve]) = first_stage(config, kept, side, context.seed, &trainer)?;
    let (networks, encoder_curve) = second_stage(config, kept, side, context.seed, gan, &trainer)?;
    Ok(Fitted { networks, curves: [generator_curve, critic_curve, encoder_curve] })
}

/// What an update of the first stage learns from: by its number, so that a resumed training sees the same.
fn lesson(config: &FanoganConfig, kept: &Kept, seed: u64, draw: Draw, device: &Device) -> Lesson {
    let repeats = if draw.turn == CRITIC { config.critic_steps } else { 1 };
    let number = draw.step * repeats + draw.repeat;
    let images = batch_of(number, kept.len(), config.batch, seed);
    let count = images.len();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Stream 0 is left to others that take the seed.
    random.set_stream(1 + 2 * number + draw.turn as u64);
    let codes = (0..count * config.latent).map(|_| gaussian(&mut random)).collect();
    let mix = (0..count).map(|_| random.random::<f32>()).collect();
    let tensor = |values: Vec<f32>, channels| {
        Tensor::from_data(TensorData::new(values, [count, channels, 1, 1]), device)
    };
    let codes = tensor(codes, config.latent);
    Lesson { images: scaled(kept.batch(0, &images, device)), codes, mix: tensor(mix, 1) }
}

/// Gives `run` the turns of critic and generator.
pub(super) fn with_turns<R>(config: &FanoganConfig, run: impl FnOnce(&[Turn<'_, Gan, Lesson>]) -> R) -> R {
    let of_critic = |gan: &Gan, lesson: Lesson| gan.of_critic(config, lesson);
    let of_generator = |gan: &Gan, lesson: Lesson| gan.of_generator(config, lesson.codes);
    let optimiser = Optimiser { betas: config.betas(), ..Optimiser::ADAM };
    let rate = Schedule::constant(config.gan_rate());
    let critic = Turn::new("critic", Scope::Fields(&["critic"]), optimiser, rate, &of_critic);
    run(&[
        Turn { repeats: config.critic_steps, ..critic },
        Turn::new("generator", Scope::Fields(&["generator"]), optimiser, rate, &of_generator),
    ])
}

/// Gives `run` the turn of the encoder.
pub(super) fn with_encoder_turn<R>(
    config: &FanoganConfig,
    run: impl FnOnce(&[Turn<'_, Networks, Tensor<4>>]) -> R,
) -> R {
    let of_encoder = |networks: &Networks, x: Tensor<4>| networks.of_encoder(config, x);
    let rate = Schedule::constant(config.encoder_rate);
    run(&[Turn::new("encoder", Scope::Fields(&["encoder"]), RmsProp::PLAIN, rate, &of_encoder)])
}

fn first_stage(
    config: &FanoganConfig,
    kept: &Kept,
    side: usize,
    seed: u64,
    trainer: &Trainer<'_>,
) -> Result<(Gan, [Curve; 2]), Error> {
    let device = trainer.device();
    let gan = Gan::new(config, side, &mut Init::new(seed, &device));
    // The critic sees images twice and once with its gradient, which is about two passes.
    let activations = 5 * config.batch.min(kept.len()) * config.kept(side);
    let batch = |draw| Ok(lesson(config, kept, seed, draw, &device));
    let course = Course::new(config.steps);
    let trained = with_turns(config, |turns| {
        trainer.run_turns(&format!("{NAME} gan"), gan, course, turns, activations, batch)
    })?;
    let mut curves = trained.curves.into_iter();
    Ok((trained.network, [curves.next().unwrap_or_default(), curves.next().unwrap_or_default()]))
}

fn second_stage(
    config: &FanoganConfig,
    kept: &Kept,
    side: usize,
    seed: u64,
    Gan { generator, critic }: Gan,
    trainer: &Trainer<'_>,
) -> Result<(Networks, Curve), Error> {
    let device = trainer.device();
    // Weights unlike those of the generator, whose seed is the fit's.
    let encoder = Reader::new(config, side, &mut Init::new(seed.wrapping_add(1), &device));
    let networks = Networks { generator, critic, encoder };
    // Encoder, generator, critic.
    let activations = 3 * config.batch.min(kept.len()) * config.kept(side);
    let batch = |draw: Draw| {
        let images = batch_of(draw.step, kept.len(), config.batch, seed);
        Ok(scaled(kept.batch(0, &images, &device)))
    };
    let course = Course::new(config.encoder_steps);
    let trained = with_encoder_turn(config, |turns| {
        trainer.run_turns(&format!("{NAME} encoder"), networks, course, turns, activations, batch)
    })?;
    Ok((trained.network, trained.curves.into_iter().next().unwrap_or_default()))
}

//! A generator puts patches together again, a critic tells its work from real patches; they learn from each other by turns.

use super::networks::{LENGTH, learn, load, open, patches, planes, rows, score, store};
use super::scenes::{NoSettings, finds_the_spot, fit, info, stored, stripes};
use blemish::data::Memory;
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish_core::{Input, Needs};
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::{Device, Module, Tensor};

/// Turns, and steps of each network in a turn.
const TURNS: u64 = 8;
const STEPS: u64 = 12;

struct Turns {
    generator: Vec<Dense>,
    critic: Vec<Dense>,
    device: Device,
}

fn blank(init: &mut Init) -> (Vec<Dense>, Vec<Dense>) {
    let generator = vec![Dense::new(LENGTH, 3, init), Dense::new(3, LENGTH, init)];
    (generator, vec![Dense::new(LENGTH, 8, init), Dense::new(8, 1, init)])
}

fn remade(generator: &Vec<Dense>, x: Tensor<2>) -> Tensor<2> {
    generator[1].rows(generator[0].rows(x))
}

/// Towards 1 for real patches, towards 0 for remade ones.
fn real(critic: &Vec<Dense>, x: Tensor<2>) -> Tensor<2> {
    critic[1].rows(critic[0].rows(x).tanh())
}

impl Method for Turns {
    type Config = NoSettings;
    const INFO: MethodInfo = info("turns", Family::Reconstruction);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(_: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let device = open(context.device)?;
        let (learning, planes) = (device.clone().autodiff(), planes(good)?);
        let (mut generator, mut critic) = blank(&mut Init::new(context.seed, &learning));
        // A training of several networks by turns would keep the memories of both optimisers, and one checkpoint of all.
        for turn in 0..TURNS {
            let batch =
                |step: u64| rows(patches(&planes[(turn * STEPS + step) as usize % planes.len()]), &learning);
            let fools = |generator: &Vec<Dense>, x: Tensor<2>| {
                let made = remade(generator, x.clone());
                let fooled = (real(&critic, made.clone()) - 1.0).powi_scalar(2).mean();
                (made - x).powi_scalar(2).mean() + fooled * 0.01
            };
            generator = learn(generator, STEPS, context, batch, fools)?;
            let tells = |critic: &Vec<Dense>, x: Tensor<2>| {
                let made = remade(&generator, x.clone()).detach();
                (real(critic, x) - 1.0).powi_scalar(2).mean() + real(critic, made).powi_scalar(2).mean()
            };
            critic = learn(critic, STEPS, context, batch, tells)?;
        }
        Ok(Self { generator: generator.valid(), critic: critic.valid(), device })
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        score(input.images()?, |patches| {
            let x = rows(patches, &self.device);
            let off = (remade(&self.generator, x.clone()) - x.clone()).powi_scalar(2).mean_dim(1);
            off - real(&self.critic, x) * 1e-3
        })
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        store(&self.generator, "generator", &mut state);
        store(&self.critic, "critic", &mut state);
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        let device = open(stored.device)?;
        let (generator, critic) = blank(&mut Init::blank(&device));
        let generator = load(generator, "generator", &stored.state)?;
        Ok(Self { generator, critic: load(critic, "critic", &stored.state)?, device })
    }
}

static ENTRY: Entry<Turns> = Entry::new();

#[test]
fn two_networks_learn_from_each_other_by_turns() {
    let good = Memory::new((0..8).map(|number| stripes(number, false))).unwrap();
    let detector = fit(&ENTRY, &good, 0).unwrap();
    finds_the_spot(&stored(&ENTRY, &detector, &good));
    assert_eq!(detector.to_bytes().unwrap(), fit(&ENTRY, &good, 0).unwrap().to_bytes().unwrap());
}

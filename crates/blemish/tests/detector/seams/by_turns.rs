//! A generator puts patches together again, a critic tells its work from real patches; they learn from each other by turns.

use super::networks::{LENGTH, keep, patches, rows, score};
use super::scenes::{NoSettings, finds_the_spot, fit, info, stored, stripes};
use blemish::data::Memory;
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish_core::{Input, Needs};
use blemish_methods::shared::network_state;
use blemish_methods::shared::tensors::{device_of, scoring_device};
use blemish_methods::shared::trainer::Trainer;
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::train::{Course, Curve, Draw, Optimiser, Schedule, Scope, Turn};
use blemish_nn::{Module, Tensor};

const NAME: &str = "turns";

/// Steps, in each of which both learn.
const STEPS: u64 = 96;

/// The generator, then the critic.
type Networks = Vec<Vec<Dense>>;

struct Turns {
    networks: Networks,
    curves: Vec<Curve>,
}

fn blank(init: &mut Init) -> Networks {
    let generator = vec![Dense::new(LENGTH, 3, init), Dense::new(3, LENGTH, init)];
    vec![generator, vec![Dense::new(LENGTH, 8, init), Dense::new(8, 1, init)]]
}

fn remade(networks: &Networks, x: Tensor<2>) -> Tensor<2> {
    networks[0][1].rows(networks[0][0].rows(x))
}

/// Towards 1 for real patches, towards 0 for remade ones.
fn real(networks: &Networks, x: Tensor<2>) -> Tensor<2> {
    networks[1][1].rows(networks[1][0].rows(x).tanh())
}

/// Patches come back, and the critic takes them for real.
fn fools(networks: &Networks, x: Tensor<2>) -> Tensor<1> {
    let made = remade(networks, x.clone());
    let fooled = (real(networks, made.clone()) - 1.0).powi_scalar(2).mean();
    (made - x).powi_scalar(2).mean() + fooled * 0.01
}

/// The critic is right about both.
fn tells(networks: &Networks, x: Tensor<2>) -> Tensor<1> {
    let made = remade(networks, x.clone());
    (real(networks, x) - 1.0).powi_scalar(2).mean() + real(networks, made).powi_scalar(2).mean()
}

impl Method for Turns {
    type Config = NoSettings;
    const INFO: MethodInfo = info(NAME, Family::Reconstruction);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(config: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let kept = keep(NAME, good, context)?;
        let trainer = Trainer::new(NAME, config, kept.digest(), 1, context)?;
        let device = trainer.device();
        let networks = blank(&mut Init::new(context.seed, &device));
        let turn =
            |name, scope, loss| Turn::new(name, scope, Optimiser::ADAM, Schedule::constant(0.01), loss);
        let turns =
            [turn("generator", Scope::Fields(&["0"]), &fools), turn("critic", Scope::Fields(&["1"]), &tells)];
        let batch = |draw: Draw| Ok(rows(patches(kept.row(0, draw.step as usize % kept.len())), &device));
        let trained = trainer.run_turns(NAME, networks, Course::new(STEPS), &turns, 0, batch)?;
        Ok(Self { networks: trained.network.valid(), curves: trained.curves })
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let device = device_of(&self.networks);
        score(input.images()?, |patches| {
            let x = rows(patches, &device);
            let off = (remade(&self.networks, x.clone()) - x.clone()).powi_scalar(2).mean_dim(1);
            off - real(&self.networks, x) * 1e-3
        })
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        for (number, (network, curve)) in self.networks.iter().zip(&self.curves).enumerate() {
            network_state::store(network, &format!("{number}."), curve, &mut state);
        }
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        let blank = blank(&mut Init::blank(&scoring_device(stored.device)?)).into_iter().enumerate();
        let load = |(number, network)| network_state::load(network, &format!("{number}."), &stored.state);
        let (networks, curves) = blank.map(load).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Self { networks, curves })
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

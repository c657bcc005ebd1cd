//! A network that tells good patches from those of defects made from good images.

use super::networks::{LENGTH, patches, plan, rows, score};
use super::scenes::{NoSettings, finds_the_spot, fit, info, stored, stripes};
use blemish::data::Memory;
use blemish::data::synth::kit::Kind;
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish_core::{Input, Needs};
use blemish_methods::shared::augment::Augmentation;
use blemish_methods::shared::defects::{DefectStream, Defects};
use blemish_methods::shared::map_network::MapNetwork;
use blemish_methods::shared::tensors::device_of;
use blemish_methods::shared::trainer::Trainer;
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::{Device, Module, Tensor, TensorData};

const NAME: &str = "classifier";

/// LENGTH values to the share of a patch that is defective.
struct Classifier(MapNetwork<Vec<Dense>>);

fn blank(init: &mut Init) -> Vec<Dense> {
    vec![Dense::new(LENGTH, 24, init), Dense::new(24, 1, init)]
}

fn defective(network: &Vec<Dense>, x: Tensor<2>) -> Tensor<2> {
    network[1].rows(network[0].rows(x).tanh())
}

/// The patches of a sample of the stream, and the share of each that is defective.
fn lesson(stream: &DefectStream, step: u64, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let sample = stream.sample(step);
    let marked = |patch: &[f32]| patch.iter().filter(|&&value| value > 0.0).count() as f32 / LENGTH as f32;
    let shares: Vec<f32> = patches(&sample.mask).chunks(LENGTH).map(marked).collect();
    let count = shares.len();
    let shares = Tensor::from_data(TensorData::new(shares, [count, 1]), device);
    (rows(patches(&sample.image), device), shares)
}

impl Method for Classifier {
    type Config = NoSettings;
    const INFO: MethodInfo = info(NAME, Family::Synthetic);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(config: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let defects = Defects::new(&[Kind::Scribble], 0, context.seed);
        let stream = DefectStream::collect(NAME, good, Augmentation::NONE, defects, context)?;
        let trainer = Trainer::new(NAME, config, stream.images().digest(), 1, context)?;
        let device = trainer.device();
        let network = blank(&mut Init::new(context.seed, &device));
        let batch = |step| Ok(lesson(&stream, step, &device));
        let loss = |network: &Vec<Dense>, (x, share): (Tensor<2>, Tensor<2>)| {
            (defective(network, x) - share).powi_scalar(2).mean()
        };
        let trained = trainer.run(NAME, network, plan(400), 0, batch, loss)?;
        let sizes = stream.images().sizes().to_vec();
        Ok(Self(MapNetwork { sizes, network: trained.network.valid(), curve: trained.curve }))
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let network = &self.0.network;
        let device = device_of(network);
        score(input.images()?, |patches| defective(network, rows(patches, &device)))
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        self.0.store(&mut state);
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        MapNetwork::restore(&stored.state, stored.device, |_, init| blank(init)).map(Self)
    }
}

static ENTRY: Entry<Classifier> = Entry::new();

#[test]
fn a_network_that_has_seen_made_defects_finds_a_real_one() {
    let good = Memory::new((0..8).map(|number| stripes(number, false))).unwrap();
    let detector = fit(&ENTRY, &good, 0).unwrap();
    finds_the_spot(&stored(&ENTRY, &detector, &good));
    assert_eq!(detector.to_bytes().unwrap(), fit(&ENTRY, &good, 0).unwrap().to_bytes().unwrap());
}

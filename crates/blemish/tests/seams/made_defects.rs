//! A network that tells good patches from those of defects made from good images.

use super::networks::{LENGTH, learn, load, open, patches, planes, rows, score, store};
use super::scenes::{NoSettings, SIDE, finds_the_spot, fit, info, stored, stripes};
use blemish::data::Memory;
use blemish::data::synth::kit::{DefectRequest, Kind, make_defect};
use blemish::entry::Entry;
use blemish::error::Error;
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish_core::{Input, Needs};
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::{Device, Module, Tensor, TensorData};

/// LENGTH values to the share of a patch that is defective.
struct Classifier {
    network: Vec<Dense>,
    device: Device,
}

fn blank(init: &mut Init) -> Vec<Dense> {
    vec![Dense::new(LENGTH, 24, init), Dense::new(24, 1, init)]
}

fn defective(network: &Vec<Dense>, x: Tensor<2>) -> Tensor<2> {
    network[1].rows(network[0].rows(x).tanh())
}

/// Step number `step`: the patches of a good image with a defect, and the share of each that is defective.
fn batch(planes: &[Vec<f32>], step: u64, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let plane = &planes[step as usize % planes.len()];
    let request = DefectRequest::new(Kind::Scribble, seed, step);
    let made = make_defect(&plane.repeat(3), (SIDE, SIDE), &request, None);
    let Some(made) = made else { return (patches(plane), vec![0.0; SIDE * SIDE / LENGTH]) };
    let mask: Vec<f32> = made.mask.marked.iter().map(|&is_defect| f32::from(u8::from(is_defect))).collect();
    let marked = |patch: &[f32]| patch.iter().filter(|&&value| value > 0.0).count() as f32 / LENGTH as f32;
    (patches(&made.pixels[..SIDE * SIDE]), patches(&mask).chunks(LENGTH).map(marked).collect())
}

impl Method for Classifier {
    type Config = NoSettings;
    const INFO: MethodInfo = info("classifier", Family::Synthetic);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(_: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let device = open(context.device)?;
        let (learning, planes) = (device.clone().autodiff(), planes(good)?);
        let next = |step| {
            let (values, shares) = batch(&planes, step, context.seed);
            let count = shares.len();
            (rows(values, &learning), Tensor::<2>::from_data(TensorData::new(shares, [count, 1]), &learning))
        };
        let network = blank(&mut Init::new(context.seed, &learning));
        let loss = |network: &Vec<Dense>, (x, share): (Tensor<2>, Tensor<2>)| {
            (defective(network, x) - share).powi_scalar(2).mean()
        };
        let network = learn(network, 400, context, next, loss)?;
        Ok(Self { network: network.valid(), device })
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        score(input.images()?, |patches| defective(&self.network, rows(patches, &self.device)))
    }
    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(0.0)
    }
    fn state(&self) -> State {
        let mut state = State::default();
        store(&self.network, "network", &mut state);
        state
    }
    fn config(&self) -> &NoSettings {
        &NoSettings {}
    }
    fn restore(stored: Stored<NoSettings>) -> Result<Self, Error> {
        let device = open(stored.device)?;
        let network = load(blank(&mut Init::blank(&device)), "network", &stored.state)?;
        Ok(Self { network, device })
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

//! An autoencoder of patches: what it cannot put together again is a defect.

use super::networks::{LENGTH, learn, load, open, patches, planes, rows, score, store};
use super::scenes::{NoSettings, finds_the_spot, fit, info, stored, stripes};
use blemish::data::{Memory, Transform};
use blemish::entry::{Entry, MethodEntry};
use blemish::error::Error;
use blemish::features::{Device as Place, EngineOptions};
use blemish::map::{MapStage, PatchScores};
use blemish::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish::state::State;
use blemish::{Detector, DetectorConfig, FitOptions};
use blemish_core::{Input, Needs, check};
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::{Device, Module, Tensor};

/// LENGTH values to 3 and back.
struct Autoencoder {
    network: Vec<Dense>,
    device: Device,
}

fn blank(init: &mut Init) -> Vec<Dense> {
    vec![Dense::new(LENGTH, 3, init), Dense::new(3, LENGTH, init)]
}

/// Squared errors, rows x LENGTH.
fn errors(network: &Vec<Dense>, x: Tensor<2>) -> Tensor<2> {
    let code = network[0].rows(x.clone());
    (network[1].rows(code) - x).powi_scalar(2)
}

impl Method for Autoencoder {
    type Config = NoSettings;
    const INFO: MethodInfo = info("autoencoder", Family::Reconstruction);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(_: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let device = open(context.device)?;
        let (learning, planes) = (device.clone().autodiff(), planes(good)?);
        if planes.is_empty() {
            return Err(Error::Fit { method: "autoencoder", reason: "there are no training images".into() });
        }
        let batch = |step: u64| rows(patches(&planes[step as usize % planes.len()]), &learning);
        let network = blank(&mut Init::new(context.seed, &learning));
        let network = learn(network, 60, context, batch, |network, x| errors(network, x).mean())?;
        Ok(Self { network: network.valid(), device })
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        score(input.images()?, |patches| errors(&self.network, rows(patches, &self.device)).mean_dim(1))
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

static ENTRY: Entry<Autoencoder> = Entry::new();

#[test]
fn a_network_without_a_backbone_learns_on_the_device_that_is_asked_for() {
    let good = Memory::new((0..10).map(|number| stripes(number, false))).unwrap();
    let detector = fit(&ENTRY, &good, 5).unwrap();
    assert!(detector.header().backbone.is_none());
    assert_eq!(detector.calibration().unwrap().images(), 10);
    finds_the_spot(&stored(&ENTRY, &detector, &good));
    let engine = EngineOptions { device: Place::Cuda(99), ..EngineOptions::default() };
    let config =
        DetectorConfig { transform: Some(Transform::resize_to(32, 32)), ..DetectorConfig::default() };
    let there = Detector::fit_with(&ENTRY, &config, &good, &FitOptions { engine, ..FitOptions::default() });
    assert!(there.err().unwrap().to_string().contains("cuda"));
}

#[test]
fn the_contract_suite_serves_methods_of_somebody_elses() {
    let subject = check::Subject::new(&ENTRY, ENTRY.parse(&[]).unwrap());
    let scene = check::Scene { side: 32, count: 6 };
    // Its products are made in blocks of the batch.
    let findings = check::method(&check::Subject { scene, tolerance: Some(1e-4), ..subject });
    assert_eq!(findings, [], "{findings:#?}");
}

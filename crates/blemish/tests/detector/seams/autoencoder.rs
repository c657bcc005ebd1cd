//! An autoencoder of patches: what it cannot put together again is a defect.

use super::networks::{LENGTH, keep, patches, plan, rows, score};
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
use blemish_methods::shared::map_network::MapNetwork;
use blemish_methods::shared::tensors::device_of;
use blemish_methods::shared::trainer::Trainer;
use blemish_nn::init::Init;
use blemish_nn::layers::Dense;
use blemish_nn::{Module, Tensor};

const NAME: &str = "autoencoder";

/// LENGTH values to 3 and back.
struct Autoencoder(MapNetwork<Vec<Dense>>);

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
    const INFO: MethodInfo = info(NAME, Family::Reconstruction);

    fn needs(_: &NoSettings) -> Needs {
        Needs::of_images()
    }
    fn fit(config: &NoSettings, good: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let kept = keep(NAME, good, context)?;
        let trainer = Trainer::new(NAME, config, kept.digest(), 1, context)?;
        let device = trainer.device();
        let network = blank(&mut Init::new(context.seed, &device));
        let batch = |step: u64| Ok(rows(patches(kept.row(0, step as usize % kept.len())), &device));
        let trained =
            trainer.run(NAME, network, plan(60), 0, batch, |network, x| errors(network, x).mean())?;
        let sizes = kept.sizes().to_vec();
        Ok(Self(MapNetwork { sizes, network: trained.network.valid(), curve: trained.curve }))
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let network = &self.0.network;
        let device = device_of(network);
        score(input.images()?, |patches| errors(network, rows(patches, &device)).mean_dim(1))
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

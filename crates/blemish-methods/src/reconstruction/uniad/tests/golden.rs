//! The values of `tests/golden/make_uniad.py`.

use super::*;
use crate::testing::{Golden, blank_of, relative_difference};
use blemish_features::FeatureMap;
use blemish_nn::train::{TrainError, Verdict, Watch, train};
use blemish_nn::weights;
use burn::tensor::DType;

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// The sizes of a golden file, and the epsilon of its step.
struct Case {
    golden: Golden,
    config: UniadConfig,
    grid: (usize, usize),
    channels: usize,
    epsilon: f64,
}

impl Case {
    fn check(&self, steps: &[DType]) {
        let tokens = self.check_tokens();
        self.check_scores(&tokens);
        for &dtype in steps {
            self.check_step(dtype);
        }
    }

    /// The neck and the noise.
    fn check_tokens(&self) -> Vec<f32> {
        let maps: Vec<FeatureMap> = (0..4)
            .map(|at| {
                let (shape, data) = self.golden.values(&format!("maps.{at}"));
                FeatureMap { channels: shape[1], height: shape[2], width: shape[3], data }
            })
            .collect();
        let (height, width) = (CELL_SIDE * self.grid.0, CELL_SIDE * self.grid.1);
        let batch = FeatureBatch { count: 2, height, width, maps, region_of_interest: None };
        let tokens =
            by_token(&neck(&batch, grid_of(height, width)), self.channels, self.grid.0 * self.grid.1);
        self.golden.close(&tokens, "tokens");
        let (mut noisy, noise) = (tokens.clone(), self.golden.values("noise").1);
        let mut noise = noise.into_iter();
        jitter(&mut noisy, self.channels, self.config.jitter, || noise.next().unwrap());
        self.golden.close(&noisy, "noisy");
        tokens
    }

    fn network(&self, dtype: DType) -> Network {
        let mut init = blank_of(dtype, &device());
        self.golden.load("before.", Network::new(&self.config, self.channels, self.grid, &mut init))
    }

    fn mask(&self, dtype: DType) -> Tensor<2> {
        mask(self.grid, self.config.window, &device()).cast(dtype)
    }

    fn check_scores(&self, tokens: &[f32]) {
        let network = self.network(DType::F32);
        let x = self.golden.tensor::<3>("tokens", &device());
        let made = network.forward(x, &self.mask(DType::F32), None);
        self.golden.check(made.clone(), "made");
        let found = distances(&values_of(made).unwrap(), tokens, self.channels);
        self.golden.close(&found, "patches");
        let size = (CELL_SIDE * self.grid.0, CELL_SIDE * self.grid.1);
        for (rule, name) in [(ImageScore::Max, "images"), (ImageScore::Mean, "means")] {
            let images = found.chunks(self.grid.0 * self.grid.1);
            let scores: Vec<f32> =
                images.map(|patches| image_score(rule, patches, self.grid, size, None)).collect();
            self.golden.close(&scores, name);
        }
    }

    /// The loss, and all weights after one step.
    fn check_step(&self, dtype: DType) {
        let network = self.network(dtype);
        let lesson = || Lesson {
            clean: self.golden.tensor::<3>("tokens", &device()).cast(dtype),
            noisy: self.golden.tensor::<3>("noisy", &device()).cast(dtype),
            dropout: None,
        };
        let mask = self.mask(dtype);
        self.golden.check(network.forward(lesson().noisy, &mask, None), "made.noisy");
        self.golden.check(network.loss(lesson(), &mask), "loss");
        let config = UniadConfig { steps: Some(1), rate: 0.01, ..self.config.clone() };
        let mut plan = plan(&config, 2);
        plan.optimiser =
            Optimiser { epsilon: self.epsilon, decay: config.weight_decay, ..Optimiser::ADAM_W }.into();
        let trained = train(
            network,
            &plan,
            &device(),
            |_| Ok::<_, TrainError>(lesson()),
            |network: &Network, lesson| network.loss(lesson, &mask),
            &Alone,
        );
        let ours = weights::collect(&trained.unwrap().network);
        let mut most = 0.0f32;
        for (name, (_, after)) in &ours {
            self.golden.close(after, &format!("after.{name}"));
            let before = self.golden.values(&format!("before.{name}")).1;
            let change = |after: &[f32]| after.iter().zip(&before).map(|(a, b)| a - b).collect::<Vec<f32>>();
            let expected = change(&self.golden.values(&format!("after.{name}")).1);
            let off = relative_difference(&change(after), &expected);
            // What is stored is rounded, by more than small changes of large weights.
            let largest = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let rounded = f32::EPSILON * largest(&before) / largest(&expected);
            // Small slopes are sums of large terms, which single precision alone does not resolve.
            let tolerance = if dtype == DType::F64 { 1e-4 } else { 3e-3 } + 2.0 * rounded;
            assert!(off < tolerance, "{name} changes otherwise, {off:.1e} off of {tolerance:.1e}");
            most = most.max(off - 2.0 * rounded);
        }
        println!("{dtype:?}: changes of all weights within {most:.1e} of the largest");
    }
}

const CELL_SIDE: usize = super::super::tokens::CELL;

#[test]
fn a_pass_a_step_and_the_scores_are_those_of_pytorch() {
    let config = UniadConfig {
        width: 16,
        heads: 2,
        feed_forward: 24,
        encoder_layers: 2,
        decoder_layers: 2,
        window: 3,
        ..UniadConfig::of(Preset::Paper)
    };
    Case { golden: Golden::read("uniad"), config, grid: (5, 5), channels: 12, epsilon: 1e-3 }
        .check(&[DType::F32, DType::F64]);
}

#[test]
fn so_they_are_at_the_published_width() {
    let Some(golden) = Golden::published("uniad") else { return };
    let config = UniadConfig::of(Preset::Paper);
    // Of 800,000 values before a rectifier some lie within rounding of zero, where single precision takes either side.
    Case { golden, config, grid: (14, 14), channels: 272, epsilon: 1e-4 }.check(&[DType::F64]);
}

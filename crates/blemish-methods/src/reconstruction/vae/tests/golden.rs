//! Against the same network in PyTorch; `tests/golden/make_vae.py` makes the values.

use super::super::training::{Lesson, cost};
use super::*;
use crate::testing::blank_of;
use blemish_nn::train::{Optimiser, Plan, Schedule, TrainError, Verdict, Watch, train as learn};
use blemish_nn::weights::{WeightError, collect, load};
use burn::tensor::DType;
use safetensors::SafeTensors;

/// The largest difference of a tensor, relative to its largest value.
const TOLERANCE: f32 = 1e-4;

struct Golden<'a> {
    file: SafeTensors<'a>,
    case: &'a str,
}

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

impl Golden<'_> {
    fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let name = format!("{}.{name}", self.case);
        let view = self.file.tensor(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
        (view.shape().to_vec(), bytemuck::pod_collect_to_vec::<u8, f32>(view.data()))
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, values) = self.values(name);
        tensor(values, shape.try_into().unwrap())
    }

    /// Compares values, and keeps the largest difference.
    fn check(&self, name: &str, ours: &[f32], most: &mut f32) {
        let difference = relative_difference(ours, &self.values(name).1);
        assert!(difference < TOLERANCE, "{}.{name} is {difference} off", self.case);
        *most = most.max(difference);
    }

    /// The weights after a step of Adam; gives the largest difference.
    fn check_step(&self, config: &VaeConfig, network: Network, lesson: &dyn Fn() -> Lesson) -> f32 {
        let mut most = 0.0;
        // With the usual epsilon the first step is the sign of the gradient, and of millions some are zero but for rounding.
        let adam = Optimiser { epsilon: 1e-6, ..Optimiser::ADAM };
        let plan = Plan::new(1, adam, Schedule::constant(1e-3));
        let plan = Plan { clip: Some(1.0), ..plan };
        let trained = learn(
            network,
            &plan,
            &with_gradients(),
            |_| Ok::<_, TrainError>(lesson()),
            |network: &Network, lesson| cost(config, network, lesson),
            &Alone,
        );
        for (name, (_, values)) in collect(&trained.unwrap().network) {
            // Biases that are not there stay 0.
            if values.iter().any(|&value| value != 0.0) {
                self.check(&format!("after.{name}"), &values, &mut most);
            }
        }
        most
    }

    fn run(&self, config: &VaeConfig) {
        let network_of = |dtype| {
            let blank = Network::new(config, &mut blank_of(dtype, &with_gradients()));
            let take = |name: &str| Ok::<_, WeightError>(self.values(&format!("w.{name}")));
            load(blank, take).unwrap()
        };
        let network = network_of(DType::F32);
        let x = || self.tensor::<4>("x");
        let mut most = 0.0;
        // Maps come first: they leave the stored moments alone.
        let frozen = network.clone().no_grad();
        let eye = Eye { network: &frozen, config, standards: Standards::default() };
        let maps = [Map::L2, Map::L1, Map::Ssim, Map::KlGradient, Map::VaeGrad];
        for (map, name) in maps.into_iter().zip(["l2", "l1", "ssim", "kl_gradient", "vae_grad"]) {
            self.check(name, &eye.maps(map, x()).unwrap(), &mut most);
        }
        let lesson =
            |dtype| Lesson { images: x().cast(dtype), noise: self.tensor::<2>("e").cast(dtype), beta: 0.7 };
        // In a wide network some value lies within rounding of zero, where a rectifier's slope jumps: only double precision has the same.
        let exact = if self.case == "published" { DType::F64 } else { DType::F32 };
        most = most.max(self.check_step(config, network_of(exact), &|| lesson(exact)));
        self.check("cost", &values_of(cost(config, &network, lesson(DType::F32))).unwrap(), &mut most);
        let posterior = network.encode(x(), Phase::Training);
        self.check("mean", &values_of(posterior.mean.clone()).unwrap(), &mut most);
        self.check("log_variance", &values_of(posterior.log_variance.clone()).unwrap(), &mut most);
        let z = posterior.draw(self.tensor("e"));
        self.check("z", &values_of(z.clone()).unwrap(), &mut most);
        let logits = network.decode(z, Phase::Training);
        self.check("logits", &values_of(logits.clone()).unwrap(), &mut most);
        let kl = gaussian_kl(posterior.mean, posterior.log_variance).mean();
        self.check("kl", &values_of(kl).unwrap(), &mut most);
        let likelihoods = [
            (Likelihood::Calibrated, "calibrated"),
            (Likelihood::Gaussian, "gaussian"),
            (Likelihood::L1, "l1"),
            (Likelihood::Ssim, "ssim"),
            (Likelihood::Bernoulli, "bernoulli"),
        ];
        for (likelihood, name) in likelihoods {
            let config = VaeConfig { likelihood, ..config.clone() };
            let r = loss::reconstruction(&config, x(), logits.clone());
            self.check(&format!("r.{name}"), &values_of(r).unwrap(), &mut most);
        }
        println!("{}: at most {most:.1e} off", self.case);
    }
}

fn batch_normed() -> VaeConfig {
    VaeConfig { norm: Some(Normalisation::Batch), iterations: 3, map: Map::VaeGrad, ..config() }
}

#[test]
fn networks_costs_maps_and_a_step_equal_pytorchs() {
    let bytes = include_bytes!("../../../../tests/golden/vae.safetensors");
    let run = |case, config| {
        let file = SafeTensors::deserialize(bytes).unwrap();
        Golden { file, case }.run(&config);
    };
    run("vector", batch_normed());
    run("sspcab", VaeConfig { sspcab: true, dimensions: Some(5), ..batch_normed() });
    let norm = Some(Normalisation::Group);
    run("spatial", VaeConfig { latent: Latent::Spatial, dimensions: Some(3), norm, ..batch_normed() });
}

#[test]
fn the_published_width_equals_pytorchs() {
    let Ok(folder) = std::env::var("BLEMISH_GOLDEN_PUBLISHED") else {
        println!(
            "skipped: BLEMISH_GOLDEN_PUBLISHED names no folder that `make_vae.py --published` has written"
        );
        return;
    };
    let bytes = std::fs::read(std::path::Path::new(&folder).join("vae.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let norm = Some(Normalisation::Batch);
    let config = VaeConfig { norm, iterations: 3, map: Map::VaeGrad, ..VaeConfig::of(Preset::Paper) };
    Golden { file, case: "published" }.run(&config);
}

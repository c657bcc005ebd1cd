use crate::golden::{Golden, close, device, init, values};
use blemish_nn::TensorData;
use blemish_nn::layers::Embedding;
use blemish_nn::optim::{Adam, AdamKind, RmsProp, Rule, Sgd};
use blemish_nn::train::{Plan, Schedule, TrainError, Verdict, Watch, train};
use burn::tensor::Tensor;

struct Alone;

impl Watch for Alone {
    fn verdict(&self) -> Verdict {
        Verdict::Go
    }
    fn step(&self, _: u64, _: f64, _: f64) {}
}

/// Compares the weights after one, two and three steps of a rate of 0.1, whose gradients are stored.
fn check(case: &str, rule: impl Into<Rule>) {
    let (golden, rule) = (Golden::read(), rule.into());
    let (slopes, after) = (golden.values(&format!("{case}.g")).1, golden.values(&format!("{case}.after")).1);
    for steps in 1..=3 {
        let network = Embedding { weight: init().of(golden.values(&format!("{case}.p")).1, [1, 5]) };
        let batch = |step: u64| Ok::<_, TrainError>(slopes[5 * step as usize..][..5].to_vec());
        let loss = |network: &Embedding, slopes| {
            (network.weight.val() * Tensor::from_data(TensorData::new(slopes, [1, 5]), &device())).sum()
        };
        let plan = Plan::new(steps, rule, Schedule::constant(0.1));
        let trained = train(network, &plan, &device(), batch, loss, &Alone).unwrap();
        let expected = &after[5 * (steps as usize - 1)..][..5];
        close(&format!("{case}, step {steps}"), &values(trained.network.weight.val()), expected);
    }
}

#[test]
fn adam_and_its_kin() {
    check("adam", Adam { betas: [0.5, 0.999], decay: 0.1, ..Adam::ADAM });
    check("adam_w", Adam { decay: 0.1, ..Adam::ADAM_W });
    check("ams_grad", Adam { kind: AdamKind::AmsGrad, ..Adam::ADAM });
}

#[test]
fn gradient_descent() {
    check("sgd", Sgd { momentum: 0.0, decay: 0.1, is_nesterov: false });
    check("momentum", Sgd { decay: 0.1, ..Sgd::MOMENTUM });
    check("nesterov", Sgd { is_nesterov: true, ..Sgd::MOMENTUM });
}

#[test]
fn rms_prop() {
    check("rms_prop", RmsProp { decay: 0.1, ..RmsProp::PLAIN });
    check(
        "rms_prop_full",
        RmsProp { smoothing: 0.9, epsilon: 1e-3, momentum: 0.5, is_centred: true, ..RmsProp::PLAIN },
    );
}

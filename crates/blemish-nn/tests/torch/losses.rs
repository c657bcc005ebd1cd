use crate::golden::{Golden, device};
use blemish_nn::Tensor;
use blemish_nn::loss::*;
use burn::tensor::activation::softmax;

#[test]
fn differences() {
    let golden = Golden::read();
    golden.loss::<2, 2>("l1", ["x", "y"], |[x, y]| l1(x, y));
    golden.loss::<2, 2>("l2", ["x", "y"], |[x, y]| l2(x, y));
}

#[test]
fn structural_similarity() {
    let golden = Golden::read();
    let inside = Ssim { border: Border::Inside, ..Ssim::default() };
    golden.loss("ssim.zero", ["x", "y"], |[x, y]| Ssim::default().mean(x, y));
    golden.loss("ssim.inside", ["x", "y"], |[x, y]| inside.mean(x, y));
    let [x, y] = ["x", "y"].map(|name| golden.tensor(&format!("ssim.zero.{name}")));
    golden.check(Ssim::default().map(x, y), "ssim.zero.map");
}

#[test]
fn cross_entropies() {
    let golden = Golden::read();
    golden.loss("cross_entropy", ["x"], |[x]| cross_entropy(x, Tensor::from_data([2, 0, 1, 2], &device())));
    golden.loss::<2, 2>("binary", ["x", "t"], |[x, t]| binary_cross_entropy(x, t));
    golden.loss::<2, 2>("binary_logits", ["x", "t"], |[x, t]| binary_cross_entropy_of_logits(x, t));
}

#[test]
fn focal_losses() {
    let golden = Golden::read();
    for (case, gamma, form) in [("true", 2.0, FocalForm::TrueClass), ("each", 4.0, FocalForm::EachClass)] {
        let focal = Focal { gamma, smoothing: 1e-5, form };
        golden.loss(&format!("focal.{case}"), ["x", "t"], |[x, t]| {
            focal.forward(softmax(x, 1), two_classes(t))
        });
    }
}

#[test]
fn divergence_of_a_gaussian() {
    Golden::read().loss::<2, 2>("kl", ["x", "y"], |[x, y]| gaussian_kl(x, y).mean());
}

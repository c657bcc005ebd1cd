use crate::golden::{Golden, init};
use blemish_nn::Tensor;
use blemish_nn::layers::*;
use burn::module::Param;

#[test]
fn linear_layers_and_convolutions() {
    let (golden, mut init) = (Golden::read(), init());
    golden.layer("dense", Dense::new(3, 5, &mut init), |layer, x| layer.rows(x));
    let mut conv = |inputs, outputs, kernel| Conv::new(inputs, outputs, kernel, &mut init);
    let [small, strided, valid, wide] = [conv(3, 4, 3), conv(3, 4, 4), conv(3, 4, 4), conv(18, 20, 3)];
    let check = |case, layer| golden.layer(case, layer, |layer: &Conv, x| layer.forward(x));
    check("conv.3x3", small);
    check("conv.4x4", strided.with_stride(2).with_padding(1).without_bias(&init));
    check("conv.valid", valid.unpadded().without_bias(&init));
    check("conv.wide", wide);
}

#[test]
fn transposed_convolutions() {
    let (golden, mut init) = (Golden::read(), init());
    let mut conv = |kernel, stride| TransposedConv::new(3, 2, kernel, stride, &mut init);
    let [a, b, c, d] = [conv(4, 2), conv(3, 2), conv(4, 1), conv(5, 3)];
    let check = |case, layer| golden.layer(case, layer, |layer: &TransposedConv, x| layer.forward(x));
    check("transposed.4x4", a.with_padding(1).without_bias(&init));
    check("transposed.3x3", b.with_padding(1).with_output_padding(1));
    check("transposed.first", c.without_bias(&init));
    check("transposed.5x5", d.with_padding(1).with_output_padding(2));
}

#[test]
fn batch_normalisation_in_training_and_scoring() {
    let (golden, init) = (Golden::read(), init());
    let norm = golden.load("batch_norm", BatchNorm2d::new(3, &init));
    norm.forward(golden.tensor("batch_norm.first"), Phase::Training);
    let after = norm.clone();
    golden.layer("batch_norm", norm, |norm, x: Tensor<4>| norm.forward(x, Phase::Training));
    after.forward(golden.tensor("batch_norm.x"), Phase::Training);
    golden.check(after.mean.val(), "batch_norm.mean");
    golden.check(after.variance.val(), "batch_norm.variance");
    let stored = BatchNorm2d::new(3, &init).with_constants(1e-3, 0.1);
    golden.layer("stored_norm", stored, |norm, x: Tensor<4>| norm.forward(x, Phase::Scoring));
}

#[test]
fn group_and_layer_normalisation() {
    let (golden, init) = (Golden::read(), init());
    golden.layer("group_norm", GroupNorm::new(2, 6, &init), |norm, x| norm.forward(x));
    golden.layer("layer_norm", LayerNorm::new(7, &init), |norm, x: Tensor<3>| norm.forward(x));
    golden.layer("map_norm", MapNorm::new([2, 3, 4], true, &init), |norm, x| norm.forward(x));
}

#[test]
fn changes_of_size() {
    let golden = Golden::read();
    for (name, size) in [("twice", [8, 10]), ("odd", [7, 3]), ("one", [1, 2])] {
        let check = |case, interpolation| {
            golden.function(&format!("{case}.{name}"), |x| resize(x, size, interpolation));
        };
        check("bilinear", Interpolation::Bilinear);
        check("aligned", Interpolation::BilinearAligned);
        check("nearest", Interpolation::Nearest);
    }
}

#[test]
fn pooling_also_of_equal_values() {
    let golden = Golden::read();
    let padded = |stride| Window { side: 3, stride, padding: 1 };
    golden.function("max_pool.tiles", |x| max_pool(x, Window::tiles(2)));
    golden.function("max_pool.padded", |x| max_pool(x, padded(2)));
    golden.function("average_pool.tiles", |x| average_pool(x, Window::tiles(2)));
    golden.function("average_pool.padded", |x| average_pool(x, padded(1)));
    golden.function("adaptive_pool", |x| adaptive_average_pool(x, [3, 2]));
}

#[test]
fn activations() {
    let golden = Golden::read();
    golden.function::<2>("leaky_relu", |x| Activation::LeakyRelu(0.2).forward(x));
    golden.function::<2>("silu", |x| Activation::Silu.forward(x));
}

#[test]
fn attention_with_a_mask_and_other_keys_and_values() {
    let (golden, mut init) = (Golden::read(), init());
    let mask = golden.tensor::<2>("attention.mask").detach();
    let [key, value] = ["key", "value"].map(|name| golden.tensor::<3>(&format!("attention.{name}")));
    let layer = MultiHeadAttention::new(8, 2, &mut init);
    golden.layer("attention", layer.clone(), |layer, x| {
        layer.forward([x, key.clone(), value.clone()], Some(&mask), None)
    });
    let layer = golden.load("attention", layer);
    let [key, value] = [key, value].map(Param::from_tensor);
    let y = layer.forward([golden.tensor("attention.x"), key.val(), value.val()], Some(&mask), None);
    let gradients = (y * golden.tensor("attention.r").detach()).sum().backward();
    golden.check(key.val().grad(&gradients).unwrap(), "attention.g.key");
    golden.check(value.val().grad(&gradients).unwrap(), "attention.g.value");
}

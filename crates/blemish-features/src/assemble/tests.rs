use super::*;
use crate::FeatureError;
use crate::graph::Tensor;

/// A state dict in the naming scheme `names` with every value 0.5 and variances 1.
fn flat_state(architecture: Architecture, names: &str) -> StateDict {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let value = if name.ends_with("running_var") { 1.0 } else { 0.5 };
        let data = vec![value; shape.iter().product()];
        (name, Tensor { shape, data })
    };
    expected_tensors(architecture).remove(names).unwrap().into_iter().map(tensor).collect()
}

fn mismatch(graph: &Graph, state: StateDict) -> Mismatch {
    match assemble(graph, state) {
        Err(FeatureError::WeightsMismatch(mismatch)) => *mismatch,
        other => panic!("expected a mismatch, not {other:?}"),
    }
}

fn resnet18(taps: &[&str]) -> Graph {
    networks::build(Architecture::ResNet18).cut(taps).unwrap()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    for (architecture, published) in [
        (Architecture::ResNet18, 11_689_512),
        (Architecture::ResNet34, 21_797_672),
        (Architecture::ResNet50, 25_557_032),
        (Architecture::ResNet101, 44_549_160),
        (Architecture::WideResNet50x2, 68_883_240),
        (Architecture::WideResNet101x2, 126_886_696),
        (Architecture::EfficientNetB0, 5_288_548),
        (Architecture::EfficientNetB5, 30_389_784),
        (Architecture::EfficientNetLite0, 4_652_008),
        (Architecture::MobileNetV2, 3_504_872),
        (Architecture::SqueezeNet1_1, 1_235_496),
        (Architecture::Vgg16, 14_714_688),
    ] {
        for (scheme, tensors) in expected_tensors(architecture) {
            let trained = tensors.iter().filter(|(name, _)| !name.contains("running_"));
            let count: usize = trained.map(|(_, shape)| shape.iter().product::<usize>()).sum();
            assert_eq!(count, published, "{architecture} with {scheme} names");
        }
    }
}

#[test]
fn every_scheme_of_every_network_fills_its_whole_graph() {
    // The big ones of each family add nothing but time.
    let small = |architecture: &Architecture| {
        let large = ["101", "wide_resnet50", "base", "large"];
        !large.iter().any(|part| architecture.name().contains(part))
    };
    for architecture in Architecture::all().filter(small) {
        let graph = networks::build(architecture);
        for (scheme, _) in expected_tensors(architecture) {
            let weights = assemble(&graph, flat_state(architecture, scheme))
                .unwrap_or_else(|error| panic!("{architecture} with {scheme} names: {error}"));
            let shapes: BTreeMap<String, Vec<usize>> = graph.tensor_shapes().collect();
            let found: BTreeMap<String, Vec<usize>> =
                weights.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect();
            assert_eq!(found, shapes, "{architecture} with {scheme} names");
        }
    }
}

#[test]
fn batch_norm_is_folded_by_its_formula() {
    let graph = resnet18(&["stem"]);
    let mut state = flat_state(Architecture::ResNet18, "torchvision's");
    let mut set = |name: &str, value: f32| state.get_mut(name).unwrap().data[3] = value;
    set("bn1.weight", 3.0);
    set("bn1.bias", 0.25);
    set("bn1.running_mean", 2.0);
    set("bn1.running_var", 4.0);
    let weights = assemble(&graph, state).unwrap();
    let scale = 3.0 / (4.0 + 1e-5_f64).sqrt();
    let row = &weights["conv1.weight"].data[3 * 147..4 * 147];
    assert!(row.iter().all(|&w| (f64::from(w) - 0.5 * scale).abs() < 1e-7));
    assert!((f64::from(weights["conv1.bias"].data[3]) - (0.25 - 2.0 * scale)).abs() < 1e-6);
}

#[test]
fn epsilon_is_that_of_the_training() {
    let bias = |architecture: Architecture, scheme: &str| {
        let graph = networks::build(architecture).cut(&["stem"]).unwrap();
        f64::from(assemble(&graph, flat_state(architecture, scheme)).unwrap()["conv_stem.weight"].data[0])
    };
    let scaled = |epsilon: f64| 0.25 / (1.0 + epsilon).sqrt();
    for (architecture, scheme, epsilon) in [
        (Architecture::EfficientNetB0, "torchvision's", 1e-5),
        (Architecture::EfficientNetB5, "torchvision's", 1e-3),
        (Architecture::EfficientNetB5, "timm's", 1e-5),
        (Architecture::TfEfficientNetB5, "timm's", 1e-3),
        (Architecture::EfficientNetLite0, "efficientnet_pytorch's", 1e-3),
    ] {
        let found = bias(architecture, scheme);
        assert!((found - scaled(epsilon)).abs() < 1e-7, "{architecture} with {scheme} names: {found}");
    }
}

#[test]
fn folded_files_are_taken_as_they_are() {
    let graph = resnet18(&["layer3"]);
    let folded: StateDict = graph
        .tensor_shapes()
        .map(|(name, shape)| (name, Tensor { data: vec![0.5; shape.iter().product()], shape }))
        .collect();
    assert_eq!(assemble(&graph, folded.clone()).unwrap(), folded);
}

#[test]
fn files_may_end_after_the_deepest_layer_and_carry_heads() {
    let mut state = flat_state(Architecture::ResNet18, "torchvision's");
    state.retain(|name, _| !name.starts_with("layer4.1"));
    state.insert("bn1.num_batches_tracked".into(), Tensor { shape: vec![], data: vec![7.0] });
    state.insert("fc.weight".into(), Tensor { shape: vec![10, 512], data: vec![0.0; 5120] });
    assert!(assemble(&resnet18(&["layer3"]), state.clone()).is_ok());
    let missing = mismatch(&resnet18(&["layer4"]), state).missing;
    assert!(
        missing.iter().all(|(name, _)| name.starts_with("layer4.1")) && missing.len() == 10,
        "{missing:?}"
    );
}

#[test]
fn linear_classifiers_become_pointwise_convolutions() {
    let mut state = flat_state(Architecture::ResNet18, "torchvision's");
    state.get_mut("fc.weight").unwrap().shape = vec![1000, 512];
    let weights = assemble(&resnet18(&["logits"]), state).unwrap();
    assert_eq!(weights["fc.weight"].shape, [1000, 512, 1, 1]);
}

#[test]
fn wrappers_before_every_name_are_ignored() {
    let state = flat_state(Architecture::ResNet18, "torchvision's");
    let wrapped = state.into_iter().map(|(name, tensor)| (format!("model.module.{name}"), tensor)).collect();
    assert!(assemble(&resnet18(&["layer1"]), wrapped).is_ok());
}

#[test]
fn missing_misshapen_and_foreign_tensors_are_listed() {
    let mut state = flat_state(Architecture::ResNet18, "torchvision's");
    state.remove("layer1.0.conv1.weight");
    state.remove("layer1.1.bn2.running_var");
    state
        .insert("layer2.0.conv1.weight".into(), Tensor { shape: vec![64, 64, 3, 3], data: vec![0.0; 36864] });
    state.insert("layer1.0.attention.weight".into(), Tensor { shape: vec![2], data: vec![0.0; 2] });
    let mismatch = mismatch(&resnet18(&["layer2"]), state);
    let missing: Vec<&str> = mismatch.missing.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(missing, ["layer1.0.conv1.weight", "layer1.1.bn2.running_var"]);
    assert_eq!(mismatch.foreign, ["layer1.0.attention.weight"]);
    let text = mismatch.to_string();
    assert!(
        text.contains("`layer2.0.conv1.weight` has shape 64x64x3x3, but resnet18 needs 128x64x3x3"),
        "{text}"
    );
    assert!(text.contains("`layer1.0.conv1.weight` (64x64x3x3)"), "{text}");
}

#[test]
fn weights_of_another_network_are_named() {
    let state = flat_state(Architecture::ResNet34, "torchvision's");
    assert_eq!(recognize(&state), [Architecture::ResNet34]);
    let text = mismatch(&resnet18(&["layer3"]), state).to_string();
    assert!(text.contains("looks like resnet34"), "{text}");
    let text = mismatch(&resnet18(&["layer1"]), StateDict::new()).to_string();
    assert!(text.contains("25 missing") && text.contains("and 19 more"), "{text}");
}

#[test]
fn names_of_efficientnet_pytorch_ask_for_its_padding() {
    let state = flat_state(Architecture::TfEfficientNetB0, "efficientnet_pytorch's");
    assert_eq!(variant_for(Architecture::EfficientNetB0, &state), Architecture::TfEfficientNetB0);
    assert_eq!(variant_for(Architecture::EfficientNetLite0, &state), Architecture::EfficientNetLite0);
    let timm = flat_state(Architecture::EfficientNetB0, "timm's");
    assert_eq!(variant_for(Architecture::EfficientNetB0, &timm), Architecture::EfficientNetB0);
}

use super::*;
use crate::graph::{Tensor, Weights};

fn embedded() -> Backbone {
    Backbone::load(&BackboneSpec::default(), &[8, 16], &EngineOptions::default()).unwrap()
}

/// Two images of 64x48 that differ.
fn images() -> (Vec<f32>, [usize; 3]) {
    let size = [2, 64, 48];
    let count = 2 * 3 * 64 * 48;
    ((0..count).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 7 & 0xFF) as f32 / 255.0).collect(), size)
}

#[test]
fn the_default_needs_no_file() {
    let backbone = embedded();
    assert_eq!(backbone.name(), "efficientnet_lite0");
    let taps: Vec<(&str, usize, usize)> =
        backbone.taps().iter().map(|tap| (tap.name.as_str(), tap.channels, tap.stride)).collect();
    assert_eq!(taps, [("stage3", 40, 8), ("stage5", 112, 16)]);
    let (rgb, size) = images();
    let maps = backbone.extract(&rgb, size).unwrap();
    let shapes: Vec<(usize, usize, usize)> =
        maps.iter().map(|map| (map.channels, map.height, map.width)).collect();
    assert_eq!(shapes, [(40, 8, 6), (112, 4, 3)]);
    assert!(maps.iter().all(|map| map.data.len() == 2 * map.channels * map.height * map.width));
}

#[test]
fn every_embedded_network_needs_no_file() {
    let (rgb, size) = images();
    for (network, channels) in EMBEDDED.into_iter().zip([[40, 112], [48, 120]]) {
        let backbone = Backbone::load(&network.into(), &[8, 16], &EngineOptions::default()).unwrap();
        assert_eq!(backbone.name(), network.name());
        let maps = backbone.extract(&rgb, size).unwrap();
        assert_eq!(maps.iter().map(|map| map.channels).collect::<Vec<_>>(), channels);
        // Trained weights neither vanish nor explode on their way.
        let scale = |map: &FeatureMap| map.data.iter().map(|x| x.abs()).sum::<f32>() / map.data.len() as f32;
        let scales: Vec<f32> = maps.iter().map(scale).collect();
        assert!(scales.iter().all(|scale| (0.05..50.0).contains(scale)), "{network}: {scales:?}");
    }
    let whole = networks::build(Architecture::EfficientNetLite2);
    assert_eq!(embedded_weights(&whole).unwrap(), None);
}

#[test]
fn images_of_a_batch_do_not_touch_each_other() {
    let backbone = embedded();
    let (rgb, [_, height, width]) = images();
    let both = backbone.extract(&rgb, [2, height, width]).unwrap();
    for (index, image) in rgb.chunks_exact(rgb.len() / 2).enumerate() {
        for (alone, both) in backbone.extract(image, [1, height, width]).unwrap().iter().zip(&both) {
            let part = &both.data[index * alone.data.len()..][..alone.data.len()];
            let largest = alone.data.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
            assert!(alone.data.iter().zip(part).all(|(a, b)| (a - b).abs() <= 1e-5 * largest));
        }
    }
}

#[test]
fn a_stored_backbone_gives_the_same_features() {
    let backbone = embedded();
    let restored = Backbone::from_state(backbone.state().clone(), &EngineOptions::default()).unwrap();
    let (rgb, size) = images();
    assert_eq!(restored.extract(&rgb, size).unwrap(), backbone.extract(&rgb, size).unwrap());
    assert_eq!(restored.digest(), backbone.digest());
    assert_eq!(restored.taps(), backbone.taps());
}

#[test]
fn the_digest_sees_every_part() {
    let state = embedded().state().clone();
    let BackboneState::Network { architecture, layers, weights } = state.clone() else {
        panic!("not a network")
    };
    let mut other_weights = weights.clone();
    other_weights.values_mut().next().unwrap().data[0] += 1.0;
    let variants = [
        BackboneState::Network { architecture, layers: layers[..1].to_vec(), weights: weights.clone() },
        BackboneState::Network { architecture, layers: layers.clone(), weights: other_weights },
        BackboneState::Network { architecture: Architecture::EfficientNetLite1, layers, weights },
    ];
    assert_eq!(state.digest().len(), 64);
    assert!(variants.iter().all(|variant| variant.digest() != state.digest()));
}

#[test]
fn damaged_states_are_refused() {
    let BackboneState::Network { architecture, layers, weights } = embedded().state().clone() else {
        panic!("not a network")
    };
    let refused = |weights: Weights| {
        let state = BackboneState::Network { architecture, layers: layers.clone(), weights };
        matches!(
            Backbone::from_state(state, &EngineOptions::default()),
            Err(FeatureError::BrokenState { tensor, .. }) if tensor == "conv_stem.bias"
        )
    };
    let with = |tensor: Option<Tensor>| {
        let mut weights = weights.clone();
        match tensor {
            Some(tensor) => weights.insert("conv_stem.bias".into(), tensor),
            None => weights.remove("conv_stem.bias"),
        };
        weights
    };
    assert!(refused(with(None)));
    assert!(refused(with(Some(Tensor { shape: vec![16], data: vec![0.0; 16] }))));
    assert!(refused(with(Some(Tensor { shape: vec![32], data: vec![0.0; 16] }))));
}

#[test]
fn batches_of_another_size_are_refused() {
    let backbone = embedded();
    let (rgb, [_, height, width]) = images();
    assert!(matches!(backbone.extract(&rgb, [1, height, width]), Err(FeatureError::BadInput { .. })));
    assert!(matches!(backbone.extract(&[], [0, height, width]), Err(FeatureError::BadInput { .. })));
}

#[test]
fn misspelt_layers_are_reported_before_absent_weights() {
    let mut spec = BackboneSpec::from(Architecture::WideResNet101x2);
    spec.layers = vec!["layer9".into()];
    let result = Backbone::load(&spec, &[8, 16], &EngineOptions::default());
    assert!(matches!(result, Err(FeatureError::UnknownTap { tap, .. }) if tap == "layer9"));
}

#[test]
fn sources_are_told_apart_by_their_extension() {
    assert_eq!(
        "resnet18".parse::<BackboneSource>().unwrap(),
        BackboneSource::Network(Architecture::ResNet18)
    );
    assert_eq!("a/b.ONNX".parse::<BackboneSource>().unwrap(), BackboneSource::Onnx("a/b.ONNX".into()));
    assert!("resnet19".parse::<BackboneSource>().is_err());
    let onnx = BackboneSpec::from(BackboneSource::Onnx("absent.onnx".into()));
    let result = Backbone::load(&onnx, &[8], &EngineOptions::default());
    assert!(matches!(result, Err(FeatureError::NoOnnxLayers { .. })));
}

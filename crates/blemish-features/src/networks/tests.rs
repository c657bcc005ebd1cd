use super::*;
use crate::FeatureError;
use crate::graph::{Op, Padding};

fn channels_and_strides(architecture: Architecture, taps: &[&str]) -> Vec<(usize, usize)> {
    let graph = build(architecture).cut(taps).unwrap();
    graph.tap_info().into_iter().map(|tap| (tap.channels, tap.stride)).collect()
}

#[test]
fn every_graph_is_well_formed() {
    for architecture in Architecture::all() {
        let graph = build(architecture);
        assert_eq!(graph.name, architecture.name());
        assert_eq!(graph.nodes[0].op, Op::Input);
        let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{architecture} repeats a name");
        for (id, node) in graph.nodes.iter().enumerate() {
            assert!(node.inputs.iter().all(|&input| input < id), "{architecture}: {}", node.name);
            assert!(id == 0 || !node.inputs.is_empty(), "{architecture}: {}", node.name);
        }
        assert!(graph.taps.windows(2).all(|pair| pair[0].node <= pair[1].node), "{architecture} taps");
    }
}

#[test]
fn names_are_read_back_in_many_spellings() {
    for architecture in Architecture::all() {
        assert_eq!(architecture.name().parse::<Architecture>().unwrap(), architecture);
    }
    for (text, architecture) in [
        ("ResNet-18", Architecture::ResNet18),
        ("wide-resnet50-2", Architecture::WideResNet50x2),
        ("squeezenet1.1", Architecture::SqueezeNet1_1),
        ("tf_efficientnet_lite0", Architecture::EfficientNetLite0),
        ("mobilenetv2_100", Architecture::MobileNetV2),
    ] {
        assert_eq!(text.parse::<Architecture>().unwrap(), architecture);
    }
    let error = "resnet19".parse::<Architecture>().unwrap_err().to_string();
    assert!(error.contains("`resnet19`") && error.contains("resnet18, resnet34"), "{error}");
}

#[test]
fn default_layers_have_the_strides_they_are_chosen_for() {
    for architecture in Architecture::all().filter(|architecture| !architecture.is_transformer()) {
        let layers = architecture.layers_at(&[4, 8, 16]);
        let graph = build(architecture).cut(&layers).unwrap();
        let strides: Vec<usize> = graph.tap_info().iter().map(|tap| tap.stride).collect();
        assert_eq!(strides, [4, 8, 16], "{architecture}");
        assert_eq!(architecture.layers_at(&[16, 8]), layers[1..]);
        let whole = build(architecture).cut(&architecture.layers_at(&[2, 4, 8, 16])).unwrap();
        let strides: Vec<usize> = whole.tap_info().iter().map(|tap| tap.stride).collect();
        let expected: &[usize] =
            if architecture == Architecture::AlexNet { &[4, 8, 16] } else { &[2, 4, 8, 16] };
        assert_eq!(strides, expected, "{architecture}");
    }
}

#[test]
fn channels_and_strides_are_those_of_the_papers() {
    let layers = ["layer1", "layer2", "layer3", "layer4"];
    let narrow = [(64, 4), (128, 8), (256, 16), (512, 32)];
    let wide = [(256, 4), (512, 8), (1024, 16), (2048, 32)];
    for architecture in [Architecture::ResNet18, Architecture::ResNet34] {
        assert_eq!(channels_and_strides(architecture, &layers), narrow);
    }
    use Architecture::{ResNet50, ResNet101, WideResNet50x2, WideResNet101x2};
    for architecture in [ResNet50, ResNet101, WideResNet50x2, WideResNet101x2] {
        assert_eq!(channels_and_strides(architecture, &layers), wide);
    }
    assert_eq!(
        channels_and_strides(Architecture::EfficientNetLite0, &["stage3", "stage5"]),
        [(40, 8), (112, 16)]
    );
    let stages = ["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "head"];
    let b5 = [(48, 2), (24, 2), (40, 4), (64, 8), (128, 16), (176, 16), (304, 32), (512, 32), (2048, 32)];
    assert_eq!(channels_and_strides(Architecture::EfficientNetB5, &stages), b5);
    let features = ["features.3", "features.6", "features.13"];
    assert_eq!(channels_and_strides(Architecture::MobileNetV2, &features), [(24, 4), (32, 8), (96, 16)]);
    assert_eq!(
        channels_and_strides(Architecture::Vgg16, &["features.22", "features.29"]),
        [(512, 8), (512, 16)]
    );
    assert_eq!(channels_and_strides(Architecture::AlexNet, &["features.11"]), [(256, 16)]);
    assert_eq!(channels_and_strides(Architecture::SqueezeNet1_1, &["features.7"]), [(256, 8)]);
}

#[test]
fn multiply_adds_are_the_published_ones() {
    // Published in units of 1e9 at 224x224; squeeze and excitation and biases are within the rounding.
    for (architecture, published) in [
        (Architecture::ResNet18, 1.814),
        (Architecture::ResNet50, 4.089),
        (Architecture::WideResNet50x2, 11.398),
        (Architecture::EfficientNetB0, 0.386),
        (Architecture::MobileNetV2, 0.301),
        (Architecture::SqueezeNet1_1, 0.349),
    ] {
        let ours = build(architecture).multiply_adds(224, 224).unwrap() as f64 / 1e9;
        assert!((ours / published - 1.0).abs() < 0.01, "{architecture}: {ours} against {published}");
    }
}

#[test]
fn a_cut_keeps_only_what_its_taps_need() {
    let whole = build(Architecture::ResNet18);
    let graph = whole.cut(&["layer3", "layer1"]).unwrap();
    let taps: Vec<&str> = graph.taps.iter().map(|tap| tap.name.as_str()).collect();
    assert_eq!(taps, ["layer1", "layer3"], "shallow to deep");
    assert!(graph.nodes.iter().all(|node| !node.name.starts_with("layer4") && node.name != "fc"));
    assert_eq!(graph.nodes[graph.taps[1].node].name, "layer3.1.add.relu");
    assert_eq!(graph.nodes.len() - 1, graph.taps[1].node, "the deepest tap is the last node");
    assert_eq!(graph.cut(&["layer1", "layer3"]).unwrap(), graph);
}

#[test]
fn a_cut_explains_what_it_cannot_give() {
    let whole = build(Architecture::ResNet18);
    let error = whole.cut(&["layer5"]).unwrap_err().to_string();
    assert!(error.contains("`layer5`") && error.contains("layer4"), "{error}");
    assert!(matches!(whole.cut(&["layer1", "layer1"]), Err(FeatureError::RepeatedTap { .. })));
    assert!(matches!(whole.cut(&["layer2.1", "layer2"]), Err(FeatureError::RepeatedTap { .. })));
    assert!(matches!(whole.cut(&[] as &[&str]), Err(FeatureError::NoTaps { .. })));
}

#[test]
fn output_sizes_follow_the_two_paddings() {
    let stem = |architecture| build(architecture).cut(&["stem"]).unwrap().output_sizes(225, 7).unwrap()[1];
    assert_eq!(stem(Architecture::EfficientNetB0), [113, 4]);
    assert_eq!(stem(Architecture::TfEfficientNetB0), [113, 4]);
    let alexnet = build(Architecture::AlexNet);
    let last = |height, width| alexnet.output_sizes(height, width).map(|sizes| sizes[sizes.len() - 1]);
    assert_eq!(last(224, 224).unwrap(), [6, 6]);
    let error = last(224, 40).unwrap_err().to_string();
    assert!(error.contains("40x224") && error.contains("alexnet"), "{error}");
}

#[test]
fn padding_for_380_pixels_is_kept_at_other_sizes() {
    let graph = build(Architecture::EfficientNetB4At380);
    let around = |name: &str| match graph.nodes.iter().find(|node| node.name == name).unwrap().op {
        Op::Conv { padding: Padding::Uneven(before, after), .. } => (before, after),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(around("conv_stem"), (0, 1));
    let first = [1, 2, 3, 5].map(|stage| around(&format!("blocks.{stage}.0.conv_dw")));
    // 190, 95 and 48 cells are halved, then 24 by a kernel of 5; for an image of 224 the second would be (1, 2).
    assert_eq!(first, [(0, 1), (2, 2), (0, 1), (1, 2)]);
    assert_eq!([0, 4].map(|stage| around(&format!("blocks.{stage}.1.conv_dw"))), [(1, 1), (2, 2)]);
    let taps = ["stage1", "stage2", "stage3", "stage5"];
    let cut = graph.cut(&taps).unwrap();
    let sizes = cut.output_sizes(224, 224).unwrap();
    let sides: Vec<usize> = cut.taps.iter().map(|tap| sizes[tap.node][0]).collect();
    assert_eq!(sides, [112, 56, 28, 14]);
    let published = [(24, 2), (32, 4), (56, 8), (160, 16)];
    assert_eq!(channels_and_strides(Architecture::EfficientNetB4At380, &taps), published);
    assert!(cut.nodes.iter().all(|node| !node.name.starts_with("blocks.5")), "pruned after block 21");
}

#[test]
fn ceil_pooling_counts_a_partial_window() {
    let graph = build(Architecture::SqueezeNet1_1).cut(&["features.2"]).unwrap();
    // 226 -> 112 after the stem; windows of 3 by 2 leave one column over, which counts.
    assert_eq!(graph.output_sizes(226, 224).unwrap()[graph.taps[0].node], [56, 55]);
}

#[test]
fn tensor_shapes_follow_groups() {
    let graph = build(Architecture::EfficientNetLite0).cut(&["stage1"]).unwrap();
    let shapes: Vec<(String, Vec<usize>)> = graph.tensor_shapes().collect();
    assert!(shapes.contains(&("blocks.0.0.conv_dw.weight".into(), vec![32, 1, 3, 3])));
    assert!(shapes.contains(&("blocks.0.0.conv_pw.weight".into(), vec![16, 32, 1, 1])));
    assert!(shapes.contains(&("blocks.0.0.conv_pw.bias".into(), vec![16])));
}

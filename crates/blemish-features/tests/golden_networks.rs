//! Every network in every naming scheme, on the default engine, against PyTorch under the same made-up weights
//! (`golden/make_networks.py`).

use blemish_features::assemble::expected_tensors;
use blemish_features::{
    Architecture, EngineOptions, FeatureMap, StateDict, Tensor, assemble, executors, networks,
};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/networks.json");
const TOLERANCE: f64 = 1e-4;

/// The largest difference from the stored samples and root mean square, relative to the latter.
fn difference(map: &FeatureMap, golden: &Value) -> f64 {
    let shape: Vec<usize> =
        golden["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    assert_eq!(shape, [1, map.channels, map.height, map.width]);
    let rms = (map.data.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / map.data.len() as f64).sqrt();
    let wanted = golden["rms"].as_f64().unwrap();
    let samples = golden["samples"].as_array().unwrap();
    let differences = samples.iter().enumerate().map(|(i, sample)| {
        let index = (map.data.len() - 1) * i / (samples.len() - 1);
        (f64::from(map.data[index]) - sample.as_f64().unwrap()).abs()
    });
    differences.fold((rms - wanted).abs(), f64::max) / wanted
}

/// Values by the formula of `golden/make_networks.py`: a hash of the tensor's name.
fn hashed(name: &str, shape: &[usize]) -> Tensor {
    let mut seed = 0xCBF2_9CE4_8422_2325_u64;
    for byte in name.bytes() {
        seed = (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    }
    let count = shape.iter().product::<usize>() as u64;
    let fan_in: usize = shape[1..].iter().product();
    let value = |i: u64| {
        let mut x = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        let u = (x >> 40) as f64 / (1 << 24) as f64;
        let v = if name.ends_with("running_var") {
            0.5 + u
        } else if name == "input" {
            2.0 * u - 1.0
        } else if name.ends_with("running_mean") || name.ends_with("bias") {
            (2.0 * u - 1.0) * 0.1
        } else if shape.len() == 1 {
            0.75 + 0.5 * u
        } else {
            (2.0 * u - 1.0) * (4.0 / fan_in as f64).sqrt()
        };
        v as f32
    };
    Tensor { shape: shape.to_vec(), data: (0..count).map(value).collect() }
}

/// Checks the cases of networks that `wanted` picks.
fn check(wanted: impl Fn(&str) -> bool) {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    let image = hashed("input", &[1, 3, 70, 97]);
    let mut count = 0;
    for case in cases.iter().filter(|case| wanted(case["network"].as_str().unwrap())) {
        let (name, scheme) = (case["network"].as_str().unwrap(), case["names"].as_str().unwrap());
        let architecture: Architecture = name.parse().unwrap();
        let tensors = expected_tensors(architecture).remove(scheme).unwrap();
        let parameters: usize = tensors
            .iter()
            .filter(|(name, _)| !name.contains("running_"))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert_eq!(parameters as u64, case["parameters"].as_u64().unwrap(), "parameters of {name}");

        let taps = case["taps"].as_object().unwrap();
        let names: Vec<&String> = taps.keys().collect();
        let graph = networks::build(architecture).cut(&names).unwrap();
        let state: StateDict =
            tensors.iter().map(|(name, shape)| (name.clone(), hashed(name, shape))).collect();
        let weights = assemble(&graph, state).unwrap();
        let engine = executors::build(&graph, &weights, &EngineOptions::default()).unwrap();
        let maps = engine.run(&image.data, [1, 70, 97]).unwrap();
        for (info, map) in graph.tap_info().iter().zip(maps) {
            let difference = difference(&map, &taps[&info.name]);
            println!("{name} ({scheme} names) {}: {difference:.1e}", info.name);
            assert!(difference < TOLERANCE, "{name} ({scheme} names) {}: {difference:.1e}", info.name);
            count += 1;
        }
    }
    assert!(count > 0, "no case was compared");
}

/// The others of the family differ from these in the number of blocks alone, which the parameter counts show.
const SHORT_RESNETS: [&str; 3] = ["resnet18", "resnet50", "wide_resnet50_2"];

#[test]
fn resnets_equal_pytorch() {
    check(|name| SHORT_RESNETS.contains(&name));
}

#[test]
#[ignore = "takes several seconds"]
fn long_resnets_equal_pytorch() {
    check(|name| name.contains("resnet") && !SHORT_RESNETS.contains(&name));
}

#[test]
fn efficientnets_with_symmetric_padding_equal_pytorch() {
    check(|name| name.starts_with("efficientnet_b") && !name.ends_with("_380"));
}

#[test]
fn the_padding_of_another_size_equals_efficientnet_pytorch() {
    check(|name| name == "efficientnet_b4_380");
}

#[test]
fn efficientnets_with_tensorflow_padding_equal_pytorch() {
    check(|name| name.starts_with("tf_") || name.contains("lite"));
}

#[test]
fn older_networks_equal_pytorch() {
    check(|name| !name.contains("resnet") && !name.contains("efficientnet"));
}

//! Settings whose graphs are tried.

use crate::support::SIDE;
use serde_json::{Value, json};

/// Every kind of settings that changes the graph of a method, on the tiny backbone.
pub fn settings() -> Vec<(&'static str, Value)> {
    vec![
        ("patchcore", json!({"coreset_ratio": 0.1})),
        ("patchcore", json!({"coreset_ratio": 0.1, "image_score": "max", "neighbours": 3, "patch_size": 1})),
        (
            "patchcore",
            json!({"coreset_ratio": 0.1, "variant": "official", "pretrain_dimension": 24, "target_dimension": 17}),
        ),
        (
            "patchcore",
            json!({"coreset_ratio": 0.02, "variant": "official", "sigma": 0.0, "interpolation": "bilinear_aligned",
                             "pretrain_dimension": 3, "target_dimension": 4, "image_score": "reweighted", "reweight_neighbours": 3}),
        ),
        ("padim", json!({"dimensions": 9})),
        ("padim", json!({"variant": "official", "precision": "single"})),
        ("fapm", json!({"regions": 3})),
        ("fapm", json!({"regions": 2, "neighbours": 1, "sizing": "uniform"})),
        ("fapm", json!({"regions": 4, "weighting": "official", "correspondence": "released", "margin": 0})),
        ("cfa", json!({"epochs": 1})),
        ("cfa", json!({"epochs": 1, "variant": "anomalib", "scaling": "channels", "bank_compression": 4})),
        ("fastflow", json!({"steps": 4, "blocks": 2})),
        ("fastflow", json!({"steps": 4, "blocks": 2, "norm": "fixed", "kernels": "alternating"})),
        ("cflow", json!({"epochs": 1, "blocks": 2, "condition": 8})),
        ("cflow", json!({"epochs": 1, "blocks": 2, "mixing": "index"})),
        ("vae", vae(json!({}))),
        ("vae", vae(json!({"latent": "spatial", "norm": "batch", "map": "mixed", "score": "top"}))),
        ("csflow", json!({"blocks": 2, "hidden": 8, "steps": 4})),
        ("csflow", json!({"blocks": 1, "hidden": 8, "steps": 4, "score": "max"})),
        ("ganomaly", ganomaly(json!({}))),
        ("ganomaly", ganomaly(json!({"score": "map", "sspcab": true}))),
        ("mnad", json!({"width": 4, "memory": 5, "steps": 10})),
        ("mnad", json!({"width": 4, "memory": 5, "steps": 10, "score": "frame", "balance": 0.5})),
        ("mnad", json!({"width": 8, "memory": 0, "steps": 10, "score": "top", "sspcab": true})),
    ]
}

/// Settings that are tried without a calibration: after so few steps, scores of good images lie so close together that single precision does
/// not reach a ten-thousandth of their spread.
pub fn uncalibrated_settings() -> Vec<(&'static str, Value)> {
    vec![
        ("vae", vae(json!({"sspcab": true, "map": "l1", "score": "elbo", "samples": 2}))),
        ("vae", vae(json!({"size": 32, "texture": true, "map": "ssim", "score": "reconstruction"}))),
        ("vae", vae(json!({"likelihood": "bernoulli", "score": "elbo", "normalise": false}))),
        (
            "vae",
            vae(
                json!({"likelihood": "gaussian", "score": "reconstruction", "latent": "spatial", "samples": 1}),
            ),
        ),
        ("vae", vae(json!({"likelihood": "l1", "score": "reconstruction"}))),
        ("vae", vae(json!({"size": 32, "texture": true, "likelihood": "ssim", "score": "elbo"}))),
        ("vae", vae(json!({"score": "kl"}))),
        ("draem", json!({"repair_width": 4, "segment_width": 4, "steps": 30, "batch": 4})),
        (
            "draem",
            json!({"repair_width": 8, "segment_width": 4, "steps": 30, "batch": 4, "sspcab": "anomalib", "score": "max"}),
        ),
        ("memseg", json!({"memory": 4, "width": 4, "steps": 10, "batch": 4})),
        (
            "memseg",
            json!({"memory": 4, "width": 4, "steps": 30, "batch": 4, "variant": "fragments", "sigma": 2.0}),
        ),
        ("ganomaly", ganomaly(json!({"score": "code", "extra": 1}))),
        (
            "ganomaly",
            ganomaly(json!({"variant": "anomalib", "score": "code_absolute", "extra": 2, "sspcab": true})),
        ),
        ("edgrec", json!({"width": 4, "steps": 30, "batch": 4})),
        (
            "edgrec",
            json!({"width": 4, "steps": 30, "batch": 4, "scales": 3, "edge": 5, "colour_weight": 0.0}),
        ),
        ("fanogan", fanogan(json!({"latent": 8}))),
        ("fanogan", fanogan(json!({"latent": 8, "architecture": "residual", "encoder_end": "triple_tanh"}))),
        (
            "fanogan",
            fanogan(
                json!({"latent": 8, "objective": "cross_entropy", "score": "code", "encoder_steps": 100}),
            ),
        ),
    ]
}

/// Settings beside those that make a training a matter of seconds.
fn with(quick: Value, own: Value) -> Value {
    let (Value::Object(mut all), Value::Object(own)) = (quick, own) else { panic!("no settings") };
    all.extend(own);
    Value::Object(all)
}

pub fn vae(own: Value) -> Value {
    with(json!({"size": SIDE, "base": 8, "dimensions": 8, "steps": 30, "batch": 4}), own)
}

pub fn ganomaly(own: Value) -> Value {
    with(json!({"width": 4, "latent": 8, "steps": 10, "batch": 4}), own)
}

pub fn fanogan(own: Value) -> Value {
    with(json!({"width": 4, "steps": 4, "encoder_steps": 10, "batch": 4, "critic_steps": 1}), own)
}

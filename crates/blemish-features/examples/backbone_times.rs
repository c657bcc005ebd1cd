//! CPU time a network takes for a batch on one thread: `backbone_times NETWORK SIDE RUNS [single|int8 [BATCH]]`, made-up weights, one line of
//! milliseconds a run.
//!
//! `benches/backbones.py` and `benches/precision.py` run it by turns with others.

use blemish_data::transform::PlanarImage;
use blemish_features::graph::{Tensor, Weights};
use blemish_features::{Architecture, Backbone, BackboneState, EngineOptions, FeatureError, networks};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, side, runs, options @ ..] = arguments.as_slice() else {
        return Err("backbone_times NETWORK SIDE RUNS [single|int8 [BATCH]]".into());
    };
    let (architecture, side, runs): (Architecture, usize, usize) =
        (network.parse()?, side.parse()?, runs.parse()?);
    let batch: usize = options.get(1).map_or(Ok(1), |count| count.parse())?;
    let image: Vec<f32> = (0..3 * side * side).map(|i| ((i * 31) % 101) as f32 / 100.0).collect();
    let single = made_up(architecture)?;
    let backbone = match options.first().map(String::as_str) {
        None | Some("single") => single,
        Some("int8") => {
            let (height, width, pixels) = (side, side, image.clone());
            let watched = PlanarImage { height, width, pixels, region_of_interest: None };
            single.quantised(&[watched], &one_thread())?
        }
        Some(other) => return Err(format!("`{other}` is neither single nor int8").into()),
    };
    let images = image.repeat(batch);
    for run in 0..=runs {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        let maps = backbone.extract(&images, [batch, side, side])?;
        let spent = match (cpu, cpu_seconds()) {
            (Some(before), Some(after)) => after - before,
            _ => wall.elapsed().as_secs_f64(),
        };
        assert!(maps[0].data.iter().all(|value| value.is_finite()));
        // The first run fills memory.
        if run > 0 {
            println!("{:.3}", spent * 1e3);
        }
    }
    Ok(())
}

/// The deepest default layer with weights that keep values in range.
fn made_up(architecture: Architecture) -> Result<Backbone, FeatureError> {
    let layers = architecture.layers_at(&[16]);
    let graph = networks::build(architecture).cut(&layers)?;
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let count = shape.iter().product::<usize>();
        let scale = (count as f32 / shape[0] as f32).sqrt().recip();
        let is_gain = shape.len() == 1 && name.ends_with("weight");
        let value = |i: usize| (((i * 37) % 199) as f32 / 99.0 - 1.0) * scale;
        let data = (0..count).map(|i| if is_gain { 1.0 } else { value(i) }).collect();
        (name, Tensor { shape, data })
    };
    let weights: Weights = graph.tensor_shapes().map(tensor).collect();
    let state = BackboneState::Network { architecture, layers, weights };
    Backbone::from_state(state, &one_thread())
}

fn one_thread() -> EngineOptions {
    EngineOptions { threads: Some(1), ..EngineOptions::default() }
}

/// Time that all threads of this process have spent on processors, where the system says it (Linux).
fn cpu_seconds() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let of_task = |task: std::io::Result<std::fs::DirEntry>| -> Option<f64> {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        Some(text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9)
    };
    tasks.map(of_task).sum()
}

//! `blemish info`: what a model, a graph, a weight file or an architecture holds.

use super::model_card::model_in_words;
use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::features::{Architecture, ImageText, networks, onnx, weights};
use blemish::file::format;
use serde_json::{Value, json};
use std::path::Path;

pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    let path = args.what.as_path();
    if !path.exists() {
        return match args.what.to_string_lossy().parse::<Architecture>() {
            Ok(architecture) => network(architecture, args.json),
            Err(_) => match args.what.to_string_lossy().parse::<ImageText>() {
                Ok(network) => image_text(network, args.json),
                Err(_) => Err(Failure::new(format!(
                    "`{}` is neither a file nor an architecture; architectures are: {}, {}",
                    args.what.display(),
                    Architecture::all().map(Architecture::name).collect::<Vec<_>>().join(", "),
                    ImageText::names()
                ))),
            },
        };
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "onnx" => graph(path, args.json),
        "pth" | "pt" | "safetensors" => state_dict(path, args.json),
        _ => model(path, args.json),
    }
}

fn model(path: &Path, as_json: bool) -> Result<(), Failure> {
    let (header, state) = format::read(path)?;
    if as_json {
        let tensors = state.tensors().iter();
        let tensors = tensors.map(|(name, tensor)| {
            json!({"name": name, "shape": tensor.shape, "bytes": tensor.values.bytes().len()})
        });
        let mut value = serde_json::to_value(&header).map_err(Failure::new)?;
        value["tensors"] = tensors.collect();
        return print_as_is(&format!("{value:#}"));
    }
    print(&model_in_words(path, &header))
}

fn graph(path: &Path, as_json: bool) -> Result<(), Failure> {
    let info = onnx::inspect(path)?;
    let list = |tensors: &[onnx::OnnxTensor]| -> Vec<Value> {
        tensors
            .iter()
            .map(|tensor| json!({"name": tensor.name, "operator": tensor.operator, "shape": tensor.shape}))
            .collect()
    };
    if as_json {
        let value = json!({"inputs": list(&info.inputs), "outputs": list(&info.outputs), "tensors": list(&info.tensors)});
        return print_as_is(&format!("{value:#}"));
    }
    let line = |tensor: &onnx::OnnxTensor| {
        let shape = tensor.shape.as_ref().map_or("?".to_owned(), |shape| shape.join("x"));
        format!("  {:<48}{:<20}{shape}\n", tensor.name, tensor.operator)
    };
    let mut text = "inputs:\n".to_owned();
    text.extend(info.inputs.iter().map(line));
    text += "tensors to tap with --layers (in execution order):\n";
    text.extend(info.tensors.iter().map(line));
    print(text.trim_end())
}

fn state_dict(path: &Path, as_json: bool) -> Result<(), Failure> {
    let state = weights::read_state_dict(path)?;
    let fits: Vec<&str> =
        blemish::features::assemble::recognize(&state).into_iter().map(Architecture::name).collect();
    if as_json {
        let tensors: Vec<Value> =
            state.iter().map(|(name, tensor)| json!({"name": name, "shape": tensor.shape})).collect();
        return print_as_is(&format!("{:#}", json!({"fits": fits, "tensors": tensors})));
    }
    let mut text =
        format!("fits: {}\n", if fits.is_empty() { "no known network".into() } else { fits.join(", ") });
    for (name, tensor) in &state {
        text += &format!("  {name} {:?}\n", tensor.shape);
    }
    print(text.trim_end())
}

fn image_text(network: ImageText, as_json: bool) -> Result<(), Failure> {
    let (name, size) = (network.name(), network.size());
    if as_json {
        return print_as_is(&format!("{:#}", json!({"name": name, "image": size})));
    }
    print(&format!(
        "{name}: embeds images of {size}x{size} and texts; for methods that go by words (winclip)"
    ))
}

fn network(architecture: Architecture, as_json: bool) -> Result<(), Failure> {
    let graph = networks::build(architecture);
    let work = graph.multiply_adds(256, 256)?;
    let taps = graph.tap_info();
    if as_json {
        let layers: Vec<Value> = taps
            .iter()
            .map(|tap| json!({"name": tap.name, "channels": tap.channels, "stride": tap.stride}))
            .collect();
        return print_as_is(&format!(
            "{:#}",
            json!({"name": architecture.name(), "multiply_adds_256": work, "layers": layers})
        ));
    }
    let mut text = format!(
        "{}: {:.2} billion multiply-adds at 256x256\nlayers (--layers):\n",
        architecture.name(),
        work as f64 / 1e9
    );
    for tap in taps {
        text += &format!("  {:<16}{:>5} channels, stride {}\n", tap.name, tap.channels, tap.stride);
    }
    print(text.trim_end())
}

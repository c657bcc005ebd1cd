//! Graphs that are written run, keep their names and find their constants.

use super::{Element, GraphWriter, OnnxModel, Reduction, Side, Value};
use crate::executors::{Engine, EngineOptions, Fed, FedTensor, GivenTensor, ModelSource, WholeModel};

fn rten() -> EngineOptions {
    EngineOptions { engine: Engine::Rten, threads: Some(1), ..EngineOptions::default() }
}

fn run(model: &OnnxModel, values: &[f32], outputs: &[&str]) -> Vec<GivenTensor> {
    let model = WholeModel::load(ModelSource::Bytes(model.encode()), &rten()).unwrap();
    let fed = FedTensor { name: "x", shape: vec![values.len()], values: Fed::F32(values) };
    model.run(&[fed], outputs).unwrap()
}

/// x -> 2 x as `double`, and its sum as `sum`.
fn doubling(table: &[f32]) -> GraphWriter {
    let mut writer = GraphWriter::new("doubling");
    let x = writer.input("x", Element::F32, &[Side::Any("N")]);
    writer.scope("part/");
    let factor = writer.table("factor", &[table.len()], table);
    let doubled = writer.mul(&x, &factor);
    let sum = writer.reduce(Reduction::Sum, &doubled, &[0], false);
    writer.output("double", &doubled, Element::F32, &[Side::Any("N")]);
    writer.output("again", &doubled, Element::F32, &[Side::Any("N")]);
    writer.output("sum", &sum, Element::F32, &[]);
    writer
}

#[test]
fn outputs_have_their_names_even_where_others_read_them() {
    let model = doubling(&[2.0]).finish();
    assert_eq!(model.outputs(), ["double", "again", "sum"]);
    let given = run(&model, &[1.0, 4.0], &["double", "again", "sum"]);
    assert_eq!(given[0].values, [2.0, 8.0]);
    assert_eq!(given[1].values, [2.0, 8.0]);
    assert_eq!(given[2].values, [10.0]);
    // No step in between, but for the second name of one value.
    assert_eq!(model.operators(), ["Identity", "Mul", "ReduceSum"]);
    let alone = model.only(&["double"]);
    assert_eq!((alone.outputs(), alone.operators()), (vec!["double"], vec!["Mul"]));
}

#[test]
fn graphs_are_taken_in_under_names_of_their_own_and_equal_constants_are_there_once() {
    let table: Vec<f32> = (0..200).map(|at| at as f32).collect();
    let inner = doubling(&table).finish().encode();
    let mut writer = GraphWriter::new("outer");
    let x = writer.input("x", Element::F32, &[Side::Fixed(200)]);
    let outputs = ["double".to_owned()];
    let once: Vec<Value> = writer.embed(&inner, "a/", &x, &outputs).unwrap();
    let twice = writer.embed(&inner, "b/", &once[0], &outputs).unwrap();
    writer.output("y", &twice[0], Element::F32, &[Side::Fixed(200)]);
    let model = writer.finish();
    assert_eq!(model.operators(), ["Mul"]);
    assert_eq!(model.constant_bytes(), 800);
    let given = run(&model, &[1.0; 200], &["y"]);
    assert_eq!(given[0].values[7], 49.0);
    let mut writer = GraphWriter::new("outer");
    let x = writer.input("x", Element::F32, &[Side::Any("N")]);
    let error = writer.embed(b"no graph", "a/", &x, &outputs).unwrap_err();
    assert!(error.to_string().contains("ONNX"), "{error}");
}

#[test]
fn tables_in_half_precision_are_half_as_large() {
    let table: Vec<f32> = (0..64).map(|at| at as f32 / 3.0).collect();
    let (whole, half) = (doubling(&table).finish(), doubling(&[]));
    drop(half);
    let mut writer = GraphWriter::new("half").halving_tables(true);
    let x = writer.input("x", Element::F32, &[Side::Any("N")]);
    let factor = writer.table("factor", &[64], &table);
    let y = writer.mul(&x, &factor);
    writer.output("double", &y, Element::F32, &[Side::Any("N")]);
    let half = writer.finish();
    assert!(half.constant_bytes() < 140 && whole.constant_bytes() >= 256);
    let [whole, half] = [whole, half].map(|model| run(&model, &[1.0; 64], &["double"])[0].values.clone());
    for (whole, half) in whole.iter().zip(&half) {
        assert!((whole - half).abs() <= whole / 2048.0);
    }
}

#[test]
fn large_constants_may_lie_in_a_second_file() {
    let table: Vec<f32> = (0..1000).map(|at| (at % 7) as f32).collect();
    let mut model = doubling(&table).finish();
    model.set_text("about", "first");
    model.set_text("about", "second");
    let folder = tempfile::tempdir().unwrap();
    let (graph, constants) = model.clone().split("graph.onnx.data");
    assert!(graph.len() < 1500 && constants.len() == 4000);
    std::fs::write(folder.path().join("graph.onnx"), &graph).unwrap();
    std::fs::write(folder.path().join("graph.onnx.data"), constants).unwrap();
    let path = folder.path().join("graph.onnx");
    let loaded = WholeModel::load(ModelSource::File(&path), &rten()).unwrap();
    let fed = FedTensor { name: "x", shape: vec![1000], values: Fed::F32(&[1.0; 1000]) };
    let given = loaded.run(&[fed], &["double"]).unwrap();
    assert_eq!(given[0].values[..8], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0]);
    assert_eq!(OnnxModel::read(&graph).unwrap().text("about"), Some("second"));
    assert!(OnnxModel::read(&graph[..graph.len() / 2]).is_err());
}

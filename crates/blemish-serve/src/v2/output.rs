//! From answers to the JSON and the bytes of an inference response.

use super::request::{InferRequest, Wanted};
use super::tensor::{Calibrated, Output};
use crate::answer::Answered;
use crate::fault::Fault;
use axum::body::Bytes;
use serde::Serialize;
use std::sync::Arc;

/// A response: JSON, and the bytes that follow it, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The whole body.
    pub body: Bytes,
    /// How much of it is JSON, where bytes follow.
    pub json_length: Option<usize>,
}

#[derive(Serialize)]
struct Head<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
}

/// The outputs that a request wants of a model.
///
/// # Errors
/// [`Fault`] if it names one that the model does not have.
pub fn chosen(request: &InferRequest, model: Calibrated) -> Result<Vec<Wanted>, Fault> {
    let Some(named) = &request.outputs else {
        let there = Output::ALL.into_iter().filter(|output| output.is_there(model));
        return Ok(there.map(|output| Wanted { output, is_binary: request.is_binary }).collect());
    };
    match named.iter().find(|wanted| !wanted.output.is_there(model)) {
        Some(missing) => Err(Fault::request(format!(
            "the model has no output `{}`, since it is not calibrated for it; `blemish calibrate` sets that, or leave the output out",
            missing.output.name()
        ))),
        None => Ok(named.clone()),
    }
}

/// The response to a request whose images were answered so, in their order.
///
/// # Errors
/// [`Fault`] if maps of different sizes would have to be one tensor, or an answer lacks what is wanted.
pub fn reply(id: Option<&str>, wanted: &[Wanted], answers: &[Arc<Answered>]) -> Result<Reply, Fault> {
    let Some(first) = answers.first() else { return Err(Fault::request("there is no image")) };
    let mut outputs = Vec::with_capacity(wanted.len());
    let mut binary = Vec::new();
    for &Wanted { output, is_binary } in wanted {
        let (shape, data) = values(output, answers)?;
        let (parameters, data) = match is_binary {
            true => {
                let before = binary.len();
                data.write(&mut binary);
                (Some(Size { binary_data_size: binary.len() - before }), None)
            }
            false => (None, Some(data)),
        };
        outputs.push(Told { name: output.name(), datatype: output.datatype(), shape, parameters, data });
    }
    let verdict = &first.verdict;
    let has_binary = outputs.iter().any(|output| output.parameters.is_some());
    let head = Head { model_name: &verdict.model, model_version: &verdict.version, id, outputs };
    let mut body = serde_json::to_vec(&head).map_err(|error| Fault::new("internal", error))?;
    let json_length = has_binary.then_some(body.len());
    body.append(&mut binary);
    Ok(Reply { body: body.into(), json_length })
}

/// The shape and the elements of an output.
fn values(output: Output, answers: &[Arc<Answered>]) -> Result<(Vec<usize>, Data), Fault> {
    let verdicts = answers.iter().map(|answer| &answer.verdict);
    let missing = || {
        Fault::new(
            "not_calibrated",
            format!("the model has no output `{}` any more; leave it out", output.name()),
        )
    };
    let data = match output {
        Output::Score => Data::Float(verdicts.map(|verdict| verdict.score).collect()),
        Output::PValue => Data::Double(
            verdicts.map(|verdict| verdict.p_value.ok_or_else(missing)).collect::<Result<_, _>>()?,
        ),
        Output::Anomalous => Data::Bool(
            verdicts.map(|verdict| verdict.anomalous.ok_or_else(missing)).collect::<Result<_, _>>()?,
        ),
        Output::Regions => {
            let text = verdicts.map(|verdict| serde_json::to_string(&verdict.regions));
            Data::Text(text.collect::<Result<_, _>>().map_err(|error| Fault::new("internal", error))?)
        }
        Output::Map => return maps(answers),
    };
    Ok((vec![answers.len()], data))
}

fn maps(answers: &[Arc<Answered>]) -> Result<(Vec<usize>, Data), Fault> {
    let size = |answer: &Answered| (answer.map.height, answer.map.width);
    let (height, width) = answers.first().map_or((0, 0), |answer| size(answer));
    if answers.iter().any(|answer| size(answer) != (height, width)) {
        return Err(Fault::request(
            "the maps of these images differ in size, so they are no one tensor; send the images one by one, or name outputs without `map`",
        ));
    }
    let values = answers.iter().flat_map(|answer| answer.map.values.iter().copied()).collect();
    Ok((vec![answers.len(), height, width], Data::Float(values)))
}

impl Data {
    /// Appends the elements as bytes.
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Float(values) => to.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Double(values) => to.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Bool(values) => to.extend(values.iter().map(|&value| u8::from(value))),
            Self::Text(values) => {
                for value in values {
                    to.extend((value.len() as u32).to_le_bytes());
                    to.extend(value.as_bytes());
                }
            }
        }
    }
}

//! From the headers and the body of an inference request to the images and what is wanted of them.
//!
//! A request is JSON, or JSON followed by the bytes of tensors: then a header tells where the JSON ends. Nothing here knows a model.

use super::tensor::Output;
use super::values::Values;
use crate::fault::Fault;
use axum::body::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use blemish::data::{Pixels, RgbImage};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Tells how many bytes of a body, before compression, are JSON.
pub const JSON_LENGTH: &str = "inference-header-content-length";

/// Images of one request, at most: as many as our own route for batches takes.
pub const IMAGES: usize = 64;

const INPUTS: &str = "give `image` (BYTES [N], encoded files) or `pixels` (UINT8 or FP32 [N, H, W, 3], RGB)";

/// An image as a request brings it.
#[derive(Clone, Debug, PartialEq)]
pub enum Image {
    /// An encoded file.
    Encoded(Bytes),
    /// Its pixels.
    Pixels(RgbImage),
}

/// An output that is wanted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub output: Output,
    /// Whether as bytes after the JSON.
    pub is_binary: bool,
}

/// A request for inference.
#[derive(Clone, Debug, PartialEq)]
pub struct InferRequest {
    /// Given back with the answer.
    pub id: Option<String>,
    /// One at least.
    pub images: Vec<Image>,
    /// `None` wants all that the model has.
    pub outputs: Option<Vec<Wanted>>,
    /// Whether outputs that are not named are wanted as bytes.
    pub is_binary: bool,
    /// Regions of fewer pixels are left out.
    pub min_area: f64,
    /// How long the caller waits.
    pub timeout: Option<Duration>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    data: Option<Values>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// What a tensor holds, wherever it stood.
enum Content {
    Binary(Bytes),
    Json(Values),
}

/// Reads a request; `json_length` is the header [`JSON_LENGTH`], `body` what remains once its compression is undone.
///
/// # Errors
/// [`Fault`] of the code `request` or `tensor`, which says what does not fit.
pub fn parse(json_length: Option<&str>, body: &Bytes) -> Result<InferRequest, Fault> {
    let (json, mut binary) = cut(json_length, body)?;
    let body: Body = serde_json::from_slice(&json)
        .map_err(|error| Fault::request(format!("the JSON of the request does not parse: {error}")))?;
    let parameters = body.parameters.unwrap_or_default();
    let is_binary = flag(&parameters, "binary_data_output")?.unwrap_or(false);
    let mut images = None;
    for input in body.inputs {
        // All binary parts are cut off, in the order of the inputs, before anything is said of one.
        let own = input.parameters.unwrap_or_default();
        let content = match binary_size(&input.name, &own)? {
            Some(size) => {
                if size > binary.len() {
                    return Err(tensor(format!(
                        "input `{}` says that it has {size} bytes, but {} are left of the body; `binary_data_size` counts its own bytes",
                        input.name,
                        binary.len()
                    )));
                }
                if input.data.is_some() {
                    return Err(tensor(format!(
                        "input `{}` has both `data` and `binary_data_size`; give one",
                        input.name
                    )));
                }
                Content::Binary(binary.split_to(size))
            }
            None => Content::Json(input.data.ok_or_else(|| {
                tensor(format!("input `{}` has neither `data` nor `binary_data_size`; give one", input.name))
            })?),
        };
        let is_base64 = [&own, &parameters]
            .iter()
            .find_map(|parameters| parameters.get("content_type"))
            .is_some_and(|kind| kind == "base64");
        let found = match input.name.as_str() {
            "image" => encoded(&input.datatype, &input.shape, content, is_base64)?,
            "pixels" => pixels(&input.datatype, &input.shape, content)?,
            other => return Err(tensor(format!("there is no input `{other}`; {INPUTS}"))),
        };
        if images.replace(found).is_some() {
            return Err(tensor(format!("there is more than one input; {INPUTS}")));
        }
    }
    if !binary.is_empty() {
        return Err(tensor(format!(
            "{} bytes follow the last input; `binary_data_size` of each input says how many belong to it",
            binary.len()
        )));
    }
    Ok(InferRequest {
        id: body.id,
        images: images.ok_or_else(|| tensor(format!("there is no input; {INPUTS}")))?,
        outputs: wanted(body.outputs.unwrap_or_default(), is_binary)?,
        is_binary,
        min_area: min_area(&parameters)?,
        timeout: timeout(&parameters)?,
    })
}

fn tensor(text: String) -> Fault {
    Fault::new("tensor", text)
}

/// The JSON and the bytes after it.
fn cut(json_length: Option<&str>, body: &Bytes) -> Result<(Bytes, Bytes), Fault> {
    let Some(text) = json_length else { return Ok((body.clone(), Bytes::new())) };
    let text = text.trim();
    // `usize` would take a plus sign, which HTTP does not.
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| text.parse::<usize>().unwrap_or(usize::MAX)).ok_or_else(|| {
        Fault::request(format!(
            "the header Inference-Header-Content-Length is `{}`, which is no length; it counts the bytes of the JSON before compression",
            text.chars().take(32).collect::<String>()
        ))
    })?;
    if length > body.len() {
        return Err(Fault::request(format!(
            "the header Inference-Header-Content-Length says {text} bytes, but the body has {}; it counts the bytes of the JSON before compression",
            body.len()
        )));
    }
    Ok((body.slice(..length), body.slice(length..)))
}

fn flag(parameters: &Map<String, Value>, name: &str) -> Result<Option<bool>, Fault> {
    match parameters.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Fault::request(format!("the parameter `{name}` is true or false"))),
    }
}

fn binary_size(input: &str, parameters: &Map<String, Value>) -> Result<Option<usize>, Fault> {
    if parameters.contains_key("shared_memory_region") {
        return Err(tensor(format!(
            "input `{input}` lies in shared memory, which is not read; send its bytes"
        )));
    }
    let Some(value) = parameters.get("binary_data_size") else { return Ok(None) };
    let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
    size.map(Some)
        .ok_or_else(|| tensor(format!("`binary_data_size` of input `{input}` is no number of bytes")))
}

fn min_area(parameters: &Map<String, Value>) -> Result<f64, Fault> {
    let Some(value) = parameters.get("min_area") else { return Ok(0.0) };
    value.as_f64().filter(|area| area.is_finite() && *area >= 0.0).ok_or_else(|| {
        Fault::request("the parameter `min_area` is no number of pixels; 0 keeps every region")
    })
}

fn timeout(parameters: &Map<String, Value>) -> Result<Option<Duration>, Fault> {
    let Some(value) = parameters.get("timeout") else { return Ok(None) };
    let micros = value
        .as_u64()
        .ok_or_else(|| Fault::request("the parameter `timeout` is no whole number of microseconds"))?;
    // To Triton, 0 is no timeout.
    Ok((micros > 0).then(|| Duration::from_micros(micros)))
}

fn wanted(named: Vec<Named>, is_binary: bool) -> Result<Option<Vec<Wanted>>, Fault> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for Named { name, parameters } in named {
        let parameters = parameters.unwrap_or_default();
        if parameters.contains_key("shared_memory_region") {
            return Err(tensor(format!(
                "output `{name}` is wanted in shared memory, which is not written; read it from the answer"
            )));
        }
        let output = Output::named(&name).ok_or_else(|| {
            let known = Output::ALL.map(Output::name).join(", ");
            Fault::request(format!("there is no output `{name}`; there are: {known}"))
        })?;
        if wanted.iter().any(|one| one.output == output) {
            return Err(Fault::request(format!("the output `{name}` is wanted twice; name it once")));
        }
        wanted.push(Wanted { output, is_binary: flag(&parameters, "binary_data")?.unwrap_or(is_binary) });
    }
    Ok((!wanted.is_empty()).then_some(wanted))
}

/// N, checked against what one request may bring.
fn count(shape: u64) -> Result<usize, Fault> {
    match usize::try_from(shape) {
        Ok(count @ 1..=IMAGES) => Ok(count),
        _ => Err(tensor(format!(
            "a request brings 1 to {IMAGES} images, not {shape}; send more in several requests"
        ))),
    }
}

/// Encoded files.
fn encoded(datatype: &str, shape: &[u64], content: Content, is_base64: bool) -> Result<Vec<Image>, Fault> {
    let (&[images], "BYTES") = (shape, datatype) else {
        return Err(tensor(format!(
            "input `image` is {datatype} {shape:?}; it must be BYTES [N], one encoded file (PNG, JPEG, ...) an element"
        )));
    };
    let images = count(images)?;
    let files = match content {
        Content::Binary(bytes) => elements(bytes)?,
        Content::Json(Values::Texts(texts)) if is_base64 => texts
            .iter()
            .enumerate()
            .map(|(at, text)| {
                let file = BASE64.decode(text.trim_end()).map_err(|error| {
                    tensor(format!("element {at} of input `image` is not base64: {error}"))
                })?;
                Ok(Bytes::from(file))
            })
            .collect::<Result<_, Fault>>()?,
        Content::Json(Values::Texts(_)) => {
            return Err(tensor(
                "input `image` in JSON must be base64; say so with its \"parameters\": {\"content_type\": \"base64\"}, or send the files \
                 as bytes after the JSON"
                    .into(),
            ));
        }
        Content::Json(Values::Numbers(numbers)) if numbers.is_empty() => Vec::new(),
        Content::Json(Values::Numbers(_)) => {
            return Err(tensor(
                "input `image` holds numbers; it takes encoded files, and `pixels` takes numbers".into(),
            ));
        }
    };
    if files.len() != images {
        return Err(tensor(format!("input `image` has the shape [{images}] but {} elements", files.len())));
    }
    Ok(files.into_iter().map(Image::Encoded).collect())
}

/// The elements of a tensor of BYTES, each after its length as 4 bytes, the lowest first.
fn elements(mut bytes: Bytes) -> Result<Vec<Bytes>, Fault> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let at = elements.len();
        let Some(head) = bytes.first_chunk::<4>() else {
            return Err(tensor(format!(
                "element {at} of input `image` begins with {} bytes; each begins with its length as 4 bytes, the lowest first",
                bytes.len()
            )));
        };
        let length = u32::from_le_bytes(*head) as usize;
        let _ = bytes.split_to(4);
        if length > bytes.len() {
            return Err(tensor(format!(
                "element {at} of input `image` says that it has {length} bytes, but {} are left; each begins with its length as 4 \
                 bytes, the lowest first",
                bytes.len()
            )));
        }
        elements.push(bytes.split_to(length));
    }
    Ok(elements)
}

/// Images of pixels.
fn pixels(datatype: &str, shape: &[u64], content: Content) -> Result<Vec<Image>, Fault> {
    let &[images, height, width, 3] = shape else {
        let help = match shape {
            [_, 3, _, _] => "channels come last here: [N, H, W, 3], not [N, 3, H, W]",
            _ => "it must be [N, H, W, 3], RGB",
        };
        return Err(tensor(format!("input `pixels` has the shape {shape:?}; {help}")));
    };
    let images = count(images)?;
    let side = |side: u64| usize::try_from(side).ok().filter(|&side| side > 0 && side < 1 << 24);
    let size = side(height).zip(side(width));
    let samples = size.and_then(|(height, width)| height.checked_mul(width)?.checked_mul(3));
    let (Some((height, width)), Some(samples)) = (size, samples) else {
        return Err(tensor(format!("input `pixels` has the shape {shape:?}, which no image has")));
    };
    let needs = |found: usize, unit: &str, each: usize| {
        let needed = samples.checked_mul(images).and_then(|samples| samples.checked_mul(each));
        if needed == Some(found) {
            return Ok(());
        }
        let needed = needed.map_or_else(|| "more".to_owned(), |needed| needed.to_string());
        Err(tensor(format!(
            "input `pixels` has {found} {unit}, but its shape {shape:?} needs {needed}; give the images' true size"
        )))
    };
    let image = |pixels| Image::Pixels(RgbImage { height, width, pixels });
    match (datatype, content) {
        ("UINT8", Content::Binary(bytes)) => {
            needs(bytes.len(), "bytes", 1)?;
            Ok(bytes.chunks_exact(samples).map(|one| image(Pixels::U8(one.to_vec()))).collect())
        }
        ("UINT8", Content::Json(values)) => {
            let numbers = values.numbers("pixels")?;
            needs(numbers.len(), "values", 1)?;
            let shade = |&value: &f32| {
                let byte = value as u8;
                (f32::from(byte) == value).then_some(byte).ok_or_else(|| {
                    tensor(format!(
                        "input `pixels` holds {value}, which is no UINT8; 0 is black and 255 white"
                    ))
                })
            };
            let one =
                |one: &[f32]| Ok(image(Pixels::U8(one.iter().map(shade).collect::<Result<_, Fault>>()?)));
            numbers.chunks_exact(samples).map(one).collect()
        }
        ("FP32", content) => {
            let values: Vec<f32> = match content {
                Content::Binary(bytes) => {
                    needs(bytes.len(), "bytes", 4)?;
                    bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
                }
                Content::Json(values) => values.numbers("pixels")?,
            };
            needs(values.len(), "values", 1)?;
            if let Some(value) = values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
                return Err(tensor(format!(
                    "input `pixels` holds {value}; FP32 goes from 0, black, to 1, white"
                )));
            }
            Ok(values.chunks_exact(samples).map(|one| image(Pixels::F32(one.to_vec()))).collect())
        }
        (other, _) => Err(tensor(format!("input `pixels` is {other}; it must be UINT8 or FP32"))),
    }
}

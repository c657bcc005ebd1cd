//! From a user's file to one that an engine may run: checked, and asked for the tensors that are wanted.

use super::inspect::{inputs, parse, read};
use super::proto::{GraphMessage, ValueInfo, float_value};
use super::shapes::Demands;
use super::wire;
use crate::FeatureError;
use prost::Message;
use std::collections::HashSet;
use std::path::Path;

/// Side of the image that tells strides and demands where a network takes any.
const PROBE_SIDE: usize = 256;

/// Pixels of the images that a file may ask for by itself: 4096x4096.
const MOST_PIXELS: i64 = 1 << 24;

/// The size of image that a network takes, where it takes only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedSize {
    /// Rows; `None` for any number.
    pub height: Option<usize>,
    /// Columns; `None` for any number.
    pub width: Option<usize>,
}

impl FixedSize {
    /// The nearest size that the network takes.
    pub fn nearest(self, [height, width]: [usize; 2]) -> [usize; 2] {
        [self.height.unwrap_or(height), self.width.unwrap_or(width)]
    }

    /// Height and width, if both are fixed.
    pub fn whole(self) -> Option<[usize; 2]> {
        Some([self.height?, self.width?])
    }

    /// A size that the network takes, to try it out.
    pub(crate) fn probe(self) -> [usize; 2] {
        self.nearest([PROBE_SIDE; 2])
    }
}

/// A user's graph that was checked.
pub(crate) struct Prepared {
    /// The file for the engine; the wanted tensors are among its outputs.
    pub(crate) bytes: Vec<u8>,
    /// Name of the image input.
    pub(crate) input: String,
    pub(crate) size: FixedSize,
    pub(crate) demands: Demands,
}

/// The size of image that a file takes, where it takes only one.
///
/// # Errors
/// [`FeatureError::Onnx`] if it is no ONNX file with one image input; [`FeatureError::Io`].
pub fn fixed_size(path: &Path) -> Result<FixedSize, FeatureError> {
    let graph = parse(&read(path)?)?.graph.unwrap_or_default();
    size(image_input(&graph)?)
}

/// Checks a file and asks it for `tensors`.
///
/// Its steps are left as they are, so that they compute what they always did; but if steps that the tensors do not need are what
/// cannot be run (the boxes of a detector behind the features), they are left out. Messages are copied, not decoded and encoded again,
/// so nothing can be lost.
///
/// # Errors
/// [`FeatureError::Onnx`] if the file is not a graph with one image input, or asks for too much; [`FeatureError::UnknownTap`] if it has no such
/// tensor.
pub(crate) fn prepare(bytes: &[u8], tensors: &[String]) -> Result<Prepared, FeatureError> {
    let model = parse(bytes)?;
    let fail = |reason: String| FeatureError::Onnx { reason };
    let graph = model.graph.as_ref().ok_or_else(|| fail("it holds no graph".into()))?;
    let input = image_input(graph)?.clone();
    let size = size(&input)?;
    if let Some(tap) = tensors.iter().find(|tap| !graph.node.iter().any(|node| node.output.contains(tap))) {
        return Err(FeatureError::UnknownTap {
            tap: tap.clone(),
            network: "the ONNX graph".into(),
            known: "listed by `blemish info FILE.onnx`".into(),
        });
    }
    let declared: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let is_fixed = size != FixedSize::default();
    let mut demands = Demands::new(model, &input.name, tensors, bytes.len(), is_fixed).map_err(fail)?;
    let mut kept = None;
    if let Err(reason) = demands.check(size.probe()) {
        let needed = demands.needed();
        if needed.iter().all(|needed| *needed) {
            return Err(fail(reason));
        }
        demands.keep(&needed);
        demands.check(size.probe()).map_err(fail)?;
        kept = Some(needed);
    }
    let bytes = rewrite_graph(bytes, |content| {
        let mut content = match &kept {
            None => content.to_vec(),
            Some(needed) => without(content, needed)?,
        };
        let missing = tensors.iter().filter(|tensor| kept.is_some() || !declared.contains(*tensor));
        let output = missing.map(|name| float_value(name, &[("", None); 4])).collect();
        content.extend(GraphMessage { output, ..GraphMessage::default() }.encode_to_vec());
        Some(content)
    });
    let bytes = bytes.ok_or_else(|| fail("its outermost message is damaged".into()))?;
    Ok(Prepared { bytes, input: input.name, size, demands })
}

/// The only input that is no constant.
fn image_input(graph: &GraphMessage) -> Result<&ValueInfo, FeatureError> {
    let inputs: Vec<&ValueInfo> = inputs(graph).collect();
    match inputs.as_slice() {
        [input] => Ok(input),
        _ => {
            let reason = format!("it has {} inputs; a feature extractor has one, the image", inputs.len());
            Err(FeatureError::Onnx { reason })
        }
    }
}

/// What an image input says of its size.
fn size(input: &ValueInfo) -> Result<FixedSize, FeatureError> {
    let fail = |reason: String| Err(FeatureError::Onnx { reason });
    let shape = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()?.shape.as_ref());
    let Some(shape) = shape else { return Ok(FixedSize::default()) };
    let fixed = |index: usize| shape.dim[index].value.filter(|size| *size > 0);
    if shape.dim.len() != 4 {
        let count = shape.dim.len();
        return fail(format!(
            "its input has {count} dimensions; images have four: count, channels, height, width"
        ));
    }
    if let Some(count) = fixed(0).filter(|count| *count != 1) {
        return fail(format!("it takes {count} images at once; export it for one image, or for any number"));
    }
    if let Some(channels) = fixed(1).filter(|channels| *channels != 3) {
        return fail(format!(
            "it takes images of {channels} channels; ours have three, before height and width"
        ));
    }
    let (height, width) = (fixed(2), fixed(3));
    let pixels = height.unwrap_or(1).checked_mul(width.unwrap_or(1));
    if pixels.is_none_or(|pixels| pixels > MOST_PIXELS) {
        return fail(format!(
            "it takes images of more than {MOST_PIXELS} pixels; export it for smaller ones"
        ));
    }
    let side = |side: Option<i64>| side.map(|side| side as usize); // Positive and bounded by now.
    Ok(FixedSize { height: side(height), width: side(width) })
}

/// A graph message without the steps that are not needed, and without outputs.
fn without(content: &[u8], needed: &[bool]) -> Option<Vec<u8>> {
    let mut needed = needed.iter();
    let mut kept = Vec::with_capacity(content.len());
    for field in wire::fields(content) {
        let field = field.ok()?;
        let is_kept = match field.number {
            1 => *needed.next()?,
            12 => false,
            _ => true,
        };
        if is_kept {
            kept.extend_from_slice(field.whole);
        }
    }
    Some(kept)
}

/// The file with another graph message (field 7) made of the one it has; `None` if that cannot be.
fn rewrite_graph(bytes: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut rewritten = Vec::with_capacity(bytes.len());
    for field in wire::fields(bytes) {
        let field = field.ok()?;
        match field.content.filter(|_| field.number == 7) {
            None => rewritten.extend_from_slice(field.whole),
            Some(content) => {
                let graph = rewrite(content)?;
                prost::encoding::encode_varint(7 << 3 | 2, &mut rewritten);
                prost::encoding::encode_varint(graph.len() as u64, &mut rewritten);
                rewritten.extend(graph);
            }
        }
    }
    Some(rewritten)
}

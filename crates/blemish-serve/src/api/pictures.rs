//! Answers as pictures: overlays, maps.

use super::query::MapForm;
use crate::answer::Answered;
use crate::fault::Fault;
use crate::models::Served;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blemish::data::decode_image;
use blemish_report::float_tiff;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde::Serialize;

fn fault(error: impl std::fmt::Display) -> Fault {
    Fault::new("internal", error)
}

/// The heat map over its image, as PNG.
///
/// # Errors
/// What keeps the image from being decoded again.
pub fn overlay(served: &Served, answered: &Answered) -> Result<Vec<u8>, Fault> {
    let options = served.current().detector.transform().read_options();
    let image = decode_image(&answered.bytes, &options).map_err(|fault| Fault::from(&fault))?;
    answered.drawn_over(&image).map_err(fault)
}

/// The map as TIFF of floats.
///
/// # Errors
/// `internal` if it cannot be written.
pub fn tiff(answered: &Answered) -> Result<Vec<u8>, Fault> {
    let map = &answered.map;
    float_tiff(&map.values, (map.height, map.width)).map_err(fault)
}

/// The map as grey PNG: black is the coldest colour of the model's pictures, white the hottest.
///
/// # Errors
/// `internal` if it cannot be written.
pub fn grey_png(answered: &Answered) -> Result<Vec<u8>, Fault> {
    let map = &answered.map;
    let (low, high) = answered.colours;
    let span = if high > low { high - low } else { 1.0 };
    let grey: Vec<u8> = map
        .values
        .iter()
        .map(|value| (((value - low) / span).clamp(0.0, 1.0) * 255.0).round() as u8)
        .collect();
    let side = |length: usize| u32::try_from(length).map_err(fault);
    let mut png = Vec::new();
    let encoder = PngEncoder::new(&mut png);
    encoder.write_image(&grey, side(map.width)?, side(map.height)?, ExtendedColorType::L8).map_err(fault)?;
    Ok(png)
}

/// A map as part of a verdict.
#[derive(Serialize)]
pub(super) struct MapInJson {
    height: usize,
    width: usize,
    encoding: &'static str,
    /// The scores that are black and white.
    #[serde(skip_serializing_if = "Option::is_none")]
    black: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    white: Option<f32>,
    data: String,
}

/// The map as part of a verdict.
///
/// # Errors
/// As [`grey_png`].
pub(super) fn in_json(answered: &Answered, form: MapForm) -> Result<Option<MapInJson>, Fault> {
    let map = &answered.map;
    let (height, width) = (map.height, map.width);
    Ok(match form {
        MapForm::None => None,
        MapForm::F32 => {
            let bytes: Vec<u8> = map.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let data = STANDARD.encode(bytes);
            Some(MapInJson { height, width, encoding: "f32le;base64", black: None, white: None, data })
        }
        MapForm::Png => {
            let data = STANDARD.encode(grey_png(answered)?);
            let (low, high) = answered.colours;
            Some(MapInJson {
                height,
                width,
                encoding: "png;base64",
                black: Some(low),
                white: Some(high),
                data,
            })
        }
    })
}

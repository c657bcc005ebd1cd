//! Heat maps over the images they belong to.

use crate::failure::Failure;
use blemish::Scored;
use blemish::data::Transform;
use blemish_report::{Picture, draw_over};
use std::path::Path;

/// Lays an anomaly map over the part of the image it covers and writes a PNG of the image's size.
pub fn save(
    path: &Path,
    image: &Path,
    scored: &Scored,
    transform: &Transform,
    colour_range: (f32, f32),
) -> Result<(), Failure> {
    Ok(draw(image, scored, transform, colour_range)?.save_png(path)?)
}

/// An anomaly map over the part of the image it covers.
pub fn draw(
    image: &Path,
    scored: &Scored,
    transform: &Transform,
    colour_range: (f32, f32),
) -> Result<Picture, Failure> {
    let picture = Picture::read_with(image, &transform.read_options())?;
    let (height, width) = picture.size();
    let covered = transform.covered(height, width).map_err(Failure::new)?;
    let map = &scored.map;
    Ok(draw_over(picture, covered, &map.values, (map.height, map.width), colour_range)?)
}

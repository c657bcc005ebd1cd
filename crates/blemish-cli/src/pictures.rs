//! Heat maps over the images they belong to.

use crate::failure::Failure;
use blemish::data::Transform;
use blemish::{AnomalyMap, Scored};
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
    let picture = Picture::read(image)?;
    let (height, width) = picture.size();
    let covered = transform.covered(height, width).map_err(Failure::new)?;
    let map = &scored.map;
    let drawn = draw_over(picture, covered, &map.values, (map.height, map.width), colour_range)?;
    Ok(drawn.save_png(path)?)
}

/// An anomaly map and its size, extended to a whole image of (height, width) pixels: `elsewhere` where the transform cuts the image off.
pub fn extended(
    map: &AnomalyMap,
    transform: &Transform,
    (height, width): (usize, usize),
    elsewhere: f32,
) -> Result<(Vec<f32>, (usize, usize)), Failure> {
    let (rows, columns) = transform.covered(height, width).map_err(Failure::new)?;
    if (rows.len(), columns.len()) == (height, width) {
        return Ok((map.values.clone(), (map.height, map.width)));
    }
    let mut values = vec![elsewhere; height * width];
    for y in rows.clone() {
        for x in columns.clone() {
            let near_y = (y - rows.start) * map.height / rows.len();
            let near_x = (x - columns.start) * map.width / columns.len();
            values[y * width + x] = map.values[near_y * map.width + near_x];
        }
    }
    Ok((values, (height, width)))
}

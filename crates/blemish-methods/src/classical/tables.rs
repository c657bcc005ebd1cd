//! What filters have learnt before their features: tables of numbers, and how large each filter's are.

use super::bank::Filter;
use super::config::ClassicalConfig;

/// What a filter has learnt: rows of numbers, mostly one a plane.
pub(super) type Tables = Vec<Vec<f32>>;

/// Grey levels of the co-occurrence matrices, and bins of the local contrast beside binary patterns.
pub(super) const LEVELS: usize = 16;
pub(super) const CONTRASTS: usize = 8;

/// Side of the tiles whose spectra are learnt, in pixels.
pub(super) const TILE: usize = 32;

/// Responses a plane that textons are made of.
pub(super) const TEXTON_RESPONSES: usize = 8;

/// Whether tables from a file are what the filter needs for so many planes; the reason in words if not.
pub(super) fn check(
    filter: Filter,
    config: &ClassicalConfig,
    tables: &Tables,
    planes: usize,
) -> Result<(), String> {
    let bins = TILE * (TILE / 2 + 1);
    let (count, length) = match filter {
        Filter::Histogram => (planes, 2),
        Filter::Glcm => (planes, LEVELS - 1),
        Filter::Lbp => (planes, CONTRASTS - 1),
        Filter::Canny => (planes * config.scales, 1),
        Filter::WaveletResidual => (planes, 3 * config.scales + 1),
        Filter::Notch | Filter::Whiten => (planes, bins),
        Filter::Textons => {
            let width = TEXTON_RESPONSES * planes;
            let centres = tables.first().map_or(0, |table| table.len() / width);
            (1, width * centres.clamp(1, 255))
        }
        _ => (0, 0),
    };
    if tables.len() != count || tables.iter().any(|table| table.len() != length) {
        return Err(format!("has not {count} rows of {length} values"));
    }
    let is_range = |table: &Vec<f32>| filter != Filter::Histogram || table[0] < table[1];
    if !tables.iter().all(|table| is_range(table) && table.iter().all(|value| value.is_finite())) {
        return Err("holds values that cannot be".into());
    }
    Ok(())
}

//! Contact sheets: images, outlines of their masks and their heat maps side by side.

use crate::error::ReportError;
use crate::font::{GLYPH_HEIGHT, GLYPH_WIDTH, is_dot};
use crate::overlay::overlay;
use crate::picture::Picture;
use image::RgbImage;
use image::imageops::{FilterType, resize};

/// A heat map to lay over an image.
#[derive(Clone, Copy, Debug)]
pub struct Heat<'a> {
    /// h x w scores.
    pub map: &'a [f32],
    /// h and w.
    pub size: (usize, usize),
    /// The scores that show as nothing and at full strength.
    pub range: (f32, f32),
}

/// One row of a contact sheet: the image, the image with its mask's outline, the image with its heat map.
#[derive(Clone, Copy, Debug)]
pub struct SheetRow<'a> {
    /// The image, of any size.
    pub image: &'a Picture,
    /// True marks a defect; H x W of the image.
    pub mask: Option<&'a [bool]>,
    /// The anomaly map.
    pub heat: Option<Heat<'a>>,
    /// Letters, digits and simple marks, drawn above the row; may be empty.
    pub caption: &'a str,
}

const BACKGROUND: [u8; 3] = [24, 24, 27];
const TEXT: [u8; 3] = [228, 228, 231];
const OUTLINE: [u8; 3] = [0, 240, 170];
/// Space around and between cells, in pixels.
const GAP: usize = 6;
/// The smallest side of a cell.
const MINIMUM_CELL: usize = 16;

/// A grid with one line per row: image, outline of the mask, heat map.
///
/// Every image is fitted into a cell of `cell` = (height, width) pixels with its proportions kept. The columns of masks and of heat
/// maps are there if any row has one; a row without one shows its plain image there. Captions take room if any row has one, and
/// are cut off where the sheet ends.
///
/// # Errors
/// [`ReportError`] without rows, with cells under 16 pixels a side, or where a mask or map does not fit.
pub fn contact_sheet(rows: &[SheetRow], cell: (usize, usize)) -> Result<Picture, ReportError> {
    if rows.is_empty() || cell.0.min(cell.1) < MINIMUM_CELL {
        return Err(ReportError::EmptySheet { minimum: MINIMUM_CELL });
    }
    let has_masks = rows.iter().any(|row| row.mask.is_some());
    let has_heat = rows.iter().any(|row| row.heat.is_some());
    let columns = 1 + usize::from(has_masks) + usize::from(has_heat);
    let scale = (cell.0 / 96).clamp(1, 4);
    let caption = if rows.iter().any(|row| !row.caption.is_empty()) { GLYPH_HEIGHT * scale + GAP } else { 0 };
    let line = caption + cell.0 + GAP;
    let size = (rows.len() * line + GAP, columns * (cell.1 + GAP) + GAP);
    let mut sheet = Picture::new(BACKGROUND.repeat(size.0 * size.1), size)?;
    for (number, row) in rows.iter().enumerate() {
        let top = GAP + number * line;
        write_text(&mut sheet, row.caption, (top, GAP), scale);
        let mut cells = vec![fit(row.image, cell)?];
        if has_masks {
            cells.push(outlined(row, cell)?);
        }
        if has_heat {
            cells.push(match row.heat {
                Some(heat) => fit(&overlay(row.image, heat.map, heat.size, heat.range)?, cell)?,
                None => fit(row.image, cell)?,
            });
        }
        for (column, picture) in cells.iter().enumerate() {
            let left = GAP + column * (cell.1 + GAP);
            let middle = ((cell.0 - picture.height) / 2, (cell.1 - picture.width) / 2);
            paste(&mut sheet, picture, (top + caption + middle.0, left + middle.1));
        }
    }
    Ok(sheet)
}

/// The size of an image fitted into a cell, proportions kept.
fn fitted((height, width): (usize, usize), cell: (usize, usize)) -> (usize, usize) {
    let scale = (cell.0 as f64 / height as f64).min(cell.1 as f64 / width as f64);
    let side = |extent: usize, most: usize| ((extent as f64 * scale).round() as usize).clamp(1, most);
    (side(height, cell.0), side(width, cell.1))
}

/// The picture scaled to the largest size within a cell, proportions kept.
pub(crate) fn fit(picture: &Picture, cell: (usize, usize)) -> Result<Picture, ReportError> {
    ReportError::check_size("picture", picture.rgb.len(), picture.size(), 3)?;
    let size = fitted(picture.size(), cell);
    if size == picture.size() {
        return Ok(picture.clone());
    }
    let whole = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.rgb.clone());
    let Some(whole) = whole else {
        let (height, width) = picture.size();
        return Err(ReportError::Size {
            what: "picture",
            count: picture.rgb.len(),
            height,
            width,
            channels: 3,
        });
    };
    // The triangle filter averages when it shrinks and interpolates when it enlarges.
    Picture::new(resize(&whole, size.1 as u32, size.0 as u32, FilterType::Triangle).into_raw(), size)
}

/// The fitted image with the border of its mask drawn inside the marked area.
fn outlined(row: &SheetRow, cell: (usize, usize)) -> Result<Picture, ReportError> {
    let mut drawn = fit(row.image, cell)?;
    if let Some(mask) = row.mask {
        outline(&mut drawn, mask, row.image.size())?;
    }
    Ok(drawn)
}

/// Draws the border of a mask of any size, stretched over the picture, inside the marked area.
pub(crate) fn outline(
    drawn: &mut Picture,
    mask: &[bool],
    (height, width): (usize, usize),
) -> Result<(), ReportError> {
    ReportError::check_size("mask", mask.len(), (height, width), 1)?;
    let (rows, columns) = drawn.size();
    let mut marked = vec![false; rows * columns];
    // A shrunken mask marks a pixel if any of its own is marked, so that fine scratches stay.
    for (index, _) in mask.iter().enumerate().filter(|(_, is_marked)| **is_marked) {
        let down =
            |extent: usize, at: usize, whole: usize| at * extent / whole..((at + 1) * extent).div_ceil(whole);
        for y in down(rows, index / width, height) {
            for x in down(columns, index % width, width) {
                marked[y * columns + x] = true;
            }
        }
    }
    for y in 0..rows {
        for x in 0..columns {
            let is_edge = || {
                let left = x == 0 || !marked[y * columns + x - 1];
                let right = x + 1 == columns || !marked[y * columns + x + 1];
                let above = y == 0 || !marked[(y - 1) * columns + x];
                left || right || above || y + 1 == rows || !marked[(y + 1) * columns + x]
            };
            if marked[y * columns + x] && is_edge() {
                drawn.pixel_mut(y, x).copy_from_slice(&OUTLINE);
            }
        }
    }
    Ok(())
}

fn paste(sheet: &mut Picture, picture: &Picture, (top, left): (usize, usize)) {
    for (y, row) in picture.rgb.chunks_exact(picture.width * 3).enumerate() {
        let start = ((top + y) * sheet.width + left) * 3;
        sheet.rgb[start..start + row.len()].copy_from_slice(row);
    }
}

/// Draws text with its top left corner at `place`, every dot `scale` pixels wide.
fn write_text(sheet: &mut Picture, text: &str, (top, left): (usize, usize), scale: usize) {
    let step = (GLYPH_WIDTH + 1) * scale;
    for (number, character) in text.chars().enumerate() {
        let start = left + number * step;
        if start + step > sheet.width {
            return;
        }
        for y in 0..GLYPH_HEIGHT * scale {
            for x in 0..GLYPH_WIDTH * scale {
                if is_dot(character, y / scale, x / scale) {
                    sheet.pixel_mut(top + y, start + x).copy_from_slice(&TEXT);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: (usize, usize), value: u8) -> Picture {
        Picture::new(vec![value; size.0 * size.1 * 3], size).unwrap()
    }

    fn pixel(sheet: &Picture, y: usize, x: usize) -> [u8; 3] {
        let start = (y * sheet.width + x) * 3;
        [sheet.rgb[start], sheet.rgb[start + 1], sheet.rgb[start + 2]]
    }

    #[test]
    fn columns_appear_only_where_some_row_needs_them() {
        let image = picture((20, 20), 9);
        let plain = SheetRow { image: &image, mask: None, heat: None, caption: "" };
        let width = |rows: &[SheetRow]| contact_sheet(rows, (20, 20)).unwrap().width;
        assert_eq!(width(&[plain]), 20 + 2 * GAP);
        let mask = [true; 400];
        assert_eq!(width(&[plain, SheetRow { mask: Some(&mask), ..plain }]), 40 + 3 * GAP);
        let heat = Heat { map: &[1.0], size: (1, 1), range: (0.0, 1.0) };
        assert_eq!(width(&[SheetRow { heat: Some(heat), mask: Some(&mask), ..plain }]), 60 + 4 * GAP);
    }

    #[test]
    fn outline_is_the_border_of_the_mask_and_heat_the_overlay() {
        let image = picture((20, 20), 9);
        let mut mask = [false; 400];
        for (y, x) in (5..8).flat_map(|y| (5..8).map(move |x| (y, x))) {
            mask[y * 20 + x] = true;
        }
        let heat = Heat { map: &[1.0], size: (1, 1), range: (0.0, 1.0) };
        let row = SheetRow { image: &image, mask: Some(&mask), heat: Some(heat), caption: "" };
        let sheet = contact_sheet(&[row], (20, 20)).unwrap();
        let outline = (0..20).flat_map(|y| (0..20).map(move |x| (y, x)));
        let drawn = outline.filter(|&(y, x)| pixel(&sheet, GAP + y, 2 * GAP + 20 + x) == OUTLINE).count();
        assert_eq!(drawn, 8);
        assert_eq!(pixel(&sheet, GAP + 6, 2 * GAP + 20 + 6), [9; 3]);
        let hot = overlay(&image, heat.map, heat.size, heat.range).unwrap();
        assert_eq!(pixel(&sheet, GAP, 3 * GAP + 40), pixel(&hot, 0, 0));
    }

    #[test]
    fn images_keep_their_proportions_and_captions_their_room() {
        let image = picture((40, 20), 200);
        let row = SheetRow { image: &image, mask: None, heat: None, caption: "L" };
        let sheet = contact_sheet(&[row], (20, 20)).unwrap();
        let top = GAP + GLYPH_HEIGHT + GAP;
        assert_eq!(sheet.height, top + 20 + GAP);
        assert_eq!(pixel(&sheet, GAP, GAP), TEXT);
        assert_eq!(pixel(&sheet, top, GAP + 4), BACKGROUND);
        assert_eq!(pixel(&sheet, top, GAP + 5), [200; 3]);
        assert_eq!(pixel(&sheet, top, GAP + 15), BACKGROUND);
    }

    #[test]
    fn a_fine_scratch_survives_shrinking() {
        let image = picture((200, 200), 0);
        let mut mask = vec![false; 40_000];
        mask[101 * 200 + 77] = true;
        let row = SheetRow { image: &image, mask: Some(&mask), heat: None, caption: "" };
        let sheet = contact_sheet(&[row], (20, 20)).unwrap();
        assert!(sheet.rgb.chunks_exact(3).any(|pixel| pixel == OUTLINE));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let image = picture((20, 20), 0);
        let row = SheetRow { image: &image, mask: Some(&[true; 3]), heat: None, caption: "" };
        assert!(contact_sheet(&[row], (20, 20)).unwrap_err().to_string().contains("mask has 3 values"));
        assert!(matches!(contact_sheet(&[], (20, 20)), Err(ReportError::EmptySheet { .. })));
        assert!(matches!(contact_sheet(&[row], (20, 2)), Err(ReportError::EmptySheet { .. })));
        let heat = Heat { map: &[0.0; 3], size: (2, 2), range: (0.0, 1.0) };
        let row = SheetRow { mask: None, heat: Some(heat), ..row };
        assert!(contact_sheet(&[row], (20, 20)).unwrap_err().to_string().contains("anomaly map"));
    }
}

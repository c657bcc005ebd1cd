//! The region of interest on a method's own grid.

use blemish_data::Mask;

/// Which cells of a height x width grid see any pixel of the region; everything without one.
pub fn cells_inside(region: Option<&Mask>, height: usize, width: usize) -> Vec<bool> {
    let Some(mask) = region else { return vec![true; height * width] };
    let span = |cell: usize, cells: usize, pixels: usize| {
        let start = cell * pixels / cells;
        start..((cell + 1) * pixels).div_ceil(cells).max(start + 1).min(pixels)
    };
    let mut inside = Vec::with_capacity(height * width);
    for cell_y in 0..height {
        for cell_x in 0..width {
            let rows = span(cell_y, height, mask.height);
            let columns = span(cell_x, width, mask.width);
            inside.push(
                rows.into_iter().any(|y| mask.marked[y * mask.width..][columns.clone()].contains(&true)),
            );
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_inside_if_any_of_its_pixels_is() {
        let marked = (0..32).map(|i| i == 17).collect(); // row 2, column 1 of 4 x 8
        let mask = Mask { height: 4, width: 8, marked };
        assert_eq!(cells_inside(Some(&mask), 2, 2), [false, false, true, false]);
        assert_eq!(cells_inside(None, 1, 2), [true, true]);
    }
}

//! What of an image is foreground, from its own features.
//!
//! The first principal component of an image's features tells object and background apart; which side the object is on, its middle says.

use blemish_core::error::Error;
use blemish_kernels::image::morphology::{Element, close, dilate};
use blemish_kernels::principal::{principal_directions, project};

/// The middle of an image is this part of each side.
const MIDDLE: [f64; 2] = [0.2, 0.8];
/// Foreground fills more than this share of the middle.
const FILLED: f64 = 0.35;

/// Which cells of a height x width grid of features are foreground.
///
/// # Errors
/// [`Error::Score`] if the features are not finite.
pub(super) fn foreground(
    rows: &[f32],
    dimensions: usize,
    size: [usize; 2],
    threshold: f32,
) -> Result<Vec<bool>, Error> {
    let failed = |error: blemish_kernels::KernelError| Error::Score { reason: error.to_string() };
    let direction = principal_directions(rows, dimensions, 1).map_err(failed)?;
    let components = project(rows, dimensions, &direction);
    let mean = components.iter().map(|&value| f64::from(value)).sum::<f64>() / components.len().max(1) as f64;
    let centred: Vec<f32> = components.iter().map(|value| value - mean as f32).collect();
    let above = |sign: f32| -> Vec<bool> { centred.iter().map(|value| sign * value > threshold).collect() };
    let first = above(1.0);
    let found = if share_of_middle(&first, size) > FILLED { first } else { above(-1.0) };
    Ok(settled(&found, size))
}

/// What is marked, grown by a cell on every side and then closed.
fn settled(marked: &[bool], [height, width]: [usize; 2]) -> Vec<bool> {
    let plane: Vec<f32> = marked.iter().map(|&marked| f32::from(u8::from(marked))).collect();
    let (size, square) = ((height, width), Element::rectangle(3, 3));
    let closed = close(&dilate(&plane, size, &square), size, &square);
    closed.into_iter().map(|value| value > 0.5).collect()
}

/// Share of the middle of a grid that is marked.
fn share_of_middle(marked: &[bool], [height, width]: [usize; 2]) -> f64 {
    let [rows, columns] = [height, width].map(|side| {
        let [from, to] = MIDDLE.map(|share| (share * side as f64) as usize);
        from..to.max(from + 1).min(side)
    });
    let cells = rows.len() * columns.len();
    let inside = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
    inside.filter(|&cell| marked[cell]).count() as f64 / cells.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features along one direction on 14 x 14 cells, an object in the middle.
    fn rows(sign: f32) -> Vec<f32> {
        let is_object = |y: usize, x: usize| (4..10).contains(&y) && (4..10).contains(&x);
        let value = |y, x| if is_object(y, x) { 40.0 } else { -20.0 + ((y * 7 + x * 3) % 5) as f32 };
        (0..196).flat_map(|i| [sign * value(i / 14, i % 14), 1.0 + (i % 2) as f32, 0.0]).collect()
    }

    #[test]
    fn the_object_in_the_middle_is_foreground_whatever_the_sign_of_the_component() {
        for sign in [1.0, -1.0] {
            let found = foreground(&rows(sign), 3, [14, 14], 10.0).unwrap();
            // One cell wider than the object on each side.
            let expected: Vec<bool> =
                (0..196).map(|i| (3..11).contains(&(i / 14)) && (3..11).contains(&(i % 14))).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn holes_of_one_cell_are_closed() {
        let mut marked = vec![true; 25];
        marked[12] = false;
        let closed = settled(&marked, [5, 5]);
        assert!(closed.iter().all(|&marked| marked));
    }
}

//! Pictures beside and below each other, for a user to look at.

/// Rows of as many images each, 3 x height x width values an image, as one picture: its size and 3 x height x width values.
pub(crate) fn sheet(rows: &[Vec<Vec<f32>>], (height, width): (usize, usize)) -> ((usize, usize), Vec<f32>) {
    let (plane, columns) = (height * width, rows.first().map_or(0, Vec::len));
    let mut planes = Vec::with_capacity(3 * rows.len() * columns * plane);
    for channel in 0..3 {
        for row in rows {
            for y in 0..height {
                for image in row {
                    planes.extend_from_slice(&image[channel * plane + y * width..][..width]);
                }
            }
        }
    }
    ((rows.len() * height, columns * width), planes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_beside_and_rows_below_each_other() {
        let image = |first: u8| (first..first + 6).map(f32::from).collect::<Vec<_>>();
        let rows = [vec![image(0), image(10)], vec![image(20), image(30)]];
        let (size, planes) = sheet(&rows, (1, 2));
        assert_eq!(size, (2, 4));
        assert_eq!(planes[..8], [0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0]);
        assert_eq!(planes[8..12], [2.0, 3.0, 12.0, 13.0]);
    }
}

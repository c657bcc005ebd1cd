//! Good images at several angles.

/// Planes (any number x height x width) turned counter-clockwise about their centre, bilinear, what comes in from outside mirrored.
///
/// An angle of 0 gives the planes as they are.
pub(super) fn turned(planes: &[f32], [height, width]: [usize; 2], degrees: f64) -> Vec<f32> {
    if degrees == 0.0 {
        return planes.to_vec();
    }
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let centre = [(height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0];
    // Where each pixel comes from: two rows, two columns, and how far between them.
    let mut sources = Vec::with_capacity(height * width);
    for y in 0..height {
        for x in 0..width {
            let (dy, dx) = (y as f64 - centre[0], x as f64 - centre[1]);
            let at = [centre[0] + cosine * dy + sine * dx, centre[1] - sine * dy + cosine * dx];
            let floor = at.map(f64::floor);
            let [(top, bottom), (left, right)] = [(0, height), (1, width)].map(|(axis, side)| {
                let first = floor[axis] as isize;
                (mirrored(first, side), mirrored(first + 1, side))
            });
            let share = [at[0] - floor[0], at[1] - floor[1]].map(|share| share as f32);
            sources.push(([top * width, bottom * width], [left, right], share));
        }
    }
    let mut out = Vec::with_capacity(planes.len());
    for plane in planes.chunks_exact(height * width) {
        out.extend(sources.iter().map(|([top, bottom], [left, right], [down, across])| {
            let between = |row: usize| plane[row + left] + (plane[row + right] - plane[row + left]) * across;
            between(*top) + (between(*bottom) - between(*top)) * down
        }));
    }
    out
}

/// A place along a side, mirrored at the border with the outermost pixel repeated.
fn mirrored(at: isize, side: usize) -> usize {
    let at = at.rem_euclid(2 * side as isize) as usize;
    if at < side { at } else { 2 * side - 1 - at }
}

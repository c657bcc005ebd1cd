//! How a picture lies against another: moved and stretched by a few pixels, brighter, with other light across it.
//!
//! Parts under a fixed camera never lie quite the same, and a picture that was cropped by a few pixels is moved, too. Bringing every
//! picture to the mean of its set takes both out. Gauss-Newton steps (Lucas and Kanade, 1981) on square grids of side S: the target is
//! fitted by the warped picture, its gradients, a constant and a slope across it.

/// Unknowns of a step: contrast, brightness, slope of the light in x and y, shift in x and y, stretch in x and y.
const UNKNOWNS: usize = 8;
/// The longest step, in pixels.
const LONGEST: f32 = 0.7;
/// How far a picture may be moved or stretched, as a part of its side.
const FARTHEST: f32 = 1.0 / 16.0;
/// What holds pictures without structure in place, as a part of a picture's own power a pixel.
const RIDGE: f64 = 0.02;

/// Shift in x and y, then stretch in x and y at the edge, in pixels.
pub(super) type Pose = [f32; 4];

/// The pose that brings a picture nearest to a target, from a first guess. Both are S x S, of mean 0 and norm 1.
pub(super) fn nearest(picture: &[f32], target: &[f32], side: usize, guess: Pose, steps: usize) -> Pose {
    let mut pose = guess;
    let farthest = side as f32 * FARTHEST;
    for _ in 0..steps {
        let warped = warp(picture, side, pose);
        let Some(fit) = fit(&warped, target, side) else { break };
        // The gradients are those of the warped picture, so a step goes as far as they count in it.
        let contrast = if fit[0].abs() > 0.3 { fit[0] } else { 1.0 };
        for (value, step) in pose.iter_mut().zip(&fit[4..]) {
            let step = (step / contrast) as f32;
            *value = (*value + step.clamp(-LONGEST, LONGEST)).clamp(-farthest, farthest);
        }
    }
    pose
}

/// A picture in a pose, by linear interpolation; beyond its edge it goes on as at the edge.
pub(super) fn warp(picture: &[f32], side: usize, [dx, dy, sx, sy]: Pose) -> Vec<f32> {
    let last = (side - 1) as f32;
    let place = |at: usize, shift: f32, stretch: f32| {
        let from = (at as f32 + shift + stretch * across(at, side)).clamp(0.0, last);
        let low = (from as usize).min(side - 2);
        (low, from - low as f32)
    };
    let columns: Vec<(usize, f32)> = (0..side).map(|x| place(x, dx, sx)).collect();
    let mut warped = Vec::with_capacity(side * side);
    for y in 0..side {
        let (row, down) = place(y, dy, sy);
        let (upper, lower) = picture[row * side..(row + 2) * side].split_at(side);
        warped.extend(columns.iter().map(|&(column, right)| {
            let between = |line: &[f32]| line[column] + right * (line[column + 1] - line[column]);
            let (above, below) = (between(upper), between(lower));
            above + down * (below - above)
        }));
    }
    warped
}

/// A picture at half the side, each pixel the mean of four.
pub(super) fn halved(picture: &[f32], side: usize) -> Vec<f32> {
    let half = side / 2;
    let four = |y: usize, x: usize| {
        let at = 2 * y * side + 2 * x;
        0.25 * (picture[at] + picture[at + 1] + picture[at + side] + picture[at + side + 1])
    };
    (0..half * half).map(|at| four(at / half, at % half)).collect()
}

/// Gradients in x and y: central differences, one-sided at the edge.
pub(super) fn gradients(picture: &[f32], side: usize) -> (Vec<f32>, Vec<f32>) {
    let slope = |at: usize, place: usize, stride: usize| {
        let (before, after) = (usize::from(place > 0), usize::from(place + 1 < side));
        (picture[at + after * stride] - picture[at - before * stride]) / (before + after).max(1) as f32
    };
    let all = 0..side * side;
    let in_x = all.clone().map(|at| slope(at, at % side, 1)).collect();
    (in_x, all.map(|at| slope(at, at / side, side)).collect())
}

/// From -1 at one edge to 1 at the other.
pub(super) fn across(at: usize, side: usize) -> f32 {
    2.0 * at as f32 / (side - 1) as f32 - 1.0
}

/// The least-squares fit of the target by the warped picture, light and gradients.
fn fit(warped: &[f32], target: &[f32], side: usize) -> Option<[f64; UNKNOWNS]> {
    let (in_x, in_y) = gradients(warped, side);
    let mut normal = [[0.0_f64; UNKNOWNS + 1]; UNKNOWNS];
    let mut power = 0.0;
    for y in 0..side {
        // Sums of a row in single precision, of rows in double.
        let mut sums = [[0.0_f32; UNKNOWNS + 1]; UNKNOWNS];
        let down = across(y, side);
        for x in 0..side {
            let at = y * side + x;
            let right = across(x, side);
            let terms = [warped[at], 1.0, right, down, in_x[at], in_y[at], right * in_x[at], down * in_y[at]];
            for (row, &one) in sums.iter_mut().zip(&terms) {
                row.iter_mut().zip(&terms).for_each(|(sum, &other)| *sum += one * other);
                row[UNKNOWNS] += one * target[at];
            }
        }
        power += f64::from(sums[0][0]);
        for (row, sums) in normal.iter_mut().zip(&sums) {
            row.iter_mut().zip(sums).for_each(|(all, &sum)| *all += f64::from(sum));
        }
    }
    let ridge = RIDGE * power / (side * side) as f64;
    for (index, row) in normal.iter_mut().enumerate() {
        row[index] += if index >= 4 { ridge } else { 1e-9 };
    }
    solve(normal)
}

/// Gaussian elimination with pivots; `None` if there is no single solution.
fn solve(mut rows: [[f64; UNKNOWNS + 1]; UNKNOWNS]) -> Option<[f64; UNKNOWNS]> {
    for column in 0..UNKNOWNS {
        let pivot = (column..UNKNOWNS)
            .max_by(|&one, &other| rows[one][column].abs().total_cmp(&rows[other][column].abs()))?;
        rows.swap(column, pivot);
        let top = rows[column];
        if top[column].abs() < 1e-15 {
            return None;
        }
        for row in &mut rows[column + 1..] {
            let factor = row[column] / top[column];
            row.iter_mut().zip(&top).skip(column).for_each(|(value, &above)| *value -= factor * above);
        }
    }
    let mut solution = [0.0; UNKNOWNS];
    for row in (0..UNKNOWNS).rev() {
        let known: f64 = (row + 1..UNKNOWNS).map(|column| rows[row][column] * solution[column]).sum();
        solution[row] = (rows[row][UNKNOWNS] - known) / rows[row][row];
    }
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::super::thumbnail::normalise;
    use super::*;

    #[test]
    fn a_moved_and_stretched_picture_is_brought_back() {
        let side = 64;
        let blob = |cy: f32, cx: f32, y: f32, x: f32| (-((y - cy).powi(2) + (x - cx).powi(2)) / 40.0).exp();
        let scene: Vec<f32> = (0..side * side)
            .map(|at| ((at / side) as f32, (at % side) as f32))
            .map(|(y, x)| blob(20.0, 18.0, y, x) + blob(44.0, 40.0, y, x) - blob(24.0, 48.0, y, x))
            .collect();
        let mut target = scene.clone();
        normalise(&mut target);
        let mut moved: Vec<f32> =
            warp(&scene, side, [1.5, -1.0, 0.8, 0.0]).iter().map(|value| 3.0 * value + 0.5).collect();
        normalise(&mut moved);
        let pose = nearest(&moved, &target, side, [0.0; 4], 6);
        let back = warp(&moved, side, pose);
        let alike: f32 = back.iter().zip(&target).map(|(one, other)| one * other).sum();
        assert!(alike > 0.999, "{alike} {pose:?}");
        assert!((pose[0] + 1.5).abs() < 0.2 && (pose[1] - 1.0).abs() < 0.2, "{pose:?}");
    }

    #[test]
    fn a_picture_without_structure_stays() {
        let flat = vec![0.0; 1024];
        assert_eq!(nearest(&flat, &flat, 32, [0.0; 4], 3), [0.0; 4]);
    }
}

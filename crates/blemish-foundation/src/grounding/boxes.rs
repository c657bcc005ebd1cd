//! Boxes as centre x, centre y, width and height, shares of the image's sides.

/// How near to 0 and 1 a share may come before it is turned back into the number whose sigmoid it is.
const MARGIN: f32 = 1e-5;

/// 1 / (1 + e^-x).
pub(super) fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

/// The number whose sigmoid is x.
pub(super) fn logit(x: f32) -> f32 {
    let x = f64::from(x);
    (x / (1.0 - x)).ln() as f32
}

/// sigmoid(logit(box) + change), value by value.
pub(super) fn moved(boxes: &[[f32; 4]], changes: &[f32]) -> Vec<[f32; 4]> {
    let (changes, _) = changes.as_chunks::<4>();
    let place = |old: f32, change: f32| sigmoid(logit(old.clamp(MARGIN, 1.0 - MARGIN)) + change);
    boxes
        .iter()
        .zip(changes)
        .map(|(old, change)| std::array::from_fn(|at| place(old[at], change[at])))
        .collect()
}

/// The places from which boxes are proposed: centres of cells with sides of 0.05 at the first level and double at each further one, as
/// numbers whose sigmoids they are. `None` too near to the border.
pub(super) fn proposals(levels: &[(usize, usize)]) -> Vec<Option<[f32; 4]>> {
    let mut proposals = Vec::new();
    for (level, &(height, width)) in levels.iter().enumerate() {
        let side = 0.05 * 2.0f32.powi(level as i32);
        for cell in 0..height * width {
            let centre = |index: usize, side: usize| (index as f32 + 0.5) / side as f32;
            let bounds = [centre(cell % width, width), centre(cell / width, height), side, side];
            let is_inside = bounds.iter().all(|share| *share > 0.01 && *share < 0.99);
            proposals.push(is_inside.then(|| bounds.map(logit)));
        }
    }
    proposals
}

/// The places of the `most` highest values, highest first; of equals the earlier.
pub(super) fn highest(values: &[f32], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
    order.truncate(most);
    order
}

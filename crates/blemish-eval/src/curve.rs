//! Curves with fewer points, for drawing.

/// The finest detail that a drawn curve keeps, of an axis from 0 to 1: a third of a pixel at 150 pixels.
pub const CURVE_STEP: f64 = 0.002;

/// Leaves out points of a monotone curve that lie within `step` (in x plus in y) of the last one kept; the first and last stay.
///
/// `place` gives a point's x and y. A line drawn through what is kept is nowhere farther than `step` from any point left out.
pub fn thin<T: Copy>(points: &[T], step: f64, place: impl Fn(&T) -> (f64, f64)) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for (index, point) in points.iter().enumerate() {
        let (x, y) = place(point);
        let is_far = kept.last().map(&place).is_none_or(|(x0, y0)| (x - x0).abs() + (y - y0).abs() > step);
        // The point before a jump stays too, or the jump would be drawn as a slope.
        let jumps = || {
            points.get(index + 1).map(&place).is_some_and(|(x1, y1)| (x - x1).abs() + (y - y1).abs() > step)
        };
        if is_far || index + 1 == points.len() || jumps() {
            kept.push(*point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_jumps_stay_and_small_steps_go() {
        let mut points: Vec<(f64, f64)> = (0..=1000).map(|i| (f64::from(i) / 1e5, 0.0)).collect();
        points.push((0.01, 0.9));
        points.push((0.01, 0.9001));
        let kept = thin(&points, 0.002, |&point| point);
        assert_eq!(kept.first(), Some(&(0.0, 0.0)));
        assert_eq!(kept.last(), Some(&(0.01, 0.9001)));
        assert!(kept.contains(&(0.01, 0.0)) && kept.contains(&(0.01, 0.9)), "{kept:?}");
        assert!(kept.len() < 12, "{kept:?}");
    }
}

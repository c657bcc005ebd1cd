//! Charts as SVG, drawn by hand: a curve, a mirrored histogram, a scatter plot.

use maud::{Markup, html};

/// Where a chart's axes lie in its 400 x 300 box.
const LEFT: f64 = 48.0;
const RIGHT: f64 = 386.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 256.0;

/// A curve with axes from 0.
pub(super) struct Curve<'a> {
    /// For those who cannot see it.
    pub(super) description: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    /// Where the x axis ends; y ends at 1.
    pub(super) x_end: f64,
    pub(super) points: &'a [(f64, f64)],
    /// The operating point and the name of its element.
    pub(super) marker: Option<(&'a str, f64, f64)>,
    /// Whether to draw the diagonal of guessing.
    pub(super) with_chance: bool,
}

impl Curve<'_> {
    pub(super) fn draw(&self) -> Markup {
        let x = |value: f64| LEFT + (value / self.x_end).clamp(0.0, 1.0) * (RIGHT - LEFT);
        let y = |value: f64| BOTTOM - value.clamp(0.0, 1.0) * (BOTTOM - TOP);
        let path: Vec<String> = self
            .points
            .iter()
            .filter(|point| point.0 <= self.x_end * 1.5)
            .map(|&(px, py)| format!("{:.1},{:.1}", x(px), y(py)))
            .collect();
        html! {
            svg viewBox="0 0 400 300" role="img" aria-label=(self.description) {
                @for step in 0..=5 {
                    @let share = f64::from(step) / 5.0;
                    line.grid x1=(LEFT) x2=(RIGHT) y1=(y(share)) y2=(y(share)) {}
                    text x=(LEFT - 6.0) y=(y(share) + 4.0) text-anchor="end" { (format!("{share:.1}")) }
                    text x=(x(share * self.x_end)) y="272" text-anchor="middle" { (short(share * self.x_end)) }
                }
                @if self.with_chance { line.chance x1=(x(0.0)) y1=(y(0.0)) x2=(x(1.0)) y2=(y(1.0)) {} }
                polyline.curve points=(path.join(" ")) {}
                text x=((LEFT + RIGHT) / 2.0) y="292" text-anchor="middle" { (self.x_label) }
                text transform=(format!("translate(12 {}) rotate(-90)", (TOP + BOTTOM) / 2.0)) text-anchor="middle" {
                    (self.y_label)
                }
                @if let Some((id, px, py)) = self.marker {
                    circle.point id=(id) cx=(x(px)) cy=(y(py)) r="6"
                        data-left=(LEFT) data-bottom=(BOTTOM) data-width=(RIGHT - LEFT) data-height=(BOTTOM - TOP) {}
                }
            }
        }
    }
}

/// Scores of good images above the axis, of defective ones below, each as a share of its own kind.
pub(super) struct Histogram<'a> {
    pub(super) good: &'a [f64],
    pub(super) defective: &'a [f64],
    /// The ends of the axis.
    pub(super) range: (f64, f64),
    pub(super) threshold: f64,
}

const BINS: usize = 40;
/// The axis between the two halves of a histogram.
const MIDDLE: f64 = 130.0;

impl Histogram<'_> {
    /// Pixels of the axis from end to end, in which the threshold's line moves.
    pub(super) const SPAN: f64 = RIGHT - LEFT;

    fn shares(&self, scores: &[f64]) -> [f64; BINS] {
        let (low, high) = self.range;
        let mut shares = [0.0; BINS];
        for score in scores {
            let place = ((score - low) / (high - low) * BINS as f64) as usize;
            shares[place.min(BINS - 1)] += 1.0 / scores.len() as f64;
        }
        shares
    }

    pub(super) fn draw(&self) -> Markup {
        let (good, defective) = (self.shares(self.good), self.shares(self.defective));
        let highest = good.iter().chain(&defective).copied().fold(1e-9, f64::max);
        let scale = 108.0 / highest;
        let wide = Self::SPAN / BINS as f64;
        let left = |bin: usize| LEFT + bin as f64 * wide + 0.5;
        let (low, high) = self.range;
        let moved = ((self.threshold - low) / (high - low)).clamp(0.0, 1.0) * Self::SPAN;
        html! {
            svg viewBox="0 0 400 300" role="img"
                aria-label="Histogram of image scores: good images above the axis, defective ones below; a line marks the threshold" {
                defs {
                    pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        line.hatch x1="0" y1="0" x2="0" y2="6" {}
                    }
                }
                @for bin in 0..BINS {
                    @if good[bin] > 0.0 {
                        rect.good x=(left(bin)) width=(wide - 1.0) y=(MIDDLE - good[bin] * scale) height=(good[bin] * scale) {}
                    }
                    @if defective[bin] > 0.0 {
                        rect.hatched x=(left(bin)) width=(wide - 1.0) y=(MIDDLE) height=(defective[bin] * scale) {}
                    }
                }
                line.axis x1=(LEFT) x2=(RIGHT) y1=(MIDDLE) y2=(MIDDLE) {}
                @for (value, label) in ticks(low, high) {
                    @let x = LEFT + (value - low) / (high - low) * Self::SPAN;
                    line.axis x1=(x) x2=(x) y1="246" y2="252" {}
                    text x=(x) y="268" text-anchor="middle" { (label) }
                }
                line.axis x1=(LEFT) x2=(RIGHT) y1="246" y2="246" {}
                text x=((LEFT + RIGHT) / 2.0) y="290" text-anchor="middle" { "image score (higher is worse)" }
                text transform=(format!("translate(34 {}) rotate(-90)", MIDDLE - 6.0)) { "good" }
                text transform=(format!("translate(34 {}) rotate(-90)", MIDDLE + 6.0)) text-anchor="end" { "defective" }
                g #threshold-line transform=(format!("translate({moved:.2} 0)")) {
                    line.threshold x1=(LEFT) x2=(LEFT) y1="12" y2="246" {}
                }
            }
        }
    }
}

/// The scores of a video over time.
pub(super) struct Timeline<'a> {
    /// Of every frame the score and whether it is anomalous.
    pub(super) frames: &'a [(f64, bool)],
    /// The ends of the axis of scores.
    pub(super) range: (f64, f64),
    pub(super) threshold: f64,
}

impl Timeline<'_> {
    /// First and last frames of what is anomalous.
    fn spans(&self) -> Vec<(usize, usize)> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (at, _) in self.frames.iter().enumerate().filter(|(_, frame)| frame.1) {
            match spans.last_mut() {
                Some(last) if last.1 + 1 == at => last.1 = at,
                _ => spans.push((at, at)),
            }
        }
        spans
    }

    pub(super) fn draw(&self, name: &str) -> Markup {
        let (low, high) = self.range;
        let last = self.frames.len().saturating_sub(1).max(1) as f64;
        let x = |frame: f64| LEFT + (frame / last).clamp(0.0, 1.0) * (RIGHT - LEFT);
        let y = |score: f64| BOTTOM - ((score - low) / (high - low)).clamp(0.0, 1.0) * (BOTTOM - TOP);
        let points: Vec<String> = self
            .frames
            .iter()
            .enumerate()
            .map(|(at, (score, _))| format!("{:.1},{:.1}", x(at as f64), y(*score)))
            .collect();
        html! {
            svg viewBox="0 0 400 300" role="img"
                aria-label={ "Scores of the frames of " (name) "; anomalous frames are hatched, a line marks the threshold" } {
                @for (first, end) in self.spans() {
                    @let (left, right) = (x(first as f64 - 0.5), x(end as f64 + 0.5));
                    rect.hatched x=(left) width=((right - left).max(1.0)) y=(TOP) height=(BOTTOM - TOP) fill-opacity="0.35" {}
                }
                @for (value, label) in ticks(low, high) {
                    line.grid x1=(LEFT) x2=(RIGHT) y1=(y(value)) y2=(y(value)) {}
                    text x=(LEFT - 6.0) y=(y(value) + 4.0) text-anchor="end" { (label) }
                }
                @for (value, label) in ticks(0.0, last) {
                    text x=(x(value)) y="272" text-anchor="middle" { (label) }
                }
                polyline.curve points=(points.join(" ")) {}
                line.threshold x1=(LEFT) x2=(RIGHT) y1=(y(self.threshold)) y2=(y(self.threshold)) {}
                text x=((LEFT + RIGHT) / 2.0) y="292" text-anchor="middle" { "frame" }
            }
        }
    }
}

/// A point of a scatter plot.
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
    /// Its number in the legend.
    pub(super) label: String,
}

/// Accuracy against images per second, the latter on a logarithmic axis.
pub(super) fn scatter(spots: &[Spot]) -> Markup {
    let decades = |value: f64| value.max(1e-3).log10();
    let low = spots.iter().map(|spot| decades(spot.x)).fold(f64::INFINITY, f64::min) - 0.15;
    let high = spots.iter().map(|spot| decades(spot.x)).fold(f64::NEG_INFINITY, f64::max) + 0.15;
    let floor = spots.iter().map(|spot| spot.y).fold(1.0, f64::min);
    let bottom = ((floor - 0.03).max(0.0) * 20.0).floor() / 20.0;
    let x = |value: f64| LEFT + (decades(value) - low) / (high - low).max(1e-9) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - (value - bottom) / (1.0 - bottom) * (BOTTOM - TOP);
    let marks: Vec<f64> = (-2..6)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
        .filter(|&value| (low..=high).contains(&decades(value)))
        .collect();
    html! {
        svg viewBox="0 0 400 300" role="img" aria-label="Image AUROC against images per second, one numbered dot a method" {
            @for step in 0..=5 {
                @let value = bottom + (1.0 - bottom) * f64::from(step) / 5.0;
                line.grid x1=(LEFT) x2=(RIGHT) y1=(y(value)) y2=(y(value)) {}
                text x=(LEFT - 6.0) y=(y(value) + 4.0) text-anchor="end" { (format!("{:.0}", 100.0 * value)) }
            }
            @for value in marks {
                line.grid x1=(x(value)) x2=(x(value)) y1=(TOP) y2=(BOTTOM) {}
                text x=(x(value)) y="272" text-anchor="middle" { (short(value)) }
            }
            text x=((LEFT + RIGHT) / 2.0) y="292" text-anchor="middle" { "images per second (logarithmic)" }
            text transform=(format!("translate(12 {}) rotate(-90)", (TOP + BOTTOM) / 2.0)) text-anchor="middle" { "image AUROC, %" }
            @for (number, spot) in spots.iter().enumerate() {
                circle.dot cx=(x(spot.x)) cy=(y(spot.y)) r="6" {}
                // Labels above and below in turn, so that neighbours do not touch.
                @let label_y = if number % 2 == 0 { (y(spot.y) - 6.0).max(11.0) } else { y(spot.y) + 17.0 };
                text x=(x(spot.x) + 7.0) y=(label_y) { (spot.label) }
            }
        }
    }
}

/// A few round numbers within a range, with their texts.
fn ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / 8.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last.min(first + 12)).map(|number| (number as f64 * step, short(number as f64 * step))).collect()
}

/// A number in few characters.
pub(super) fn short(value: f64) -> String {
    let text = match value.abs() {
        0.0 => return "0".into(),
        size if !(1e-3..1e5).contains(&size) => return format!("{value:.1e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (low, high) in [(0.0, 1.0), (0.37, 0.91), (-3.0, 12_000.0), (1e-5, 2e-5), (41.0, 41.5)] {
            let ticks = ticks(low, high);
            assert!((2..=11).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|(value, _)| (low - 1e-9..=high + 1e-9).contains(value)), "{ticks:?}");
        }
        assert_eq!(ticks(0.0, 1.0)[1].1, "0.2");
    }

    #[test]
    fn a_timeline_hatches_runs_of_anomalous_frames() {
        let frames = [(0.0, true), (1.0, true), (0.5, false), (2.0, true)];
        let timeline = Timeline { frames: &frames, range: (0.0, 2.0), threshold: 1.5 };
        assert_eq!(timeline.spans(), [(0, 1), (3, 3)]);
        let drawn = timeline.draw("clip").into_string();
        assert_eq!(drawn.matches("class=\"hatched\"").count(), 2);
        // The highest score lies at the top right.
        assert!(drawn.contains("386.0,14.0"), "{drawn}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.5, 12.0, 12.345, 480.2, 1e-7, 2e6].map(short),
            ["0", "0.5", "12", "12.35", "480", "1.0e-7", "2.0e6"]
        );
    }
}

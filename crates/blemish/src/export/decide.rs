//! Outputs: scores, p-values, decisions and maps, under the names that are asked for.

use super::options::Layout;
use crate::detector::Detector;
use blemish_eval::Calibration;
use blemish_features::onnx::{Element, GraphWriter, Reduction, Side, Value};

/// What the threshold's input is called.
pub(super) const THRESHOLD: &str = "threshold";

/// The scores of a view or of all, N, and its maps, N x H x W.
pub(super) struct Outcome {
    pub(super) score: Value,
    pub(super) map: Value,
}

/// Adds the outputs of a layout for images of (height, width) tensors.
pub(super) fn write(
    writer: &mut GraphWriter,
    detector: &Detector,
    outcome: &Outcome,
    layout: Layout,
    count: Side,
    (height, width): (usize, usize),
) {
    let sides = [count, Side::Fixed(height), Side::Fixed(width)];
    match (layout, detector.calibration()) {
        (Layout::Anomalib, Some(calibration)) => {
            anomalib(writer, calibration, outcome, count, (height, width))
        }
        (_, calibration) => {
            writer.output("score", &outcome.score, Element::F32, &[count]);
            if let Some(calibration) = calibration {
                let p_value = p_value(writer, calibration, &outcome.score);
                writer.output("p_value", &p_value, Element::F64, &[count]);
                if let Some(threshold) = calibration.image_threshold {
                    let threshold = writer.optional_input(THRESHOLD, threshold);
                    let anomalous = writer.apply("Greater", &[&outcome.score, &threshold], &[]);
                    writer.output("anomalous", &anomalous, Element::Bool, &[count]);
                }
            }
            writer.output("map", &outcome.map, Element::F32, &sides);
        }
    }
}

/// (1 + m #{c >= score} / n) / (m + 1) for n calibrating scores c of m groups, in double precision.
fn p_value(writer: &mut GraphWriter, calibration: &Calibration, score: &Value) -> Value {
    let images = calibration.images();
    let known = writer.floats("calibrating", &[1, images], &calibration.image_scores);
    let each = writer.unsqueeze(score, &[1]);
    let is_higher = writer.apply("GreaterOrEqual", &[&known, &each], &[]);
    // Whole numbers, exact in single precision.
    let ones = writer.cast(&is_higher, Element::F32);
    let higher = writer.reduce(Reduction::Sum, &ones, &[1], false);
    let higher = writer.cast(&higher, Element::F64);
    let [groups, count, one, more] =
        [calibration.groups() as f64, images as f64, 1.0, calibration.groups() as f64 + 1.0]
            .map(|number| writer.double(number));
    let weighted = writer.mul(&groups, &higher);
    let share = writer.div(&weighted, &count);
    let above = writer.add(&one, &share);
    writer.div(&above, &more)
}

/// The scale by which anomalib's values are made: 0.5 at the threshold, and 0 and 1 this far from it.
///
/// As wide as the calibrating scores lie below the threshold, so that the lowest is near 0; where they all lie at it, the threshold itself, or 1.
pub(super) fn reach(scores: &[f32], threshold: f32) -> f32 {
    let lowest = scores.first().copied().unwrap_or(threshold);
    let candidates = [threshold - lowest, threshold.abs(), 1.0];
    candidates.into_iter().find(|reach| *reach > f32::EPSILON * threshold.abs()).unwrap_or(1.0)
}

/// Scores as anomalib has them, linear and clipped to [0, 1].
fn normalised(writer: &mut GraphWriter, value: &Value, threshold: f32, reach: f32) -> Value {
    let [threshold, factor, half, zero, one] =
        [threshold, 0.5 / reach, 0.5, 0.0, 1.0].map(|number| writer.number(number));
    let above = writer.sub(value, &threshold);
    let scaled = writer.mul(&above, &factor);
    let centred = writer.add(&scaled, &half);
    writer.apply("Clip", &[&centred, &zero, &one], &[])
}

fn anomalib(
    writer: &mut GraphWriter,
    calibration: &Calibration,
    outcome: &Outcome,
    count: Side,
    (height, width): (usize, usize),
) {
    let threshold = calibration.image_threshold.unwrap_or_default();
    let pixel_threshold = calibration.pixel_threshold.unwrap_or(threshold);
    let one = Side::Fixed(1);
    let maps = [count, one, Side::Fixed(height), Side::Fixed(width)];
    let score = normalised(writer, &outcome.score, threshold, reach(&calibration.image_scores, threshold));
    let score = writer.unsqueeze(&score, &[1]);
    writer.output("pred_score", &score, Element::F32, &[count, one]);
    let limit = writer.number(threshold);
    let label = writer.apply("Greater", &[&outcome.score, &limit], &[]);
    let label = writer.unsqueeze(&label, &[1]);
    writer.output("pred_label", &label, Element::Bool, &[count, one]);
    let map =
        normalised(writer, &outcome.map, pixel_threshold, reach(&calibration.map_maxima, pixel_threshold));
    let map = writer.unsqueeze(&map, &[1]);
    writer.output("anomaly_map", &map, Element::F32, &maps);
    let limit = writer.number(pixel_threshold);
    let mask = writer.apply("Greater", &[&outcome.map, &limit], &[]);
    let mask = writer.unsqueeze(&mask, &[1]);
    writer.output("pred_mask", &mask, Element::Bool, &maps);
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_eval::{Extremes, GroupedBy, Grouping, Source};
    use blemish_features::executors::{Fed, FedTensor, ModelSource, WholeModel};
    use blemish_features::{Engine, EngineOptions};

    /// The p-values that a graph gives of scores.
    fn given(calibration: &Calibration, scores: &[f32]) -> Vec<f64> {
        let mut writer = GraphWriter::new("p");
        let score = writer.input("score", Element::F32, &[Side::Any("N")]);
        let p_value = p_value(&mut writer, calibration, &score);
        writer.output("p_value", &p_value, Element::F64, &[Side::Any("N")]);
        let options = EngineOptions { engine: Engine::Rten, ..EngineOptions::default() };
        let model = WholeModel::load(ModelSource::Bytes(writer.finish().encode()), &options).unwrap();
        let fed = FedTensor { name: "score", shape: vec![scores.len()], values: Fed::F32(scores) };
        model.run(&[fed], &["p_value"]).unwrap().remove(0).values
    }

    #[test]
    fn p_values_are_those_of_the_calibration_at_below_and_above_its_scores() {
        let good: Vec<Extremes> = [1.5f32, 2.0, 2.0, 3.25, 7.0]
            .iter()
            .map(|&score| Extremes { image_score: score, map_maximum: score })
            .collect();
        let images = Calibration::new(&good, Source::GoodImages, 0.1).unwrap();
        let grouping = Grouping { groups: 3, by: GroupedBy::Given };
        let groups = images.clone().in_groups(grouping);
        let near = |score: f32| [score.next_down(), score, score.next_up()];
        let scores: Vec<f32> = [1.5, 2.0, 3.25, 7.0].into_iter().flat_map(near).chain([-9.0, 99.0]).collect();
        for calibration in [images, groups] {
            for (score, given) in scores.iter().zip(given(&calibration, &scores)) {
                let own = calibration.p_value(*score);
                assert!((own - given).abs() < 1e-6, "{score}: {given} for {own}");
            }
        }
    }

    #[test]
    fn the_scale_of_normalised_scores_is_never_nothing() {
        assert_eq!(reach(&[1.0, 2.0, 4.0], 4.0), 3.0);
        assert_eq!(reach(&[4.0, 4.0], 4.0), 4.0);
        assert_eq!(reach(&[0.0], 0.0), 1.0);
        assert_eq!(reach(&[], 2.0), 2.0);
    }
}

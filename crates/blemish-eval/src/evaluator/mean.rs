//! The unweighted mean of the metrics of several categories.

use crate::report::{CategoryReport, Counts, Evaluation, ImageSummary, PixelSummary, SequenceReport};

/// The evaluation of several categories: the mean of every metric over the categories where it is defined, and sums of what is counted.
///
/// Intervals and thresholds are of one category and absent, and so are kinds of defects, which every category has of its own.
pub(super) fn of_categories(categories: Vec<CategoryReport>) -> Evaluation {
    let mean = |metric: &dyn Fn(&Evaluation) -> Option<f64>| {
        mean(categories.iter().filter_map(|report| metric(&report.evaluation)))
    };
    let image = ImageSummary {
        auroc: mean(&|one| one.image.auroc),
        ap: mean(&|one| one.image.ap),
        f1_max: mean(&|one| one.image.f1_max),
        tpr_at_5_percent_fpr: mean(&|one| one.image.tpr_at_5_percent_fpr),
        ..ImageSummary::default()
    };
    let evaluations = || categories.iter().map(|report| &report.evaluation);
    let pixel = PixelSummary {
        auroc: mean(&|one| one.pixel.auroc),
        ap: mean(&|one| one.pixel.ap),
        f1_max: mean(&|one| one.pixel.f1_max),
        f1_max_threshold: None,
        aupro: mean(&|one| one.pixel.aupro),
        aupimo_mean: mean(&|one| one.pixel.aupimo_mean),
        aupimo_median: mean(&|one| one.pixel.aupimo_median),
        regions: evaluations().map(|one| one.pixel.regions).sum(),
        // A mean is off by at most the largest error of its terms, over whichever categories it runs.
        error: evaluations().map(|one| one.pixel.error).fold(0.0, f64::max),
    };
    let counts = evaluations().fold(Counts::default(), |sum, one| Counts {
        good: sum.good + one.counts.good,
        defective: sum.defective + one.counts.defective,
        masked: sum.masked + one.counts.masked,
    });
    let notes = categories
        .iter()
        .flat_map(|report| report.evaluation.notes.iter().map(|note| format!("{}: {note}", report.category)));
    let notes = notes.collect();
    let sequence = |metric: fn(&SequenceReport) -> Option<f64>| {
        mean(&|one: &Evaluation| one.sequences.as_ref().and_then(metric))
    };
    let sequences = evaluations().any(|one| one.sequences.is_some()).then(|| SequenceReport {
        frame_auroc: sequence(|report| report.frame_auroc),
        published_auroc: sequence(|report| report.published_auroc),
        mean_auroc: sequence(|report| report.mean_auroc),
        per_sequence: Vec::new(),
    });
    Evaluation { image, pixel, per_defect: Vec::new(), decisions: None, counts, notes, categories, sequences }
}

/// `None` without values.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

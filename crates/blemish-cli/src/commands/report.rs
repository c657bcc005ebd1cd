//! The HTML report of an evaluation: gathers what the page shows while the images go by.

use crate::failure::Failure;
use blemish::data::names::text_of;
use blemish::data::{Dataset, Files, Label, Layout, Mask, Resize, Sample, Transform};
use blemish::evaluate::EvaluationOutcome;
use blemish::memory;
use blemish::metrics::curve::{CURVE_STEP, thin};
use blemish::metrics::{pr_curve, roc_curve};
use blemish::{Detector, Scored};
use blemish_report::Picture;
use blemish_report::html::{
    Curves, EvalReport, Evidence, Finding, ImageLine, LossCurve, Provenance, Rule, Threshold,
    ThresholdOrigin, VideoLine, eval_page, readable_bytes,
};
use std::path::{Path, PathBuf};

/// Misses, and false alarms, that are shown.
const SHOWN: usize = 6;

/// What is kept of every image, and of the worst ones.
#[derive(Default)]
pub struct Gathered {
    images: Vec<ImageLine>,
    /// Frames by their videos, for sets of videos.
    videos: Vec<VideoLine>,
    /// Defective images, the lowest score first.
    misses: Vec<Kept>,
    /// Good images, the highest score first.
    alarms: Vec<Kept>,
}

struct Kept {
    path: PathBuf,
    defect: String,
    scored: Scored,
    mask: Option<Mask>,
}

impl Gathered {
    /// Takes an image in; its map is kept only while it is among the worst.
    pub fn see(&mut self, sample: &Sample, scored: &Scored, mask: Option<&Mask>) {
        let is_defective = sample.label == Label::Defective;
        let score = f64::from(scored.score);
        self.images.push(ImageLine { defect: sample.defect.clone(), is_defective, score });
        if let Some(name) = &sample.group {
            match self.videos.last_mut().filter(|video| video.name == *name) {
                Some(video) => video.frames.push((score, is_defective)),
                None => {
                    self.videos.push(VideoLine { name: name.clone(), frames: vec![(score, is_defective)] })
                }
            }
        }
        let (list, sign) = if is_defective { (&mut self.misses, 1.0) } else { (&mut self.alarms, -1.0) };
        let rank = |score: f32| sign * score;
        let place = list.partition_point(|kept| rank(kept.scored.score) <= rank(scored.score));
        if place < SHOWN {
            list.insert(
                place,
                Kept {
                    path: sample.path.clone(),
                    defect: sample.defect.clone(),
                    scored: scored.clone(),
                    mask: mask.cloned(),
                },
            );
            list.truncate(SHOWN);
        }
    }

    /// The page.
    pub fn page(
        self,
        model: &Path,
        detector: &Detector,
        dataset: &Dataset,
        outcome: &EvaluationOutcome,
    ) -> Result<String, Failure> {
        let scores: Vec<f64> = self.images.iter().map(|image| image.score).collect();
        let labels: Vec<bool> = self.images.iter().map(|image| image.is_defective).collect();
        let curves = Curves {
            roc: roc_curve(&scores, &labels)
                .map(|points| thin(&points, CURVE_STEP, |point| (point.fpr, point.tpr)))
                .unwrap_or_default(),
            pr: pr_curve(&scores, &labels)
                .map(|points| thin(&points, CURVE_STEP, |point| (point.recall, point.precision)))
                .unwrap_or_default(),
            pro: outcome.pro_curve.clone(),
            losses: detector.loss_curves().into_iter().map(loss_curve).collect(),
        };
        let (threshold, pixel_threshold) = thresholds(detector, outcome, &scores);
        let draw = |list: &[Kept]| -> Result<Vec<Finding>, Failure> {
            list.iter().map(|kept| finding(kept, detector, dataset)).collect()
        };
        Ok(eval_page(&EvalReport {
            title: dataset.category.clone(),
            evaluation: outcome.evaluation.clone(),
            misses: draw(&self.misses)?,
            alarms: draw(&self.alarms)?,
            images: self.images,
            // Groups of still images are not videos.
            videos: if dataset.layout == Layout::Videos { self.videos } else { Vec::new() },
            threshold,
            pixel_threshold,
            curves,
            provenance: provenance(model, detector, dataset, outcome)?,
        }))
    }
}

fn loss_curve((network, part, losses): (String, u64, Vec<f64>)) -> LossCurve {
    LossCurve { network, part, losses }
}

/// The model's own thresholds; where it has none, those of the best F1.
fn thresholds(
    detector: &Detector,
    outcome: &EvaluationOutcome,
    scores: &[f64],
) -> (Threshold, Option<Threshold>) {
    let calibration = detector.calibration();
    let own =
        |value: f32| Threshold { value: f64::from(value), rule: Rule::Above, origin: ThresholdOrigin::Model };
    let best = |value: f64| Threshold { value, rule: Rule::AtOrAbove, origin: ThresholdOrigin::BestF1 };
    let (image, pixel) = (&outcome.evaluation.image, &outcome.evaluation.pixel);
    // Without both kinds of images there is no best F1; the highest score then flags just that image.
    let highest = scores.iter().copied().fold(0.0, f64::max);
    let threshold = match calibration.and_then(|calibration| calibration.image_threshold) {
        Some(value) => own(value),
        None => best(image.f1_max_threshold.unwrap_or(highest)),
    };
    let pixel_threshold = match calibration.and_then(|calibration| calibration.pixel_threshold) {
        Some(value) => Some(own(value)),
        None => pixel.f1_max_threshold.map(best),
    };
    (threshold, pixel_threshold)
}

fn finding(kept: &Kept, detector: &Detector, dataset: &Dataset) -> Result<Finding, Failure> {
    let picture = Picture::read_with(&kept.path, &detector.transform().read_options())?;
    let (height, width) = picture.size();
    let map = &kept.scored.map;
    let shown = dataset.shown(&kept.path);
    let name = text_of(kept.path.strip_prefix(&dataset.root).unwrap_or(&shown));
    Ok(Finding::draw(&Evidence {
        name: &name,
        defect: &kept.defect,
        score: f64::from(kept.scored.score),
        picture: &picture,
        covered: detector.transform().covered(height, width).map_err(Failure::new)?,
        size: (map.height, map.width),
        map: &map.values,
        mask: kept.mask.as_ref().map(|mask| mask.marked.as_slice()),
        range: detector.colour_range(),
    })?)
}

fn provenance(
    model: &Path,
    detector: &Detector,
    dataset: &Dataset,
    outcome: &EvaluationOutcome,
) -> Result<Provenance, Failure> {
    let header = detector.header();
    let images = outcome.evaluation.counts.good + outcome.evaluation.counts.defective;
    let backbones: Vec<String> = header
        .backbone
        .iter()
        .chain(&header.ensemble)
        .map(|one| format!("{} at {}, sha256 {}", one.name, one.layers.join(", "), one.digest))
        .collect();
    let backbone = if backbones.is_empty() { "none".into() } else { backbones.join("; ") };
    let settings: Vec<String> = header.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut facts = vec![
        ("blemish".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (
            "model".into(),
            format!("{}, sha256 {}", model.display(), blemish::data::digest::file_sha256(model)?),
        ),
        (
            "method".into(),
            format!("{}, seed {}, fitted by blemish {}", header.method, header.seed, header.written_by),
        ),
        ("settings".into(), settings.join(", ")),
        ("input".into(), input(&header.transform)),
        ("backbone".into(), backbone),
        (
            "learnt from".into(),
            format!(
                "{} good images of {}, sha256 {}",
                header.data.images, header.data.category, header.data.digest
            ),
        ),
        (
            "tested on".into(),
            format!(
                "{images} images of {}, sha256 {}",
                dataset.shown(&dataset.root).display(),
                blemish::data::source_digest(&Files::test(dataset))?
            ),
        ),
    ];
    if !outcome.skipped.is_empty() || !dataset.skipped.is_empty() {
        facts.push((
            "left out".into(),
            format!("{} broken images", outcome.skipped.len() + dataset.skipped.len()),
        ));
    }
    let memory = memory::peak().map_or("the system does not say".into(), |bytes| {
        format!("{} at most, with the pixel scores of all test images", readable_bytes(bytes))
    });
    let model_bytes = std::fs::metadata(model).map_or(0, |metadata| metadata.len());
    let costs = vec![
        ("reading and scoring".to_owned(), format!("{:.1} s", outcome.scoring_seconds)),
        ("images per second".into(), format!("{:.1}", images as f64 / outcome.scoring_seconds.max(1e-9))),
        ("memory".into(), memory),
        ("model file".into(), readable_bytes(model_bytes)),
        ("machine".into(), machine()),
    ];
    Ok(Provenance { command: command_line(), facts, costs })
}

/// How images become input, in words.
pub fn input(transform: &Transform) -> String {
    let size = match transform.resize {
        Resize::Native => "at its own size".to_owned(),
        Resize::Exact { height, width } => format!("resized to {width}x{height}"),
        Resize::ShorterSide(side) => format!("shorter side resized to {side}"),
    };
    let crop =
        transform.crop.map_or(String::new(), |crop| format!(", centre {}x{}", crop.width, crop.height));
    let region = transform.region_of_interest.as_ref().map_or("", |_| ", within a region of interest");
    format!("{size}{crop}{region}")
}

/// What it runs on, in words.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{processors} processors, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The command as it was typed, quoted for a shell.
pub fn command_line() -> String {
    crate::shell::command_line(crate::shell::typed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish::AnomalyMap;

    #[test]
    fn the_worst_of_each_kind_are_kept_in_order() {
        let mut gathered = Gathered::default();
        let map = AnomalyMap { height: 1, width: 1, values: vec![0.0] };
        for score in [5.0f32, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0] {
            let mut sample = Sample::unlabelled(Path::new("a.png"));
            gathered.see(&sample, &Scored { score, map: map.clone() }, None);
            sample.label = Label::Defective;
            gathered.see(&sample, &Scored { score, map: map.clone() }, None);
        }
        let scores = |list: &[Kept]| list.iter().map(|kept| kept.scored.score).collect::<Vec<_>>();
        assert_eq!(scores(&gathered.misses), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(scores(&gathered.alarms), [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]);
        assert_eq!(gathered.images.len(), 18);
    }
}

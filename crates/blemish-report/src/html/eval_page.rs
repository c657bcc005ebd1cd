//! The report of one evaluation.

use super::chart::{Curve, Histogram, Timeline, short};
use super::eval_report::{Counts, EvalReport, ImageLine, LossCurve, Rule, VideoLine, share};
use super::evidence::Finding;
use super::page::{json, page, percent};
use blemish_eval::decisions::Observed;
use blemish_eval::report::{CategoryReport, DefectReport, ImageSummary, PixelSummary};
use blemish_eval::{Evaluation, Interval};
use maud::{Markup, PreEscaped, html};

const SCRIPT: &str = concat!(include_str!("decide.js"), include_str!("threshold.js"));
/// Steps of the slider from the lowest to the highest score.
const STEPS: usize = 1000;
/// Most bytes of pictures in one page; findings beyond are left out, and the page says so.
const PICTURE_BYTES: usize = 4 << 20;

/// The page, as the text of one HTML file.
pub fn eval_page(report: &EvalReport) -> String {
    let counts = Counts::of(&report.images, &report.threshold);
    let (good, defective) = split(&report.images);
    let range = score_range(report);
    let body = html! {
        header {
            h1 { "How well does it find what does not belong? " (report.title) }
            p.soft { (report.evaluation.counts.good) " good and " (report.evaluation.counts.defective) " defective test images, "
                (report.evaluation.counts.masked) " with masks" }
        }
        (headline(&report.evaluation))
        h2 { "Decide" }
        p { "Threshold: " (report.threshold.words()) "." }
        div.two {
            figure {
                (Histogram { good: &good, defective: &defective, range, threshold: report.threshold.value }.draw())
                (controls(report, range))
                figcaption { "Each bar is a share of its own kind: good images above the axis (filled), defective ones below (hatched)." }
            }
            (count_table(&counts))
        }
        (curves(report, &counts))
        (videos(report, range))
        @if report.evaluation.categories.is_empty() { (per_defect(report)) } @else { (per_category(report)) }
        (findings(report))
        (provenance(report))
        script #scores type="application/json" { (PreEscaped(scores(report, range))) }
    };
    page(&format!("Blemish report: {}", report.title), &body, Some(SCRIPT))
}

fn split(images: &[ImageLine]) -> (Vec<f64>, Vec<f64>) {
    let of =
        |kind: bool| images.iter().filter(move |image| image.is_defective == kind).map(|image| image.score);
    (of(false).collect(), of(true).collect())
}

/// The ends of the score axis, a little beyond the scores so that the slider can let all or none pass.
fn score_range(report: &EvalReport) -> (f64, f64) {
    let scores = || report.images.iter().map(|image| image.score);
    let low = scores().fold(f64::INFINITY, f64::min);
    let high = scores().fold(f64::NEG_INFINITY, f64::max);
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let margin = if high > low { 0.02 * (high - low) } else { 0.5 * high.abs().max(1e-6) };
    (low - margin, high + margin)
}

/// Everything the script counts with.
fn scores(report: &EvalReport, (low, high): (f64, f64)) -> String {
    let (good, _) = split(&report.images);
    let defects: Vec<Vec<f64>> = report
        .evaluation
        .per_defect
        .iter()
        .map(|defect| {
            let mine =
                report.images.iter().filter(|image| image.is_defective && image.defect == defect.defect);
            mine.map(|image| image.score).collect()
        })
        .collect();
    json(&serde_json::json!({
        "good": good, "defects": defects, "threshold": report.threshold.value,
        "strict": report.threshold.rule == Rule::Above, "low": low, "high": high, "span": Histogram::SPAN,
    }))
}

fn headline(evaluation: &Evaluation) -> Markup {
    let (image, pixel) = (&evaluation.image, &evaluation.pixel);
    let card = |name: &str, value: Option<f64>, interval: Option<Interval>, meaning: &str| {
        html! {
            div.card {
                span { (name) }
                b { (percent(value)) @if value.is_some() { " %" } }
                @if let Some(interval) = interval {
                    span.soft { "95 %: " (percent(Some(interval.low))) " to " (percent(Some(interval.high))) }
                }
                span.soft { (meaning) }
            }
        }
    };
    html! {
        h2 { "Headline" }
        h3 { "Images: is there a defect?" }
        div.cards {
            (card("AUROC", image.auroc, image.auroc_interval, "a defective image outranks a good one"))
            (card("Average precision", image.ap, image.ap_interval, "purity of the top of the ranking"))
            (card("F1-max", image.f1_max, image.f1_max_interval, "best possible decision, labels known"))
            (card("Found at 5 % false alarms", image.tpr_at_5_percent_fpr, None, "share of defective images"))
        }
        h3 { "Pixels: where is it?" }
        div.cards {
            (card("AUROC", pixel.auroc, None, "over all pixels; easily near 100"))
            (card("Average precision", pixel.ap, None, "over all pixels; hard"))
            (card("AUPRO", pixel.aupro, None, "every region weighs the same"))
            (card("AUPIMO", pixel.aupimo_mean, None, "region found with hardly a false pixel"))
        }
        @for note in &evaluation.notes { p.soft { "Note: " (note) "." } }
        @if image.auroc_interval.is_some() {
            p.soft { "Intervals: 95 % bootstrap over images, good and defective drawn each among their own, 2,000 resamples." }
        }
    }
}

fn controls(report: &EvalReport, (low, high): (f64, f64)) -> Markup {
    let place = ((report.threshold.value - low) / (high - low)).clamp(0.0, 1.0) * STEPS as f64;
    html! {
        div #controls hidden {
            div.slide {
                input #slider type="range" min="0" max=(STEPS) step="1" value=(place.round()) aria-label="Threshold";
            }
            div.row {
                label for="value" { "Threshold" }
                input #value type="number" step="any" value=(report.threshold.value);
                button #reset type="button" { "Back to " (short(report.threshold.value)) }
            }
        }
        noscript { p.soft { "The slider needs JavaScript; the counts are those of the threshold above." } }
    }
}

fn count_table(counts: &Counts) -> Markup {
    let with_unit = |value: Option<f64>| format!("{} %", percent(value));
    let all = counts.found + counts.missed + counts.alarms + counts.passed;
    let f1 = share(2 * counts.found, 2 * counts.found + counts.alarms + counts.missed);
    html! {
        div {
            table.counts {
                thead { tr { th {} th { "flagged" } th { "passed" } } }
                tbody {
                    tr {
                        th { "defective" }
                        td { b #tp { (counts.found) } br; span.soft { "found" } }
                        td { b #fn { (counts.missed) } br; span.soft { "missed" } }
                    }
                    tr {
                        th { "good" }
                        td { b #fp { (counts.alarms) } br; span.soft { "false alarms" } }
                        td { b #tn { (counts.passed) } br; span.soft { "rightly passed" } }
                    }
                }
            }
            dl.rates {
                dt { "Defective images found (recall)" } dd { b #recall { (with_unit(counts.recall())) } }
                dt { "Good images flagged (false-alarm rate)" } dd { b #alarms { (with_unit(counts.false_alarms())) } }
                dt { "Flagged images that are defective (precision)" } dd { b #precision { (with_unit(counts.precision())) } }
                dt { "F1" } dd { b #f1 { (with_unit(f1)) } }
                dt { "Right decisions (accuracy)" } dd { b #accuracy { (with_unit(share(counts.found + counts.passed, all))) } }
            }
        }
    }
}

fn curves(report: &EvalReport, counts: &Counts) -> Markup {
    let roc: Vec<(f64, f64)> = report.curves.roc.iter().map(|point| (point.fpr, point.tpr)).collect();
    let mut pr: Vec<(f64, f64)> =
        report.curves.pr.iter().map(|point| (point.recall, point.precision)).collect();
    if let Some(first) = pr.first().copied() {
        pr.insert(0, (0.0, first.1));
    }
    let pro: Vec<(f64, f64)> = report.curves.pro.iter().map(|point| (point.fpr, point.overlap)).collect();
    let rate = |value: Option<f64>| value.unwrap_or(0.0);
    let at_pixels = report.pixel_threshold.and_then(|threshold| {
        let point = report.curves.pro.iter().take_while(|point| point.threshold >= threshold.value).last()?;
        // Beyond the end of the curve there is nothing to mark.
        (point.threshold > report.curves.pro.last()?.threshold).then_some((point.fpr, point.overlap))
    });
    let figure = |curve: Curve<'_>, title: &str, caption: &str| {
        html! {
            figure {
                h3 { (title) }
                @if curve.points.is_empty() { p.soft { "Undefined for this data." } } @else { (curve.draw()) }
                figcaption { (caption) }
            }
        }
    };
    html! {
        h2 { "Curves" }
        div.three {
            (figure(Curve {
                description: "ROC curve: share of defective images found against share of good images flagged",
                x_label: "good images flagged", y_label: "defective images found", x_end: 1.0, points: &roc,
                marker: Some(("roc-point", rate(counts.false_alarms()), rate(counts.recall()))), with_chance: true,
            }, "ROC (images)", "The ring is the threshold above and moves with it; dashed is guessing."))
            (figure(Curve {
                description: "Precision-recall curve: share of flagged images that are defective against share of defective images found",
                x_label: "defective images found", y_label: "flagged images defective", x_end: 1.0, points: &pr,
                marker: Some(("pr-point", rate(counts.recall()), counts.precision().unwrap_or(1.0))), with_chance: false,
            }, "Precision and recall (images)", "The ring is the threshold above and moves with it."))
            (figure(Curve {
                description: "PRO curve: mean share of a defective region found against share of good pixels flagged, up to 0.3",
                x_label: "good pixels flagged", y_label: "mean share of a region found", x_end: 0.3, points: &pro,
                marker: at_pixels.map(|(fpr, overlap)| ("pro-point", fpr, overlap)), with_chance: false,
            }, "PRO (regions)", &match report.pixel_threshold {
                Some(threshold) => format!("The ring is the pixel threshold {}: {}.", short(threshold.value), threshold.words()),
                None => "There is no pixel threshold.".into(),
            }))
        }
        p.soft { "Curves are thinned for drawing: no point left out lies farther than 0.002 of an axis from the line. Metrics are computed on all of them." }
        @if !report.curves.losses.is_empty() {
            h2 { "Training" }
            div.three { @for curve in &report.curves.losses { (loss(curve)) } }
        }
    }
}

/// A loss from its lowest to its highest value: where it starts depends on sizes and says nothing.
fn loss(curve: &LossCurve) -> Markup {
    let (low, high) = curve
        .losses
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &loss| (low.min(loss), high.max(loss)));
    let span = (high - low).max(f64::MIN_POSITIVE);
    let step = |part: usize| (part as f64 + 0.5) * curve.part as f64;
    let points: Vec<(f64, f64)> =
        curve.losses.iter().enumerate().map(|(part, &loss)| (step(part), (loss - low) / span)).collect();
    let last = curve.losses.last().copied().unwrap_or(low);
    html! {
        figure {
            h3 { "Loss " (curve.network) }
            @if points.is_empty() { p.soft { "The training made no step." } } @else {
                (Curve {
                    description: "Training loss against steps",
                    x_label: "steps", y_label: "loss, lowest to highest",
                    x_end: (curve.losses.len() as u64 * curve.part) as f64, points: &points, marker: None, with_chance: false,
                }.draw())
                figcaption { (format!("From {} at the highest to {} at the lowest; {} at the end.", short(high), short(low), short(last))) }
            }
        }
    }
}

/// Videos that are drawn; of more the table tells.
const DRAWN: usize = 30;

/// The scores of every video over time.
fn videos(report: &EvalReport, range: (f64, f64)) -> Markup {
    let Some(measured) = report.evaluation.sequences.as_ref().filter(|_| !report.videos.is_empty()) else {
        return html! {};
    };
    let auroc = |video: &VideoLine| {
        measured.per_sequence.iter().find(|one| one.name == video.name).and_then(|one| one.auroc)
    };
    html! {
        h2 { "Videos" }
        p {
            "Frame AUROC: " (percent(measured.frame_auroc)) " % over all videos, each brought to 0 to 1 first; "
            (percent(measured.mean_auroc)) " % in the mean of the videos that have frames of both kinds."
            @if let Some(published) = measured.published_auroc {
                " By the method's published rule, which looks at whole videos: " (percent(Some(published))) " %."
            }
        }
        div.three {
            @for video in report.videos.iter().take(DRAWN) {
                figure {
                    h3 { (video.name) }
                    (Timeline { frames: &video.frames, range, threshold: report.threshold.value }.draw(&video.name))
                    figcaption {
                        (video.frames.len()) " frames, " (video.frames.iter().filter(|frame| frame.1).count()) " anomalous"
                        @if let Some(auroc) = auroc(video) { "; frame AUROC " (percent(Some(auroc))) " %" }
                    }
                }
            }
        }
        p.soft { "Scores over time; anomalous frames are hatched, the dashed line is the threshold that the page starts with." }
        @if report.videos.len() > DRAWN { p.soft { (report.videos.len() - DRAWN) " more videos are not drawn." } }
    }
}

/// What the columns of [`heads`] are of.
fn heads_above() -> Markup {
    html! { th colspan="3" style="text-align:center" { "image, %" } th colspan="4" style="text-align:center" { "pixel, %" } }
}

/// Names of the columns of [`cells`].
fn heads() -> Markup {
    html! { @for name in ["AUROC", "AP", "F1-max", "AUROC", "AP", "AUPRO", "AUPIMO"] { th { (name) } } }
}

/// The metrics of one line of a table.
fn cells(image: &ImageSummary, pixel: &PixelSummary) -> Markup {
    let values = [image.auroc, image.ap, image.f1_max, pixel.auroc, pixel.ap, pixel.aupro, pixel.aupimo_mean];
    html! { @for value in values { td { (percent(value)) } } }
}

fn per_defect(report: &EvalReport) -> Markup {
    let found = |defect: &DefectReport| {
        let mine = report.images.iter().filter(|image| image.is_defective && image.defect == defect.defect);
        let (found, all) = mine.fold((0, 0), |(found, all), image| {
            (found + usize::from(report.threshold.is_alarm(image.score)), all + 1)
        });
        format!("{found} of {all}")
    };
    let evaluation = &report.evaluation;
    html! {
        h2 { "Per kind of defect" }
        div.scroll tabindex="0" role="region" aria-label="Metrics per kind of defect" {
            table {
                thead {
                    tr {
                        th rowspan="2" { "defect" } th.wrap rowspan="2" { "found at the threshold" }
                        (heads_above())
                    }
                    tr { (heads()) }
                }
                tbody {
                    @for (kind, defect) in evaluation.per_defect.iter().enumerate() {
                        tr {
                            th { (defect.defect) }
                            td id=(format!("found-{kind}")) { (found(defect)) }
                            (cells(&defect.image, &defect.pixel))
                        }
                    }
                    tr.all {
                        th { "all" } td { "" }
                        (cells(&evaluation.image, &evaluation.pixel))
                    }
                }
            }
        }
        p.soft { "Each kind is measured against all good images." }
    }
}

/// The metrics of each of several categories, and what the decisions at its own thresholds are worth.
fn per_category(report: &EvalReport) -> Markup {
    let count =
        |seen: Option<&Observed>| seen.map_or("-".into(), |seen| format!("{} of {}", seen.count, seen.of));
    let evaluation = &report.evaluation;
    html! {
        h2 { "Per category" }
        div.scroll tabindex="0" role="region" aria-label="Metrics per category" {
            table {
                thead {
                    tr {
                        th rowspan="2" { "category" }
                        th.wrap rowspan="2" { "good images flagged" } th.wrap rowspan="2" { "defective missed" }
                        (heads_above())
                    }
                    tr { (heads()) }
                }
                tbody {
                    @for CategoryReport { category, evaluation } in &evaluation.categories {
                        tr {
                            th { (category) }
                            td { (count(evaluation.decisions.as_ref().map(|decisions| &decisions.false_alarms))) }
                            td { (count(evaluation.decisions.as_ref().map(|decisions| &decisions.misses))) }
                            (cells(&evaluation.image, &evaluation.pixel))
                        }
                    }
                    tr.all {
                        th { "mean" } td { "" } td { "" }
                        (cells(&evaluation.image, &evaluation.pixel))
                    }
                }
            }
        }
        p.soft {
            "Each category is measured against its own good images and judged by its own threshold where the model has one. Scores of "
            "different categories have different scales; the threshold and the curves above take them all together."
        }
    }
}

fn findings(report: &EvalReport) -> Markup {
    let mut room = PICTURE_BYTES;
    let mut within = |findings: &[Finding]| -> usize {
        findings
            .iter()
            .take_while(|finding| {
                let fits = finding.bytes() <= room;
                room -= finding.bytes().min(room);
                fits
            })
            .count()
    };
    // Both lists get their share, whichever is the larger.
    let shown = [within(&report.misses), within(&report.alarms)];
    let list = |findings: &[Finding],
                shown: usize,
                wrong: &str,
                right: &str,
                is_wrong: &dyn Fn(f64) -> bool| {
        html! {
            div.findings {
                @for finding in &findings[..shown] {
                    (one(finding, if is_wrong(finding.score) { wrong } else { right }))
                }
            }
            @if shown < findings.len() { p.soft { (findings.len() - shown) " more were left out to keep the page small." } }
        }
    };
    html! {
        h2 { "Worst misses: defective images with the lowest scores" }
        @if report.misses.is_empty() { p.soft { "There are no defective images." } }
        (list(&report.misses, shown[0], "missed", "found, but close", &|score| !report.threshold.is_alarm(score)))
        h2 { "Worst false alarms: good images with the highest scores" }
        @if report.alarms.is_empty() { p.soft { "There are no good images." } }
        (list(&report.alarms, shown[1], "false alarm", "passed, but close", &|score| report.threshold.is_alarm(score)))
        p.soft { "Verdicts are those of the threshold that the page starts with. Heat maps of all images share one scale of colours, dark to bright." }
    }
}

fn one(finding: &Finding, verdict: &str) -> Markup {
    html! {
        div.finding {
            h3 { span.tag { (verdict) } (finding.name) }
            p.soft { (finding.defect) ", score " (short(finding.score)) }
            div.pictures {
                figure { img src=(finding.image) alt={ "Image " (finding.name) } loading="lazy"; figcaption { "image" } }
                @if let Some(marked) = &finding.marked {
                    figure { img src=(marked) alt="The same with its mask outlined" loading="lazy"; figcaption { "mask (outline)" } }
                }
                figure { img src=(finding.heat) alt="The same with its heat map" loading="lazy"; figcaption { "heat map" } }
            }
            @if finding.marked.is_none() && finding.defect != "good" { p.soft { "It has no mask." } }
        }
    }
}

fn provenance(report: &EvalReport) -> Markup {
    let list = |facts: &[(String, String)]| {
        html! { dl { @for (name, value) in facts { dt { (name) } dd { (value) } } } }
    };
    html! {
        h2 { "Time and memory" }
        (list(&report.provenance.costs))
        h2 { "Do it again" }
        pre { code { (report.provenance.command) } }
        (list(&report.provenance.facts))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

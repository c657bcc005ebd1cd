//! What the pages say, read back from their text.

use super::super::{Curves, Evidence, Provenance, Threshold, ThresholdOrigin, bench_page};
use super::*;
use crate::leaderboard::{Leaderboard, tests::cell};
use crate::picture::Picture;
use blemish_eval::Evaluator;

const HOSTILE: &str = "<script>alert('x')</script>\"&.png";

fn report(rule: Rule) -> EvalReport {
    let mut evaluator = Evaluator::new();
    let mut images = Vec::new();
    let lines = [("good", 0.1), ("good", 0.4), ("good", 0.5), (HOSTILE, 0.5), (HOSTILE, 0.9), ("cut", 0.2)];
    for (defect, score) in lines {
        let is_defective = defect != "good";
        let mask = is_defective.then_some([true, false, false, false]);
        let map = [score, 0.1, 0.1, 0.05];
        evaluator
            .add(defect, is_defective, score, &map, mask.as_ref().map(|mask| &mask[..]), (2, 2))
            .unwrap();
        images.push(ImageLine { defect: defect.into(), is_defective, score: f64::from(score) });
    }
    let (evaluation, pro) = evaluator.finish_with_curve().unwrap();
    let scores: Vec<f64> = images.iter().map(|image| image.score).collect();
    let labels: Vec<bool> = images.iter().map(|image| image.is_defective).collect();
    let curves = Curves {
        roc: blemish_eval::roc_curve(&scores, &labels).unwrap(),
        pr: blemish_eval::pr_curve(&scores, &labels).unwrap(),
        pro,
        losses: vec![LossCurve { network: "flow".into(), part: 5, losses: vec![3.0, 2.0, 2.5] }],
    };
    let finding = |name: &str, side: usize| {
        let picture = Picture::new(vec![90; side * side * 3], (side, side)).unwrap();
        let evidence = Evidence {
            name,
            defect: HOSTILE,
            score: 0.5,
            picture: &picture,
            covered: (0..side, 0..side),
            size: (2, 2),
            map: &[0.0, 0.1, 0.2, 0.9],
            mask: Some(&[true, false, false, false]),
            range: (0.0, 1.0),
        };
        Finding::draw(&evidence).unwrap()
    };
    EvalReport {
        title: HOSTILE.into(),
        evaluation,
        images,
        videos: Vec::new(),
        threshold: Threshold { value: 0.5, rule, origin: ThresholdOrigin::BestF1 },
        pixel_threshold: Some(Threshold { value: 0.3, rule, origin: ThresholdOrigin::BestF1 }),
        curves,
        misses: vec![finding(HOSTILE, 40), finding("b.png", 700)],
        alarms: vec![finding("c.png", 9)],
        provenance: Provenance {
            command: format!("blemish eval {HOSTILE}"),
            facts: vec![("data".into(), HOSTILE.into())],
            costs: vec![("peak memory".into(), "1 MB".into())],
        },
    }
}

#[test]
fn each_of_several_categories_has_a_line() {
    use blemish_eval::LabelledImage;
    let mut report = report(Rule::Above);
    assert!(!eval_page(&report).contains("Per category"));
    let mut evaluator = Evaluator::new();
    for (category, defect, score) in
        [("nut", None, 0.1), ("nut", Some("cut"), 0.9), (HOSTILE, None, 0.8), (HOSTILE, Some("cut"), 0.2)]
    {
        let (sequence, map, mask) = (None, &[score, 0.0][..], None);
        let image = LabelledImage { category, sequence, defect, score, map, mask, size: (1, 2) };
        evaluator.add_image(&image).unwrap();
    }
    report.evaluation = evaluator.finish().unwrap();
    let page = eval_page(&report);
    let of = |text: &str| page.contains(text);
    assert!(of("Per category") && !of("Per kind of defect") && of("<th>nut</th>") && of("<th>mean</th>"));
    assert!(!of("<script>alert") && of("100.0") && of("50.0"));
}

#[test]
fn videos_are_drawn_over_time_with_their_figures() {
    use blemish_eval::report::{OneSequence, SequenceReport};
    let mut with_videos = report(Rule::Above);
    assert!(!eval_page(&with_videos).contains("Videos"));
    let one = OneSequence { sequence: 0, name: HOSTILE.into(), frames: 3, defective: 1, auroc: Some(0.75) };
    with_videos.evaluation.sequences = Some(SequenceReport {
        frame_auroc: Some(0.5),
        published_auroc: Some(0.625),
        mean_auroc: Some(0.75),
        per_sequence: vec![one],
    });
    let frames = vec![(0.1, false), (0.9, true), (0.4, false)];
    with_videos.videos = vec![VideoLine { name: HOSTILE.into(), frames }];
    let page = eval_page(&with_videos);
    assert!(page.contains("3 frames, 1 anomalous; frame AUROC 75.0 %"), "{page}");
    assert!(page.contains("62.5 %") && !page.contains("<script>alert"));
}

/// The text of the element with this name.
fn element<'a>(page: &'a str, id: &str) -> &'a str {
    let start = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id} is absent"));
    let open = start + page[start..].find('>').unwrap() + 1;
    &page[open..open + page[open..].find('<').unwrap()]
}

#[test]
fn counts_follow_the_rule_of_the_threshold() {
    let page = eval_page(&report(Rule::AtOrAbove));
    let counts = |page: &str| ["tp", "fn", "fp", "tn"].map(|id| element(page, id).to_owned());
    assert_eq!(counts(&page), ["2", "1", "1", "2"]);
    assert_eq!([element(&page, "recall"), element(&page, "alarms")], ["66.7 %", "33.3 %"]);
    assert_eq!([element(&page, "precision"), element(&page, "f1")], ["66.7 %", "66.7 %"]);
    let page = eval_page(&report(Rule::Above));
    assert_eq!(counts(&page), ["1", "2", "0", "3"], "a calibrated threshold itself is no alarm");
    assert!(page.contains("\"strict\":true"));
}

#[test]
fn hostile_names_stay_text_everywhere() {
    let page = eval_page(&report(Rule::Above));
    assert!(!page.contains("<script>alert"), "a name has become a script");
    assert!(page.contains("&lt;script&gt;alert"));
    // Two scripts of our own: the scores and the slider.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    let board = Leaderboard::new(&[cell(HOSTILE, HOSTILE, 0, Some(0.5))]);
    let page = bench_page(&board, &[("command".into(), HOSTILE.into())]);
    assert_eq!(page.matches("<script").count(), 0);
}

#[test]
fn the_page_needs_nothing_from_anywhere() {
    for page in [eval_page(&report(Rule::Above)), bench_page(&Leaderboard::new(&[]), &[])] {
        assert!(page.contains("default-src 'none'"));
        for fetched in ["http://", "https://", "src=\"//", "url(\"", "@import", "<link rel=\"stylesheet"] {
            assert!(!page.contains(fetched), "{fetched}");
        }
        let sources = page.split("src=\"").skip(1);
        assert!(sources.into_iter().all(|source| source.starts_with("data:image/jpeg;base64,")));
    }
}

#[test]
fn the_numbers_of_the_script_are_the_scores_themselves() {
    let report = report(Rule::Above);
    let page = eval_page(&report);
    let json: serde_json::Value = serde_json::from_str(element(&page, "scores")).unwrap();
    assert_eq!(json["good"], serde_json::json!([f64::from(0.1f32), f64::from(0.4f32), 0.5]));
    // Kinds in the order of the table: by name, `<` before `c`.
    assert_eq!(json["defects"], serde_json::json!([[0.5, f64::from(0.9f32)], [f64::from(0.2f32)]]));
    assert!(json["low"].as_f64().unwrap() < 0.1 && json["high"].as_f64().unwrap() > 0.9);
}

#[test]
fn pictures_are_small_and_their_sum_is_bounded() {
    let mut report = report(Rule::Above);
    let large = report.misses[1].bytes();
    assert!(large < 3 * 60_000, "a plain picture of 320 pixels takes {large} bytes");
    report.misses = vec![report.misses[1].clone(); 2 * PICTURE_BYTES / large];
    let page = eval_page(&report);
    assert!(page.len() < PICTURE_BYTES + (1 << 20), "{} bytes", page.len());
    assert!(page.contains("more were left out"));
}

#[test]
fn a_training_shows_what_its_loss_did() {
    let page = eval_page(&report(Rule::Above));
    assert!(
        page.contains("Loss flow")
            && page.contains("From 3 at the highest to 2 at the lowest; 2.5 at the end.")
    );
    // Steps 2.5, 7.5 and 12.5 of 15; the lowest value lies on the axis, the highest at the top.
    assert!(page.contains("points=\"104.3,14.0 217.0,256.0 329.7,135.0\""));
}

#[test]
fn what_is_undefined_is_said() {
    let mut report = report(Rule::Above);
    (report.curves, report.pixel_threshold) = (Curves::default(), None);
    (report.misses, report.alarms) = (Vec::new(), Vec::new());
    report.evaluation.image = Default::default();
    let page = eval_page(&report);
    assert_eq!(page.matches("Undefined for this data.").count(), 3);
    assert!(page.contains("There is no pixel threshold.") && page.contains("There are no good images."));
}

#[test]
fn the_leaderboard_has_a_table_and_a_plot_for_each_data_set() {
    let cells = [cell("a", "m", 0, Some(0.5)), cell("a", "n", 0, Some(0.7)), cell("b", "m", 0, None)];
    let page = bench_page(&Leaderboard::new(&cells), &[]);
    assert_eq!(page.matches("<table>").count(), 3);
    assert_eq!(page.matches("<circle").count(), 2, "only data set a has an accuracy to plot");
    assert!(page.contains("class=\"best\""));
}

/// Relative luminance of a colour `#rrggbb` (WCAG 2).
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn every_colour_of_text_and_marks_contrasts_with_its_ground_in_light_and_dark() {
    let style = include_str!("look.css");
    let themes: Vec<&str> =
        style.split(":root {").skip(1).map(|theme| &theme[..theme.find('}').unwrap()]).collect();
    assert_eq!(themes.len(), 2);
    for theme in themes {
        let colour = |name: &str| {
            let start = theme.find(&format!("--{name}: ")).unwrap() + name.len() + 4;
            luminance(&theme[start..start + 7])
        };
        for (mark, ground) in [
            ("ink", "paper"),
            ("ink", "card"),
            ("soft", "paper"),
            ("soft", "card"),
            ("good", "paper"),
            ("bad", "paper"),
        ] {
            let (one, other) = (colour(mark), colour(ground));
            let ratio = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(ratio >= 4.5, "{mark} on {ground}: {ratio:.2}");
        }
    }
}

//! `blemish verify`: proves that a model scores and decides here as it did where it was fitted.

use super::engine_options;
use crate::args::VerifyArgs;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::Detector;
use blemish::verify::{DecisionCheck, RecordedDecision, Verified, share};

pub fn run(args: &VerifyArgs, threads: Option<usize>) -> Result<(), Failure> {
    let engine = engine_options(&args.engine, threads)?;
    let verified = Detector::load(&args.model, &engine)?.verify(&engine)?;
    if args.machine.json {
        print_as_is(&serde_json::to_string(&verified).map_err(Failure::new)?)?;
    } else {
        print(&table(&verified))?;
    }
    match verified.objection() {
        None => Ok(()),
        Some(what) => Err(failure(&args.model.display().to_string(), &verified, &what)),
    }
}

fn table(verified: &Verified) -> String {
    let row = |cells: [&str; 5]| {
        let [image, at_fit, here, difference, decision] = cells;
        let line = format!("{image:<20}{at_fit:>16}{here:>16}{difference:>14}  {decision}");
        format!("{}\n", line.trim_end())
    };
    let mut text = row(["image", "score at fit", "score here", "difference", "decision"]);
    for image in &verified.images {
        let decision = match (&image.recorded_decision, &image.decision) {
            (Some(known), Some(now)) if known == now => in_words(Some(now)),
            (None, now) => in_words(now.as_ref()),
            (known, now) => format!("{}, was {}", in_words(now.as_ref()), in_words(known.as_ref())),
        };
        let (recorded, score) = (image.recorded.to_string(), image.score.to_string());
        text += &row([&image.name, &recorded, &score, &share(image.difference), &decision]);
    }
    let content = if verified.is_content_intact { "as fitted" } else { "altered" };
    let rule = match verified.is_exact {
        true => "equal to the last bit".to_owned(),
        false => format!("within {} of the highest map value", share(verified.tolerance)),
    };
    let decisions = match verified.decisions {
        DecisionCheck::Intact => "as calibrated",
        DecisionCheck::Altered => "altered: thresholds or calibration are not those that were written",
        DecisionCheck::NotCovered => {
            "not covered: an older program wrote this model; `blemish calibrate` covers them from then on"
        }
    };
    let outcome = if verified.passed { "verified" } else { "NOT verified" };
    text + &format!(
        "model content: {content}; scores and maps must be {rule}\ndecisions: {decisions}\n{outcome}"
    )
}

fn in_words(decision: Option<&RecordedDecision>) -> String {
    let Some(decision) = decision else { return "none".into() };
    let p_value = format!("p {:.3}", decision.p_value);
    match decision.anomalous {
        Some(true) => format!("anomalous ({p_value})"),
        Some(false) => format!("good ({p_value})"),
        None => p_value,
    }
}

fn failure(model: &str, verified: &Verified, what: &str) -> Failure {
    let mend = match verified.decisions {
        DecisionCheck::Altered if verified.largest_difference() <= verified.tolerance => {
            "deploy the calibrated file again, or calibrate anew"
        }
        _ => "deploy the fitted file again, or look for another engine, device or program version",
    };
    Failure::new(format!("model `{model}` is not verified: {what}; {mend}"))
}

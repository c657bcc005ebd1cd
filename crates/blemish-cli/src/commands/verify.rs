//! `blemish verify`: proves that a model scores here as it did where it was fitted.

use super::engine_options;
use crate::args::VerifyArgs;
use crate::failure::Failure;
use crate::output::{print, print_as_is};
use blemish::Detector;
use blemish::verify::Verified;

pub fn run(args: &VerifyArgs, threads: Option<usize>) -> Result<(), Failure> {
    let engine = engine_options(&args.engine, threads)?;
    let verified = Detector::load(&args.model, &engine)?.verify(&engine)?;
    if args.machine.json {
        print_as_is(&serde_json::to_string(&verified).map_err(Failure::new)?)?;
    } else {
        print(&table(&verified))?;
    }
    if verified.passed { Ok(()) } else { Err(failure(&args.model.display().to_string(), &verified)) }
}

fn table(verified: &Verified) -> String {
    let mut text = format!("{:<20}{:>16}{:>16}{:>14}\n", "image", "score at fit", "score here", "difference");
    for image in &verified.images {
        text += &format!(
            "{:<20}{:>16}{:>16}{:>14}\n",
            image.name,
            image.recorded,
            image.score,
            share(image.difference)
        );
    }
    let content = if verified.is_content_intact { "as fitted" } else { "altered" };
    let rule = match verified.is_exact {
        true => "equal to the last bit".to_owned(),
        false => format!("within {} of the highest map value", share(verified.tolerance)),
    };
    let outcome = if verified.passed { "verified" } else { "NOT verified" };
    text + &format!("model content: {content}; scores and maps must be {rule}\n{outcome}")
}

fn share(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value < 1e-3 => format!("{value:.1e}"),
        value => format!("{:.2} %", 100.0 * value),
    }
}

fn failure(model: &str, verified: &Verified) -> Failure {
    let off = verified.images.iter().map(|image| image.difference).fold(0.0, f64::max);
    let mend = "deploy the fitted file again, or look for another engine, device or program version";
    Failure::new(if !verified.images.iter().all(|image| image.is_image_intact) {
        format!("model `{model}` is not verified: its verification images are not those of the fit; {mend}")
    } else if off > verified.tolerance {
        let size = share(off);
        format!(
            "model `{model}` is not verified: scores are off by up to {size} of the highest map value; {mend}"
        )
    } else {
        format!(
            "model `{model}` is not verified: its content is not what was fitted, although these images score the same; {mend}"
        )
    })
}

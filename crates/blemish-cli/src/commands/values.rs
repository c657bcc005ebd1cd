//! The values that mean black and white, where the command line leaves them to the good images.

use crate::args::{TransformArgs, ValueRange};
use crate::console::Console;
use blemish::Observer;
use blemish::data::{Dataset, Files, Transform, ValueSurvey};
use serde_json::json;

/// The transform with the range that `--value-range auto` finds. Without the option, 16-bit images that use a small part of their range
/// are spoken of: a camera of 12 bit makes them nearly black.
pub fn settled(
    transform: Transform,
    args: &TransformArgs,
    dataset: &Dataset,
    console: &Console,
) -> Transform {
    let is_auto = match args.value_range {
        Some(ValueRange::Fixed(..)) => return transform,
        Some(ValueRange::Auto) => true,
        None => false,
    };
    let survey = ValueSurvey::of(&Files::training(dataset));
    let range = survey.as_ref().and_then(|survey| Some((survey, survey.range()?)));
    match (is_auto, range) {
        (true, Some((survey, (black, white)))) => {
            let (lowest, highest, images) = (survey.lowest, survey.highest, survey.images);
            console.tell(
                &format!(
                    "value range: {black},{white} (--value-range auto): {images} of the good images run from {lowest} to {highest}"
                ),
                &json!({"event": "value_range", "black": black, "white": white, "lowest": lowest, "highest": highest}),
            );
            transform.with_value_range((black, white))
        }
        (true, None) => {
            console.tell(
                "value range: as it is (--value-range auto): the good images use the range of their depth",
                &json!({"event": "value_range"}),
            );
            transform
        }
        (false, Some((survey, (black, white)))) if survey.is_small_part() => {
            console.warn(&format!(
                "the 16-bit values of the good images run from {} to {}, of 0 to 65535: the images are all but of one shade; \
                 --value-range {black},{white} gives them their full contrast (auto finds it as well)",
                survey.lowest, survey.highest
            ));
            transform
        }
        (false, _) => transform,
    }
}

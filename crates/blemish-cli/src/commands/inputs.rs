//! The input sizes of a fit that names none, and the line that says so.

use crate::args::{InputSize, TransformArgs};
use crate::console::Console;
use crate::failure::Failure;
use blemish::data::{Dataset, Files};
use blemish::defaults::{Bound, COARSE};
use blemish::{DetectorConfig, InputChoice};

/// Chooses input sizes by the images where the command line leaves them open, and tells it in one line.
pub fn choose(
    config: &mut DetectorConfig,
    args: &TransformArgs,
    dataset: &Dataset,
    console: &Console,
) -> Result<(), Failure> {
    let is_open = matches!(args.size, None | Some(InputSize::Auto)) && args.crop.is_none() && !args.fast;
    if !is_open {
        return Ok(());
    }
    if let Some(choice) = config.choose_inputs(&Files::training(dataset))? {
        console.tell(&in_words(&choice), &serde_json::json!({"event": "input", "choice": choice}));
    }
    Ok(())
}

/// What was chosen, why, what is faster, and what sees more.
fn in_words(choice: &InputChoice) -> String {
    let sides: Vec<String> = choice.sides.iter().map(|side| format!("{side}x{side}")).collect();
    let (height, width) = choice.image;
    let size = format!("the images are {width}x{height}");
    let fine = choice.sides.first().copied().unwrap_or(COARSE);
    let why = match choice.bound {
        Bound::Images if fine > COARSE => format!("{size} and a larger input would only blow them up"),
        Bound::Images => size,
        Bound::Number => {
            format!("{size} and {} of them at more would take much memory and time", choice.images)
        }
        Bound::OneInput => format!("{size} and a model that learns on has one input"),
        Bound::Time => format!("{size} and defects may be small or large"),
    };
    let mut line = format!("input: {}, since {why}", sides.join(" and "));
    if choice.sides != [COARSE] {
        line += &format!("; about {:.0} times as fast, for large defects: --fast", choice.cost());
    }
    let side = height.saturating_mul(width).isqrt();
    match choice.bound {
        Bound::Time if side >= 2 * fine => line += &format!("; finer and slower: --tile {fine}x{fine}"),
        Bound::Time if 4 * side >= 5 * fine => {
            line += &format!("; finer and slower: --multi-scale {COARSE},{}", side / 32 * 32);
        }
        Bound::Number => line += "; finer, with more memory and time: --multi-scale 256,512",
        _ => {}
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish::defaults::Views;

    fn line(size: (usize, usize), images: usize, views: Views) -> String {
        in_words(&InputChoice::of(&[size], images, views).unwrap())
    }

    #[test]
    fn one_line_says_what_was_chosen_why_and_what_else_there_is() {
        assert_eq!(
            line((1100, 1000), 80, Views::Any),
            "input: 512x512 and 256x256, since the images are 1000x1100 and defects may be small or large; about 5 times as fast, for \
             large defects: --fast; finer and slower: --tile 512x512"
        );
        let middle = line((640, 640), 80, Views::Any);
        assert!(middle.ends_with("finer and slower: --multi-scale 256,640"), "{middle}");
        let small = line((300, 300), 80, Views::Any);
        assert!(small.starts_with("input: 384x384 and 256x256, since the images are 300x300"), "{small}");
        assert!(small.ends_with("about 3 times as fast, for large defects: --fast"), "{small}");
        assert_eq!(line((64, 64), 80, Views::Any), "input: 256x256, since the images are 64x64");
        assert!(line((1024, 1024), 5000, Views::Any).contains("5000 of them"));
        assert!(line((1024, 1024), 80, Views::One).starts_with("input: 384x384, since"));
    }
}

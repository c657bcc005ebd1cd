//! Names of MobileNetV2. The graph uses torchvision's: `features.2.conv.0.0` and so on.

use super::Source;

/// Parts of a block in order. The first block does not widen.
#[derive(Clone, Copy)]
enum Part {
    Expand,
    Depthwise,
    Project,
}

/// Blocks of each stage, which timm counts by.
const STAGES: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];

/// Index and part of a convolution inside a block, from torchvision's name.
fn place(conv: &str) -> Option<(usize, Part)> {
    let (index, part) = conv.strip_prefix("features.")?.split_once(".conv.")?;
    let index = index.parse().ok()?;
    let part = match (index, part) {
        (1, "0.0") => Part::Depthwise,
        (1, _) => Part::Project,
        (_, "0.0") => Part::Expand,
        (_, "1.0") => Part::Depthwise,
        _ => Part::Project,
    };
    Some((index, part))
}

/// The batch norm follows its convolution: `0.0` and `0.1`, `2` and `3`.
pub(super) fn torchvision(convs: &[&str]) -> Vec<Source> {
    let source = |conv: &&str| {
        let is_classifier = *conv == "classifier.1";
        Source::new(conv, conv, if is_classifier { None } else { next_module(conv) })
    };
    convs.iter().map(source).collect()
}

/// The older layout, one flat list a block: `features.2.conv.0` and `.1`, `.3` and `.4`, `.6` and `.7`.
pub(super) fn tonylins(convs: &[&str]) -> Vec<Source> {
    let source = |conv: &&str| match place(conv) {
        Some((index, part)) => {
            let widened = if index == 1 { 0 } else { 3 };
            let number = match part {
                Part::Expand => 0,
                Part::Depthwise => widened,
                Part::Project => widened + 3,
            };
            let prefix = format!("features.{index}.conv.{number}");
            let norm = next_module(&prefix);
            Source::new(conv, &prefix, norm)
        }
        None if *conv == "classifier.1" => Source::new(conv, "classifier", None),
        None => Source::new(conv, conv, next_module(conv)),
    };
    convs.iter().map(source).collect()
}

/// `conv_stem` and `bn1`, `blocks.1.0.conv_pw` and `bn1`, ..., `conv_head` and `bn2`, `classifier`.
pub(super) fn timm(convs: &[&str]) -> Vec<Source> {
    let source = |conv: &&str| match (*conv, place(conv)) {
        ("features.0.0", _) => Source::new(conv, "conv_stem", Some("bn1".into())),
        ("features.18.0", _) => Source::new(conv, "conv_head", Some("bn2".into())),
        (_, None) => Source::new(conv, "classifier", None),
        (_, Some((index, part))) => {
            let (stage, block) = stage_of(index - 1);
            let (name, norm) = match (stage, part) {
                (_, Part::Expand) => ("conv_pw", "bn1"),
                (0, Part::Depthwise) => ("conv_dw", "bn1"),
                (0, Part::Project) => ("conv_pw", "bn2"),
                (_, Part::Depthwise) => ("conv_dw", "bn2"),
                (_, Part::Project) => ("conv_pwl", "bn3"),
            };
            let prefix = format!("blocks.{stage}.{block}");
            Source::new(conv, &format!("{prefix}.{name}"), Some(format!("{prefix}.{norm}")))
        }
    };
    convs.iter().map(source).collect()
}

/// Stage and place in it of the block with the given number from 0.
fn stage_of(mut block: usize) -> (usize, usize) {
    for (stage, &blocks) in STAGES.iter().enumerate() {
        if block < blocks {
            return (stage, block);
        }
        block -= blocks;
    }
    (STAGES.len(), block)
}

/// The module after `prefix` in a sequence: its last number plus one.
fn next_module(prefix: &str) -> Option<String> {
    let (parent, number) = prefix.rsplit_once('.')?;
    Some(format!("{parent}.{}", number.parse::<usize>().ok()? + 1))
}

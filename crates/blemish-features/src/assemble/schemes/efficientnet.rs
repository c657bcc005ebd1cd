//! Names of the EfficientNets. The graph uses timm's: `blocks.{stage}.{block}.conv_pw` and so on.

use super::Source;

/// What a convolution of a block is, by its name.
///
/// In the first stage nothing is widened, so timm's `conv_pw` projects there and the numbers of the others move up by one.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Expand,
    Depthwise,
    Squeeze,
    Excite,
    Project,
}

/// A convolution of a block: stage, block in the stage, part, and whether the block widens.
struct Place<'a> {
    stage: &'a str,
    block: &'a str,
    part: Part,
    widens: bool,
}

fn place(conv: &str) -> Option<Place<'_>> {
    let mut words = conv.strip_prefix("blocks.")?.splitn(3, '.');
    let (stage, block, part) = (words.next()?, words.next()?, words.next()?);
    let widens = stage != "0";
    let part = match part {
        "conv_pw" if widens => Part::Expand,
        "conv_dw" => Part::Depthwise,
        "se.conv_reduce" => Part::Squeeze,
        "se.conv_expand" => Part::Excite,
        _ => Part::Project,
    };
    Some(Place { stage, block, part, widens })
}

/// `conv_stem` and `bn1`, `blocks.1.0.conv_pw` and `blocks.1.0.bn1`, ..., `conv_head` and `bn2`, `classifier`.
pub(super) fn timm(convs: &[&str]) -> Vec<Source> {
    let norm = |conv: &str| match (conv, place(conv)) {
        ("conv_stem", _) => Some("bn1".to_owned()),
        ("conv_head", _) => Some("bn2".to_owned()),
        (_, None) => None,
        (_, Some(Place { stage, block, part, widens })) => {
            let index = match part {
                Part::Expand => 1,
                Part::Depthwise => 1 + usize::from(widens),
                Part::Project => 2 + usize::from(widens),
                Part::Squeeze | Part::Excite => return None,
            };
            Some(format!("blocks.{stage}.{block}.bn{index}"))
        }
    };
    convs.iter().map(|conv| Source::new(conv, conv, norm(conv))).collect()
}

/// `features.0.0` and `features.0.1`, `features.2.0.block.0.0` and `.0.1`, ..., `features.8.0` and `.8.1`, `classifier.1`.
pub(super) fn torchvision(convs: &[&str]) -> Vec<Source> {
    let source = |conv: &&str| match (*conv, place(conv)) {
        ("conv_stem", _) => Source::new(conv, "features.0.0", Some("features.0.1".into())),
        ("conv_head", _) => Source::new(conv, "features.8.0", Some("features.8.1".into())),
        (_, None) => Source::new(conv, "classifier.1", None),
        (_, Some(Place { stage, block, part, widens })) => {
            // Stages are counted from 1 there, because the stem is module 0.
            let stage = stage.parse::<usize>().unwrap_or_default() + 1;
            let widened = usize::from(widens);
            let module = |index: usize| format!("features.{stage}.{block}.block.{}", index + widened);
            match part {
                Part::Squeeze => Source::new(conv, &format!("{}.fc1", module(1)), None),
                Part::Excite => Source::new(conv, &format!("{}.fc2", module(1)), None),
                Part::Expand | Part::Depthwise | Part::Project => {
                    let module = match part {
                        Part::Expand => format!("features.{stage}.{block}.block.0"),
                        Part::Depthwise => module(0),
                        _ => module(2),
                    };
                    Source::new(conv, &format!("{module}.0"), Some(format!("{module}.1")))
                }
            }
        }
    };
    convs.iter().map(source).collect()
}

/// `_conv_stem` and `_bn0`, `_blocks.N._expand_conv` and `_bn0`, ..., `_conv_head` and `_bn1`, `_fc`; blocks counted through.
pub(super) fn efficientnet_pytorch(convs: &[&str]) -> Vec<Source> {
    let mut blocks: Vec<(&str, &str)> = Vec::new();
    let mut sources = Vec::with_capacity(convs.len());
    for conv in convs {
        sources.push(match (*conv, place(conv)) {
            ("conv_stem", _) => Source::new(conv, "_conv_stem", Some("_bn0".into())),
            ("conv_head", _) => Source::new(conv, "_conv_head", Some("_bn1".into())),
            (_, None) => Source::new(conv, "_fc", None),
            (_, Some(Place { stage, block, part, .. })) => {
                if blocks.last() != Some(&(stage, block)) {
                    blocks.push((stage, block));
                }
                let prefix = format!("_blocks.{}", blocks.len() - 1);
                let (name, norm) = match part {
                    Part::Expand => ("_expand_conv", Some("_bn0")),
                    Part::Depthwise => ("_depthwise_conv", Some("_bn1")),
                    Part::Squeeze => ("_se_reduce", None),
                    Part::Excite => ("_se_expand", None),
                    Part::Project => ("_project_conv", Some("_bn2")),
                };
                Source::new(conv, &format!("{prefix}.{name}"), norm.map(|norm| format!("{prefix}.{norm}")))
            }
        });
    }
    sources
}

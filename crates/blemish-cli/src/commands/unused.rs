//! Options that were given and change nothing are said, since whoever gives them expects them to.

use crate::args::{Bits, FitArgs, LearnArgs};
use crate::console::Console;
use crate::failure::Failure;
use blemish::Observer;
use blemish::needs::Backing;

/// Names the options of a fit that its method does not use.
pub fn warn(args: &FitArgs, console: &Console) -> Result<(), Failure> {
    for line in lines(args)? {
        console.warn(&line);
    }
    Ok(())
}

fn lines(args: &FitArgs) -> Result<Vec<String>, Failure> {
    let LearnArgs { method, settings, backbone, .. } = &args.learn;
    let entry = blemish::registry::method(method)?;
    let needs = entry.needs(&entry.parse(settings)?)?;
    let given = |options: &[(&str, bool)]| {
        let names: Vec<&str> =
            options.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut lines = Vec::new();
    if !needs.trains_long() {
        let training = given(&[
            ("--resume", args.resume),
            ("--time-limit", args.time_limit.is_some()),
            ("--precision mixed", args.precision == Bits::Mixed),
        ]);
        lines.extend(training.map(|names| format!("not used, since {method} does not train: {names}")));
    }
    if args.textures.is_some() && !needs.textures {
        lines.push(format!("not used, since {method} lays no textures over images: --textures"));
    }
    if needs.backbone == Backing::ImageText && !backbone.layers.is_empty() {
        lines.push(format!("not used, since {method} looks through no feature maps: --layers"));
    }
    let is_of_backbone = matches!(args.precision, Bits::Int8 | Bits::Auto);
    if needs.has_backbone() && !needs.has_maps() && is_of_backbone {
        lines.push(format!("not used, since {method} looks through no feature maps: --precision int8|auto"));
    }
    if !needs.has_backbone() {
        let looking = given(&[
            ("--backbone", backbone.backbone.is_some()),
            ("--layers", !backbone.layers.is_empty()),
            ("--weights", backbone.weights.is_some()),
            ("--precision int8|auto", is_of_backbone),
        ]);
        lines.extend(looking.map(|names| format!("not used, since {method} has no backbone: {names}")));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn options_that_a_method_does_not_use_are_named() {
        let told = |line: &str| match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Fit(args) => lines(&args).unwrap().join("; "),
            other => panic!("{other:?}"),
        };
        let idle = told("blemish fit D --resume --time-limit 1m --precision mixed");
        assert_eq!(
            idle,
            "not used, since patchcore does not train: --resume, --time-limit, --precision mixed"
        );
        assert!(
            told("blemish fit D --method filter --backbone resnet18").contains("no backbone: --backbone")
        );
        assert_eq!(told("blemish fit D --method fastflow --resume --time-limit 1m --backbone resnet18"), "");
        assert!(told("blemish fit D --textures T").contains("no textures over images: --textures"));
        assert!(told("blemish fit --method winclip --layers a").contains("no feature maps: --layers"));
        assert_eq!(told("blemish fit --method winclip --backbone clip_vit_b_32 --weights F"), "");
        assert_eq!(told("blemish fit D"), "");
    }
}

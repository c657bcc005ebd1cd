//! A method with settings in one word: `patchcore:coreset_ratio=0.01:size=320x320`.

use crate::args::square;
use blemish::pick::Candidate;
use std::str::FromStr;

/// Options of `fit` that may stand among the settings.
const OPTIONS: [&str; 6] = ["size", "crop", "backbone", "layers", "weights", "ensemble"];

/// A method with settings, as `bench` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodSpec {
    /// The whole word, as given.
    pub text: String,
    method: String,
    pairs: Vec<(String, String)>,
}

impl FromStr for MethodSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split(':');
        let method = parts.next().unwrap_or_default().to_owned();
        let entry = blemish::registry::method(&method).map_err(|error| error.to_string())?;
        let pairs: Vec<(String, String)> = parts
            .map(|part| {
                let (key, value) =
                    part.split_once('=').ok_or_else(|| format!("`{part}` is not of the form KEY=VALUE"))?;
                Ok((key.to_owned(), value.to_owned()))
            })
            .collect::<Result<_, String>>()?;
        let spec = Self { text: text.trim().to_owned(), method, pairs };
        entry.parse(&spec.settings()).map_err(|error| error.to_string())?;
        Ok(spec)
    }
}

impl MethodSpec {
    /// The arguments of `fit` that it stands for. Layers and further backbones are joined by `+` in the word, since commas part methods.
    pub fn fit_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--method".to_owned(), self.method.clone()];
        for (key, value) in &self.pairs {
            if key == "ensemble" {
                value.split('+').for_each(|name| arguments.extend(["--ensemble".into(), name.into()]));
            } else if OPTIONS.contains(&key.as_str()) {
                arguments.extend([format!("--{key}"), value.replace('+', ",")]);
            } else {
                arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
            }
        }
        arguments
    }

    /// The method's own settings among the pairs.
    fn settings(&self) -> Vec<(String, String)> {
        self.pairs.iter().filter(|(key, _)| !OPTIONS.contains(&key.as_str())).cloned().collect()
    }

    /// The method as `pick` tries it: settings and a square size, since all it tries share the backbone.
    pub fn candidate(&self) -> Result<Candidate, String> {
        if let Some((key, _)) =
            self.pairs.iter().find(|(key, _)| OPTIONS.contains(&key.as_str()) && key != "size")
        {
            return Err(format!(
                "`{}`: beside settings only a size can be tried, and {key} is none",
                self.text
            ));
        }
        let size = self.pairs.iter().find(|(key, _)| key == "size");
        let side = size.map(|(_, size)| square(size)).transpose()?;
        Ok(Candidate { method: self.method.clone(), settings: self.settings(), side })
    }

    /// Whether the method looks through a backbone with feature maps.
    pub fn has_backbone(&self) -> bool {
        // Known since the word was read.
        let needs = blemish::registry::method(&self.method)
            .and_then(|entry| entry.needs(&entry.parse(&self.settings())?));
        needs.is_ok_and(|needs| needs.has_maps())
    }

    /// Whether the word itself names this option.
    pub fn names(&self, option: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_options_become_arguments() {
        let spec: MethodSpec = "patchcore:coreset_ratio=0.01:size=64x64:layers=a+b".parse().unwrap();
        let expected = "--method patchcore --set coreset_ratio=0.01 --size 64x64 --layers a,b";
        assert_eq!(spec.fit_arguments().join(" "), expected);
        assert!(spec.names("layers") && !spec.names("backbone") && spec.has_backbone());
        let spec: MethodSpec = "padim:ensemble=resnet18+vgg16".parse().unwrap();
        assert_eq!(spec.fit_arguments().join(" "), "--method padim --ensemble resnet18 --ensemble vgg16");
        assert!(!"filter".parse::<MethodSpec>().unwrap().has_backbone());
    }

    #[test]
    fn settings_and_a_square_size_can_be_tried() {
        let candidate = |text: &str| text.parse::<MethodSpec>().unwrap().candidate();
        let glow = candidate("glow:steps=9:size=64").unwrap();
        assert_eq!((glow.spec(), glow.side), ("glow:steps=9:size=64x64".to_owned(), Some(64)));
        assert_eq!(candidate("padim").unwrap().side, None);
        assert!(candidate("padim:size=64x32").unwrap_err().contains("no square size"));
        assert!(candidate("padim:crop=64x64").unwrap_err().contains("crop"));
    }

    #[test]
    fn what_no_fit_would_take_is_refused_at_once() {
        for (text, words) in [
            ("patchwork", "there is no method"),
            ("padim:epsilon", "KEY=VALUE"),
            ("padim:speed=1", "no such setting"),
            ("patchcore:coreset_ratio=7", "0.0001 to 1"),
        ] {
            let error = text.parse::<MethodSpec>().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}

//! What a pick chooses from.

use crate::config::DetectorConfig;
use blemish_core::error::Error;
use blemish_core::needs::Needs;
use blemish_core::settings::Settings;
use blemish_data::Transform;
use blemish_features::BackboneSpec;
use blemish_methods::registry;

/// One method with settings, at one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Name in the registry.
    pub method: String,
    /// Settings that differ from the defaults.
    pub settings: Vec<(String, String)>,
    /// Side of the square that images are resized to; `None` is the method's own transform, which a `fit` takes by itself.
    pub side: Option<usize>,
}

type Line = (&'static str, &'static [(&'static str, &'static str)], Option<usize>);

/// What is tried of each method. A method that is not here is tried as it is by default, unless it trains for long or needs prompts.
const TRIED: &[Line] = &[
    ("patchcore", &[], Some(256)),
    ("patchcore", &[("coreset_ratio", "0.01")], Some(256)),
    ("patchcore", &[("coreset_ratio", "0.01"), ("image_score", "max")], Some(256)),
    ("patchcore", &[("coreset_ratio", "0.01"), ("image_score", "max")], Some(160)),
    ("patchcore", &[("coreset_ratio", "0.01"), ("image_score", "max")], Some(384)),
    ("patchcore", &[("coreset_ratio", "0.01"), ("image_score", "max")], Some(512)),
    ("padim", &[], None),
    ("padim", &[], Some(160)),
    ("padim", &[], Some(384)),
];

/// Every candidate, in the order of the registry.
pub fn candidates() -> Vec<Candidate> {
    registry::methods()
        .iter()
        .flat_map(|entry| {
            let info = entry.info();
            let listed: Vec<Line> = TRIED.iter().filter(|line| line.0 == info.name).copied().collect();
            let default = (info.name, [].as_slice(), None);
            let needs = entry.needs(&Settings::new()).ok();
            let is_quick = needs.is_some_and(|needs| !needs.trains_long() && needs.good_images > 0);
            if listed.is_empty() && is_quick { vec![default] } else { listed }
        })
        .map(|(method, settings, side)| Candidate {
            method: method.into(),
            settings: settings.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
            side,
        })
        .collect()
}

impl Candidate {
    /// As `blemish bench --methods` takes it: `METHOD:KEY=VALUE:size=WxH`.
    pub fn spec(&self) -> String {
        let settings = self.settings.iter().map(|(key, value)| format!(":{key}={value}"));
        let size = self.side.map(|side| format!(":size={side}x{side}"));
        std::iter::once(self.method.clone()).chain(settings).chain(size).collect()
    }

    /// The options of `blemish fit` that make this candidate.
    pub fn fit_options(&self) -> String {
        let settings = self.settings.iter().map(|(key, value)| format!(" --set {key}={value}"));
        let size = self.side.map(|side| format!(" --size {side}x{side}"));
        std::iter::once(format!("--method {}", self.method)).chain(settings).chain(size).collect()
    }

    /// Whether it looks through a backbone.
    pub fn has_backbone(&self) -> bool {
        self.needs().is_ok_and(|needs| needs.has_backbone())
    }

    /// Whether it is trained in many steps.
    pub(super) fn trains_long(&self) -> bool {
        self.needs().is_ok_and(|needs| needs.trains_long())
    }

    fn needs(&self) -> Result<Needs, Error> {
        let entry = registry::method(&self.method)?;
        entry.needs(&entry.parse(&self.settings)?)
    }

    /// The configuration of a fit with a backbone and the further ones of an ensemble; methods without a backbone ignore them.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`], [`Error::Setting`].
    pub fn config(
        &self,
        backbone: &BackboneSpec,
        ensemble: &[BackboneSpec],
        seed: u64,
    ) -> Result<DetectorConfig, Error> {
        let entry = registry::method(&self.method)?;
        let settings: Settings = entry.parse(&self.settings)?;
        let ensemble = if self.has_backbone() { ensemble } else { &[] };
        Ok(DetectorConfig {
            method: self.method.clone(),
            settings,
            backbone: backbone.clone(),
            ensemble: ensemble.to_vec(),
            transform: self.side.map(|side| Transform::resize_to(side, side)),
            seed,
            ..DetectorConfig::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_can_be_configured_and_is_tried_once() {
        let all = candidates();
        assert!(all.len() >= TRIED.len());
        for candidate in &all {
            candidate.config(&BackboneSpec::default(), &[], 0).unwrap();
            assert_eq!(all.iter().filter(|other| other.spec() == candidate.spec()).count(), 1);
        }
        let specs: Vec<String> = all.iter().map(Candidate::spec).collect();
        assert!(
            specs.contains(&"patchcore:coreset_ratio=0.01:image_score=max:size=160x160".into()),
            "{specs:?}"
        );
        assert_eq!(all[1].fit_options(), "--method patchcore --set coreset_ratio=0.01 --size 256x256");
    }
}

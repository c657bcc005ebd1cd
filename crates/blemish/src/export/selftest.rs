//! Pictures with their scores: what a deployment can check itself with, whatever engine and precision it runs in.

use super::build::{IMAGE, build};
use super::options::{Depth, ExportOptions, GraphImages, Layout};
use super::trial::{of_tensor, resized, stored};
use super::{Exported, OPENVINO};
use crate::config::ScoreOptions;
use crate::detector::Detector;
use blemish_core::error::Error;
use blemish_core::export::cannot;
use blemish_data::files::Staging;
use blemish_data::{Pixels, Transform, png};
use blemish_features::EngineOptions;
use blemish_features::executors::{Fed, FedTensor, ModelSource, WholeModel};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Pictures, noise among them.
const PICTURES: usize = 3;

/// The side of noise where the graph says no size.
const SIDE: (usize, usize) = (480, 640);

/// What the file of a self-test says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTest {
    /// SHA-256 of the model that the graph is of.
    pub identity: String,
    /// What the graph takes: `tensor`, `WxH` or `any`.
    pub input: String,
    /// How pictures become the tensor that goes in for `tensor`: of each input size, the largest first.
    pub transform: Vec<Transform>,
    /// What to know before a score is compared.
    pub note: String,
    /// A score may be off by this much.
    pub allowed_difference: f64,
    /// The pictures.
    pub images: Vec<SelfTestImage>,
}

/// A picture and what the model makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfTestImage {
    /// The file, beside this one; for `tensor` its values over 255 are what goes in.
    pub file: String,
    /// Score.
    pub score: f32,
    /// P-value; null without a calibration.
    pub p_value: Option<f64>,
    /// Decision; null without a threshold.
    pub anomalous: Option<bool>,
    /// The highest value of its map.
    pub map_maximum: f32,
}

impl Detector {
    /// Writes pictures and `selftest.json` with their scores into a folder.
    ///
    /// # Errors
    /// [`Error::Io`]; as scoring; [`Error::Export`] for graphs of 16-bit pictures.
    pub fn write_selftest(&self, exported: &Exported, folder: &Path) -> Result<SelfTest, Error> {
        let ExportOptions { images, depth, .. } = *exported.options();
        if depth == Depth::Sixteen {
            return Err(cannot("self-test pictures are of 8 bit; leave --depth 16 or --selftest-images out"));
        }
        let staging =
            Staging::new(folder).map_err(|(path, source)| Error::Io { action: "write", path, source })?;
        let mut entries = Vec::new();
        // What a pixel that is rounded another way does to a score, in the proof and in these pictures.
        let mut off = exported.parity.odd_score_difference.unwrap_or_default();
        let plain = build(self, &ExportOptions { layout: Layout::Blemish, ..*exported.options() })?;
        let graph = WholeModel::load(ModelSource::Bytes(plain.model.encode()), &EngineOptions::default())?;
        let stored = stored(self, SIDE)?;
        for (at, picture) in stored.iter().take(PICTURES).enumerate() {
            let size = match images {
                GraphImages::Sized { height, width } => (height, width),
                GraphImages::Any if at > 0 => SIDE,
                _ => (picture.height, picture.width),
            };
            let image = resized(&picture.image(), size, Depth::Eight)?;
            // What goes in as a tensor is not transformed again.
            let scored = match (images, self.model.single()) {
                (GraphImages::Tensor, Some(_)) => of_tensor(self, picture, size)?.scored,
                _ => self.score_image(&image, &ScoreOptions::default())?,
            };
            let Pixels::U8(values) = &image.pixels else { continue };
            let planes: Vec<u8> =
                (0..3).flat_map(|channel| values[channel..].iter().step_by(3).copied()).collect();
            if images != GraphImages::Tensor {
                let fed =
                    FedTensor { name: IMAGE, shape: vec![1, size.0, size.1, 3], values: Fed::U8(values) };
                let given = graph.run(&[fed], &["score"])?;
                let score =
                    given.first().and_then(|tensor| tensor.values.first()).copied().unwrap_or_default();
                off = off.max((score - f64::from(scored.score)).abs());
            }
            let file = format!("picture-{}.png", at + 1);
            let bytes = png::encode_planar(&planes, size.0, size.1).map_err(cannot)?;
            let path = staging.path().join(&file);
            std::fs::write(&path, bytes).map_err(|source| Error::Io { action: "write", path, source })?;
            let calibration = self.calibration();
            entries.push(SelfTestImage {
                file,
                score: scored.score,
                p_value: calibration.map(|calibration| calibration.p_value(scored.score)),
                anomalous: calibration.and_then(|calibration| calibration.is_anomalous(scored.score)),
                map_maximum: scored.extremes().map_maximum,
            });
        }
        let test = SelfTest {
            identity: self.identity(),
            input: images.to_string(),
            transform: self.model.views.iter().map(|view| (**view.transform()).clone()).collect(),
            note: format!("compare `score` by allowed_difference; {OPENVINO}"),
            allowed_difference: exported.parity.allowed_score_difference + 2.0 * off,
            images: entries,
        };
        let path = staging.path().join("selftest.json");
        let text = serde_json::to_string_pretty(&test).unwrap_or_default();
        std::fs::write(&path, text).map_err(|source| Error::Io { action: "write", path, source })?;
        staging.publish("selftest.json").map_err(|source| Error::Io {
            action: "write",
            path: folder.to_owned(),
            source,
        })?;
        Ok(test)
    }
}

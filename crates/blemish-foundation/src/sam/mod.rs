//! Segment Anything (arXiv 2304.02643): masks from boxes and points.
//!
//! ```text
//! image -> longer side 1024, zeros to the square -> encoder -> a row a patch (once an image)
//! box, points, rough mask -> prompt encoder -> a few rows -> decoder with the image's rows -> mask of 256 x 256 logits
//!       -> 1024, the zeros' part cut off, the image's size; above 0 is inside
//! ```
//!
//! Weights are those of segment-anything's checkpoints or of transformers' files, told apart by their names, or MobileSAM's checkpoint.

mod config;
mod decoder;
mod encoder;
mod names;
mod prompts;
mod relative;
#[cfg(test)]
mod tests;
mod tiny_vit;

pub use config::{SamConfig, TinyVitConfig};
pub use decoder::SamMasks;
pub use prompts::{Point, SamPrompt};

use crate::parameters::read;
use blemish_features::{FeatureError, StateDict};
use blemish_kernels::map::{resize_antialiased, resize_bilinear};
use decoder::MaskDecoder;
use encoder::ImageEncoder;
use prompts::PromptEncoder;
use tiny_vit::TinyVit;

/// Mean and deviation of pixels that the network was trained with, of values in [0, 255].
const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];

/// A Segment Anything network, ready to run.
#[derive(Debug)]
pub struct Sam {
    config: SamConfig,
    encoder: Encoder,
    prompts: PromptEncoder,
    decoder: MaskDecoder,
    /// Where patches lie, a row each.
    places: Vec<f32>,
}

/// The part that looks at images.
#[derive(Debug)]
enum Encoder {
    Vit(ImageEncoder),
    Tiny(TinyVit),
}

/// What the network has seen of an image, for any number of prompts.
#[derive(Clone, Debug, PartialEq)]
pub struct SamImage {
    rows: Vec<f32>,
    /// H and W of the image, in pixels.
    size: (usize, usize),
    /// The same on the network's square, before zeros are added.
    scaled: (usize, usize),
}

impl SamImage {
    /// The embedding, a row a patch.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }
}

impl Sam {
    /// A network from its weights, with the names of either; names of tensors that it has no use for are ignored.
    ///
    /// # Errors
    /// [`FeatureError::WeightsMismatch`] with every tensor that is missing or misshapen.
    pub fn load(config: SamConfig, state: StateDict) -> Result<Self, FeatureError> {
        let state = names::unified(state);
        read(&config.name.clone(), "transformers'", &state, |parameters| {
            let prompts = PromptEncoder::load(&config, &parameters.at("prompt_encoder"));
            let vision = parameters.at("vision_encoder");
            let encoder = match &config.tiny {
                None => Encoder::Vit(ImageEncoder::load(&config, &vision)),
                Some(tiny) => Encoder::Tiny(TinyVit::load(&config, tiny, &vision)),
            };
            let decoder = MaskDecoder::load(&config, &parameters.at("mask_decoder"));
            let places = prompts.patch_places();
            Self { config, encoder, prompts, decoder, places }
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &SamConfig {
        &self.config
    }

    /// Looks at an image, 3 x H x W in [0, 1], red first.
    ///
    /// # Errors
    /// [`FeatureError::BadInput`] if the values are not as many as that.
    pub fn look(&self, rgb: &[f32], (height, width): (usize, usize)) -> Result<SamImage, FeatureError> {
        if rgb.len() != 3 * height * width || rgb.is_empty() {
            return Err(FeatureError::BadInput { found: rgb.len(), size: [1, height, width] });
        }
        let scaled = self.scaled((height, width));
        let planes = self.prepared(rgb, (height, width));
        let rows = match &self.encoder {
            Encoder::Vit(encoder) => encoder.apply(&planes),
            Encoder::Tiny(encoder) => encoder.apply(&planes),
        };
        Ok(SamImage { rows, size: (height, width), scaled })
    }

    /// Sides of an image on the network's square.
    fn scaled(&self, (height, width): (usize, usize)) -> (usize, usize) {
        let scale = self.config.side as f64 / height.max(width) as f64;
        let side = |side: usize| ((side as f64 * scale + 0.5) as usize).max(1);
        (side(height), side(width))
    }

    /// The image as the network takes it: resized, normalised, zeros to the right and below.
    fn prepared(&self, rgb: &[f32], size: (usize, usize)) -> Vec<f32> {
        let side = self.config.side;
        let (height, width) = self.scaled(size);
        let mut square = vec![0.0f32; 3 * side * side];
        for (channel, plane) in rgb.chunks_exact(size.0 * size.1).enumerate() {
            let resized = resize_antialiased(plane, size, (height, width));
            let target = &mut square[channel * side * side..][..side * side];
            for (to, from) in target.chunks_exact_mut(side).zip(resized.chunks_exact(width)) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = (255.0 * from - MEAN[channel]) / DEVIATION[channel];
                }
            }
        }
        square
    }

    /// The mask of every prompt, or three alternatives of every prompt for points that may mean several things.
    ///
    /// # Errors
    /// [`FeatureError::Prompt`] for a rough mask of another size.
    pub fn masks(
        &self,
        image: &SamImage,
        prompts: &[SamPrompt],
        has_alternatives: bool,
    ) -> Result<Vec<SamMasks>, FeatureError> {
        let side = 4 * self.config.grid();
        let scale =
            [image.scaled.1 as f32 / image.size.1 as f32, image.scaled.0 as f32 / image.size.0 as f32];
        let each = |prompt: &SamPrompt| {
            if let Some(mask) = prompt.mask.as_ref().filter(|mask| mask.len() != side * side) {
                let reason = format!("a rough mask has {} values, not {side} x {side}", mask.len());
                return Err(FeatureError::Prompt { reason });
            }
            let mut rows = self.prompts.dense(prompt);
            blemish_kernels::transformer::add(&mut rows, &image.rows);
            Ok(self.decoder.apply(rows, &self.places, &self.prompts.sparse(prompt, scale), has_alternatives))
        };
        prompts.iter().map(each).collect()
    }

    /// A mask's logits at the image's size.
    pub fn at_image_size(&self, image: &SamImage, logits: &[f32]) -> Vec<f32> {
        let side = self.config.side;
        let low = 4 * self.config.grid();
        let square = resize_bilinear(logits, (low, low), (side, side));
        let (height, width) = image.scaled;
        let cut: Vec<f32> =
            square.chunks_exact(side).take(height).flat_map(|row| &row[..width]).copied().collect();
        resize_bilinear(&cut, image.scaled, image.size)
    }
}

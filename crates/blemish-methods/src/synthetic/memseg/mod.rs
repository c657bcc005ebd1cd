//! MemSeg: a mask drawn from what is seen and how it differs from the most similar of a few good images.
//!
//! Yang, Wu, Liu, Feng, "MemSeg: A semi-supervised method for image surface defect detection using differences and commonalities",
//! Engineering Applications of Artificial Intelligence 2023, arXiv 2205.00908. There is no official code; two public accounts of the paper
//! answer its open questions differently, and `variant` chooses between them.
//!
//! ```text
//! f_0 (stride 2), f_1, f_2, f_3 (4, 8, 16)   the backbone, frozen; f_4 (32) a last stage that is trained
//! m         the image of the memory with the least sum over the levels of mean (f_l - m_l)^2
//! D_l       (f_l - m_l)^2;  CI_l = (f_l, D_l)
//! K_l       3x3(3x3(3x3(CI_l) * CI_l * a_h * a_w)), a_h and a_w coordinate attention;  F_l = K_l + 3x3(up(F_(l+1)))
//! M_l       mean of D_l over its channels, times up(M_(l+1))
//! mask      decoder(f_4; F_3 M_3, F_2 M_2, F_1 M_1, f_0), softmax of two classes
//! loss      0.6 mean |p - mask| + 0.4 focal (gamma 4), on good images and on simulated defects by turns
//! score     the map is p; the image's score is the mean of its 100 largest values
//! ```
//!
//! Defects are made where the product is. `foreground=auto` tells it from the background by Otsu's threshold on the median of the good
//! images, the background being what their border shows; `foreground_mask` gives it. With `blemish fit --pictures DIR` a picture shows what
//! was found and some of the defects that are trained on: look at it before a long training.
//!
//! The last stage: two residual blocks of twice the channels of the deepest frozen level, as ResNet-18's last stage is built, from random
//! weights, since weights of a backbone beyond stride 16 are mostly not at hand (the embedded one ends there). Where the layers that are
//! given reach stride 32 (`--backbone resnet18 --layers stem,layer1,layer2,layer3,layer4`), the backbone's own layers behind stride 16
//! are trained from their weights instead. Without a layer of stride 2 the decoder does without f_0.
//!
//! The flow of a fit: `samples` (images, `foreground`, defects), `memory` (features, selection, differences), `network` (`last_stage`, fusion,
//! decoder), `fit`.
//!
//! What it finds is what the simulated defects are like: changes of texture with an edge. `blemish data synth` with 100 good images of 256
//! pixels and seed 11, `preset=cpu`, last step, seed 0; AUROC and AUPRO in percent:
//!
//! | look | image | pixel | AUPRO | each defect, image |
//! |---|---|---|---|---|
//! | fabric | 100.0 | 97.6 | 77.7 | broken and loose threads, hole, stain 100 |
//! | metal | 92.0 | 74.8 | 61.5 | pits, scratch, stain 100, dent 68 |
//! | print | 90.8 | 90.9 | 81.6 | missing 100, scratch, smear 98, stain 81, misprint 77 |
//!
//! Masks are sharp and good images stay dark altogether. Dents are a soft change of light without an edge, like nothing that the simulation
//! makes: they are found no better than by chance, and cost the pixels of metal their figure.
//!
//! # Deviations
//! - The stem is frozen, too: the re-implementation trains it, and the features drift away from those in the memory.
//! - Frozen normalisations are folded into their convolutions; a trained last stage of a backbone is trained in that form.
//! - `preset=cpu` leaves a training image that is in the memory out of its own comparison (no new image ever finds itself there) and
//!   divides M_l by its mean over good images, since its size, a product of squares, is another with every backbone. `preset=paper` does
//!   neither.
//! - Images enter whole at 256 x 256 as in the paper; the re-implementation simulates at 288 and crops. Blends are not cut to 8 bits.
//! - The rate's warm-up begins at a tenth of its height; weights are those of the last step, not the best on test images.
//! - `variant=fragments` normalises the three convolutions of each level, not those between levels; its accounts leave it open.

mod config;
mod cost;
mod export;
mod fit;
mod foreground;
#[cfg(test)]
mod golden;
mod last_stage;
mod memory;
mod network;
mod samples;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{
    Attention, DecoderKind, Difference, Foreground, FusionKind, MemSegConfig, Selection, Variant,
};

use crate::shared::mean_of_largest::mean_of_largest;
use crate::shared::network_state;
use crate::shared::tensors::{device_of, scoring_device, values_of};
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::preset::Preset;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_nn::init::Init;
use blemish_nn::layers::Phase;
use blemish_nn::train::Curve;
use config::NAME;
use memory::Memory;
use network::Network;

/// A fitted MemSeg.
pub struct MemSeg {
    config: MemSegConfig,
    memory: Memory,
    network: Network,
    curve: Curve,
}

/// Probability of a defect of every pixel from logits of good and defective, 2 x H x W.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    let (good, defective) = logits.split_at(logits.len() / 2);
    good.iter().zip(defective).map(|(good, defective)| 1.0 / (1.0 + (good - defective).exp())).collect()
}

impl Method for MemSeg {
    type Config = MemSegConfig;

    const INFO: MethodInfo = MethodInfo {
        name: NAME,
        summary: "a mask drawn from features and their difference to the most similar of a few good images; learns from simulated defects",
        advice: "for aligned parts and sharp masks; scores fast, with a small model; weak where parts are turned or what is wrong is an arrangement; trains for minutes (hours as published)",
        citation: "Yang, Wu, Liu, Feng, MemSeg: A semi-supervised method for image surface defect detection using differences and commonalities, Engineering Applications of Artificial Intelligence 2023, arXiv 2205.00908",
        family: Family::Synthetic,
    };

    const EXPORT: Export<Self> = Export::Written(export::write);

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_maps(&[2, 4, 8, 16]).training_long().laying_textures().opening_backbone()
    }

    fn preset(preset: Preset) -> Option<Self::Config> {
        Some(MemSegConfig::of(preset))
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::resize_to(256, 256)
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        fit::fit(config, train, context)
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        let batch = input.maps()?;
        let (height, width) = (batch.height, batch.width);
        let device = device_of(&self.network);
        let (rules, inside) = (self.config.rules(), input.region());
        let mut scores = Vec::with_capacity(batch.count);
        // One at a time: the sums of a product may depend on its size, and scores must not depend on the batch.
        for image in 0..batch.count {
            let seen = self.memory.look(batch, image..image + 1, &rules, &|_| None, &device)?;
            let values = probabilities(&values_of(self.network.forward(&seen, Phase::Scoring))?);
            let counted = match inside {
                Some(mask) => values
                    .iter()
                    .zip(&mask.marked)
                    .filter(|(_, inside)| **inside)
                    .map(|(&value, _)| value)
                    .collect(),
                None => values.clone(),
            };
            let image_score = Some(mean_of_largest(counted, self.config.top));
            scores.push(PatchScores { height, width, values, image_score });
        }
        Ok(scores)
    }

    fn map_stage(&self) -> MapStage {
        MapStage::bilinear(self.config.sigma)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.memory.store(&mut state);
        network_state::store(&self.network, "", &self.curve, &mut state);
        state
    }

    fn config(&self) -> &Self::Config {
        &self.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let backbone = stored.require_backbone(NAME)?;
        let Stored { config, state, device, .. } = stored;
        let memory = Memory::restore(&state)?;
        let blank =
            fit::network(&config, &backbone, memory.layers(), &mut Init::blank(&scoring_device(device)?))?;
        let (network, curve) = network_state::load(blank, "", &state)?;
        Ok(Self { config, memory, network, curve })
    }
}

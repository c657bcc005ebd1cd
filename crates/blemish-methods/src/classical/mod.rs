//! The classical family: textbook image processing as detectors that need no network and no weights.
//!
//! Three methods, `statistical`, `structural` and `filter`, differ only in the filters they choose by themselves; each takes any bank of
//! filters. All share one frame:
//!
//! ```text
//! image -> planes (grey or opponent colours, registered) -> filter -> features on a grid
//!       -> model of normality -> distance map -> smoothing -> calibration -> combination over the bank -> map, image score
//! ```
//!
//! - `bank`: the filters there are, and what suits each.
//! - `planes`: colour, and registration for aligned parts.
//! - `prepare`: what filters learn first (quantiles, textons, spectra).
//! - `responses`: features, one function a filter; the numerics are in `blemish_kernels::image`.
//! - `normality`: the models (position, Gaussian, bank, histograms, the image itself), made by `learn`.
//! - `expert`: the calibrated, combined map. `fit`: the passes over the good images.
//!
//! Smoothing happens here and not in the map stage since maps of several filters are calibrated, and then combined, only when smooth.
//! Calibration divides by the usual image score and not by the map's deviation: combined by maximum, every filter then raises about as
//! many false alarms as any other, for any shape of its distribution.
//!
//! Images keep their own size; only models of positions and registration need one size for all. Sources: the papers named at the
//! kernels; Steger, Ulrich and Wiedemann, Machine Vision Algorithms and Applications, for the variation model (`pixel`).

mod bank;
mod config;
mod expert;
mod fit;
mod learn;
mod normality;
mod planes;
mod prepare;
mod responses;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{Align, ClassicalConfig, Colour, Combine, HistogramDistance, ModelChoice};

use bank::Filter;
use blemish_core::error::Error;
use blemish_core::export::Export;
use blemish_core::input::Input;
use blemish_core::map::{BlurBorder, Interpolation, MapStage, PatchScores};
use blemish_core::method::{Family, FitContext, Method, MethodInfo, Stored, TrainingSet};
use blemish_core::needs::Needs;
use blemish_core::state::State;
use blemish_data::Transform;
use blemish_kernels::image::windows::Windows;
use config::NAME;
use expert::Detecting;
use std::marker::PhantomData;

/// A member of the family: its name and the filters it chooses by itself.
pub trait Member: Send + Sync + 'static {
    /// Name, advice, needs.
    const INFO: MethodInfo;
    /// Filters joined by `+`.
    const BANK: &'static str;
}

/// Grey and colour histograms, binary patterns, co-occurrence, per-pixel statistics.
pub struct StatisticalMember;
/// Morphology, textons, patches, templates.
pub struct StructuralMember;
/// Edges, Gabor filters, wavelets, Fourier methods.
pub struct FilterMember;

/// Local statistics.
pub type Statistical = Classical<StatisticalMember>;
/// Local structure.
pub type Structural = Classical<StructuralMember>;
/// Filter banks.
pub type FilterBank = Classical<FilterMember>;

impl Member for StatisticalMember {
    const INFO: MethodInfo = MethodInfo {
        name: "statistical",
        summary: "local histograms, binary patterns, co-occurrence (histogram, lbp, glcm), or the mean and deviation of every pixel (pixel)",
        advice: "for stains, colour and roughness of even surfaces, from five good images on; blind to structure in the right colours",
        citation: "Ojala et al., Multiresolution gray-scale and rotation invariant texture classification with local binary patterns, \
                   PAMI 2002; Haralick et al., Textural features for image classification, 1973",
        family: Family::Classical,
    };
    const BANK: &'static str = "histogram+lbp";
}

impl Member for StructuralMember {
    const INFO: MethodInfo = MethodInfo {
        name: "structural",
        summary: "morphology (tophat, lines, granulometry), textons, a dictionary of patches, templates of registered parts (template)",
        advice: "patches for prints and boards that show ever other parts, template for aligned parts, tophat for spots and scratches",
        citation: "Serra, Image Analysis and Mathematical Morphology, 1982; Varma and Zisserman, A statistical approach to texture \
                   classification from single images, IJCV 2005",
        family: Family::Classical,
    };
    const BANK: &'static str = "tophat+textons";
}

impl Member for FilterMember {
    const INFO: MethodInfo = MethodInfo {
        name: "filter",
        summary: "edges (sobel, laplacian, canny), gabor, wavelet, daubechies, wavelet_residual, spectral, phase, notch, whiten",
        advice: "for woven, brushed and printed textures; spectral and phase learn next to nothing, notch and whiten want a periodic texture",
        citation: "Kumar and Pang, Defect detection in textured materials using Gabor filters, 2002; Hou and Zhang, Saliency detection: \
                   a spectral residual approach, CVPR 2007; Tsai and Hsieh 1999; Aiger and Talbot 2010",
        family: Family::Classical,
    };
    const BANK: &'static str = "gabor+laplacian";
}

/// A fitted classical method.
pub struct Classical<M> {
    detecting: Detecting,
    member: PhantomData<fn() -> M>,
}

/// The filters and windows that settings ask for.
fn plan<M: Member>(config: &ClassicalConfig) -> Result<(Vec<Filter>, Windows), Error> {
    let filters = Filter::parse(config.bank.as_deref().unwrap_or(M::BANK))?;
    let windows = Windows::new(config.window, config.step).map_err(|reason| Error::Setting {
        key: "window".into(),
        reason,
        help: format!("with step={}: {} or {}", config.step, 3 * config.step, 5 * config.step),
    })?;
    Ok((filters, windows))
}

/// An error of a fit with the member's own name.
fn named<M: Member>(error: Error) -> Error {
    match error {
        Error::Fit { method: NAME, reason } => Error::Fit { method: M::INFO.name, reason },
        other => other,
    }
}

impl<M: Member> Method for Classical<M> {
    type Config = ClassicalConfig;

    const INFO: MethodInfo = M::INFO;

    const EXPORT: Export<Self> = Export::Missing("its filters and histograms have no graph yet");

    fn needs(_: &Self::Config) -> Needs {
        Needs::of_images()
    }

    fn default_transform(_: &Self::Config) -> Transform {
        Transform::native()
    }

    fn fit(config: &Self::Config, train: &dyn TrainingSet, context: &FitContext<'_>) -> Result<Self, Error> {
        let (filters, windows) = plan::<M>(config)?;
        let bank = filters.iter().map(|filter| filter.name()).collect::<Vec<_>>().join("+");
        let config = ClassicalConfig { bank: Some(bank), ..config.clone() };
        let detecting = fit::fit(config, &filters, windows, train, context).map_err(named::<M>)?;
        Ok(Self { detecting, member: PhantomData })
    }

    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        self.detecting.score(input.images()?)
    }

    fn map_stage(&self) -> MapStage {
        // Maps have the image's size and are smooth already.
        MapStage { interpolation: Interpolation::Nearest, sigma: 0.0, border: BlurBorder::Mirror }
    }

    fn state(&self) -> State {
        self.detecting.state()
    }

    fn config(&self) -> &Self::Config {
        &self.detecting.config
    }

    fn restore(stored: Stored<Self::Config>) -> Result<Self, Error> {
        let Stored { config, state, .. } = stored;
        let (filters, windows) = plan::<M>(&config)?;
        let detecting = Detecting::restore(config, &filters, windows, &state)?;
        Ok(Self { detecting, member: PhantomData })
    }
}

//! The filters there are, by name.

use super::config::{Align, ModelChoice};
use blemish_core::error::Error;

/// A filter: what is computed of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    // Statistics.
    /// Grey or colour histogram of each window.
    Histogram,
    /// Histogram of local binary patterns of each window, with their contrast.
    Lbp,
    /// Co-occurrence features of each window.
    Glcm,
    /// The pixels themselves.
    Pixel,
    // Structure.
    /// Bright and dark details smaller than discs.
    Tophat,
    /// Details that hold no line in any direction.
    Lines,
    /// What openings of growing size take away.
    Granulometry,
    /// Histogram of textons of each window.
    Textons,
    /// Small patches.
    Patches,
    /// Softened pixels and gradients, for registered parts.
    Template,
    // Filters.
    /// Sobel gradient.
    Sobel,
    /// Laplacian of Gaussian.
    Laplacian,
    /// Density of Canny's edges.
    Canny,
    /// Gabor energies.
    Gabor,
    /// Energies of Haar wavelets.
    Wavelet,
    /// Energies of Daubechies wavelets.
    Daubechies,
    /// What is left when the wavelet bands that carry the texture are taken out.
    WaveletResidual,
    /// Spectral residual.
    Spectral,
    /// Phase-only transform.
    Phase,
    /// What is left when the texture's own frequencies are taken out.
    Notch,
    /// The image with the texture's mean spectrum made flat.
    Whiten,
}

impl Filter {
    pub(super) const ALL: [(&'static str, Self); 21] = [
        ("histogram", Self::Histogram),
        ("lbp", Self::Lbp),
        ("glcm", Self::Glcm),
        ("pixel", Self::Pixel),
        ("tophat", Self::Tophat),
        ("lines", Self::Lines),
        ("granulometry", Self::Granulometry),
        ("textons", Self::Textons),
        ("patches", Self::Patches),
        ("template", Self::Template),
        ("sobel", Self::Sobel),
        ("laplacian", Self::Laplacian),
        ("canny", Self::Canny),
        ("gabor", Self::Gabor),
        ("wavelet", Self::Wavelet),
        ("daubechies", Self::Daubechies),
        ("wavelet_residual", Self::WaveletResidual),
        ("spectral", Self::Spectral),
        ("phase", Self::Phase),
        ("notch", Self::Notch),
        ("whiten", Self::Whiten),
    ];

    /// The filters of a bank such as `gabor+wavelet`.
    ///
    /// # Errors
    /// [`Error::Setting`] for an unknown name, one that stands twice, or an empty list.
    pub(super) fn parse(bank: &str) -> Result<Vec<Self>, Error> {
        let fail = |reason: String| Error::Setting {
            key: "bank".into(),
            reason,
            help: format!("allowed, joined by `+`: {}", Self::ALL.map(|(name, _)| name).join(", ")),
        };
        let mut filters = Vec::new();
        for name in bank.split('+').map(str::trim) {
            let known = Self::ALL.iter().find(|(known, _)| *known == name);
            let &(_, filter) = known.ok_or_else(|| fail(format!("there is no filter `{name}`")))?;
            if filters.contains(&filter) {
                return Err(fail(format!("`{name}` is named twice")));
            }
            filters.push(filter);
        }
        Ok(filters)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, filter)| *filter == self).map_or("", |(name, _)| name)
    }

    /// The model of normality that suits the filter.
    fn natural_model(self) -> ModelChoice {
        match self {
            Self::Histogram | Self::Lbp | Self::Textons => ModelChoice::Histogram,
            Self::Pixel | Self::Template => ModelChoice::Position,
            Self::Patches => ModelChoice::Bank,
            Self::Spectral | Self::Phase => ModelChoice::Image,
            _ => ModelChoice::Gaussian,
        }
    }

    /// The model to use where `choice` is asked for.
    ///
    /// # Errors
    /// [`Error::Setting`] if the two do not go together.
    pub(super) fn model(self, choice: ModelChoice) -> Result<ModelChoice, Error> {
        let is_possible = match choice {
            ModelChoice::Auto => return Ok(self.natural_model()),
            ModelChoice::Histogram => self.natural_model() == ModelChoice::Histogram,
            // A Gaussian cannot model a million correlated patches.
            ModelChoice::Gaussian => !matches!(self, Self::Patches),
            _ => true,
        };
        if is_possible {
            return Ok(choice);
        }
        let choice = format!("{choice:?}").to_lowercase();
        Err(Error::Setting {
            key: "model".into(),
            reason: format!("filter `{}` has no features for the model `{choice}`", self.name()),
            help: "use auto, or another filter".into(),
        })
    }

    /// The registration that the filter needs.
    pub(super) fn natural_align(self) -> Align {
        match self {
            Self::Template => Align::Affine,
            Self::Pixel => Align::Shift,
            _ => Align::None,
        }
    }

    /// Whether features are compared as they are, not in units of their deviations.
    pub(super) fn is_uniform(self) -> bool {
        matches!(self, Self::Patches | Self::Pixel | Self::Template)
    }
}

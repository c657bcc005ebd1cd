//! Textbook image processing on planes: H x W values of `f32`, row-major, sizes as (height, width).
//!
//! | module | gives |
//! |---|---|
//! | [`convolve`] | separable correlation with the mirrored image beyond the border |
//! | [`edges`] | Sobel, Laplacian of Gaussian, Canny |
//! | [`gabor`] | quadrature pairs of the steerable, isotropic Gabor filters |
//! | [`wavelet`] | undecimated Haar and Daubechies transforms, and what each band contributes |
//! | [`fourier`] | spectral residual, phase-only transform, learnt spectra of overlapping tiles |
//! | [`morphology`] | grey erosion, dilation, opening, closing by flat elements |
//! | [`binary_patterns`] | rotation-invariant uniform local binary patterns |
//! | [`cooccurrence`] | grey-level co-occurrence features of windows |
//! | [`windows`] | sums and histograms of sliding windows, by blocks |
//! | [`distance`] | distances of histograms |
//! | [`registration`] | phase correlation, affine refinement, warping |
//! | [`rotation`] | rotation on the same canvas and reduction, there and back |
//!
//! Every function is a loop over rows that vectorises, alone on its thread: callers run images or planes side by side. All of it is
//! bound by the caches, a few reads and writes a pixel and filter, except Gabor filters (taps) and the Fourier transforms.

pub mod binary_patterns;
pub mod convolve;
pub mod cooccurrence;
pub mod distance;
pub mod edges;
pub mod fourier;
pub mod gabor;
pub mod morphology;
pub mod registration;
pub mod rotation;
#[cfg(test)]
mod tests;
pub mod wavelet;
pub mod windows;

/// Height and width, in pixels.
pub type Size = (usize, usize);

/// A plane with a margin of mirrored pixels on every side, so that neighbourhoods need no case for the border.
pub(crate) struct Padded {
    pub(crate) values: Vec<f32>,
    pub(crate) stride: usize,
    margin: usize,
}

impl Padded {
    /// The plane with `margin` pixels more on every side, mirrored without repeating the edge.
    pub(crate) fn mirrored(plane: &[f32], (height, width): Size, margin: usize) -> Self {
        check(plane, (height, width));
        let fold =
            |at: usize, length: usize| crate::map::Border::Mirror.fold(at as isize - margin as isize, length);
        let columns: Vec<usize> = (0..margin).chain(margin + width..width + 2 * margin).collect();
        let columns: Vec<usize> = columns.into_iter().map(|x| fold(x, width)).collect();
        let stride = width + 2 * margin;
        let mut values = Vec::with_capacity((height + 2 * margin) * stride);
        for y in 0..height + 2 * margin {
            let row = &plane[fold(y, height) * width..][..width];
            values.extend(columns[..margin].iter().map(|&x| row[x]));
            values.extend_from_slice(row);
            values.extend(columns[margin..].iter().map(|&x| row[x]));
        }
        Self { values, stride, margin }
    }

    /// `width` pixels of row `y` + `dy` from column `dx` on; offsets are at most the margin.
    #[inline(always)]
    pub(crate) fn row(&self, y: usize, dy: isize, dx: isize, width: usize) -> &[f32] {
        let margin = self.margin as isize;
        let start = (y as isize + dy + margin) as usize * self.stride + (dx + margin) as usize;
        &self.values[start..start + width]
    }
}

/// # Panics
/// If a plane has not height x width values or a side is zero: the callers' programming error.
#[track_caller]
pub(crate) fn check(plane: &[f32], (height, width): Size) {
    assert!(height * width > 0, "a plane has pixels");
    assert_eq!(plane.len(), height * width, "a plane has height x width values");
}

//! Filters on anomaly maps: H x W values, row-major.

mod blur;
mod resize;
#[cfg(test)]
mod tests;

pub use blur::{Border, blur_matrix, gaussian_blur, gaussian_weights};
pub use resize::{resize_aligned, resize_antialiased, resize_bilinear, resize_nearest};

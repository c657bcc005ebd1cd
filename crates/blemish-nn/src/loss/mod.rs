//! Losses, one a file. Unless said otherwise they are one number, the mean over all values.
//!
//! | loss | compares |
//! |---|---|
//! | [`l1`], [`l2`], [`smooth_l1`] | values with values |
//! | [`Ssim`] | images with images, by local means, variances and covariances |
//! | [`cross_entropy`] | logits of classes with true classes |
//! | [`binary_cross_entropy`], [`binary_cross_entropy_of_logits`] | probabilities or logits of one class with 0 to 1 |
//! | [`Focal`] | probabilities of classes with true classes; hard values count more |
//! | [`gaussian_kl`] | a diagonal Gaussian with the standard normal distribution |

mod binary_cross_entropy;
mod cross_entropy;
mod difference;
mod focal;
mod gaussian_kl;
mod mean;
mod ssim;

pub use binary_cross_entropy::{binary_cross_entropy, binary_cross_entropy_of_logits};
pub use cross_entropy::cross_entropy;
pub use difference::{l1, l2, smooth_l1};
pub use focal::{Focal, FocalForm, two_classes};
pub use gaussian_kl::gaussian_kl;
pub use mean::mean;
pub use ssim::{Border, Ssim};

//! Gaussians of patch features.

//! Public sets in MVTec layout.

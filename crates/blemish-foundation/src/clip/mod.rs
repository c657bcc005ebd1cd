//! CLIP (arXiv 2103.00020): images and texts in one space.

//! Segment Anything (arXiv 2304.02643): masks from boxes and points.

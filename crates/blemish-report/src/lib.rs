//! Reports and pictures: one HTML page that tells the truth about a detector, leaderboards, overlays for people, float files for
//! programs, contact sheets.
//!
//! ```text
//! image file ─> Picture ─┐
//!                        ├─> overlay ─> Picture ─> PNG, or a cell of a contact_sheet
//! anomaly map, range ────┘
//! regions of a map ─> CocoExport, save_labelme
//! anomaly map ─> save_float_tiff (the raw scores, for other programs)
//! ```
//!
//! - [`colour`] holds the colour map: dark violet to pale yellow in even steps of lightness.
//! - [`mod@overlay`] lays a map over its image; [`save_overlay`] does it from file to file.
//! - [`float_tiff`] writes and reads maps as 32-bit float TIFF.
//! - [`annotations`] writes regions for labelling programs and evaluation tools.
//! - [`html`] makes the report of an evaluation and the leaderboard of many: self-contained pages.
//! - [`leaderboard`] gathers the outcomes of many fits, as a table, CSV and Markdown.
//! - [`sheet`] puts images, outlines of masks and overlays into one grid.
//!
//! Every file appears whole or not at all: it is written under a temporary name in its folder and then renamed.

pub mod annotations;
pub mod colour;
pub mod error;
mod file;
pub mod float_tiff;
mod font;
pub mod html;
pub mod leaderboard;
pub mod overlay;
pub mod picture;
pub mod sheet;

pub use annotations::{CocoExport, save_labelme};
pub use colour::colormap;
pub use error::ReportError;
pub use float_tiff::{FloatMap, read_float_tiff, save_float_tiff};
pub use overlay::{draw_over, overlay, overlay_within, save_overlay};
pub use picture::Picture;
pub use sheet::{Heat, SheetRow, contact_sheet};

//! Reports and pictures: one HTML page about a detector, leaderboards, overlays for people, float files for
//! programs, contact sheets.
//!
//! ```text
//! image file, or pixels in memory ─> Picture ─┐
//!                                             ├─> overlay ─> Picture ─> PNG, or a cell of a contact_sheet
//! anomaly map, range ─────────────────────────┘
//! regions of a map ─> Exports (CocoExport, save_labelme)
//! anomaly map ─> save_float_tiff (the raw scores, for other programs)
//! ```
//!
//! - [`colour`] holds the colour map: dark violet to pale yellow in even steps of lightness.
//! - [`csv`] keeps text in tables from being taken for formulas.
//! - [`mod@overlay`] lays a map over its image.
//! - [`mod@float_tiff`] writes and reads maps as 32-bit float TIFF.
//! - [`animation`] writes the frames of a clip as an animated GIF.
//! - [`annotations`] writes regions for labelling programs and evaluation tools; [`exports`] does so for many images.
//! - [`names`] gives every image a file name of its own.
//! - [`html`] makes the report of an evaluation and the leaderboard of many: self-contained pages.
//! - [`leaderboard`] gathers the outcomes of many fits, as a table, CSV and Markdown.
//! - [`sheet`] puts images, outlines of masks and overlays into one grid.
//!
//! Every file appears whole or not at all: it is written under a temporary name in its folder and then renamed.

pub mod animation;
pub mod annotations;
pub mod colour;
pub mod csv;
pub mod error;
pub mod exports;
mod file;
pub mod float_tiff;
mod font;
pub mod html;
pub mod leaderboard;
pub mod names;
pub mod overlay;
pub mod picture;
pub mod sheet;

pub use animation::Animation;
pub use annotations::{CocoExport, save_labelme};
pub use colour::colormap;
pub use csv::text_cell;
pub use error::ReportError;
pub use exports::{ExportFormat, Exports};
pub use float_tiff::{FloatMap, float_tiff, read_float_tiff, save_float_tiff};
pub use names::{Names, shortened};
pub use overlay::{draw_over, draw_with, extended, overlay};
pub use picture::Picture;
pub use sheet::{Heat, SheetRow, contact_sheet};

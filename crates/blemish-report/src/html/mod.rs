//! Reports as one HTML page that needs nothing else: no script, font, picture or style from anywhere.
//!
//! ```text
//! EvalReport ──> eval_page ──┐
//!                            ├─> page (style, script, policy) ─> text of one file
//! Leaderboard ─> bench_page ─┘      charts as SVG, pictures as data
//! ```
//! Every text goes through the template's escaping, so a file named `<script>` is only a name; a content security policy forbids the
//! page all network access. Good and defective differ in place, pattern and label, never in colour alone.

mod bench_page;
mod chart;
mod eval_page;
mod eval_report;
mod evidence;
mod page;

pub use bench_page::bench_page;
pub use eval_page::eval_page;
pub use eval_report::{
    Curves, EvalReport, ImageLine, LossCurve, Provenance, Rule, Threshold, ThresholdOrigin, VideoLine,
};
pub use evidence::{Evidence, Finding};
pub use page::{DECIDE, LOOK, readable_bytes};

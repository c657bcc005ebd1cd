//! Files as a careful program treats them: written whole or not at all, never over what is read, by one process at a time.
//!
//! - [`unfinished()`] and [`write()`] make files that appear whole; [`Staging`] does the same for folders, [`Scratch`] is one for oneself.
//! - [`lock()`] lets processes that change one file take turns.
//! - [`remove_unfinished`] is for a program that has to end at once.
//! - [`clear`] removes what killed processes have left; whoever writes into a folder does that first.
//! - [`open`] and [`read`] take ordinary files only: neither pipes that may never end nor devices.
//! - [`check_outputs`] finds outputs that would be written over inputs, [`results_folder`] keeps own pictures from being taken for images.

mod leftovers;
mod lock;
mod noted;
mod overlap;
mod place;
mod results;
mod staging;
mod unfinished;

pub use leftovers::clear;
pub use lock::{Lock, lock};
pub use noted::remove_unfinished;
pub use overlap::{Overlap, check_outputs, is_same_file};
pub use place::{open, read, resolve, shared_folder};
pub use results::{MARKER, is_results, results_folder};
pub use staging::{Scratch, Staging, is_free};
pub use unfinished::{Unfinished, unfinished, write};

/// What names of hidden files and folders of Blemish begin with: unfinished ones, locks, marks.
pub const UNFINISHED: &str = ".blemish-";

//! Which rooms a server has: the one list of what is plugged in.

use crate::fault::Fault;
use crate::options::ServeOptions;
use crate::server::{Room, Server};
use std::path::Path;
use std::sync::Arc;

/// The rooms that the options of a server ask for.
///
/// # Errors
/// What keeps one of them from being opened.
pub fn all(_server: &Arc<Server>) -> Result<Vec<Room>, Fault> {
    Ok(Vec::new())
}

/// The options in a file of settings.
///
/// # Errors
/// `setting` if it cannot be read.
pub fn options(path: &Path) -> Result<ServeOptions, Fault> {
    Err(Fault::new(
        "setting",
        format!("this program reads no settings from `{}`; give them as options", path.display()),
    ))
}

//! Which rooms a server has: the one list of what is plugged in.

use crate::fault::Fault;
use crate::options::ServeOptions;
use crate::server::{Room, Server};
use crate::station::Station;
use crate::{config, outputs};
use std::path::Path;
use std::sync::Arc;

/// The rooms that the options of a server ask for.
///
/// # Errors
/// What keeps one of them from being opened.
pub fn all(server: &Arc<Server>) -> Result<Vec<Room>, Fault> {
    // Lines of access stand among those of the log.
    let mut rooms = vec![outputs::room(server, std::io::stderr())?];
    if let Some(folder) = &server.options.station {
        rooms.push(Station::open(folder, server)?.room());
    }
    Ok(rooms)
}

/// The options in a file of settings.
///
/// # Errors
/// As [`config::read`].
pub fn options(path: &Path) -> Result<ServeOptions, Fault> {
    config::read(path)
}

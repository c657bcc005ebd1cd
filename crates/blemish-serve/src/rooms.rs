//! Which rooms a server has: the one list of what is plugged in.

use crate::fault::Fault;
use crate::options::ServeOptions;
use crate::server::{Room, Server};
use crate::sinks::Sinks;
use crate::station::{Station, sources};
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

/// Checks what the rooms would be made of, and makes none of them: certificates of sinks, sources of the station.
///
/// # Errors
/// What would keep one of them from being opened.
pub fn check(options: &ServeOptions) -> Result<(), Fault> {
    Sinks::check(&options.sinks)?;
    if let Some(folder) = &options.station {
        sources::all(options, folder)?;
    }
    Ok(())
}

/// The options in a file of settings.
///
/// # Errors
/// As [`config::read`].
pub fn options(path: &Path) -> Result<ServeOptions, Fault> {
    config::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server;
    use crate::testing;
    use std::net::TcpListener;
    use std::path::PathBuf;

    /// Everything below a folder.
    fn all_below(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(all_below(&path));
            }
            found.push(path);
        }
        found.sort();
        found
    }

    #[test]
    fn a_check_leaves_nothing_behind_binds_nothing_and_connects_to_nothing() {
        let (served, folder) = testing::options(&["line"]);
        // What a server beside the check would have.
        let [port, modbus, broker] = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        broker.set_nonblocking(true).unwrap();
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let text = format!(
            "listen = \"{}\"\nmonitor = \"monitors\"\nkeep = \"all\"\nkeep_dir = \"kept\"\nstation = \"parts\"\n\
             [[source]]\nname = \"inbox\"\nfolder = \"in\"\nafter = \"move:done\"\n\
             [[sink]]\nkind = \"folder\"\npath = \"verdicts\"\n[[sink]]\nkind = \"modbus\"\nlisten = \"{}\"\n\
             [[sink]]\nkind = \"mqtt\"\nurl = \"mqtt://{}\"\n[[sink]]\nkind = \"command\"\ncommand = [\"touch\", {:?}]\n",
            address(&port),
            address(&modbus),
            address(&broker),
            folder.path().join("touched"),
        );
        let read = |text: &str| {
            let options = config::parse(&folder.path().join("serve.toml"), text).unwrap();
            ServeOptions { models: served.models.clone(), ..options }
        };
        let before = all_below(folder.path());
        let checked = server::check(read(&text), check).unwrap();
        assert_eq!(checked.models[0].0, "line");
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(all_below(folder.path()), before);
        assert!(broker.accept().is_err(), "the broker is left alone");

        let authorities = "[[sink]]\nkind = \"mqtt\"\nurl = \"mqtts://127.0.0.1:1\"\nca = \"none.pem\"\n";
        let fault = server::check(read(authorities), check).unwrap_err();
        assert!(fault.text.contains("none.pem"), "{fault:?}");
        std::fs::create_dir(folder.path().join("parts")).unwrap();
        std::fs::write(folder.path().join("parts/sources.toml"), "[[source]]\nname = \"a\"\ncolour = 1")
            .unwrap();
        let fault = server::check(read("station = \"parts\""), check).unwrap_err();
        assert!(fault.text.contains("sources.toml") && fault.text.contains("colour"), "{fault:?}");
    }
}

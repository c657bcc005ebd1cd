//! The station in a browser: empty folder to verdict, uploads that break, overlays, the threshold's handle, hostile names, every screen.

use crate::support::in_browser;
use std::path::Path;

#[test]
fn the_station_works_in_a_browser() {
    let program = Path::new(env!("CARGO_BIN_EXE_blemish"));
    let Some(seen) = in_browser("blemish-serve/tests/station.mjs", &[program]) else { return };
    assert_eq!(seen.lines().filter(|line| line.contains(": ok")).count(), 8, "{seen}");
}

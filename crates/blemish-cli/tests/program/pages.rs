//! The station in a browser: empty folder to verdict, uploads that break, overlays, the threshold's handle, hostile names, every screen.

use crate::support::in_browser;
use std::path::Path;

#[test]
fn the_station_works_in_a_browser() {
    all_are_ok(&["first", "uploads", "overlay", "threshold", "versions", "login", "hostile"]);
}

/// By itself, since it takes as long as half of the others together.
#[test]
fn every_screen_of_the_station_is_sound() {
    all_are_ok(&["screens"]);
}

fn all_are_ok(tests: &[&str]) {
    let program = Path::new(env!("CARGO_BIN_EXE_blemish"));
    let wanted = tests.join(",");
    let Some(seen) = in_browser("blemish-serve/tests/station.mjs", &[program, Path::new(&wanted)]) else {
        return;
    };
    for test in tests {
        assert!(seen.lines().any(|line| line.starts_with(&format!("{test}: ok"))), "{test}: {seen}");
    }
}

//! The station in a browser: empty folder to verdict, uploads that break, overlays, the threshold's handle, hostile names, every screen.

use std::path::Path;
use std::process::Command;

#[test]
fn the_station_works_in_a_browser() {
    let Some(chromium) = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        println!("skipped: there is no Chromium; install the package `chromium` to run this test");
        return;
    };
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: there is no Node; install the package `nodejs` to run this test");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../blemish-serve/tests/station.mjs");
    let output =
        Command::new("node").args([script, chromium, env!("CARGO_BIN_EXE_blemish")]).output().unwrap();
    let (seen, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{seen}{error}");
    assert_eq!(seen.lines().filter(|line| line.contains(": ok")).count(), 6, "{seen}");
}

use super::archive::{tar, tar_xz, xz};
use super::contents::Entry;
use super::facts::Facts;
use super::parts::{Part, of_program, tree};
use super::program::glibc_of;
use super::{notices, root, sbom};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

fn facts() -> Facts {
    Facts {
        version: "0.1.0".into(),
        commit: "abc".into(),
        target: "x86_64-unknown-linux-gnu".into(),
        epoch: 951_827_696,
    }
}

fn entry(path: &str, text: &str) -> Entry {
    Entry { path: path.into(), bytes: text.into(), is_program: path.ends_with("run") }
}

#[test]
fn archives_do_not_depend_on_the_order_of_files() {
    let mut files = vec![entry("b/run", "#!/bin/sh\n"), entry("a.txt", "hello"), entry("b/c/d.txt", "")];
    let one = tar_xz("folder", &files, 1_000_000).unwrap();
    files.reverse();
    assert!(one == tar_xz("folder", &files, 1_000_000).unwrap());
    assert!(one != tar_xz("folder", &files, 1_000_001).unwrap());

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.tar.xz"), one).unwrap();
    let list = Command::new("tar").args(["-tvf", "x.tar.xz", "--utc"]).current_dir(folder.path()).output();
    let Some(list) = list.ok().filter(|list| list.status.success()) else {
        println!("skipped: there is no tar with xz");
        return;
    };
    let text = String::from_utf8(list.stdout).unwrap();
    let rows: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows,
        [
            "drwxr-xr-x root/root 0 1970-01-12 13:46 folder/",
            "-rw-r--r-- root/root 5 1970-01-12 13:46 folder/a.txt",
            "drwxr-xr-x root/root 0 1970-01-12 13:46 folder/b/",
            "drwxr-xr-x root/root 0 1970-01-12 13:46 folder/b/c/",
            "-rw-r--r-- root/root 0 1970-01-12 13:46 folder/b/c/d.txt",
            "-rwxr-xr-x root/root 10 1970-01-12 13:46 folder/b/run",
        ]
    );
}

#[test]
fn paths_that_do_not_fit_are_refused() {
    assert!(tar(&[entry(&"x".repeat(101), "")], 0).unwrap_err().to_string().contains("too long"));
    assert!(xz(&[0; 100_000]).unwrap().len() < 1000);
}

#[test]
fn times_are_those_of_the_calendar() {
    // A leap day of a year by whose hundreds there might be none.
    assert_eq!(facts().time(), "2000-02-29T12:34:56Z");
    assert_eq!(facts().mail_time(), "Tue, 29 Feb 2000 12:34:56 +0000");
    assert_eq!(Facts { epoch: 0, ..facts() }.time(), "1970-01-01T00:00:00Z");
    assert_eq!(Facts { epoch: 4_102_444_799, ..facts() }.time(), "2099-12-31T23:59:59Z");
}

#[test]
fn the_newest_version_of_the_c_library_is_found() {
    let program = b"\0GLIBC_2.2.5\0GLIBC_2.28\0memcpy\0GLIBC_2.9\0GLIBC_PRIVATE\0";
    assert_eq!(glibc_of(program), Some((2, 28)));
    assert_eq!(glibc_of(b"none"), None);
}

#[test]
fn the_bill_lists_what_cargo_tree_lists_and_the_weights() {
    let facts = facts();
    let parts = of_program(root().unwrap(), &facts.target).unwrap();
    let told = json!({"embedded_backbones": [{"name": "efficientnet_lite0", "sha256": "00ff"}]});
    let bill: Value = serde_json::from_str(&sbom::cyclonedx(&facts, &parts, &told).unwrap()).unwrap();
    let of_kind = |kind: &str| -> BTreeSet<(String, String)> {
        let all = bill["components"].as_array().unwrap().iter().filter(|one| one["type"] == kind);
        all.map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            (text("name"), text("version"))
        })
        .collect()
    };
    let mut wanted = tree(root().unwrap(), &facts.target).unwrap();
    assert!(wanted.remove(&("blemish-cli".to_owned(), facts.version.clone())));
    assert!(wanted.len() > 200);
    assert_eq!(of_kind("library"), wanted);
    assert_eq!(of_kind("machine-learning-model").len(), 1);
    // Nothing of what only tests and builds need.
    let is_there = |name: &str| wanted.iter().any(|(one, _)| one == name);
    assert!(is_there("axum") && is_there("blemish") && !is_there("criterion") && !is_there("proptest"));
    let without = |part: &&Part| part.licence.is_empty() || (part.checksum.is_empty() != part.is_ours);
    assert_eq!(parts.iter().find(without), None);
    assert!(sbom::cyclonedx(&facts, &parts, &json!({})).is_err());

    let text = notices::third_party(&parts).unwrap();
    for part in parts.iter().filter(|part| !part.is_ours) {
        assert!(text.contains(&format!("| {} | {} |", part.name, part.version)), "{part:?}");
    }
    assert!(text.contains("Permission is hereby granted") && !text.contains("\r"));
    // Of a machine nothing shows.
    assert!(!text.contains(&root().unwrap().display().to_string()));
}

#[test]
fn a_crate_without_a_licence_is_not_shipped() {
    let folder = tempfile::tempdir().unwrap();
    let part = Part {
        name: "x".into(),
        version: "1.0.0".into(),
        licence: String::new(),
        repository: String::new(),
        checksum: String::new(),
        folder: folder.path().to_owned(),
        is_ours: false,
    };
    assert!(notices::third_party(std::slice::from_ref(&part)).unwrap_err().to_string().contains("x 1.0.0"));
    let licensed = Part { licence: "MIT".into(), ..part };
    assert!(
        notices::third_party(std::slice::from_ref(&licensed))
            .unwrap()
            .contains("standard text of their licence: x 1.0.0 (MIT)")
    );
    std::fs::write(folder.path().join("LICENSE"), "Do what you like.\r\nReally.\r\n").unwrap();
    std::fs::write(folder.path().join("license.rs"), "fn main() {}").unwrap();
    let text = notices::third_party(&[licensed]).unwrap();
    assert!(
        text.contains("## x 1.0.0\n\n```text\nDo what you like.\nReally.\n```\n")
            && !text.contains("fn main")
    );
}

//! What a library must not do to the program that it is in.

use crate::support::{Models, Program, libraries, own, text};
use std::process::Command;

#[test]
fn what_the_caller_gave_is_not_kept() {
    let models = Models::get();
    let program = Program::new("kept", "cc", &[]);
    for model in [models.quick(), models.patchcore()] {
        assert_eq!(program.run(&[&model, &models.pictures()[0]]), "done\n");
    }
}

#[test]
fn loading_and_freeing_takes_no_memory_and_leaves_no_thread() {
    let program = Program::new("repeat", "cc", &[]);
    println!("{}", program.run(&[&Models::get().quick(), &"1000"]));
    println!("{}", program.run(&[&Models::get().patchcore(), &"40"]));
}

#[test]
fn the_library_can_be_unloaded() {
    let program = Program::new("unload", "cc", &[]);
    let library = libraries().join("libblemish.so.0");
    // Linked with nothing of ours, so that it is not there already. With one arena for all threads: what each of several holds for later
    // rises and falls by more than what a leak would take.
    for (model, times) in [(Models::get().quick(), "100"), (Models::get().patchcore(), "40")] {
        let said = program_without_library(&program)
            .env("MALLOC_ARENA_MAX", "1")
            .arg(&library)
            .arg(model)
            .arg(times)
            .output()
            .unwrap();
        assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
        println!("{}", text(&said.stdout));
        assert!(
            text(&said.stdout).starts_with(&format!("unloaded {times} of {times} times")),
            "{}",
            text(&said.stdout)
        );
    }
}

/// The linker leaves out what is not called by name.
fn program_without_library(program: &Program) -> Command {
    program.command(&[])
}

#[test]
fn paths_have_umlauts_and_any_length() {
    let models = Models::get();
    let folder = tempfile::tempdir().unwrap();
    let long =
        (0..5).fold(folder.path().join("Prüfstück"), |path, _| path.join("länger-als-üblich-".repeat(3)));
    std::fs::create_dir_all(&long).unwrap();
    assert!(long.as_os_str().len() > 300);
    let (model, picture) = (long.join("Modell-für-ß.blemish"), long.join("Bild-Ä.png"));
    std::fs::copy(models.quick(), &model).unwrap();
    std::fs::copy(&models.pictures()[0], &picture).unwrap();
    let said = Program::new("agree", "cc", &[]).run(&[&model, &picture]);
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(line["path"], picture.to_str().unwrap());
}

#[test]
fn the_locale_does_not_change_the_json() {
    let models = Models::get();
    let picture = &models.pictures()[0];
    let program = Program::new("locale", "cc", &[]);
    // Where the system has no German locale, one is made.
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("de_DE.UTF-8");
    let _ = Command::new("localedef").args(["-i", "de_DE", "-f", "UTF-8"]).arg(&made).output();
    let mut command = program.command(&[]);
    command.env("LOCPATH", folder.path()).arg(models.patchcore()).arg(picture);
    let output = command.args(["de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    if text(&output.stdout) == "no such locale\n" {
        println!(
            "skipped: there is no German locale and no localedef to make one; install the package `locales`"
        );
        return;
    }
    let plain = Program::new("agree", "cc", &[]).run(&[&models.patchcore(), picture]);
    assert_eq!(text(&output.stdout), plain);
}

#[test]
fn a_panic_is_a_status_and_the_handle_lives_on() {
    if !cfg!(feature = "inject-panic") {
        println!("skipped: `cargo test --release -p blemish-capi --features inject-panic` runs it");
        return;
    }
    assert_eq!(Program::new("panics", "cc", &[]).run(&[&Models::get().quick()]), "done\n");
}

#[test]
fn symbols_are_those_of_the_header() {
    let Ok(output) =
        Command::new("nm").args(["-D", "--defined-only"]).arg(libraries().join("libblemish.so")).output()
    else {
        println!("skipped: there is no `nm`; install binutils to run this test");
        return;
    };
    let symbols = text(&output.stdout);
    let found = symbols.lines().filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned));
    // The approximate index, which is in no library that is shipped, comes along where the whole workspace is built with it.
    let (of_index, mut found): (Vec<String>, Vec<String>) =
        found.filter(|name| name != "blemish_inject_panic").partition(|name| name.starts_with("cxxbridge1$"));
    found.sort();
    let mut wanted: Vec<String> =
        crate::header::functions().into_iter().map(|function| function.name).collect();
    wanted.sort();
    assert_eq!(found, wanted);
    let dynamic = Command::new("readelf").arg("-d").arg(libraries().join("libblemish.so")).output().unwrap();
    let dynamic = text(&dynamic.stdout);
    assert!(dynamic.contains("[libblemish.so.0]"), "{dynamic}");
    let header = std::fs::read_to_string(own("include/blemish.h")).unwrap();
    assert!(header.contains("#define BLEMISH_ABI_VERSION 0\n"));
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    let is_usual = |line: &&str| {
        ["libc.so", "libm.so", "libgcc_s.so", "libdl.so", "libpthread.so", "ld-linux"]
            .iter()
            .any(|name| line.contains(name))
    };
    assert!(!of_index.is_empty() || needed.iter().all(is_usual), "{needed:?}");
}

//! The library as it is installed: pkg-config, CMake, C++, C#, static.

use crate::support::{Models, Program, has, libraries, own, text};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The library of this test below a prefix with a space in its name.
fn installed() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("the prefix");
    let done = Command::new(own("install.sh")).arg(&prefix).arg(libraries()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    (folder, prefix)
}

/// Runs a command and expects it to end well; gives standard output.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Flags that pkg-config gives, spaces in paths and all.
fn pkg_config(prefix: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    let said =
        done(command.args(arguments).arg("blemish").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
    said.trim().replace("\\ ", "\u{0}").split_whitespace().map(|flag| flag.replace('\u{0}', " ")).collect()
}

/// Runs an installed example on a good and a defective picture; gives what it says.
fn run(program: &Path, prefix: &Path) -> String {
    let models = Models::get();
    let mut command = Command::new(program);
    command.arg(models.patchcore()).args(models.pictures()).env("LD_LIBRARY_PATH", prefix.join("lib"));
    let said = done(&mut command);
    assert_eq!(
        said.lines().filter(|line| line.contains("score ")).count(),
        models.pictures().len(),
        "{said}"
    );
    assert!(said.contains("good") && said.contains("ANOMALOUS"), "{said}");
    said
}

#[test]
fn pkg_config_finds_the_library_wherever_it_lies() {
    if !has("pkg-config") {
        return;
    }
    let (folder, prefix) = installed();
    let program = folder.path().join("score");
    let flags = pkg_config(&prefix, &["--cflags", "--libs"]);
    done(
        Command::new("cc").arg("-std=c99").arg(own("examples/c/score.c")).args(flags).arg("-o").arg(&program),
    );
    run(&program, &prefix);
    // What the program says of what is wrong.
    let mut command = Command::new(&program);
    command.args(["nowhere.blemish", "x.png"]).env("LD_LIBRARY_PATH", prefix.join("lib"));
    let said = command.output().unwrap();
    assert!(text(&said.stderr).contains("error 6 (io)") && !said.status.success(), "{}", text(&said.stderr));
    assert_eq!(pkg_config(&prefix, &["--modversion"]), [env!("CARGO_PKG_VERSION")]);
}

#[test]
fn cmake_finds_the_library_of_its_version() {
    if !has("cmake") {
        return;
    }
    let (folder, prefix) = installed();
    let build = folder.path().join("build");
    done(
        Command::new("cmake")
            .arg("-S")
            .arg(own("examples/c"))
            .arg("-B")
            .arg(&build)
            .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
    );
    done(Command::new("cmake").arg("--build").arg(&build));
    run(&build.join("score"), &prefix);
    let newer = folder.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    std::fs::write(
        newer.join("CMakeLists.txt"),
        "cmake_minimum_required(VERSION 3.16)\nproject(x NONE)\nfind_package(blemish 99 REQUIRED)\n",
    )
    .unwrap();
    let mut command = Command::new("cmake");
    command.arg("-S").arg(&newer).arg("-B").arg(newer.join("b"));
    let refused = command.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())).output().unwrap();
    assert!(!refused.status.success());
}

#[test]
fn the_cxx_header_scores_with_and_without_opencv() {
    let compilers: Vec<&str> = ["g++", "clang++"].into_iter().filter(|compiler| has(compiler)).collect();
    let (folder, prefix) = installed();
    for compiler in compilers {
        let program = folder.path().join("score");
        let base = |standard: &str| {
            let mut command = Command::new(compiler);
            command.args(["-Wall", "-Wextra", "-pedantic", "-Werror"]).arg(format!("-std={standard}"));
            command.arg("-isystem").arg(prefix.join("include")).arg(own("examples/cpp/score.cpp"));
            command.arg("-L").arg(prefix.join("lib")).arg("-o").arg(&program);
            command
        };
        let mut said = Vec::new();
        for standard in ["c++17", "c++20"] {
            done(base(standard).arg("-lblemish"));
            said.push(run(&program, &prefix));
        }
        assert_eq!(said[0], said[1]);
        let headers = Path::new("/usr/include/opencv4");
        if !headers.exists() {
            println!("skipped: there is no OpenCV; install libopencv-dev to run this part");
            continue;
        }
        let libraries = ["-lblemish", "-lopencv_core", "-lopencv_imgcodecs"];
        done(base("c++17").arg("-DWITH_OPENCV").arg("-isystem").arg(headers).args(libraries));
        // OpenCV reads the same pixels of a PNG.
        assert_eq!(run(&program, &prefix), said[0]);
    }
}

#[test]
fn the_csharp_class_keeps_its_promises() {
    if !has("mcs") || !has("mono") {
        return;
    }
    let models = Models::get();
    let folder = tempfile::tempdir().unwrap();
    let class = own("bindings/csharp/Blemish.cs");
    for (name, source) in
        [("Check", own("tests/c/programs/Check.cs")), ("Score", own("examples/csharp/Score.cs"))]
    {
        let program = folder.path().join(format!("{name}.exe"));
        done(Command::new("mcs").arg(format!("-out:{}", program.display())).arg(&source).arg(&class));
        let mut command = Command::new("mono");
        command.arg(&program).arg(models.patchcore()).env("LD_LIBRARY_PATH", libraries());
        if name == "Check" {
            assert_eq!(done(command.arg(&models.pictures()[0])), "done\n");
        } else {
            let said = done(command.args(models.pictures()));
            let plain = Program::new("agree", "cc", &[]);
            let output = plain.command(&[]).arg(models.patchcore()).args(models.pictures()).output().unwrap();
            assert_eq!(said, text(&output.stdout));
        }
    }
}

#[test]
fn the_static_library_needs_nothing_beside_it() {
    let Some(archive) = std::env::var_os("BLEMISH_STATIC") else {
        println!(
            "skipped: BLEMISH_STATIC=target/release/libblemish_capi.a, built as install.sh says, runs it"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("score");
    let mut command = Command::new("cc");
    command.arg("-std=c99").arg("-I").arg(own("include")).arg(own("examples/c/score.c")).arg(archive);
    done(command.args(["-lpthread", "-ldl", "-lm", "-lgcc_s", "-o"]).arg(&program));
    run(&program, Path::new("/nowhere"));
}

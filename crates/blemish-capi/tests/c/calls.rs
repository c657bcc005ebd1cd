//! Wrong calls, many calls, calls at once, calls that are ended.

use crate::header::{Function, functions};
use crate::support::{C99, Models, Program, has};
use std::path::PathBuf;

#[test]
fn what_cannot_be_right_has_a_status() {
    assert_eq!(Program::new("misuse", "cc", &[]).run(&[&Models::get().quick()]), "done\n");
}

/// The value of an argument that is in order, by its type and name.
fn argument(kind: &str, name: &str) -> String {
    let value = match (kind, name) {
        ("const blemish_detector *", _) => "detector",
        ("blemish_detector **", _) => "&other",
        ("const blemish_result *", _) => "result",
        ("blemish_result **", _) => "&made",
        ("blemish_error **", _) => "&fault",
        ("const blemish_error *", _) => "kept",
        ("const blemish_image *", _) => "&image",
        ("const blemish_load_options *", _) => "&running",
        ("const blemish_score_options *", _) => "&scoring",
        ("const blemish_fit_options *", _) => "&fitting",
        ("const blemish_learn_options *", _) => "&learning",
        ("blemish_region *", _) => "&region",
        ("const char *", _) => "\"no/such/place\"",
        ("const void *", "data") => "pixels",
        ("const uint8_t *", _) => "pixels",
        ("size_t", "length") => "sizeof pixels",
        ("size_t", _) => "0",
        ("int32_t", "width" | "height") => "16",
        ("int32_t", "stride") => "0",
        ("int32_t", "format") => "BLEMISH_RGB8",
        ("int32_t", "map_capacity") => "16 * 16",
        ("int32_t", "message_capacity") => "16",
        ("double *", _) => "&real",
        ("float *", "map") => "map",
        ("float *", _) => "map",
        ("int32_t *", _) => "&number",
        ("uint32_t *", _) => "&whole",
        ("char *", _) => "message",
        ("blemish_progress_callback", _) => "progress",
        ("void *", "user") => "&number",
        other => panic!("the test knows no value for {other:?}; add one"),
    };
    value.to_owned()
}

/// A C program that calls every function once for each of its pointers, which is NULL then, and once with all of them NULL.
fn null_calls(functions: &[Function]) -> String {
    let mut calls = String::new();
    for function in functions.iter().filter(|function| !function.name.ends_with("_free")) {
        let values: Vec<String> =
            function.parameters.iter().map(|(kind, name)| argument(kind, name)).collect();
        let is_pointer = |kind: &str| kind.ends_with('*') || kind == "blemish_progress_callback";
        let pointers: Vec<usize> =
            (0..values.len()).filter(|&at| is_pointer(&function.parameters[at].0)).collect();
        let each = pointers.iter().map(|&at| vec![at]).chain([pointers.clone()]);
        for nulls in each {
            let given: Vec<&str> = (0..values.len())
                .map(|at| if nulls.contains(&at) { "NULL" } else { values[at].as_str() })
                .collect();
            let call = format!("{}({})", function.name, given.join(", "));
            let names: Vec<&str> = nulls.iter().map(|&at| function.parameters[at].1.as_str()).collect();
            match function.gives.as_str() {
                "blemish_status" => {
                    calls +=
                        &format!("    status({call}, \"{} without {}\");\n", function.name, names.join(", "));
                }
                _ => calls += &format!("    (void){call};\n"),
            }
        }
    }
    format!(
        r#"#include "common.h"
static unsigned char pixels[3 * 16 * 16];
static float map[16 * 16];
static blemish_error *fault;
static int ran;
static void status(blemish_status status, const char *call) {{
    if (status < 0 || status > BLEMISH_ENVIRONMENT) {{
        fprintf(stderr, "%s: status %d\n", call, (int)status);
        exit(1);
    }}
    blemish_error_free(fault);
    fault = NULL;
    ran++;
}}
static int32_t progress(const blemish_progress *progress, void *user) {{
    (void)progress, (void)user;
    return 1;
}}
int main(int count, char **arguments) {{
    CHECK(count == 2);
    blemish_detector *detector = load(arguments[1], 1), *other = NULL;
    blemish_result *result = NULL, *made = NULL;
    blemish_image image = image_of(BLEMISH_RGB8, 16, 16, 0, pixels);
    blemish_load_options running = {{0}};
    blemish_score_options scoring = {{0}};
    blemish_fit_options fitting = {{0}};
    blemish_learn_options learning = {{0}};
    blemish_region region = {{0}};
    running.struct_size = sizeof running, scoring.struct_size = sizeof scoring, fitting.struct_size = sizeof fitting;
    learning.struct_size = sizeof learning, region.struct_size = sizeof region;
    double real = 0;
    int32_t number = 0;
    uint32_t whole = 0;
    char message[16];
    FINE(blemish_score(detector, &image, NULL, &result, &error));
    blemish_error *kept = NULL;
    CHECK(blemish_load("no/such/place", NULL, &other, &kept) != BLEMISH_OK && kept != NULL);
    (void)whole, (void)number, (void)real, (void)message, (void)map, (void)region, (void)progress;
{calls}
    blemish_error_free(kept);
    blemish_result_free(made);
    blemish_result_free(result);
    blemish_detector_free(detector);
    printf("%d\n", ran);
    return 0;
}}
"#
    )
}

#[test]
fn null_for_any_pointer_of_any_function_of_the_header_is_survived() {
    let functions = functions();
    assert!(functions.len() > 20, "{functions:?}");
    let folder = tempfile::tempdir().unwrap();
    let source: PathBuf = folder.path().join("null.c");
    std::fs::write(&source, null_calls(&functions)).unwrap();
    let said = Program::of(&source, "cc", C99).run(&[&Models::get().quick()]);
    assert!(said.trim().parse::<usize>().unwrap() > 50, "{said}");
}

#[test]
fn sixteen_threads_on_one_detector_give_the_bits_of_one() {
    let program = Program::new("threads", "cc", &[]);
    program.run(&[&Models::get().quick(), &"10000"]);
    program.run(&[&Models::get().patchcore(), &"320"]);
    // Many threads in few: found by its own tool where the compiler has it.
    let models = Models::get();
    let sanitized =
        Program::new("threads", "cc", &["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]);
    sanitized.run(&[&models.quick(), &"1000"]);
}

#[test]
fn another_thread_ends_the_scoring_of_a_large_image() {
    let program = Program::new("cancel", "cc", &[]);
    // A tile is the step: the machine may be busy, but not for the second that the rest of the image takes.
    let (width, height) = (6000, 4000);
    let milliseconds: f64 = program
        .run(&[&Models::get().tiled(), &width.to_string(), &height.to_string()])
        .trim()
        .parse()
        .unwrap();
    println!("ended after {milliseconds} ms");
    assert!(milliseconds < 1000.0, "{milliseconds} ms");
}

#[test]
fn a_detector_is_fitted_taught_and_calibrated_from_c() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new("learn", "cc", &[]);
    let good = Models::get().path("set/train/good");
    assert_eq!(program.run(&[&good, &folder.path().join("learnt.blemish")]), "done\n");
}

#[test]
fn valgrind_and_the_address_sanitizer_find_nothing() {
    let models = Models::get();
    let picture = &models.pictures()[0];
    let sanitizer = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"];
    for name in ["agree", "kept", "misuse"] {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = match name {
            "misuse" => vec![],
            _ => vec![picture],
        };
        let model = models.quick();
        let all: Vec<&dyn AsRef<std::ffi::OsStr>> =
            [&model as &dyn AsRef<std::ffi::OsStr>].into_iter().chain(arguments).collect();
        // Leaks count, too.
        Program::new(name, "cc", &sanitizer).run(&all);
        if has("valgrind") {
            let tool = [
                "valgrind",
                "--quiet",
                "--error-exitcode=9",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ];
            Program::new(name, "cc", &[]).run_by(&tool, &all);
        }
    }
    Program::new("kept", "cc", &sanitizer).run(&[&models.patchcore(), picture]);
}

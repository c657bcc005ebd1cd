//! The Python package keeps up with the library, without a Python: what its classes are made of is what the library tells.

use std::collections::BTreeSet;
use std::path::Path;

/// The fields of a data class in the text of a module: `    name: type` lines up to the next class.
fn fields(module: &str, class: &str) -> BTreeSet<String> {
    let (_, rest) = module.split_once(&format!("class {class}:\n")).unwrap();
    let body = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let field = |line: &str| {
        let (name, _) = line.strip_prefix("    ")?.split_once(": ")?;
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_').then(|| name.to_owned())
    };
    body.filter_map(field).collect()
}

#[test]
fn methods_and_settings_have_the_fields_that_the_library_tells() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/blemish-python/python/blemish/_methods.py");
    let module = std::fs::read_to_string(path).unwrap();
    let keys =
        |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for entry in blemish::registry::methods() {
        let described = blemish::entry::described(*entry);
        assert_eq!(keys(&described), fields(&module, "MethodInfo"));
        for setting in described["settings"].as_array().unwrap() {
            assert_eq!(keys(setting), fields(&module, "Setting"));
        }
    }
}

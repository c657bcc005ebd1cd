//! Pages as text: what they load exists, every text stands in one file, nothing is written in line, and the first page is light.

use super::assets::{SCRIPTS, answer, find};
use super::{SCREENS, line_for, name_of, page_at, text_of, words};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use std::collections::BTreeSet;

const MARKUP: &str = concat!(include_str!("screens.rs"), include_str!("shell.rs"));

/// What stands between each `before` and the next of `after`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

/// The scripts that a script imports before it runs.
fn imports(name: &str) -> Vec<&'static str> {
    let asset = find(name).unwrap_or_else(|| panic!("{name} is absent"));
    between(&asset.text, " from \"./", "\"").collect()
}

/// A script and all that it imports.
fn closure(name: &'static str) -> BTreeSet<&'static str> {
    let mut known = BTreeSet::from([name]);
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        open.extend(imports(name).into_iter().filter(|import| known.insert(import)));
    }
    known
}

#[test]
fn every_page_loads_only_files_that_exist_and_has_nothing_in_line() {
    for path in SCREENS.into_iter().chain(["bare"]) {
        let page = text_of(path);
        for file in between(&page, "\"/assets/", "\"") {
            assert!(find(file).is_some(), "{path}: {file}");
        }
        for script in between(&page, "src=\"/assets/", "\"") {
            closure(find(script).unwrap().name);
        }
        for attribute in ["style", "onclick", "onload", "onerror", "oninput", "onsubmit"] {
            assert!(!page.contains(&format!(" {attribute}=")), "{path} has {attribute} in line");
        }
        assert!(!page.contains("<script>") && !page.contains("<style"), "{path}");
        assert!(!page.contains("http:") && !page.contains("https:"), "{path} names another place");
    }
    for (name, text) in SCRIPTS {
        assert!(
            !text.contains("innerHTML") && !text.contains("insertAdjacent"),
            "{name} makes markup of text"
        );
        for lazy in between(text, "import(\"./", "\"") {
            closure(find(lazy).unwrap().name);
        }
    }
}

/// Scripts look elements up by id: each id that they name is in the markup, or made by a script.
#[test]
fn scripts_find_their_elements() {
    let pages: String = SCREENS.into_iter().map(text_of).collect();
    let scripts: String = SCRIPTS.into_iter().map(|(_, text)| text).collect();
    for id in between(&scripts, "at(\"", "\")") {
        assert!(pages.contains(&format!("id=\"{id}\"")), "no element #{id}");
    }
}

#[test]
fn every_text_is_there_and_none_is_left_over() {
    let scripts: String = SCRIPTS.into_iter().map(|(_, text)| text).collect();
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let used: BTreeSet<String> = between(MARKUP, "say(\"", "\")")
        .map(str::to_owned)
        .chain(scripts.split("words.").skip(1).filter_map(|rest| {
            let (section, rest) = rest.split_once('.')?;
            let name: String = rest.chars().take_while(|letter| is_name(*letter)).collect();
            section.chars().all(is_name).then(|| format!("{section}.{name}"))
        }))
        .collect();
    let texts: serde_json::Value = serde_json::from_str(words::JSON).unwrap();
    for name in used.iter().filter(|name| !name.starts_with("js")) {
        let (section, name) = name.split_once('.').unwrap();
        assert!(texts[section].get(name).is_some(), "no text {section}.{name}");
    }
    // Some are chosen by what the server says, or by the screen.
    let mut chosen: Vec<String> = SCREENS.map(|path| format!("nav.{}", name_of(path))).into();
    let kinds =
        ["verdict.good", "verdict.flagged", "verdict.none", "label.good", "label.defective", "label.unsure"];
    chosen.extend(kinds.map(str::to_owned));
    for (section, names) in texts.as_object().unwrap() {
        for name in names.as_object().unwrap().keys() {
            let name = format!("{section}.{name}");
            assert!(chosen.contains(&name) || used.contains(&name), "nobody says {name}");
        }
    }
    assert_eq!(words::say("line.title"), "Line");
    assert_eq!(words::say("line.nonsense"), "");
}

#[test]
fn the_first_page_weighs_less_than_60_kb() {
    let scripts = closure("line.js");
    let files = scripts.into_iter().chain(["station.css", "icon.svg"]);
    let weight: usize = files
        .map(|file| match find(file).unwrap().compressed.len() {
            0 => panic!("{file} is not compressed"),
            bytes => bytes,
        })
        .sum::<usize>()
        + text_of("/").len();
    assert!(weight < 60_000, "{weight} bytes");
}

#[test]
fn files_are_compressed_for_who_takes_it_and_not_sent_twice() {
    let mut headers = HeaderMap::new();
    let plain = answer("line.js", &headers);
    assert_eq!(plain.status(), StatusCode::OK);
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
    assert_eq!(answer("line.js", &headers).headers()[header::CONTENT_ENCODING], "gzip");
    headers.insert(header::IF_NONE_MATCH, plain.headers()[header::ETAG].clone());
    assert_eq!(answer("line.js", &headers).status(), StatusCode::NOT_MODIFIED);
    assert_eq!(answer("../line.js", &headers).status(), StatusCode::NOT_FOUND);
}

#[test]
fn pages_carry_the_policy() {
    let page = page_at("/");
    assert_eq!(page.headers()[header::CONTENT_SECURITY_POLICY], super::POLICY);
    assert!(super::POLICY.starts_with("default-src 'self'; img-src 'self' blob:"));
    assert!(!super::POLICY.contains("unsafe"));
    assert_eq!(
        (line_for(Some("view=line")), line_for(Some("view=lines")), line_for(None)),
        ("bare", "/", "/")
    );
}

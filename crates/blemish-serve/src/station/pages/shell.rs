//! What every page begins and ends with: head, navigation, places for news.

use super::words::say;
use super::{SCREENS, name_of};
use maud::{DOCTYPE, Markup, html};

/// Screens that are no place of the navigation.
const ELSEWHERE: [&str; 2] = ["image", "login"];

/// A whole page: its name in the navigation, the script that brings it to life, its content.
pub(super) fn page(name: &str, script: &str, content: &Markup) -> String {
    // The screen without anything around it, for a display above the line.
    let is_bare = name == "bare";
    let name = if is_bare { "line" } else { name };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (say(&format!("nav.{name}"))) " · " (say("nav.brand")) }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/station.css";
                script type="module" src=(format!("/assets/{script}.js")) {}
            }
            body.bare[is_bare] data-screen=(name) {
                a.skip href="#screen" { (say("nav.skip")) }
                header.top {
                    a.brand href="/" { (say("nav.brand")) }
                    @if name != "login" { (navigation(name)) }
                    a #job.chip href="/new" hidden {}
                    span #live.chip data-state="wait" title=(say("live.title")) role="status" { "…" }
                }
                div #banners {}
                noscript { p.banner { (say("common.noscript")) } }
                main #screen tabindex="-1" { (content) }
                div #notices {}
            }
        }
    }
    .into_string()
}

fn navigation(name: &str) -> Markup {
    let screens = SCREENS.into_iter().map(|path| (path, name_of(path)));
    let screens = screens.filter(|(_, screen)| !ELSEWHERE.contains(screen));
    let links = html! {
        @for (path, screen) in screens {
            a href=(path) aria-current=[(screen == name).then_some("page")] { (say(&format!("nav.{screen}"))) }
        }
    };
    html! {
        nav.wide aria-label=(say("nav.menu")) { (links) }
        details.narrow { summary { (say("nav.menu")) } nav aria-label=(say("nav.menu")) { (links) } }
    }
}

/// A choice of models, filled by the script.
pub(super) fn model_choice() -> Markup {
    html! { label.field hidden { (say("common.model")) " " select #model {} } }
}

/// The field of the name that changes are signed with.
pub(super) fn author() -> Markup {
    html! {
        label.field { (say("common.name")) " " input #author type="text" maxlength="80" autocomplete="name"; }
    }
}

/// A cell of a table of counts: the count, what it is of.
pub(super) fn cell(id: &str, text: &str) -> Markup {
    html! { td { b id=(id) { "–" } br; span.soft { (text) } } }
}

/// A figure in words: name, value, what it is of.
pub(super) fn figure(name: &str, id: &str) -> Markup {
    html! { div.figure { span.soft { (name) } b id=(id) { "–" } } }
}

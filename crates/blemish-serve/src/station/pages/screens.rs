//! The screens' markup. Scripts fill what has an id; text from outside never goes through here.

use super::shell::{author, cell, figure, model_choice};
use super::words::say;
use maud::{Markup, html};

/// The band with the verdict: word, symbol and colour, readable from three metres.
fn band() -> Markup {
    html! {
        div #band.band data-verdict="none" role="status" aria-live="polite" {
            svg.symbol viewBox="0 0 48 48" aria-hidden="true" {
                path.for-good d="M8 25l11 11L40 13" {}
                path.for-flagged d="M11 11l26 26M37 11L11 37" {}
                path.for-paused d="M16 10v28M32 10v28" {}
                path.for-none d="M10 24h28" {}
            }
            b #word { (say("verdict.waiting")) }
            span #meaning {}
        }
    }
}

/// The switch and the strength of the overlay.
fn overlay_controls() -> Markup {
    html! {
        div.row.overlay {
            button #overlay type="button" aria-pressed="true" { (say("line.overlay")) " " kbd { "O" } }
            input #opacity type="range" min="0" max="100" value="70" aria-label=(say("line.overlay"));
        }
    }
}

/// The line.
pub(super) fn line() -> Markup {
    html! {
        h1.unseen { (say("line.title")) }
        div #line.line {
            (band())
            div.middle {
                div #stage.stage {}
                div #hint.hint hidden {
                    h2 { (say("line.empty_title")) }
                    p { (say("line.empty")) }
                    p { code { "POST /v1/models/…/score" } }
                }
                div #camera-place.camera-place {}
            }
            aside.side {
                section.asked data-needs="label" {
                    h2 { (say("label.ask")) }
                    div #labels.labels {}
                }
                section #details hidden {
                    p #what.name {}
                    p { span #label {} " " a #open.soft { (say("nav.image")) " →" } }
                    p #score {}
                    p #which.soft {}
                    h2 { (say("line.regions")) }
                    div #regions {}
                }
                (overlay_controls())
                div.figures {
                    div.figure { span.soft { (say("line.share")) } b #share { "–" } span #of.soft {} }
                    div.figure hidden { span.soft { (say("line.skipped")) } b #skipped { "0" } }
                }
                div.row {
                    button #pause type="button" data-needs="label" aria-pressed="false" { (say("line.pause")) }
                    a.button href="/?view=line" { (say("line.bare")) }
                }
                (model_choice())
                details.keys {
                    summary { (say("line.more")) }
                    p.soft { (say("line.keys")) ": " (say("line.keys_all")) }
                    button #camera type="button" data-needs="score" { (say("line.camera")) }
                }
            }
            div.row.over-strip { button #newest.main type="button" hidden { (say("line.newest")) } }
            nav #strip.strip aria-label=(say("line.strip")) {}
        }
        template #first { (new_part(true)) }
    }
}

/// The history.
pub(super) fn history() -> Markup {
    let option = |value: &str, text: &str| html! { option value=(value) { (text) } };
    html! {
        div.head { h1 { (say("history.title")) } span #total.soft {} }
        div.row role="group" {
            button #filter-all type="button" aria-pressed="true" { (say("common.all")) }
            button #filter-questions type="button" aria-pressed="false" title=(say("history.unlabelled_note")) { (say("history.unlabelled")) }
            button #filter-disagreements type="button" aria-pressed="false" title=(say("history.disagreements_note")) {
                (say("history.disagreements"))
            }
        }
        form #filters.row.filters {
            input type="hidden" name="filter";
            label.field { (say("history.verdict")) select name="verdict" {
                (option("", say("common.all"))) (option("flagged", say("history.flagged"))) (option("passed", say("history.good")))
            } }
            label.field { (say("history.label")) select name="label" {
                (option("", say("common.all"))) (option("good", say("label.good"))) (option("defective", say("label.defective")))
                (option("unsure", say("label.unsure"))) (option("none", say("label.none")))
            } }
            label.field hidden { (say("common.model")) select name="model" { (option("", say("common.all"))) } }
            label.field { (say("history.day")) input type="date" name="day"; }
            label.field { (say("history.p_max")) input.short type="number" name="p_max" min="0" max="1" step="any" placeholder="1"; }
            button #clear type="button" hidden { (say("history.clear")) }
        }
        ul #grid.grid role="listbox" aria-multiselectable="true" aria-label=(say("history.title")) {}
        p #nothing.soft.centre hidden {}
        div.row.centre { button #older type="button" hidden { (say("history.older")) } }
        p.soft { (say("history.keys")) }
        div.row {
            button #all type="button" data-needs="label" { (say("history.select_all")) }
            a #folder.button download { (say("history.folder")) }
            a #mvtec.button download { (say("history.mvtec")) }
        }
        div #selection.selection hidden {
            b #selected {}
            div #labels.labels data-needs="label" {}
            button #pin type="button" data-needs="label" { "◆ " (say("history.pin")) }
            button #unpin type="button" data-needs="label" { (say("history.unpin")) }
            button #free type="button" { (say("history.select_none")) }
        }
    }
}

/// One image.
pub(super) fn image() -> Markup {
    html! {
        p #missing.centre hidden { (say("image.missing")) }
        div #page.image-page hidden {
            (band())
            div.middle {
                div #stage.stage {}
                section { h2 { (say("image.verdicts")) } div #verdicts.said {} p.soft { (say("p.explain")) } }
            }
            aside.side {
                h1 #title.name {}
                section.asked data-needs="label" {
                    h2 { (say("label.ask")) }
                    div #labels.labels {}
                    (author())
                    label.field { (say("common.note")) " " input #note type="text" maxlength="500"; }
                }
                ul #labels-given.plain-list {}
                (overlay_controls())
                section {
                    h2 { (say("image.regions")) }
                    p #no-regions.soft { (say("line.no_regions")) }
                    table #regions hidden {
                        thead { tr {
                            th { (say("image.number")) } th { (say("image.area")) } th { (say("image.peak")) } th { (say("image.place")) }
                        } }
                        tbody {}
                    }
                }
                dl #facts {}
                a #original.button { (say("image.original")) }
            }
            section.around { h2 { (say("image.neighbours")) } div #neighbours.strip {} }
        }
    }
}

/// The threshold.
pub(super) fn threshold() -> Markup {
    html! {
        div.head { h1 { (say("threshold.title")) } (model_choice()) }
        p #unset.soft hidden {}
        div #work hidden {
            p { (say("threshold.now")) ": " span #now {} " " span #origin.soft {} }
            figure {
                div #chart.chart {}
                figcaption.legend {
                    span { i.key.calibrating {} (say("threshold.calibration")) }
                    span { i.key.open {} (say("threshold.open")) }
                    span { i.key.good {} (say("threshold.good")) }
                    span { i.key.hatched {} (say("threshold.defective")) }
                    span #legend-n {}
                }
            }
            div.two {
                section.card aria-live="polite" {
                    h2 { (say("threshold.would")) }
                    div.figures {
                        (figure(say("threshold.rate"), "rate"))
                        (figure(say("threshold.value"), "value"))
                    }
                    p { b #flagged.big {} " " span #flagged-of {} }
                    table.counts {
                        tbody {
                            tr { (cell("found", say("threshold.found"))) (cell("missed", say("threshold.missed"))) }
                            tr { (cell("alarms", say("threshold.alarms"))) (cell("passed", say("threshold.passed"))) }
                        }
                    }
                    p #promise {}
                }
                div {
                    form #change.card data-needs="admin" {
                        h2 { (say("threshold.change")) }
                        p.soft { (say("threshold.reason_wanted")) }
                        (author())
                        label.field { (say("common.reason")) " " input #reason type="text" maxlength="500"; }
                        div.row {
                            button #apply.main type="submit" disabled { (say("threshold.apply")) }
                            button #reset type="button" disabled { (say("threshold.reset")) }
                        }
                    }
                    section.card { h2 { (say("threshold.audit")) } div #audit {} }
                }
            }
            section {
                div.head { h2 { (say("threshold.who")) } button #undo type="button" data-needs="admin" disabled { (say("threshold.undo")) } }
                ul #changes.plain-list {}
            }
        }
    }
}

/// Models and versions.
pub(super) fn models() -> Markup {
    html! {
        div.head { h1 { (say("models.title")) } (author()) }
        p #empty hidden { (say("models.empty")) " " a href="/new" { (say("models.begin")) } }
        div #jobs {}
        div #list {}
    }
}

/// A new part; `is_first` on the line of an empty station.
pub(super) fn new_part(is_first: bool) -> Markup {
    html! {
        section #new.new-part {
            @if is_first { h1.unseen { (say("new.title")) } } @else { h1 { (say("new.title")) } }
            div #new-drop.drop {
                h2 { (say("new.drop_title")) }
                p { (say("new.drop")) }
                div.row.centre {
                    label.button.main { (say("new.choose"))
                        input #new-files.unseen type="file" multiple accept="image/*,.zip,.tif,.tiff,.bmp";
                    }
                    label.button { (say("new.choose_folder")) input #new-folder.unseen type="file" webkitdirectory multiple; }
                }
            }
            div #new-sending hidden {
                progress #new-progress aria-label=(say("new.drop_title")) {}
                div.row { p #new-told role="status" {} button #new-retry type="button" hidden { (say("new.retry_all")) } }
                ul #new-failed.plain-list {}
            }
            div #new-ready hidden {
                div.two {
                    form #new-form.card {
                        label.field { (say("new.name")) input #new-name type="text" maxlength="64" autocomplete="off"; }
                        label.field { (say("new.method")) select #new-method {
                            option value="patchcore" { (say("new.method_auto")) }
                            option value="padim" { (say("new.method_padim")) }
                            option value="pick" { (say("new.method_pick")) }
                        } }
                        label.field { (say("new.false_alarm")) select #new-rate {
                            option value="0.001" { "0.1 %" } option value="0.01" selected { "1 %" } option value="0.05" { "5 %" }
                        } }
                        p #new-trouble.soft role="status" {}
                        div.row {
                            button #new-start.main type="submit" disabled { (say("new.start")) }
                            button #new-discard type="button" { (say("new.discard")) }
                        }
                    }
                    section.card {
                        h2 { (say("new.check")) }
                        div #new-check {}
                        div #new-suspects {}
                        button #new-odd type="button" { (say("new.odd")) }
                    }
                }
                h2 #new-count {}
                ul #new-pictures.pictures {}
            }
            div #new-job {}
            div #new-done.card hidden {
                h2 { "✓ " (say("new.ready")) }
                p #new-promise {}
                button #new-live.main type="button" { (say("new.make_live")) }
                h3 { (say("new.try")) }
                div #new-try.drop.small {
                    p { (say("new.try_drop")) }
                    label.button { (say("new.choose")) input #new-try-files.unseen type="file" multiple accept="image/*"; }
                }
                div #new-tried.tried {}
            }
        }
    }
}

/// A candidate beside the live model.
pub(super) fn compare() -> Markup {
    html! {
        div.head { h1 { (say("compare.title")) } (model_choice()) }
        p #none hidden { (say("compare.none")) " " a href="/models" { (say("models.title")) } }
        div #work hidden {
            div.row {
                label.field { (say("compare.candidate")) " " select #candidate {} }
                (author())
                button #live-button.main type="button" data-needs="admin" { (say("models.make_live")) }
            }
            p.soft { (say("compare.note")) " " span #n {} }
            div.two {
                figure { div #chart.chart {} }
                div {
                    table.counts {
                        tbody {
                            tr { (cell("n-both", say("compare.both"))) (cell("n-live", say("compare.only_live"))) }
                            tr { (cell("n-candidate", say("compare.only_candidate"))) (cell("n-neither", say("compare.neither"))) }
                        }
                    }
                    div #right {}
                }
            }
            h2 { (say("compare.disagree")) }
            p #agree.soft hidden { (say("compare.agree")) }
            ul #apart.apart {}
        }
    }
}

/// The monitor of drift.
pub(super) fn drift() -> Markup {
    html! {
        div.head { h1 { (say("drift.title")) } (model_choice()) }
        p #none hidden { (say("models.empty")) }
        div #work hidden {
            div #state.state { b #state-word {} p #state-words {} }
            div.figures { (figure(say("drift.seen"), "watched")) (figure(say("drift.aside"), "aside")) }
            p.soft { (say("drift.aside_note")) ". " (say("drift.bound")) }
            figure { h2 { (say("drift.scores")) } div #chart.chart {} }
            section data-needs="admin" {
                p { (say("drift.restart_note")) }
                button #restart type="button" { (say("drift.restart")) }
            }
        }
    }
}

/// Settings.
pub(super) fn settings() -> Markup {
    html! {
        h1 { (say("settings.title")) }
        section {
            h2 { (say("settings.sources")) }
            p #no-sources.soft { (say("settings.no_sources")) }
            ul #sources.plain-list {}
            p.soft { (say("settings.from_file")) }
        }
        section { h2 { (say("settings.sinks")) } ul #sinks.plain-list {} p.soft { (say("settings.from_file")) } }
        section {
            h2 { (say("settings.retention")) }
            p { (say("settings.used")) ": " b #used {} }
            p #retention-words.soft {}
            p.soft { (say("settings.order")) }
            div hidden { h3 { (say("settings.next")) } div #next.strip {} }
            form #form.row {
                label.field { (say("settings.history_max")) input #max.short type="number" min="0.01" step="any" required; }
                label.field { (say("settings.history_days")) input #days.short type="number" min="1" step="1" required; }
                label.field { (say("settings.record")) select #record {
                    option value="all" { (say("common.all")) }
                    option value="flagged" { (say("history.flagged")) }
                    option value="none" { (say("common.none")) }
                } }
                label.field { (say("settings.audit_share")) input #audit.short type="number" min="0" max="100" step="any" required; }
                (author())
                button.main type="submit" data-needs="admin" { (say("settings.save")) }
            }
        }
        section {
            h2 { (say("settings.rights")) }
            p { (say("settings.you_are")) " " b #role {} }
            p #everybody.soft { (say("settings.everybody")) }
            button #logout type="button" hidden { (say("settings.logout")) }
        }
        section { h2 { (say("settings.events")) } ul #log.plain-list {} }
    }
}

/// The form that asks for a token.
pub(super) fn login() -> Markup {
    html! {
        form #form.card.login {
            h1 { (say("login.title")) }
            p.soft { (say("login.note")) }
            label.field { (say("login.token")) input #token type="password" autocomplete="current-password" required; }
            (author())
            button.main type="submit" { (say("login.enter")) }
        }
    }
}

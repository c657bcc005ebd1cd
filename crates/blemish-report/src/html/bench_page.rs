//! The leaderboard as a page.

use super::chart::{Spot, scatter};
use super::page::page;
use crate::leaderboard::{ACCURACY, COLUMNS, Leaderboard, SPEED, Section};
use maud::{Markup, html};

/// The page, as the text of one HTML file; `facts` are names and values of how it was made.
pub fn bench_page(board: &Leaderboard, facts: &[(String, String)]) -> String {
    let body = html! {
        h1 { "Leaderboard" }
        p.soft { "Means over seeds, ± one standard deviation where there are several. The best of each column is bold and underlined." }
        @for section in board.all_sections() { (one(section)) }
        h2 { "How it was made" }
        dl { @for (name, value) in facts { dt { (name) } dd { (value) } } }
    };
    page("Blemish leaderboard", &body, None)
}

fn one(section: &Section) -> Markup {
    let spots: Vec<Spot> = section
        .rows
        .iter()
        .enumerate()
        .filter_map(|(index, row)| {
            let (accuracy, speed) = (row.values[ACCURACY]?, row.values[SPEED]?);
            Some(Spot { x: speed.mean, y: accuracy.mean, label: (index + 1).to_string() })
        })
        .collect();
    html! {
        h2 { (section.dataset) }
        div.scroll tabindex="0" role="region" aria-label={ "Figures of " (section.dataset) } {
            table {
                thead { tr { th { "method" } th { "seeds" } @for column in &COLUMNS { th { (column.name) } } } }
                tbody {
                    @for (number, row) in section.rows.iter().enumerate() {
                        tr {
                            th.method { (number + 1) ". " (row.method) }
                            td { (row.seeds) }
                            @for (index, column) in COLUMNS.iter().enumerate() {
                                td class=[section.is_best(row, index).then_some("best")] { (column.show(row.values[index])) }
                            }
                        }
                    }
                }
            }
        }
        p.soft { "Metrics in percent." }
        @if !spots.is_empty() {
            figure {
                h3 { "Accuracy against speed" }
                (scatter(&spots))
                figcaption { "Numbers are those of the table; up and to the right is better." }
            }
        }
    }
}

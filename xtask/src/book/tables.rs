//! Tables of figures from `benches/runs/`.
//!
//! A row of a CSV file is one figure; benches/runs/README.md says what its columns mean. An order makes a table of them:
//!
//! ```text
//! table DATE-MACHINE/NAME [+ DATE-MACHINE/NAME] | rows: set, method | columns: by, metric | last: command | where: seeds = 3 or 5
//! ```
//! `rows` name a row of the table, `columns` a column, `last` stands behind the figures. Several `where` hold together; beside `=` and `!=` there
//! are `has` and `lacks` for a part of the text. Beside the columns of the files there are `by`, whose figure it is (Blemish or the peer), and `side` (Blemish, peer or ratio),
//! which puts peers of several names into one column.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

type Figure = HashMap<String, String>;

/// Makes a table.
///
/// # Errors
/// A file that cannot be read, an order that cannot be understood, two figures for one cell, no figure at all.
pub fn table(runs: &Path, order: &str) -> Result<String, String> {
    let order = Order::parse(order)?;
    let mut figures = Vec::new();
    for name in &order.files {
        let path = runs.join(format!("{name}.csv"));
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        figures.extend(read(file).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    layout(&order, figures)
}

struct Order {
    files: Vec<String>,
    rows: Vec<String>,
    columns: Vec<String>,
    last: Vec<String>,
    conditions: Vec<Condition>,
}

struct Condition {
    column: String,
    values: Vec<String>,
    /// Whether a part of the text is enough.
    is_part: bool,
    /// Whether one of the values must be there, as opposed to none.
    is_wanted: bool,
}

/// Words of conditions: whether a part is enough, whether it is wanted.
const OPERATORS: [(&str, bool, bool); 4] =
    [(" != ", false, false), (" = ", false, true), (" has ", true, true), (" lacks ", true, false)];

impl Condition {
    fn holds(&self, figure: &Figure) -> bool {
        let text = field(figure, &self.column);
        let is_met =
            |value: &String| if self.is_part { text.contains(value.as_str()) } else { text == value };
        self.values.iter().any(is_met) == self.is_wanted
    }
}

impl Order {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(" | ");
        let names = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
        let files =
            parts.next().unwrap_or_default().split(" + ").map(|name| name.trim().to_owned()).collect();
        let mut order = Self { files, rows: vec![], columns: vec![], last: vec![], conditions: vec![] };
        for part in parts {
            match part.split_once(": ") {
                Some(("rows", list)) => order.rows = names(list),
                Some(("columns", list)) => order.columns = names(list),
                Some(("last", list)) => order.last = names(list),
                Some(("where", condition)) => {
                    let found = OPERATORS.iter().find_map(|&(word, is_part, is_wanted)| {
                        let (column, values) = condition.split_once(word)?;
                        let values = values.split(" or ").map(str::to_owned).collect();
                        Some(Condition { column: column.to_owned(), values, is_part, is_wanted })
                    });
                    let wrong = || format!("`{condition}` is not a condition such as `set = screw`");
                    order.conditions.push(found.ok_or_else(wrong)?);
                }
                _ => return Err(format!("`{part}` is not one of rows, columns, last, where")),
            }
        }
        Ok(order)
    }
}

fn read(file: impl io::Read) -> Result<Vec<Figure>, csv::Error> {
    let mut figures = Vec::new();
    for figure in csv::Reader::from_reader(file).deserialize() {
        let mut figure: Figure = figure?;
        let peer = field(&figure, "peer").to_owned();
        let side = match peer.as_str() {
            "" => "Blemish",
            ratio if ratio.contains(" / ") => "ratio",
            _ => "peer",
        };
        figure.insert("side".into(), side.into());
        figure.insert("by".into(), if peer.is_empty() { "Blemish".into() } else { peer });
        figures.push(figure);
    }
    Ok(figures)
}

/// A field; `""` where there is no such column.
fn field<'a>(figure: &'a Figure, name: &str) -> &'a str {
    figure.get(name).map_or("", String::as_str)
}

/// The table of those figures that the order asks for.
fn layout(order: &Order, mut figures: Vec<Figure>) -> Result<String, String> {
    figures.retain(|figure| order.conditions.iter().all(|condition| condition.holds(figure)));
    let Some(first) = figures.first() else { return Err("no figure meets these conditions".into()) };
    let conditions = order.conditions.iter().map(|condition| &condition.column);
    let mut named = order.rows.iter().chain(&order.columns).chain(&order.last).chain(conditions);
    if let Some(name) = named.find(|name| !first.contains_key(*name)) {
        return Err(format!("there is no column `{name}`"));
    }
    Ok(Pivot::new(order, &figures)?.markdown(order))
}

/// Rows and columns in the order in which they first appear.
#[derive(Default)]
struct Pivot {
    rows: Vec<Vec<String>>,
    columns: Vec<Vec<String>>,
    cells: HashMap<(Vec<String>, Vec<String>), String>,
    /// What stands behind the figures of a row.
    last: HashMap<Vec<String>, Vec<String>>,
}

impl Pivot {
    fn new(order: &Order, figures: &[Figure]) -> Result<Self, String> {
        let key = |figure: &Figure, names: &[String]| -> Vec<String> {
            names.iter().map(|name| field(figure, name).to_owned()).collect()
        };
        let mut pivot = Self::default();
        for figure in figures {
            let (row, column) = (key(figure, &order.rows), key(figure, &order.columns));
            if !pivot.rows.contains(&row) {
                pivot.rows.push(row.clone());
            }
            if !pivot.columns.contains(&column) {
                pivot.columns.push(column.clone());
            }
            let last = key(figure, &order.last);
            let known = pivot.last.entry(row.clone()).or_insert_with(|| last.clone());
            for (known, last) in known.iter_mut().zip(last) {
                // Figures of one row may come from a script a side.
                if !known.contains(&last) {
                    *known = format!("{known}; {last}");
                }
            }
            let is_named = field(figure, "side") == "peer" && order.columns.iter().any(|name| name == "side");
            let text = cell(figure, is_named.then(|| field(figure, "peer")));
            let place = format!("{} | {}", row.join(", "), column.join(", "));
            if pivot.cells.insert((row, column), text).is_some() {
                return Err(format!("there are two figures for {place}"));
            }
        }
        Ok(pivot)
    }

    fn markdown(&self, order: &Order) -> String {
        // A label that no row has is left out.
        let kept: Vec<usize> =
            (0..order.rows.len()).filter(|&at| self.rows.iter().any(|row| !row[at].is_empty())).collect();
        let mut head: Vec<String> = kept.iter().map(|&at| order.rows[at].clone()).collect();
        head.extend(self.columns.iter().map(|column| title(column)));
        head.extend(order.last.iter().cloned());
        let is_figure = |at: &usize| (kept.len()..kept.len() + self.columns.len()).contains(at);
        let rule: Vec<&str> = (0..head.len()).map(|at| if is_figure(&at) { "---:" } else { "---" }).collect();
        let mut text = line(&head) + &line(&rule);
        for row in &self.rows {
            let mut cells: Vec<String> = kept.iter().map(|&at| label(&order.rows[at], &row[at])).collect();
            cells.extend(self.columns.iter().map(|column| {
                self.cells.get(&(row.clone(), column.clone())).cloned().unwrap_or_else(|| "-".to_owned())
            }));
            cells.extend(order.last.iter().zip(&self.last[row]).map(|(name, text)| label(name, text)));
            text.push_str(&line(&cells));
        }
        text
    }
}

fn line<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.as_ref().replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// `a`, `a: b`, `a, b: c`, without what is empty.
fn title(column: &[String]) -> String {
    let words: Vec<&str> = column.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => "value".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{}: {last}", first.join(", ")),
    }
}

fn label(column: &str, text: &str) -> String {
    let is_code = matches!(column, "command") || text.contains('=');
    if is_code && !text.is_empty() { format!("`{text}`") } else { text.to_owned() }
}

/// A figure with its spread; a peer's with its name.
fn cell(figure: &Figure, peer: Option<&str>) -> String {
    let (value, spread) = (grouped(field(figure, "value")), field(figure, "spread"));
    let spread = match spread.parse::<f64>() {
        _ if spread.is_empty() => String::new(),
        // A second figure without a point is a quantile or a count and not a deviation.
        Ok(_) if spread.contains('.') => format!(" ± {spread}"),
        _ => format!(" ({spread})"),
    };
    let peer = peer.map_or(String::new(), |peer| format!(" ({peer})"));
    let value = if value.contains('=') { format!("`{value}`") } else { value };
    format!("{value}{spread}{peer}")
}

/// Whole numbers from 10,000 on with commas.
fn grouped(value: &str) -> String {
    if value.len() < 5 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.to_owned();
    }
    let mut text = String::new();
    for (at, digit) in value.chars().enumerate() {
        if at > 0 && (value.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Order, grouped, layout, read};

    const FIGURES: &str = "set,method,variant,metric,value,spread,seeds,peer,command,note\n\
        screw,padim,,\"AUROC, %\",57.0,2.6,3,,a.py,\n\
        screw,padim,,\"AUROC, %\",56.6,,1,anomalib,a.py,\n\
        tile,padim,,\"AUROC, %\",81.6,3.1,3,,b.py,\n\
        tile,padim,,wait,23,73,3,,b.py,\n";

    fn made(order: &str) -> Result<String, String> {
        layout(&Order::parse(order)?, read(FIGURES.as_bytes()).unwrap())
    }

    #[test]
    fn figures_become_a_table_of_rows_and_columns() {
        let order = "a | rows: set, variant | columns: by, metric | last: command | where: metric = AUROC, %";
        let text = "| set | Blemish: AUROC, % | anomalib: AUROC, % | command |\n| --- | ---: | ---: | --- |\n\
            | screw | 57.0 ± 2.6 | 56.6 | `a.py` |\n| tile | 81.6 ± 3.1 | - | `b.py` |\n";
        assert_eq!(made(order).unwrap(), text);
        assert!(
            made("a | rows: set | columns: side | where: metric lacks wait")
                .unwrap()
                .contains("56.6 (anomalib)")
        );
        assert!(
            made("a | rows: set | columns: metric | where: metric = wait").unwrap().contains("| 23 (73) |")
        );
    }

    #[test]
    fn wrong_orders_are_errors() {
        assert!(made("a | rows: set").unwrap_err().contains("two figures for screw"));
        assert!(made("a | rows: set | where: set = leather").unwrap_err().contains("no figure"));
        assert!(made("a | rows: sett").unwrap_err().contains("no column `sett`"));
        assert!(made("a | lines: set").unwrap_err().contains("`lines: set` is not one of"));
        assert!(super::table("none".as_ref(), "b | rows: set").unwrap_err().contains("b.csv"));
    }

    #[test]
    fn long_whole_numbers_get_commas() {
        assert_eq!(
            ["8192", "49896", "1000000", "12.34567"].map(grouped),
            ["8192", "49,896", "1,000,000", "12.34567"]
        );
    }
}

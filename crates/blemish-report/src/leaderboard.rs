//! The outcomes of many fits, gathered: a row for each method on each data set, and one over all data sets.

use crate::csv::text_cell;
use crate::html::readable_bytes;
use blemish_eval::Evaluation;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One method fitted and evaluated once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the data set.
    pub dataset: String,
    /// The method with its settings.
    pub method: String,
    /// Seed of the fit.
    pub seed: u64,
    /// Seconds of the fit, from the images to the file.
    pub fit_seconds: f64,
    /// Test images read and scored in a second.
    pub images_per_second: f64,
    /// Most memory of the process that fitted, in bytes; `None` where the system does not tell.
    pub fit_memory: Option<u64>,
    /// Most memory of the process that evaluated, in bytes; it holds the pixel scores of all test images.
    pub eval_memory: Option<u64>,
    /// Size of the model file in bytes.
    pub model_bytes: u64,
    /// All metrics.
    pub evaluation: Evaluation,
}

/// How a column's numbers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction, shown in percent.
    Percent,
    /// As it is.
    Plain,
    /// Bytes.
    Bytes,
}

/// A column of the leaderboard.
#[derive(Clone, Copy)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// Name in the CSV file.
    pub key: &'static str,
    /// How it is shown.
    pub unit: Unit,
    /// Whether more is better; `None` marks no best.
    pub more_is_better: Option<bool>,
    value: fn(&Cell) -> Option<f64>,
}

macro_rules! column {
    ($name:literal, $key:literal, $unit:ident, $better:expr, $value:expr) => {
        Column { name: $name, key: $key, unit: Unit::$unit, more_is_better: $better, value: $value }
    };
}

/// Every column, in order.
pub const COLUMNS: [Column; 14] = [
    column!("image AUROC", "image_auroc", Percent, Some(true), |cell| cell.evaluation.image.auroc),
    column!("image AP", "image_ap", Percent, Some(true), |cell| cell.evaluation.image.ap),
    column!("image F1-max", "image_f1_max", Percent, Some(true), |cell| cell.evaluation.image.f1_max),
    column!("TPR at 5 % FPR", "image_tpr_at_5_percent_fpr", Percent, Some(true), |cell| cell
        .evaluation
        .image
        .tpr_at_5_percent_fpr),
    column!("pixel AUROC", "pixel_auroc", Percent, Some(true), |cell| cell.evaluation.pixel.auroc),
    column!("pixel AP", "pixel_ap", Percent, Some(true), |cell| cell.evaluation.pixel.ap),
    column!("pixel F1-max", "pixel_f1_max", Percent, Some(true), |cell| cell.evaluation.pixel.f1_max),
    column!("AUPRO", "aupro", Percent, Some(true), |cell| cell.evaluation.pixel.aupro),
    column!("AUPIMO", "aupimo", Percent, Some(true), |cell| cell.evaluation.pixel.aupimo_mean),
    column!("fit, s", "fit_seconds", Plain, Some(false), |cell| Some(cell.fit_seconds)),
    column!("images/s", "images_per_second", Plain, Some(true), |cell| Some(cell.images_per_second)),
    column!("fit memory", "fit_memory_bytes", Bytes, Some(false), |cell| cell
        .fit_memory
        .map(|bytes| bytes as f64)),
    column!("eval memory", "eval_memory_bytes", Bytes, Some(false), |cell| cell
        .eval_memory
        .map(|bytes| bytes as f64)),
    column!("model", "model_bytes", Bytes, Some(false), |cell| Some(cell.model_bytes as f64)),
];

/// Place of the accuracy and the speed that are plotted.
pub(crate) const ACCURACY: usize = 0;
pub(crate) const SPEED: usize = 10;

/// Mean and standard deviation over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, n - 1 in the denominator; `None` with a single seed.
    pub deviation: Option<f64>,
}

/// A method on a data set.
#[derive(Clone, Debug)]
pub struct Row {
    /// The method with its settings.
    pub method: String,
    /// Seeds there are.
    pub seeds: usize,
    /// One value a column; `None` where it is undefined for some seed.
    pub values: Vec<Option<Spread>>,
}

/// The rows of one data set.
#[derive(Clone, Debug)]
pub struct Section {
    /// The data set.
    pub dataset: String,
    /// One row a method, in the order in which they were asked for.
    pub rows: Vec<Row>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Leaderboard {
    /// One section a data set.
    pub sections: Vec<Section>,
    /// Means over all data sets, each of equal weight; `None` with a single one.
    pub overall: Option<Section>,
}

impl Leaderboard {
    /// Gathers cells; data sets and methods keep the order in which they first appear.
    pub fn new(cells: &[Cell]) -> Self {
        let datasets = distinct(cells.iter().map(|cell| cell.dataset.as_str()));
        let methods = distinct(cells.iter().map(|cell| cell.method.as_str()));
        let sections: Vec<Section> = datasets
            .iter()
            .map(|&dataset| {
                let rows = methods.iter().filter_map(|&method| {
                    let mine: Vec<&Cell> = cells
                        .iter()
                        .filter(|cell| cell.dataset == dataset && cell.method == method)
                        .collect();
                    let values = |column: &Column| mine.iter().map(|cell| (column.value)(cell)).collect();
                    (!mine.is_empty()).then(|| row(method, mine.len(), values))
                });
                Section { dataset: dataset.to_owned(), rows: rows.collect() }
            })
            .collect();
        let overall = (datasets.len() > 1).then(|| Section {
            dataset: format!("mean of {} data sets", datasets.len()),
            rows: methods.iter().map(|method| overall(cells, method, datasets.len())).collect(),
        });
        Self { sections, overall }
    }

    /// Every section, the mean over all data sets first.
    pub fn all_sections(&self) -> impl Iterator<Item = &Section> {
        self.overall.iter().chain(&self.sections)
    }

    /// As CSV: a line a method and data set, mean and standard deviation of every column, fractions as fractions.
    pub fn csv(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text_cell(text).replace('"', "\"\""));
        let mut text = "dataset,method,seeds".to_owned();
        COLUMNS.iter().for_each(|column| {
            let _ = write!(text, ",{0}_mean,{0}_sd", column.key);
        });
        for section in &self.sections {
            for row in &section.rows {
                let _ = write!(text, "\n{},{},{}", quoted(&section.dataset), quoted(&row.method), row.seeds);
                for value in &row.values {
                    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
                    let mean = number(value.map(|value| value.mean));
                    let _ = write!(text, ",{mean},{}", number(value.and_then(|value| value.deviation)));
                }
            }
        }
        text.push('\n');
        text
    }

    /// As Markdown tables, the best of each column in bold.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for section in self.all_sections() {
            let _ = write!(text, "### {}\n\n| method |", section.dataset.replace('|', "\\|"));
            COLUMNS.iter().for_each(|column| {
                let _ = write!(text, " {} |", column.name);
            });
            let _ = write!(text, "\n|---|{}\n", "--:|".repeat(COLUMNS.len()));
            for row in &section.rows {
                let _ = write!(text, "| {} |", row.method.replace('|', "\\|"));
                for (index, column) in COLUMNS.iter().enumerate() {
                    let shown = column.show(row.values[index]);
                    let mark = if section.is_best(row, index) { "**" } else { "" };
                    let _ = write!(text, " {mark}{shown}{mark} |");
                }
                text.push('\n');
            }
            text.push('\n');
        }
        text
    }
}

impl Section {
    /// Whether a row has the best mean of a column, among at least two.
    pub fn is_best(&self, row: &Row, column: usize) -> bool {
        let Some(more_is_better) = COLUMNS[column].more_is_better else { return false };
        let Some(mine) = row.values[column] else { return false };
        let others = self.rows.iter().filter_map(|row| row.values[column]);
        self.rows.len() > 1
            && others
                .into_iter()
                .all(|other| if more_is_better { mine.mean >= other.mean } else { mine.mean <= other.mean })
    }
}

impl Column {
    /// A value as people read it.
    pub fn show(&self, value: Option<Spread>) -> String {
        let Some(Spread { mean, deviation }) = value else { return "–".into() };
        let digits = |value: f64| match value.abs() {
            size if size >= 100.0 => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        };
        match self.unit {
            Unit::Percent => {
                let spread = deviation.map_or(String::new(), |sd| format!(" ± {:.1}", 100.0 * sd));
                format!("{:.1}{spread}", 100.0 * mean)
            }
            Unit::Plain => {
                format!(
                    "{}{}",
                    digits(mean),
                    deviation.map_or(String::new(), |sd| format!(" ± {}", digits(sd)))
                )
            }
            Unit::Bytes => readable_bytes(mean as u64),
        }
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

fn row(method: &str, seeds: usize, values: impl Fn(&Column) -> Vec<Option<f64>>) -> Row {
    let values =
        COLUMNS.iter().map(|column| spread(&values(column).into_iter().collect::<Option<Vec<_>>>()?));
    Row { method: method.to_owned(), seeds, values: values.collect() }
}

/// A method over all data sets: for each seed the mean over the data sets, then mean and spread of these. A metric that some data set
/// does not have is absent.
fn overall(cells: &[Cell], method: &str, datasets: usize) -> Row {
    let mut seeds: Vec<u64> =
        cells.iter().filter(|cell| cell.method == method).map(|cell| cell.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    row(method, seeds.len(), |column| {
        let of_seed = |seed: &u64| -> Option<f64> {
            let mine = cells.iter().filter(|cell| cell.method == method && cell.seed == *seed);
            let values: Vec<f64> = mine.map(|cell| (column.value)(cell)).collect::<Option<_>>()?;
            (values.len() == datasets).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        seeds.iter().map(of_seed).collect()
    })
}

fn spread(values: &[f64]) -> Option<Spread> {
    let count = values.len() as f64;
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(Spread { mean, deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use blemish_eval::Evaluator;

    pub(crate) fn cell(dataset: &str, method: &str, seed: u64, auroc: Option<f64>) -> Cell {
        let mut evaluation = Evaluator::new().finish().unwrap();
        evaluation.image.auroc = auroc;
        Cell {
            dataset: dataset.into(),
            method: method.into(),
            seed,
            fit_seconds: 2.0,
            images_per_second: 10.0 + seed as f64,
            fit_memory: Some(3_000_000),
            eval_memory: None,
            model_bytes: 1000,
            evaluation,
        }
    }

    #[test]
    fn means_and_spreads_are_over_seeds_and_data_sets_weigh_the_same() {
        let cells = [
            cell("a", "m", 0, Some(0.8)),
            cell("a", "m", 1, Some(0.9)),
            cell("b", "m", 0, Some(0.4)),
            cell("b", "m", 1, Some(0.5)),
        ];
        let board = Leaderboard::new(&cells);
        let first = board.sections[0].rows[0].values[ACCURACY].unwrap();
        assert!((first.mean - 0.85).abs() < 1e-12);
        // Of two values: half their difference times the root of 2.
        assert!((first.deviation.unwrap() - 0.05 * 2f64.sqrt()).abs() < 1e-12);
        let overall = board.overall.as_ref().unwrap().rows[0].values[ACCURACY].unwrap();
        assert!((overall.mean - 0.65).abs() < 1e-12);
        assert_eq!(board.overall.unwrap().rows[0].seeds, 2);
        assert_eq!(COLUMNS[SPEED].key, "images_per_second");
        assert_eq!(COLUMNS[ACCURACY].key, "image_auroc");
    }

    #[test]
    fn what_is_undefined_is_absent_and_one_seed_has_no_spread() {
        let board = Leaderboard::new(&[cell("a", "m", 0, None), cell("b", "m", 0, Some(1.0))]);
        assert_eq!(board.sections[0].rows[0].values[ACCURACY], None);
        assert_eq!(board.overall.as_ref().unwrap().rows[0].values[ACCURACY], None);
        assert_eq!(board.sections[1].rows[0].values[ACCURACY].unwrap().deviation, None);
    }

    #[test]
    fn tables_mark_the_best_and_quote_what_would_break_them() {
        let cells = [
            cell("a|b", "x:\"q\",r", 0, Some(0.5)),
            cell("a|b", "y", 0, Some(0.75)),
            cell("=1+1", "y", 0, Some(0.75)),
        ];
        let board = Leaderboard::new(&cells);
        let markdown = board.markdown();
        assert!(
            markdown.contains("### a\\|b") && markdown.contains("**75.0**") && !markdown.contains("**50.0**")
        );
        let csv = board.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("dataset,method,seeds,image_auroc_mean,image_auroc_sd"));
        assert!(lines[1].starts_with("\"a|b\",\"x:\"\"q\"\",r\",1,0.5,,"), "{}", lines[1]);
        assert!(lines[3].starts_with("\"'=1+1\","), "{}", lines[3]);
        assert_eq!(lines.len(), 4);
    }
}

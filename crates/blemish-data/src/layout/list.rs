//! Lists of images: CSV with a header, a JSON array of objects, or JSON Lines, all with the same fields.
//!
//! | field | meaning |
//! |---|---|
//! | `path` | the image, relative to the list's folder; required |
//! | `split` | `train` or `test`; without it, good images are for training and defective ones for testing |
//! | `label` | `good`, `normal` or `0` is good, anything else is defective; without it, training images are good |
//! | `mask` | the mask of a defective image |
//! | `defect` | the kind of defect; without it, the label if that is a word of its own |
//! | `group` | images of one part or shot; they are kept together where images are dealt into folds |
//! | `category` | the category, in a list of several; all lines or none have one |

use super::dataset::{Dataset, Label, Layout, OpenOptions, Sample, chosen};
use crate::error::{DataError, Skipped};
use crate::reader::looks_like_image;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Lists are read whole; a larger file is something else.
const MAXIMUM_BYTES: u64 = 1 << 30;

/// Labels that say "defective" without naming the defect.
const NAMELESS: [&str; 7] = ["1", "true", "defective", "anomaly", "anomalous", "bad", "abnormal"];

/// One line of a list, as written.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) line: u64,
    pub(super) path: String,
    pub(super) split: String,
    pub(super) label: String,
    pub(super) mask: String,
    pub(super) defect: String,
    pub(super) group: String,
    pub(super) category: String,
}

/// The CSV columns of a list, in the order of [`Entry`]'s fields.
const COLUMNS: [&str; 7] = ["path", "split", "label", "mask", "defect", "group", "category"];

/// The text of a list file.
pub(super) fn read_text(path: &Path) -> Result<String, DataError> {
    let length = std::fs::metadata(path).map_err(DataError::io("open", path))?.len();
    if length > MAXIMUM_BYTES {
        return Err(DataError::dataset(path, "a list of more than 1 GiB is not read; split it"));
    }
    let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
    text_of(path, bytes)
}

pub(super) fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    if bytes.is_empty() {
        return Err(DataError::dataset(path, "the file is empty"));
    }
    if looks_like_image(&bytes) {
        return Err(DataError::dataset(
            path,
            "it is an image; name the folder that holds the good images, or a list",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        DataError::dataset(path, "it is neither a folder nor a list in UTF-8 text (CSV or JSON)")
    })?;
    // Spreadsheets mark UTF-8 with an invisible first character.
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// The dataset in a list's text: all of it, or the chosen category where the list has categories.
pub(super) fn open(path: &Path, text: &str, options: &OpenOptions) -> Result<Dataset, DataError> {
    let entries = entries(path, text, options.group_column.as_deref())?;
    let category = if entries.iter().any(|entry| !entry.category.is_empty()) {
        if let Some(entry) = entries.iter().find(|entry| entry.category.is_empty()) {
            return Err(fault(
                path,
                entry.line,
                "the category is empty, but other lines have one; fill it in".into(),
            ));
        }
        Some(chosen(path, options, entries.iter().map(|entry| entry.category.clone()).collect())?)
    } else {
        None
    };
    let is_wanted = |entry: &&Entry| category.as_ref().is_none_or(|category| entry.category == *category);
    let whole = || path.file_stem().map_or_else(|| "list".into(), |stem| stem.to_string_lossy().into_owned());
    let base = path.parent().unwrap_or(Path::new(""));
    let mut dataset = Dataset {
        root: path.to_path_buf(),
        layout: Layout::List,
        category: category.clone().or_else(|| options.category.clone()).unwrap_or_else(whole),
        train: Vec::new(),
        test: Vec::new(),
        skipped: Vec::new(),
    };
    for entry in entries.iter().filter(is_wanted) {
        add(&mut dataset, path, base, entry, options)?;
    }
    Ok(dataset)
}

/// Adds one entry's sample; a file that is not there is an error or, on skip, left out.
pub(super) fn add(
    dataset: &mut Dataset,
    list: &Path,
    base: &Path,
    entry: &Entry,
    options: &OpenOptions,
) -> Result<(), DataError> {
    let (sample, for_training) = sample_of(list, base, entry)?;
    let missing =
        [Some(&sample.path), sample.mask.as_ref()].into_iter().flatten().find(|file| !file.is_file());
    if let Some(file) = missing {
        let reason =
            format!("there is no file `{}`; paths are relative to `{}`", file.display(), base.display());
        if !options.skip_bad {
            return Err(fault(list, entry.line, reason));
        }
        dataset.skipped.push(Skipped { path: sample.path, reason });
    } else if for_training {
        dataset.train.push(sample);
    } else {
        dataset.test.push(sample);
    }
    Ok(())
}

pub(super) fn sample_of(list: &Path, base: &Path, entry: &Entry) -> Result<(Sample, bool), DataError> {
    let wrong = |reason: String| Err(fault(list, entry.line, reason));
    if entry.path.is_empty() {
        return wrong("the path is empty".into());
    }
    let split = entry.split.to_ascii_lowercase();
    let label = entry.label.to_ascii_lowercase();
    let is_good = match label.as_str() {
        "" if split == "test" => {
            return wrong("a test image needs a label (good or the kind of defect)".into());
        }
        "" | "good" | "normal" | "0" | "false" => true,
        _ => false,
    };
    let for_training = match split.as_str() {
        "" => is_good,
        "train" | "training" => true,
        "test" => false,
        other => return wrong(format!("the split is `{other}`; it must be train or test")),
    };
    if for_training && !is_good {
        return wrong(format!(
            "the image is `{}` but marked for training; only good images are learnt from",
            entry.label
        ));
    }
    let path = base.join(&entry.path);
    let group = (!entry.group.is_empty()).then(|| entry.group.clone());
    if is_good {
        return Ok((Sample { group, ..Sample::good(path) }, for_training));
    }
    let defect = match (entry.defect.as_str(), label.as_str()) {
        ("", nameless) if NAMELESS.contains(&nameless) => "defective".to_string(),
        ("", _) => entry.label.clone(),
        (named, _) => named.to_string(),
    };
    let mask: Option<PathBuf> = (!entry.mask.is_empty()).then(|| base.join(&entry.mask));
    Ok((Sample { path, label: Label::Defective, defect, mask, group }, for_training))
}

/// The entries of a list, whichever of the three forms it has.
///
/// `group` is the column of groups where it is not called that.
pub(super) fn entries(path: &Path, text: &str, group: Option<&str>) -> Result<Vec<Entry>, DataError> {
    let mut columns = COLUMNS;
    columns[5] = group.unwrap_or(columns[5]);
    match text.trim_start().chars().next() {
        Some('[') => json_array(path, text, columns[5]),
        Some('{') => json_lines(path, text, columns[5]),
        _ => csv_rows(path, text, columns),
    }
}

/// Rows of a CSV with a header. `names` are the columns of an [`Entry`]'s path, split, label, mask, defect, group and category; only
/// the first is required.
pub(super) fn csv_rows(path: &Path, text: &str, names: [&str; 7]) -> Result<Vec<Entry>, DataError> {
    let header_line = text.lines().next().unwrap_or_default();
    // Spreadsheets in many countries write semicolons.
    let delimiter = if !header_line.contains(',') && header_line.contains(';') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        fault(path, line, error.to_string())
    };
    let header = reader.headers().map_err(wrong)?.clone();
    let columns = names.map(|name| header.iter().position(|column| column.eq_ignore_ascii_case(name)));
    if columns[0].is_none() {
        let found = header.iter().take(8).map(|column| column.chars().take(24).collect::<String>());
        let reason = format!(
            "the header needs a column `{}` (and may have {}); found: {}",
            names[0],
            names[1..].join(", "),
            found.collect::<Vec<_>>().join(", ")
        );
        return Err(fault(path, 1, reason));
    }
    // Only a column that was asked for can be missed.
    if columns[5].is_none() && !COLUMNS.contains(&names[5]) {
        let found: Vec<&str> = header.iter().take(8).collect();
        return Err(fault(
            path,
            1,
            format!("there is no column `{}` of groups; found: {}", names[5], found.join(", ")),
        ));
    }
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let field = |column: usize| {
            columns[column].and_then(|index| row.get(index)).map(str::to_string).unwrap_or_default()
        };
        entries.push(Entry {
            line: row.position().map_or(0, csv::Position::line),
            path: field(0),
            split: field(1),
            label: field(2),
            mask: field(3),
            defect: field(4),
            group: field(5),
            category: field(6),
        });
    }
    Ok(entries)
}

fn json_array(path: &Path, text: &str, group: &str) -> Result<Vec<Entry>, DataError> {
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| fault(path, error.line() as u64, error.to_string()))?;
    values.iter().zip(1..).map(|(value, number)| json_entry(path, number, value, group)).collect()
}

fn json_lines(path: &Path, text: &str, group: &str) -> Result<Vec<Entry>, DataError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let value = serde_json::from_str(line).map_err(|error| {
                let reason =
                    format!("{error}; JSON Lines has one object a line, several on lines need [ and ]");
                fault(path, number, reason)
            })?;
            json_entry(path, number, &value, group)
        })
        .collect()
}

fn json_entry(path: &Path, line: u64, value: &Value, group: &str) -> Result<Entry, DataError> {
    let Some(object) = value.as_object() else {
        return Err(fault(path, line, "an entry must be an object with at least `path`".into()));
    };
    let field = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.trim().to_string()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(truth)) => Ok(truth.to_string()),
        Some(_) => Err(fault(path, line, format!("`{name}` must be a text, a number or true/false"))),
    };
    if !object.contains_key("path") {
        return Err(fault(path, line, "the entry has no `path`".into()));
    }
    Ok(Entry {
        line,
        path: field("path")?,
        split: field("split")?,
        label: field("label")?,
        mask: field("mask")?,
        defect: field("defect")?,
        group: field(group)?,
        category: field("category")?,
    })
}

fn fault(path: &Path, line: u64, reason: String) -> DataError {
    DataError::List { path: path.to_path_buf(), line, reason }
}

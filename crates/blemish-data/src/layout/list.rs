//! Lists of images: CSV with a header, a JSON array of objects, or JSON Lines, all with the same fields.
//!
//! | field | meaning |
//! |---|---|
//! | `path` | the image, relative to the list's folder or the one above; required |
//! | `split` | `train` or `test` (or `validation`, which is passed over); without it, good images are for training and defective ones for testing |
//! | `label` | `good`, `OK`, `normal`, `0` and the like are good, anything else is defective; without it, training images are good |
//! | `mask` | the mask of a defective image |
//! | `defect` | the kind of defect; without it, the label if that is a word of its own |
//! | `group` | images of one part or shot; they are kept together where images are dealt into folds |
//! | `category` | the category, in a list of several; all lines or none have one |

use super::account::Use;
use super::dataset::{Dataset, Label, Layout, OpenOptions, Sample, chosen};
use super::names::{ListLabel, Split, label_of, split_of};
use crate::error::{DataError, Skipped};
use crate::files;
use crate::reader::looks_like_image;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Lists are read whole; a larger file is something else.
const MAXIMUM_BYTES: u64 = 1 << 30;

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

/// The names of an [`Entry`]'s fields in the order of its path, split, label, mask, defect, group and category; the first of each is
/// the one that messages name.
pub(super) type Columns<'a> = [&'a [&'a str]; 7];

/// The fields of a list, and what other programs call them.
const COLUMNS: Columns<'static> = [
    &[
        "path",
        "image",
        "image_path",
        "img",
        "img_path",
        "file",
        "file_name",
        "filename",
        "filepath",
        "file_path",
    ],
    &["split", "set", "subset"],
    &["label", "label_index", "class", "target", "anomaly_class"],
    &["mask", "mask_path", "ground_truth", "gt", "gt_path"],
    &["defect", "defect_type", "anomaly_type", "kind"],
    &["group", "part", "part_id"],
    &["category", "object"],
];

/// The text of a list file.
pub(super) fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = files::read(path, MAXIMUM_BYTES).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => {
            DataError::dataset(path, "a list of more than 1 GiB is not read; split it")
        }
        std::io::ErrorKind::InvalidInput => DataError::dataset(
            path,
            format!("{error}; name a folder of images, or a list of them that is saved as a file"),
        ),
        _ => DataError::io("read", path)(error),
    })?;
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
    let name = category.clone().or_else(|| options.category.clone()).unwrap_or_else(whole);
    let mut dataset = Dataset::empty(path, Layout::List, name);
    for entry in entries.iter().filter(is_wanted) {
        add(&mut dataset, path, base, entry, options)?;
    }
    dataset.account.finish();
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
    let (mut sample, part) = sample_of(list, base, entry)?;
    let named = [(&mut sample.path, &entry.path)]
        .into_iter()
        .chain(sample.masks.iter_mut().map(|mask| (mask, &entry.mask)));
    let mut missing = None;
    for (path, written) in named {
        match found(base, written) {
            Some(there) => *path = there,
            None => missing = missing.or_else(|| Some(reason_missing(path, written, base))),
        }
    }
    if let Some(reason) = missing {
        if !options.skip_bad {
            return Err(fault(list, entry.line, reason));
        }
        dataset.skipped.push(Skipped { path: sample.path, reason });
        return Ok(());
    }
    let folder =
        Path::new(&entry.path.replace('\\', "/")).parent().map(|folder| folder.display().to_string());
    let folder = folder.filter(|folder| !folder.is_empty()).unwrap_or_else(|| ".".into());
    let (list, taken) = match (part, sample.label) {
        (Split::Train, _) => (&mut dataset.train, Use::Learnt),
        (Split::Test, Label::Good) => (&mut dataset.test, Use::TestGood),
        (Split::Test, _) => (&mut dataset.test, Use::TestDefective),
        (Split::Validation, _) => {
            dataset.account.count(&folder, Use::PassedOver("kept for validation".into()));
            return Ok(());
        }
    };
    list.push(sample);
    dataset.account.count(&folder, taken);
    Ok(())
}

/// Where a path of a list leads: below the list's folder or, as in some sets, the one above; with backslashes between its parts, too.
fn found(base: &Path, written: &str) -> Option<PathBuf> {
    let spelt = [written.to_owned(), written.replace('\\', "/")];
    let bases = [Some(base), base.parent()];
    let candidates =
        bases.into_iter().flatten().flat_map(|base| spelt.iter().map(move |path| base.join(path)));
    candidates.into_iter().find(|path| path.is_file())
}

fn reason_missing(path: &Path, written: &str, base: &Path) -> String {
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    if let Some(broken) = super::scan::broken_link(path) {
        return broken.to_string();
    }
    let is_of_windows = written.get(1..3) == Some(":\\") || written.starts_with("\\\\");
    let hint = if is_of_windows {
        "it is a path of a Windows computer, write it relative to the list"
    } else {
        "paths are relative to the list"
    };
    format!("there is no file `{}`; {hint} (`{}`)", path.display(), base.display())
}

/// The sample of an entry, and the part of the set that it is for.
pub(super) fn sample_of(list: &Path, base: &Path, entry: &Entry) -> Result<(Sample, Split), DataError> {
    let wrong = |reason: String| Err(fault(list, entry.line, reason));
    if entry.path.is_empty() {
        return wrong("the path is empty".into());
    }
    let split = match (entry.split.as_str(), split_of(&entry.split)) {
        ("", _) => None,
        (_, Some(split)) => Some(split),
        (other, None) => {
            return wrong(format!("the split is `{other}`; it must be train, validation or test"));
        }
    };
    let label = match entry.label.as_str() {
        "" if split == Some(Split::Test) => {
            return wrong("a test image needs a label (good or the kind of defect)".into());
        }
        "" => ListLabel::Good,
        label => label_of(label),
    };
    let path = base.join(&entry.path);
    let group = (!entry.group.is_empty()).then(|| entry.group.clone());
    let kind = match label {
        ListLabel::Doubtful(reason) => return wrong(reason),
        ListLabel::Good => {
            return Ok((Sample { group, ..Sample::good(path) }, split.unwrap_or(Split::Train)));
        }
        ListLabel::Defective => "defective".to_owned(),
        ListLabel::Kind(kind) => kind,
    };
    if split == Some(Split::Train) {
        return wrong(format!(
            "the image is `{}` but marked for training; only good images are learnt from",
            entry.label
        ));
    }
    let defect = if entry.defect.is_empty() { kind } else { entry.defect.clone() };
    let masks = if entry.mask.is_empty() { Vec::new() } else { vec![base.join(&entry.mask)] };
    Ok((
        Sample { path, label: Label::Defective, defect, masks, group, category: None },
        split.unwrap_or(Split::Test),
    ))
}

/// The entries of a list, whichever of the three forms it has.
///
/// `group` is the column of groups where it is not called that.
pub(super) fn entries(path: &Path, text: &str, group: Option<&str>) -> Result<Vec<Entry>, DataError> {
    let asked = group.map(|group| [group]);
    let mut columns: Columns<'_> = COLUMNS;
    if let Some(group) = &asked {
        columns[5] = group;
    }
    match text.trim_start().chars().next() {
        Some('[') => json_array(path, text, columns),
        Some('{') => json_lines(path, text, columns),
        _ => csv_rows(path, text, columns),
    }
}

/// Rows of a CSV with a header. Of the columns only the path is required.
pub(super) fn csv_rows(path: &Path, text: &str, names: Columns<'_>) -> Result<Vec<Entry>, DataError> {
    let (delimiter, text, lines_before) = delimiter(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        fault(path, line + lines_before, error.to_string())
    };
    let header = reader.headers().map_err(wrong)?.clone();
    let place = |name: &&str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let columns = names.map(|names| names.iter().find_map(place));
    if columns[0].is_none() {
        let found = header.iter().take(8).map(|column| column.chars().take(24).collect::<String>());
        let reason = format!(
            "the header needs a column `{}` (and may have {}); found: {}",
            names[0].first().copied().unwrap_or_default(),
            names[1..].iter().filter_map(|names| names.first().copied()).collect::<Vec<_>>().join(", "),
            found.collect::<Vec<_>>().join(", ")
        );
        return Err(fault(path, 1 + lines_before, reason));
    }
    // Only a column that was asked for can be missed; it comes alone.
    if let (None, [asked]) = (columns[5], names[5]) {
        let found: Vec<&str> = header.iter().take(8).collect();
        let reason = format!("there is no column `{asked}` of groups; found: {}", found.join(", "));
        return Err(fault(path, 1 + lines_before, reason));
    }
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(wrong)?;
        let field = |column: usize| {
            columns[column].and_then(|index| row.get(index)).map(str::to_string).unwrap_or_default()
        };
        entries.push(Entry {
            line: row.position().map_or(0, csv::Position::line) + lines_before,
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

/// What parts the columns, the text from its header on, and the lines before that.
///
/// Spreadsheets in many countries write semicolons, and some say so in a first line `sep=;`.
fn delimiter(text: &str) -> (u8, &str, u64) {
    let header = text.lines().next().unwrap_or_default();
    let said = header.trim().trim_matches('"');
    if let Some(rest) = said.to_ascii_lowercase().strip_prefix("sep=")
        && let [delimiter] = rest.as_bytes()
    {
        return (*delimiter, text.split_once('\n').map_or("", |(_, rest)| rest), 1);
    }
    // `sep=` and a tab, which the trimming took.
    if said.eq_ignore_ascii_case("sep=") {
        return (b'\t', text.split_once('\n').map_or("", |(_, rest)| rest), 1);
    }
    let delimiter =
        [b',', b';', b'\t', b'|'].into_iter().find(|delimiter| header.as_bytes().contains(delimiter));
    (delimiter.unwrap_or(b','), text, 0)
}

fn json_array(path: &Path, text: &str, names: Columns<'_>) -> Result<Vec<Entry>, DataError> {
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| fault(path, error.line() as u64, error.to_string()))?;
    values.iter().zip(1..).map(|(value, number)| json_entry(path, number, value, names)).collect()
}

fn json_lines(path: &Path, text: &str, names: Columns<'_>) -> Result<Vec<Entry>, DataError> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            let value = serde_json::from_str(line).map_err(|error| {
                let reason =
                    format!("{error}; JSON Lines has one object a line, several on lines need [ and ]");
                fault(path, number, reason)
            })?;
            json_entry(path, number, &value, names)
        })
        .collect()
}

fn json_entry(path: &Path, line: u64, value: &Value, names: Columns<'_>) -> Result<Entry, DataError> {
    let Some(object) = value.as_object() else {
        return Err(fault(path, line, "an entry must be an object with at least `path`".into()));
    };
    let text = |name: &str, value: Option<&Value>| match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.trim().to_string()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(truth)) => Ok(truth.to_string()),
        Some(_) => Err(fault(path, line, format!("`{name}` must be a text, a number or true/false"))),
    };
    let field = |names: &[&str]| text(names[0], names.iter().find_map(|name| object.get(*name)));
    if !names[0].iter().any(|name| object.contains_key(*name)) {
        return Err(fault(path, line, "the entry has no `path`".into()));
    }
    let [path, split, label, mask, defect, group, category] = names.map(field);
    Ok(Entry {
        line,
        path: path?,
        split: split?,
        label: label?,
        mask: mask?,
        defect: defect?,
        group: group?,
        category: category?,
    })
}

pub(super) fn fault(path: &Path, line: u64, reason: String) -> DataError {
    DataError::List { path: path.to_path_buf(), line, reason }
}

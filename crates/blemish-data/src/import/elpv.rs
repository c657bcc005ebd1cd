//! Solar cells in electroluminescence (`elpv-dataset`, Deitsch et al. 2019, Buerhop-Lutz et al. 2018; CC BY-NC-SA 4.0).
//!
//! 2,624 grey pictures of 300x300 pixels. `labels.csv` has no header; a line is path, probability of a defect (0, 1/3, 2/3 or 1, as
//! experts judged it) and type of cell, separated by blanks. Good is probability 0, defective is 1; the uncertain are left out.

use super::error::ImportError;
use super::source::Source;
use crate::files::{self, Staging};
use crate::progress::Answer;
use crate::synth::{Random, shuffle};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which cells to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CellType {
    /// Monocrystalline cells: even, so that defects stand out.
    #[default]
    Mono,
    /// Polycrystalline cells: a texture of crystals.
    Poly,
    /// Both.
    All,
}

impl FromStr for CellType {
    type Err = ImportError;

    fn from_str(name: &str) -> Result<Self, ImportError> {
        match name {
            "mono" => Ok(Self::Mono),
            "poly" => Ok(Self::Poly),
            "all" => Ok(Self::All),
            _ => Err(ImportError::UnknownCellType { name: name.to_owned() }),
        }
    }
}

/// What to import, and how to split it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElpvOptions {
    /// Which cells to take.
    pub cell_type: CellType,
    /// Fixes the split.
    pub seed: u64,
    /// Good training images; `None` takes two thirds of the good images.
    pub train: Option<usize>,
    /// Good test images; `None` takes all the rest.
    pub test_good: Option<usize>,
    /// Defective test images; `None` takes all.
    pub test_defective: Option<usize>,
}

impl Default for ElpvOptions {
    /// All monocrystalline cells, two thirds of the good ones for training, seed 0.
    fn default() -> Self {
        Self { cell_type: CellType::Mono, seed: 0, train: None, test_good: None, test_defective: None }
    }
}

/// What was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// The folder.
    pub folder: PathBuf,
    /// Images in `train/good`.
    pub train: usize,
    /// Images in `test/good`.
    pub test_good: usize,
    /// Images in `test/defective`.
    pub test_defective: usize,
    /// Left out because the experts were uncertain (probability 1/3 or 2/3).
    pub uncertain: usize,
    /// Left out because of their type of cell.
    pub other_type: usize,
    /// Good or defective, of the chosen type, but beyond the counts asked for.
    pub unused: usize,
}

/// One line of the labels.
struct Cell {
    /// Path relative to the labels; checked to be plain.
    path: String,
    probability: f64,
    cell_type: CellType,
}

/// Brings the set into MVTec AD layout: `train/good`, `test/good` and `test/defective`, without masks.
///
/// `source` is the wheel, the folder it was unpacked or installed to, or a checkout of its repository. Pictures are copied byte for
/// byte. The same seed gives the same split. `progress(done, total)` is called after every picture and may stop the work. `out` must be absent or empty;
/// it appears when all is done.
///
/// # Errors
/// [`ImportError`] if the source is something else or damaged, fewer images are there than asked for, or `out` is not free.
pub fn import_elpv<A: Answer>(
    source: &Path,
    out: &Path,
    options: &ElpvOptions,
    progress: &dyn Fn(u64, u64) -> A,
) -> Result<ImportReport, ImportError> {
    let (mut archive, labels) = Source::open(source)?;
    let cells = parse_labels(source, &labels)?;
    let all = cells.len();
    let chosen: Vec<Cell> = cells
        .into_iter()
        .filter(|cell| options.cell_type == CellType::All || cell.cell_type == options.cell_type)
        .collect();
    let other_type = all - chosen.len();
    let pick = |probability: f64| {
        let matching = chosen.iter().filter(|cell| cell.probability == probability);
        matching.map(|cell| cell.path.as_str()).collect::<Vec<_>>()
    };
    let (good, defective) = (pick(0.0), pick(1.0));
    let certain = good.len() + defective.len();
    let parts = split(good, defective, options)?;
    if !files::is_free(out).unwrap_or(false) {
        return Err(ImportError::Occupied { path: out.to_path_buf() });
    }
    let staging =
        Staging::new(out).map_err(|(folder, error)| ImportError::io("write into", &folder)(error))?;
    let total: usize = parts.iter().map(|(_, paths)| paths.len()).sum();
    let mut done = 0;
    for (part, paths) in &parts {
        let folder = staging.path().join(part);
        std::fs::create_dir_all(&folder).map_err(ImportError::io("create", &folder))?;
        for path in paths {
            let bytes = archive.read(path)?;
            check_picture(source, path, &bytes)?;
            // The name was checked to be plain, and `images/` is cut off.
            let file = folder.join(path.rsplit('/').next().unwrap_or(path));
            std::fs::write(&file, bytes).map_err(ImportError::io("write", &file))?;
            done += 1;
            if progress(done, total as u64).is_stop() {
                return Err(ImportError::Interrupted);
            }
        }
    }
    staging.publish("").map_err(ImportError::io("write", out))?;
    let [train, test_good, test_defective] = parts.map(|(_, paths)| paths.len());
    Ok(ImportReport {
        folder: out.to_path_buf(),
        train,
        test_good,
        test_defective,
        uncertain: chosen.len() - certain,
        other_type,
        unused: certain - total,
    })
}

/// Shuffles both lists by the seed and cuts them; the folders and their pictures.
fn split<'a>(
    mut good: Vec<&'a str>,
    mut defective: Vec<&'a str>,
    options: &ElpvOptions,
) -> Result<[(&'static str, Vec<&'a str>); 3], ImportError> {
    let mut random = Random::new(options.seed, u64::from_le_bytes(*b"elpv    "), 0);
    for paths in [&mut good, &mut defective] {
        paths.sort_unstable();
        shuffle(paths, &mut random);
    }
    let too_few = |what, wanted, available| ImportError::TooFew { what, wanted, available };
    let default_train = match options.test_good {
        Some(test) => (good.len() * 2 / 3).min(good.len().saturating_sub(test)),
        None => good.len() * 2 / 3,
    };
    let train = options.train.unwrap_or(default_train);
    let test = options.test_good.unwrap_or(good.len().saturating_sub(train));
    let wanted = train.saturating_add(test);
    if wanted > good.len() || train == 0 {
        return Err(too_few("good images", wanted.max(1), good.len()));
    }
    let bad = options.test_defective.unwrap_or(defective.len());
    if bad > defective.len() {
        return Err(too_few("defective images", bad, defective.len()));
    }
    let mut rest = good.split_off(train);
    rest.truncate(test);
    defective.truncate(bad);
    Ok([("train/good", good), ("test/good", rest), ("test/defective", defective)])
}

fn parse_labels(source: &Path, labels: &str) -> Result<Vec<Cell>, ImportError> {
    let mut seen = std::collections::HashSet::new();
    let mut cells = Vec::new();
    for (number, line) in labels.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |reason: String| ImportError::Labels { path: source.to_path_buf(), line: number + 1, reason };
        let cell = parse_line(line).map_err(wrong)?;
        // Pictures are written under their bare names, so these must differ.
        if !seen.insert(cell.path.clone()) {
            return Err(wrong(format!("`{}` is listed twice", cell.path)));
        }
        cells.push(cell);
    }
    if cells.is_empty() {
        let reason = "its label file lists no pictures".to_owned();
        return Err(ImportError::Foreign { path: source.to_path_buf(), reason });
    }
    Ok(cells)
}

fn parse_line(line: &str) -> Result<Cell, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[path, probability, kind] = fields.as_slice() else {
        return Err(format!("it has {} fields instead of path, probability and type", fields.len()));
    };
    // Names decide where files are read in folders and written in the output, so only plain ones pass.
    let name = path.strip_prefix("images/").unwrap_or_default();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if !name.strip_suffix(".png").is_some_and(|stem| !stem.is_empty() && stem.chars().all(is_plain)) {
        return Err(format!("`{}` is not of the form images/NAME.png", path.escape_default()));
    }
    let number: f64 = probability
        .parse()
        .map_err(|_| format!("`{}` is not a probability", probability.escape_default()))?;
    if !(0.0..=1.0).contains(&number) {
        return Err(format!("the probability {number} is not within [0, 1]"));
    }
    let cell_type = match kind {
        "mono" => CellType::Mono,
        "poly" => CellType::Poly,
        _ => return Err(format!("`{}` is not a type of cell (mono or poly)", kind.escape_default())),
    };
    Ok(Cell { path: path.to_owned(), probability: number, cell_type })
}

/// Checks that the bytes are a PNG picture; in a checkout without its large files they are a pointer file.
fn check_picture(source: &Path, name: &str, bytes: &[u8]) -> Result<(), ImportError> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(());
    }
    let reason = format!("its `{name}` is not a PNG picture");
    Err(ImportError::Foreign { path: source.to_path_buf(), reason })
}

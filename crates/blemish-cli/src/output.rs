//! Scores as JSON Lines or CSV, to standard output or to a file that appears only when complete.

use crate::args::ScoreFormat;
use crate::failure::Failure;
use crate::terminal::shown;
use blemish::Verdict;
use blemish::data::files::{self, Unfinished, check_outputs, unfinished};
use blemish_report::text_cell;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The columns of CSV.
const COLUMNS: [&str; 8] =
    ["path", "score", "overlay", "map", "p_value", "threshold", "anomalous", "regions"];

/// Writes score lines as they come.
pub struct ScoreWriter {
    sink: Sink,
    target: Option<PathBuf>,
}

enum Sink {
    Jsonl(Box<dyn Write>, Option<Unfinished>),
    Csv(Box<csv::Writer<Box<dyn Write>>>, Option<Unfinished>),
}

impl ScoreWriter {
    /// Writes to `folder/scores.jsonl` or `.csv`, or to standard output.
    pub fn new(format: ScoreFormat, folder: Option<&Path>) -> Result<Self, Failure> {
        let (writer, temporary, target): (Box<dyn Write>, _, _) = match folder {
            None => (Box::new(std::io::stdout().lock()), None, None),
            Some(folder) => {
                let fail = |error: std::io::Error| Failure::io("write into", folder, &error);
                std::fs::create_dir_all(folder).map_err(fail)?;
                let target = folder.join(format.file_name());
                let named = |error: std::io::Error| Failure::io("write", &target, &error);
                let unfinished = unfinished(&target).map_err(named)?;
                let file = unfinished.file().try_clone().map_err(named)?;
                (Box::new(BufWriter::new(file)), Some(unfinished), Some(target))
            }
        };
        let sink = match format {
            ScoreFormat::Jsonl => Sink::Jsonl(writer, temporary),
            ScoreFormat::Csv => Sink::Csv(Box::new(csv::Writer::from_writer(writer)), temporary),
        };
        Ok(Self { sink, target })
    }

    /// Adds a line and, on standard output, shows it at once.
    pub fn write(&mut self, line: &Verdict) -> Result<(), Failure> {
        let to_file = self.target.is_some();
        let cell = |text: &Option<String>| text.as_deref().map(|text| text_cell(text).into_owned());
        let result = match &mut self.sink {
            Sink::Jsonl(writer, _) => serde_json::to_string(line)
                .map_err(std::io::Error::from)
                .and_then(|json| writeln!(writer, "{json}"))
                .and_then(|()| if to_file { Ok(()) } else { writer.flush() }),
            // CSV needs the same columns in every line.
            Sink::Csv(writer, _) => writer
                .serialize((
                    (text_cell(&line.path), line.score, cell(&line.overlay), cell(&line.map)),
                    line.decision.as_ref().map(|one| one.p_value),
                    line.decision.as_ref().and_then(|one| one.threshold),
                    line.decision.as_ref().and_then(|one| one.anomalous),
                    line.decision.as_ref().map(|one| one.regions.len()),
                ))
                .map_err(std::io::Error::from)
                .and_then(|()| if to_file { Ok(()) } else { writer.flush() }),
        };
        result.map_err(|error| self.fail(&error))
    }

    /// Writes the header that CSV begins with.
    pub fn begin(&mut self) -> Result<(), Failure> {
        let result = match &mut self.sink {
            Sink::Jsonl(..) => Ok(()),
            Sink::Csv(writer, _) => writer.write_record(COLUMNS).map_err(std::io::Error::from),
        };
        result.map_err(|error| self.fail(&error))
    }

    /// Completes the output; a file gets its final name only now.
    pub fn finish(self) -> Result<(), Failure> {
        let target = self.target;
        let report = |error: std::io::Error| match &target {
            Some(path) => Failure::io("write", path, &error),
            None => Failure::stdout(&error),
        };
        let temporary = match self.sink {
            Sink::Jsonl(mut writer, temporary) => {
                writer.flush().map_err(report)?;
                temporary
            }
            Sink::Csv(mut writer, temporary) => {
                writer.flush().map_err(report)?;
                temporary
            }
        };
        temporary.map_or(Ok(()), Unfinished::complete).map_err(report)
    }

    fn fail(&self, error: &std::io::Error) -> Failure {
        match &self.target {
            Some(path) => Failure::io("write", path, error),
            None => Failure::stdout(error),
        }
    }
}

/// Writes a small text file under a temporary name first.
pub fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    files::write(path, text.as_bytes()).map_err(|error| Failure::io("write", path, &error))
}

/// Checks before the work that every file can be written where it shall lie, and that none of them is one of the inputs.
pub fn check_writable<'a>(
    files: &[&Path],
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    check_outputs(files, &[], inputs).map_err(Failure::new)?;
    files
        .iter()
        .try_for_each(|path| unfinished(path).map(drop).map_err(|error| Failure::io("write", path, &error)))
}

/// Makes a folder for pictures among which no input lies, and which the next search of the folders `searched` passes over.
pub fn picture_folder<'a>(
    folder: &Path,
    searched: &[PathBuf],
    images: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    check_outputs(&[], &[folder], images).map_err(Failure::new)?;
    files::results_folder(folder, searched).map_err(|error| Failure::io("write into", folder, &error))
}

/// Prints lines for people to standard output. A closed pipe is not an error: the work is done, and its outcome stands.
pub fn print(text: &str) -> Result<(), Failure> {
    print_as_is(&shown(text))
}

/// The same for machines: JSON, CSV or a script, as it is.
pub fn print_as_is(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").map_err(|error| Failure::stdout(&error)) {
        Err(failure) if failure.is_broken_pipe() => Ok(()),
        outcome => outcome,
    }
}

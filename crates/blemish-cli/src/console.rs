//! Progress on a terminal, in a log, or for machines.

use crate::args::ProgressStyle;
use crate::interrupt::is_interrupted;
use crate::terminal::{shown, tell, tell_as_is};
use blemish::Observer;
use blemish::data::names::text_of;
use blemish::data::{files, png};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Tells progress in the chosen style, always on standard error.
pub struct Console {
    style: ProgressStyle,
    /// Where pictures go, if anywhere.
    pictures: OnceLock<PathBuf>,
    /// Whether the work has drawn one.
    has_pictures: AtomicBool,
    stage: Mutex<Stage>,
}

struct Stage {
    name: String,
    total: Option<u64>,
    done: u64,
    started: Instant,
    shown: Instant,
    /// How it stands, in a few words.
    status: String,
    bar: Option<ProgressBar>,
}

impl Console {
    pub fn new(style: ProgressStyle) -> Self {
        let style = match style {
            ProgressStyle::Auto if std::io::stderr().is_terminal() => ProgressStyle::Bar,
            ProgressStyle::Auto => ProgressStyle::Plain,
            chosen => chosen,
        };
        let now = Instant::now();
        let stage = Stage {
            name: String::new(),
            total: None,
            done: 0,
            started: now,
            shown: now,
            status: String::new(),
            bar: None,
        };
        Self {
            style,
            pictures: OnceLock::new(),
            has_pictures: AtomicBool::new(false),
            stage: Mutex::new(stage),
        }
    }

    /// Writes the pictures of the work into a folder, from now on.
    pub fn keep_pictures(&self, folder: &Path) {
        // The first folder stays: a command names one.
        let _ = self.pictures.set(folder.to_owned());
    }

    /// Whether the work has drawn pictures.
    pub fn has_pictures(&self) -> bool {
        self.has_pictures.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the current stage's bar or line.
    pub fn finish(&self) {
        let mut stage = self.lock();
        if let Some(bar) = stage.bar.take() {
            bar.finish_and_clear();
        }
        if !stage.name.is_empty() {
            let seconds = stage.started.elapsed().as_secs_f64();
            match self.style {
                ProgressStyle::Bar | ProgressStyle::Plain if stage.done > 0 => {
                    tell(&format!("{}: {} in {seconds:.1} s", stage.name, stage.done));
                }
                ProgressStyle::Bar | ProgressStyle::Plain => tell(&format!("{}: {seconds:.1} s", stage.name)),
                ProgressStyle::Json => event(&serde_json::json!({
                    "event": "stage_end", "stage": stage.name, "done": stage.done, "seconds": seconds,
                })),
                ProgressStyle::Auto | ProgressStyle::None => {}
            }
        }
        stage.name.clear();
    }

    /// Tells a result beside the main output: a line for people, an event for machines.
    pub fn tell(&self, line: &str, event_fields: &serde_json::Value) {
        match self.style {
            ProgressStyle::Json => event(event_fields),
            ProgressStyle::None => {}
            _ => self.say(line),
        }
    }

    /// Prints a line without disturbing a bar.
    pub fn say(&self, line: &str) {
        match &self.lock().bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}

fn event(value: &serde_json::Value) {
    tell_as_is(&value.to_string());
}

impl Observer for Console {
    fn stage(&self, name: &str, total: Option<u64>) {
        self.finish();
        let mut stage = self.lock();
        let now = Instant::now();
        *stage = Stage {
            name: name.to_owned(),
            total,
            done: 0,
            started: now,
            shown: now,
            status: String::new(),
            bar: None,
        };
        match self.style {
            ProgressStyle::Bar => stage.bar = Some(bar(name, total)),
            ProgressStyle::Json => {
                event(&serde_json::json!({"event": "stage", "stage": name, "total": total}));
            }
            _ => {}
        }
    }

    fn advance(&self, steps: u64) {
        let mut stage = self.lock();
        stage.done += steps;
        if let Some(bar) = &stage.bar {
            bar.inc(steps);
            return;
        }
        // A log gets a line every ten seconds, a machine every second.
        let pause = Duration::from_secs(if self.style == ProgressStyle::Json { 1 } else { 10 });
        if stage.shown.elapsed() < pause {
            return;
        }
        stage.shown = Instant::now();
        match (self.style, stage.total) {
            (ProgressStyle::Plain, Some(total)) => {
                let separator = if stage.status.is_empty() { "" } else { ", " };
                tell(&format!("{}: {} of {total}{separator}{}", stage.name, stage.done, stage.status));
            }
            (ProgressStyle::Plain, None) => tell(&format!("{}: {}", stage.name, stage.done)),
            (ProgressStyle::Json, total) => event(&serde_json::json!({
                "event": "progress", "stage": stage.name, "done": stage.done, "total": total, "status": stage.status,
            })),
            _ => {}
        }
    }

    fn status(&self, words: &str) {
        let mut stage = self.lock();
        if let Some(bar) = &stage.bar {
            bar.set_message(shown(words).into_owned());
        }
        stage.status = words.to_owned();
    }

    fn note(&self, message: &str) {
        self.tell(message, &serde_json::json!({"event": "note", "message": message}));
    }

    fn warn(&self, message: &str) {
        match self.style {
            ProgressStyle::Json => event(&serde_json::json!({"event": "warning", "message": message})),
            _ => self.say(&format!("warning: {message}")),
        }
    }

    fn picture(&self, name: &str, (height, width): (usize, usize), planes: &[f32]) {
        self.has_pictures.store(true, Ordering::Relaxed);
        let Some(folder) = self.pictures.get() else { return };
        let path = folder.join(format!("{name}.png"));
        let levels: Vec<u8> = planes.iter().map(|value| (value * 255.0).round() as u8).collect();
        let written = png::encode_planar(&levels, height, width).and_then(|bytes| {
            let write = || files::write(&path, &bytes);
            std::fs::create_dir_all(folder).and_then(|()| write()).map_err(|error| error.to_string())
        });
        match written {
            Ok(()) => self.tell(
                &format!("picture: {}", path.display()),
                &serde_json::json!({"event": "picture", "path": text_of(&path)}),
            ),
            // The work goes on without it.
            Err(reason) => self.warn(&format!("cannot write the picture `{}`: {reason}", path.display())),
        }
    }

    fn is_cancelled(&self) -> bool {
        is_interrupted()
    }
}

/// Passes on warnings and the wish to stop, not progress.
pub struct Quiet<'a>(pub &'a Console);

impl Observer for Quiet<'_> {
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

fn bar(name: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{prefix:>24} {bar:32} {pos}/{len} {per_sec} {eta} {msg}",
        None => "{prefix:>24} {spinner} {elapsed} {msg}",
    };
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = BarStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(shown(name).into_owned());
    bar
}

/// Runs work that reports (done, total), possibly from several threads, as a stage of the console. It is told to stop on Ctrl-C.
pub fn with_progress<T>(
    console: &Console,
    stage: &str,
    work: impl FnOnce(&(dyn Fn(u64, u64) -> ControlFlow<()> + Sync)) -> T,
) -> T {
    console.stage(stage, None);
    let seen = AtomicU64::new(0);
    let outcome = work(&|done, _| {
        let before = seen.fetch_max(done, Ordering::Relaxed);
        console.advance(done.saturating_sub(before));
        if is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    console.finish();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_within_their_stage() {
        let console = Console::new(ProgressStyle::None);
        console.stage("one", Some(3));
        console.advance(2);
        assert_eq!(console.lock().done, 2);
        console.stage("two", None);
        assert_eq!(console.lock().done, 0);
        console.finish();
        assert!(console.lock().name.is_empty());
    }
}

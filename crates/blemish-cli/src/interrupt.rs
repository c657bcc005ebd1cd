//! Ctrl-C, and what asks to stop like it: SIGTERM and SIGHUP.
//!
//! The first one lets the work stop cleanly: its loops ask [`is_interrupted`], and nothing half-written stays. What takes longer than a
//! moment to notice is ended from here, and what it had under temporary names is removed. A second one ends the program at once.

use crate::terminal::tell;
use blemish::data::files::remove_unfinished;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Exit code after Ctrl-C, as shells count it (128 + SIGINT).
pub const EXIT_INTERRUPTED: u8 = 130;

/// When the first one came.
static INTERRUPTED: OnceLock<Instant> = OnceLock::new();

/// How long the work may take to stop, in milliseconds.
static PATIENCE: AtomicU64 = AtomicU64::new(700);

/// Interrupts within this time are one: `timeout -s INT` and the like send theirs to the program and to its group.
const SAME_INTERRUPT: Duration = Duration::from_millis(250);

/// How long saying so may take.
const SAY: Duration = Duration::from_millis(100);

/// How often it is asked whether the work has stopped.
const PAUSE: Duration = Duration::from_millis(20);

/// Lets the first interrupt stop the work cleanly, and a second one end the program at once.
pub fn listen() {
    let keep_ignoring = ignored_hangup();
    // Without a handler Ctrl-C ends the program the system's way; files are still only renamed when complete.
    let _ = ctrlc::set_handler(|| {
        let is_first = INTERRUPTED.get().is_none();
        let first = INTERRUPTED.get_or_init(Instant::now);
        if is_first {
            // Without a thread only the second one can end what does not stop.
            let _ = std::thread::Builder::new().spawn(wait_and_end);
        } else if first.elapsed() > SAME_INTERRUPT {
            end();
        }
    });
    keep_ignoring();
}

/// Whether the program was asked to stop.
pub fn is_interrupted() -> bool {
    INTERRUPTED.get().is_some()
}

/// Lets the work take longer to stop than a moment, or no time at all: for what keeps a checkpoint, and for what writes nothing.
pub fn set_patience(patience: Duration) {
    PATIENCE.store(patience.as_millis() as u64, Ordering::Relaxed);
}

fn wait_and_end() {
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(PATIENCE.load(Ordering::Relaxed)) {
        std::thread::sleep(PAUSE);
    }
    end();
}

fn end() -> ! {
    remove_unfinished();
    // The work may be held up because nobody reads what it tells, and then this would wait as well.
    let (told, is_told) = std::sync::mpsc::channel();
    let _ = std::thread::Builder::new().spawn(move || {
        tell("interrupted");
        let _ = told.send(());
    });
    let _ = is_told.recv_timeout(SAY);
    std::process::exit(EXIT_INTERRUPTED.into());
}

/// `nohup` has a program ignore SIGHUP, and so it shall: gives what restores that after handlers were set.
#[cfg(unix)]
fn ignored_hangup() -> impl FnOnce() {
    // Safety: both calls only set how a signal is met, here to "ignore", for which no code of ours runs.
    let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    move || {
        if before == libc::SIG_IGN {
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        }
    }
}

#[cfg(not(unix))]
fn ignored_hangup() -> impl FnOnce() {
    || {}
}

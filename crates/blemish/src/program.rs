//! Which file on disk the running program is, for work that runs the program again as a process of its own.

use std::path::PathBuf;
use std::sync::OnceLock;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which file runs the program, where that is not the executable of this process: a script that starts an interpreter. Only the
/// first call counts.
pub fn set_program(path: PathBuf) {
    // Later calls name the same program.
    let _ = PROGRAM.set(path);
}

/// The file that runs this program: what [`set_program`] named, or the executable of this process.
///
/// # Errors
/// The system's reason if it cannot tell.
pub fn program() -> std::io::Result<PathBuf> {
    match PROGRAM.get() {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe(),
    }
}

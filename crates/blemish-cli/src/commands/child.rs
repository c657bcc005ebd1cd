//! This very program as a process of its own, which ends with this one.

use crate::failure::Failure;
use crate::interrupt::{EXIT_INTERRUPTED, is_interrupted};
use crate::shell;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How often it is asked whether the child has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// How long an interrupted child may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(300);

/// Runs this very program and gives its standard output.
pub fn run(arguments: &[OsString]) -> Result<String, Failure> {
    let program = blemish::program::program()
        .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?;
    let child = Command::new(&program)
        .args(arguments)
        .args(["--progress", "none"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let output = child.and_then(wait).map_err(|error| Failure::io("run", &program, &error))?;
    if is_interrupted() || output.status.code() == Some(EXIT_INTERRUPTED.into()) {
        return Err(Failure::interrupted());
    }
    if !output.status.success() {
        // Progress for machines is JSON Lines; what remains is the error.
        let text = String::from_utf8_lossy(&output.stderr);
        let reason: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).map(str::trim).collect();
        return Err(Failure::new(format!(
            "`{}` failed: {}; what was done before is kept, run the same command again to go on",
            shell::command_line(arguments),
            reason.join(" ").replace("; ", ", ")
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for the end of a child, and ends it when this program is interrupted: a signal may have gone to this process alone.
fn wait(mut child: Child) -> std::io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| read(stdout));
        let stderr = scope.spawn(|| read(stderr));
        let mut asked = None;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if is_interrupted() {
                let since = *asked.get_or_insert_with(|| {
                    ask_to_stop(&child);
                    Instant::now()
                });
                if since.elapsed() > PATIENCE {
                    child.kill()?;
                }
            }
            std::thread::sleep(PAUSE);
        };
        let text = |reader: std::thread::ScopedJoinHandle<'_, std::io::Result<Vec<u8>>>| {
            reader.join().unwrap_or_else(|_| Err(std::io::Error::other("its output cannot be read")))
        };
        Ok(Output { status, stdout: text(stdout)?, stderr: text(stderr)? })
    })
}

fn read(stream: Option<impl Read>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(unix)]
fn ask_to_stop(child: &Child) {
    if let Ok(id) = libc::pid_t::try_from(child.id()) {
        // Safety: the child has not been waited for, so the number is still its own.
        unsafe { libc::kill(id, libc::SIGTERM) };
    }
}

#[cfg(not(unix))]
fn ask_to_stop(_: &Child) {}

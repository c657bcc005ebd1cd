//! A child process of this program.

use crate::fault::Fault;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{ChildStderr, Command};
use tokio::task::JoinHandle;

/// Bytes of standard output that are kept.
const OUTPUT: u64 = 64 << 20;

/// How long it may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// The exit code of the program after Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A child at work.
pub struct Child {
    child: tokio::process::Child,
    lines: Lines<BufReader<ChildStderr>>,
    output: JoinHandle<Vec<u8>>,
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// Well, with what it wrote.
    Done(Vec<u8>),
    /// By Ctrl-C.
    Interrupted,
    /// By the system.
    Killed,
    /// With an error.
    Failed(String),
}

impl Child {
    /// Starts the program with arguments, nicer than the line, on so many threads.
    ///
    /// # Errors
    /// `io` if the system does not start it.
    pub fn start(program: &Path, arguments: &[OsString], threads: Option<usize>) -> Result<Self, Fault> {
        let fail = |error: std::io::Error| {
            Fault::new(
                "io",
                format!(
                    "cannot start `{}`: {error}; see whether the program is still there",
                    program.display()
                ),
            )
        };
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("NO_COLOR", "1")
            .kill_on_drop(true);
        #[cfg(unix)]
        {
            // Ctrl-C in the station's terminal is for the station, which then asks the child itself.
            command.process_group(0);
            let own = std::process::id();
            // Safety: between fork and exec only system calls are made.
            unsafe {
                command.pre_exec(move || {
                    libc::setpriority(libc::PRIO_PROCESS, 0, 10);
                    // A station in the background of a script has them ignored, and so would whatever it starts.
                    libc::signal(libc::SIGINT, libc::SIG_DFL);
                    libc::signal(libc::SIGTERM, libc::SIG_DFL);
                    #[cfg(target_os = "linux")]
                    {
                        // A station that is killed takes its job with it.
                        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                        if libc::getppid() != own as libc::pid_t {
                            return Err(std::io::Error::other("the station is gone"));
                        }
                    }
                    let _ = own;
                    Ok(())
                });
            }
        }
        let mut child = command.spawn().map_err(fail)?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Fault::new("io", "the output of a child cannot be read; start the job again"));
        };
        let output = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // What could not be read is missing in what follows, and told there.
            let _ = output.take(OUTPUT).read_to_end(&mut bytes).await;
            bytes
        });
        Ok(Self { child, lines: BufReader::new(errors).lines(), output })
    }

    /// The next line of its standard error; `None` once it has closed it.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            match self.lines.next_line().await {
                Ok(line) => return line,
                // Bytes that are no text.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
                Err(_) => return None,
            }
        }
    }

    /// Asks it to stop, as Ctrl-C does; if it does not, the system ends it.
    pub fn interrupt(&mut self) {
        #[cfg(unix)]
        if let Some(id) = self.child.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
            // Safety: sends a signal to a child that is not waited for yet, so its number is its own.
            unsafe { libc::kill(id, libc::SIGINT) };
            let group = id;
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                // Safety: a group of this number is this child's, or there is none: its leader was never waited for before its end.
                if unsafe { libc::getpgid(group) } == group {
                    unsafe { libc::kill(group, libc::SIGKILL) };
                }
            });
        }
        #[cfg(not(unix))]
        let _ = self.child.start_kill();
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let status = match self.child.wait().await {
            Ok(status) => status,
            Err(error) => return Ended::Failed(format!("it cannot be waited for: {error}")),
        };
        let output = self.output.await.unwrap_or_default();
        if status.success() {
            return Ended::Done(output);
        }
        if status.code() == Some(INTERRUPTED) {
            return Ended::Interrupted;
        }
        if is_killed(status) {
            return Ended::Killed;
        }
        Ended::Failed(format!("it has ended with {status}"))
    }
}

#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGKILL)
}

#[cfg(not(unix))]
fn is_killed(_: ExitStatus) -> bool {
    false
}

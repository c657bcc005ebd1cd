//! A program that is kept running and reads a line of JSON a verdict: for GPIO, serial lines and field buses that have programs of their own.

use super::{Message, Outlet, Sent};
use std::io::{self, Write};
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a program that was told to end may take.
const END: Duration = Duration::from_secs(2);

/// The program.
pub struct Command {
    line: Vec<String>,
    running: Running,
}

/// The process, which whoever stops the server may have to end while it is being written to.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<Option<Child>>>);

impl Running {
    /// Ends it, if it still runs.
    pub fn kill(&self) {
        if let Some(mut child) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Command {
    /// The program of a command line, started with the first message.
    pub fn new(line: &[String]) -> (Self, Running) {
        let running = Running::default();
        (Self { line: line.to_vec(), running: running.clone() }, running)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        // The pipe is taken out while it is written to, so that the process can be ended meanwhile.
        let mut pipe = {
            let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(child) = running.as_mut()
                && let Some(status) = child.try_wait()?
            {
                tracing::warn!(
                    "the program `{}` of a sink ended ({status}) and is started again",
                    self.line[0]
                );
                *running = None;
            }
            let child = match &mut *running {
                Some(child) => child,
                none => none.insert(self.start()?),
            };
            child.stdin.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?
        };
        pipe.write_all(text.as_bytes())?;
        if let Some(child) = self.running.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            child.stdin = Some(pipe);
        }
        Ok(())
    }

    fn start(&self) -> io::Result<Child> {
        let (program, arguments) = self.line.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        Process::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            // What it says of itself belongs to the log; its answers have no reader.
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
    }
}

impl Outlet for Command {
    fn send(&mut self, message: &Message) -> Sent {
        let line = format!("{}\n", message.json());
        match self.write(&line) {
            Ok(()) => Sent::Yes,
            Err(error) => {
                self.running.kill();
                Sent::Later(format!("cannot write to the program `{}`: {error}", self.line.join(" ")))
            }
        }
    }

    fn close(&mut self, until: Instant) {
        // The end of its input tells it to end.
        if let Some(child) = self.running.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            child.stdin = None;
        }
        let until = until.max(Instant::now() + END.min(Duration::from_millis(200))).min(Instant::now() + END);
        loop {
            let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
            match running.as_mut().map(Child::try_wait) {
                None | Some(Ok(Some(_))) => return,
                Some(_) if Instant::now() >= until => break,
                Some(_) => {}
            }
            drop(running);
            std::thread::sleep(Duration::from_millis(10));
        }
        self.running.kill();
    }
}

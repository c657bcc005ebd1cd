//! Verdicts as JSON Lines, a file a day (by UTC), in a folder.

use super::{Message, Outlet, Sent};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use time::OffsetDateTime;
use time::macros::format_description;

/// The file of today, and where others lie.
pub struct Folder {
    path: PathBuf,
    today: Option<(String, File)>,
}

impl Folder {
    /// Makes the folder.
    ///
    /// # Errors
    /// The system's.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), today: None })
    }

    fn write(&mut self, message: &Message) -> io::Result<()> {
        let (day, time) = day_and_time(message.time);
        let line = match message.overlay() {
            Some(png) => {
                let name = format!("overlays/{day}/{time}-{}.png", message.number);
                let path = self.path.join(&name);
                std::fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
                std::fs::write(path, png)?;
                message.with("overlay", &name)
            }
            None => message.json().to_owned(),
        };
        let file = match &mut self.today {
            Some((of, file)) if *of == day => file,
            today => &mut today.insert((day.clone(), open(&self.path.join(format!("{day}.jsonl")))?)).1,
        };
        // One call, so that readers see whole lines.
        file.write_all(format!("{line}\n").as_bytes())
    }
}

/// Opens the file of a day to go on with it. A line that was cut short by a loss of power is closed.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// The day and the time of day of names: `2026-11-28` and `143005-042`, by UTC.
pub fn day_and_time(time: SystemTime) -> (String, String) {
    let time = OffsetDateTime::from(time);
    let day = time.format(format_description!("[year]-[month]-[day]"));
    let clock = time.format(format_description!("[hour][minute][second]-[subsecond digits:3]"));
    (day.unwrap_or_default(), clock.unwrap_or_default())
}

impl Outlet for Folder {
    fn prepared(&self, message: Message) -> Message {
        // Pictures become files beside the lines.
        message
    }

    fn send(&mut self, message: &Message) -> Sent {
        match self.write(message) {
            Ok(()) => Sent::Yes,
            Err(error) => {
                // The folder may have been moved away or the disk changed: the next message opens it anew.
                self.today = None;
                Sent::No(format!("cannot write to `{}`: {error}", self.path.display()))
            }
        }
    }
}

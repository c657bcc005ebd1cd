//! Originals and verdicts of flagged images, kept in a folder within limits of bytes and of number; the oldest go first.
//!
//! Everything happens on a thread of its own behind a short queue: a full queue or a full disk is counted and warned of once, and never
//! delays or fails a verdict. Names are ours alone: what a request calls its image stands in the verdict only.

use crate::answer::Answered;
use crate::bus::{Event, Happening, Line, Listener};
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::options::Which;
use crate::sinks::{Buffer, Popped, day_and_time};
use blemish::data::files;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Images that wait to be written, at most, and their bytes.
const WAITING: (usize, u64) = (64, 256 << 20);

/// What keeps images.
pub struct Keep {
    which: Which,
    waiting: Arc<Buffer<Kept>>,
    metrics: Arc<Metrics>,
    done: Mutex<Receiver<()>>,
}

struct Kept {
    number: u64,
    answered: Arc<Answered>,
}

impl Keep {
    /// Makes the folder, counts what is in it from earlier, and starts the thread. `which` is what is kept where a request does not say.
    ///
    /// # Errors
    /// `io` if the folder cannot be made or read.
    pub fn start(
        which: Which,
        folder: &Path,
        (most_bytes, most_images): (u64, u64),
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Fault> {
        let fail = |error: io::Error| {
            Fault::new("io", format!("cannot keep images in `{}`: {error}", folder.display()))
        };
        let shelf = Shelf::open(folder, most_bytes, most_images).map_err(fail)?;
        let waiting = Arc::new(Buffer::new(WAITING.0, WAITING.1));
        let (end, done) = sync_channel(0);
        let work = {
            let (waiting, metrics) = (waiting.clone(), metrics.clone());
            move || {
                work(shelf, &waiting, &metrics);
                drop(end);
            }
        };
        std::thread::Builder::new().name("keep".into()).spawn(work).map_err(fail)?;
        Ok(Arc::new(Self { which, waiting, metrics, done: Mutex::new(done) }))
    }

    /// Writes what waits, for so long at most.
    pub fn close(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        self.waiting.close(until);
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("not all images were kept in time");
        }
    }
}

impl Listener for Keep {
    fn take(&self, event: &Event) {
        let Happening::Answered(answered) = &event.what else { return };
        let is_wanted = match answered.keep.unwrap_or(self.which) {
            Which::None => false,
            Which::Flagged => answered.verdict.anomalous == Some(true),
            Which::All => true,
        };
        if !is_wanted || answered.is_shadow {
            return;
        }
        let kept = Kept { number: event.id, answered: answered.clone() };
        for _ in 0..self.waiting.push(kept, answered.held()) {
            self.metrics.kept("dropped");
        }
    }
}

fn work(mut shelf: Shelf, waiting: &Buffer<Kept>, metrics: &Metrics) {
    let mut has_warned = false;
    loop {
        let kept = match waiting.pop(Duration::from_secs(60)) {
            Popped::Item(kept) => kept,
            Popped::Nothing => continue,
            Popped::Closed => return,
        };
        match shelf.put(&kept) {
            Ok(outcome) => {
                has_warned = false;
                metrics.kept(outcome);
            }
            Err(error) => {
                metrics.kept("failed");
                if !has_warned {
                    tracing::warn!("cannot keep images in `{}`: {error}", shelf.folder.display());
                }
                has_warned = true;
            }
        }
    }
}

/// The folder of kept images, a folder a day in it.
struct Shelf {
    folder: PathBuf,
    most_bytes: u64,
    most_images: u64,
    /// The oldest first.
    there: VecDeque<Item>,
    bytes: u64,
}

/// A kept image: its files, and their bytes together.
struct Item {
    /// Their path without an ending.
    stem: PathBuf,
    endings: Vec<OsString>,
    bytes: u64,
}

impl Item {
    /// Removes its files. Somebody else may have done so before.
    fn remove(&self) -> io::Result<()> {
        for ending in &self.endings {
            match std::fs::remove_file(self.stem.with_extension(ending)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Shelf {
    fn open(folder: &Path, most_bytes: u64, most_images: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut found: Vec<Item> = Vec::new();
        for day in std::fs::read_dir(folder)? {
            let day = day?.path();
            if !is_day(&day) {
                continue;
            }
            // Left by a process that was ended while it wrote.
            files::clear(&day);
            for file in std::fs::read_dir(day)? {
                let file = file?;
                let path = file.path();
                let endings = vec![path.extension().unwrap_or_default().to_owned()];
                found.push(Item { stem: path.with_extension(""), endings, bytes: file.metadata()?.len() });
            }
        }
        // Days and times are written so that their order is that of their names.
        found.sort_by(|one, other| one.stem.cmp(&other.stem));
        let mut shelf =
            Self { folder: folder.to_owned(), most_bytes, most_images, there: VecDeque::new(), bytes: 0 };
        for item in found {
            shelf.bytes += item.bytes;
            match shelf.there.back_mut() {
                Some(last) if last.stem == item.stem => {
                    last.bytes += item.bytes;
                    last.endings.extend(item.endings);
                }
                _ => shelf.there.push_back(item),
            }
        }
        Ok(shelf)
    }

    /// Puts an image on the shelf; returns what became of it.
    fn put(&mut self, kept: &Kept) -> io::Result<&'static str> {
        let Answered { received, bytes, .. } = &*kept.answered;
        let text = serde_json::to_vec(&Line::of(&kept.answered))?;
        let size = (bytes.len() + text.len()) as u64;
        if size > self.most_bytes || self.most_images == 0 {
            return Ok("too_large");
        }
        // Room is made first, so that the limits hold at any moment.
        while self.bytes + size > self.most_bytes || self.there.len() as u64 >= self.most_images {
            self.remove_oldest()?;
        }
        let (day, time) = day_and_time(*received);
        let stem = self.folder.join(day).join(format!("{time}-{:06}", kept.number));
        std::fs::create_dir_all(stem.parent().unwrap_or(&self.folder))?;
        let original = (!bytes.is_empty()).then(|| OsString::from(ending(bytes)));
        let endings = original.iter().cloned().chain([OsString::from("json")]).collect();
        let item = Item { stem, endings, bytes: size };
        // The verdict comes last: where there is one, the original is whole.
        let written = original
            .map_or(Ok(()), |original| files::write(&item.stem.with_extension(original), bytes))
            .and_then(|()| files::write(&item.stem.with_extension("json"), &text));
        if let Err(error) = written {
            item.remove()?;
            return Err(error);
        }
        self.there.push_back(item);
        self.bytes += size;
        Ok(if bytes.is_empty() { "no_original" } else { "kept" })
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(item) = self.there.pop_front() else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.bytes -= item.bytes.min(self.bytes);
        item.remove()?;
        if let Some(day) = item.stem.parent() {
            // Only an empty folder can be removed.
            let _ = std::fs::remove_dir(day);
        }
        Ok(())
    }
}

/// Whether a folder is one of ours, named by a day.
fn is_day(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_date = name.len() == 10
        && name.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && path.is_dir()
}

/// The ending that goes with the content of an image file.
fn ending(bytes: &[u8]) -> &'static str {
    image::guess_format(bytes)
        .ok()
        .and_then(|format| format.extensions_str().first())
        .copied()
        .unwrap_or("image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::samples::answered;

    fn names(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for day in std::fs::read_dir(folder).unwrap() {
            let day = day.unwrap().path();
            for file in std::fs::read_dir(&day).unwrap() {
                names.push(file.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }

    fn say(bus: &Bus, change: impl FnOnce(&mut Answered)) {
        let mut answer = answered("line");
        change(&mut answer);
        bus.tell(Happening::Answered(Arc::new(answer)));
    }

    #[test]
    fn flagged_ones_are_kept_with_their_verdict_unless_the_request_says_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let keep = Keep::start(Which::Flagged, folder.path(), (1 << 20, 100), metrics.clone()).unwrap();
        let bus = Bus::new(vec![keep.clone()]);
        say(&bus, |_| {});
        say(&bus, |answer| answer.verdict.anomalous = Some(false));
        say(&bus, |answer| answer.keep = Some(Which::None));
        say(&bus, |answer| (answer.verdict.anomalous, answer.keep) = (Some(false), Some(Which::All)));
        say(&bus, |answer| answer.is_shadow = true);
        say(&bus, |answer| answer.bytes = axum::body::Bytes::new());
        keep.close(Duration::from_secs(10));
        let endings = names(folder.path());
        let numbers: Vec<&str> =
            endings.iter().map(|name| name.split_once('-').unwrap().1.split_once('-').unwrap().1).collect();
        assert_eq!(numbers, ["000001.json", "000001.png", "000004.json", "000004.png", "000006.json"]);
        let text = metrics.text();
        assert!(text.contains(r#"blemish_kept_images_total{outcome="kept"} 2"#), "{text}");
        assert!(text.contains(r#"blemish_kept_images_total{outcome="no_original"} 1"#));
    }

    #[test]
    fn the_oldest_go_first_by_number_and_by_bytes_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let run = |limits, images| {
            let keep = Keep::start(Which::All, folder.path(), limits, Arc::new(Metrics::new())).unwrap();
            let bus = Bus::new(vec![keep.clone()]);
            (0..images).for_each(|_| say(&bus, |_| {}));
            keep.close(Duration::from_secs(10));
            names(folder.path())
        };
        let five = run((1 << 20, 5), 9);
        assert_eq!(five.len(), 10);
        assert!(five[0].contains("-000005."), "{five:?}");
        let size: u64 = {
            let day = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
            std::fs::read_dir(day).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
                / 5
        };
        assert_eq!(run((3 * size + size / 2, 100), 1).len(), 6);
    }
}

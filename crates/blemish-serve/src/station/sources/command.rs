//! A program that writes pictures: the newest frame is scored, older ones are dropped, and a program that ends or falls silent is started
//! again with growing pauses.

use super::frames::Frames;
use super::{Source, Trigger, is_of_the_image};
use crate::answer::{Answered, Origin};
use crate::fault::Fault;
use crate::station::clock;
use crate::station::store::lock;
use crate::station::{Station, closing};
use axum::body::Bytes;
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, oneshot};

/// The longest pause before a program is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A program that has run so long was well: pauses are short again.
const WELL: Duration = Duration::from_secs(30);

/// Bytes without a picture after which what comes is rubbish.
const RUBBISH: u64 = 4 << 20;

/// Tells somebody the verdict on the next frame.
type Reply = oneshot::Sender<Result<Arc<Answered>, Fault>>;

/// Those who wait for the verdict on the next frame.
#[derive(Default)]
pub struct Triggers {
    waiting: Mutex<Vec<Reply>>,
    asked: Notify,
}

impl Triggers {
    /// Waits for the verdict on the next frame.
    pub async fn ask(&self, patience: Duration) -> Result<Arc<Answered>, Fault> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).push(sender);
        self.asked.notify_one();
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(Fault::new("deadline", "no frame came in time; see what the source says of itself")),
        }
    }

    fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// Whether somebody still waits.
    fn are_waiting(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|one| !one.is_closed());
        !waiting.is_empty()
    }
}

/// The newest frame, for whoever scores.
#[derive(Default)]
struct Newest {
    frame: Mutex<Option<(u64, Bytes)>>,
    came: Notify,
}

/// Runs the program and scores its frames until the station is gone.
pub async fn run(
    source: &Arc<Source>,
    command: &[String],
    stall: Duration,
    trigger: Trigger,
    station: &Weak<Station>,
) {
    let newest = Arc::new(Newest::default());
    let scoring = tokio::spawn(score_frames(source.clone(), newest.clone(), trigger, station.clone()));
    let mut pause = Duration::from_secs(1);
    while station.strong_count() > 0 {
        let began = Instant::now();
        let reason = run_once(source, command, stall, &newest, station).await;
        // A frame of a program that is gone is no longer what the camera sees.
        lock(&newest.frame).take();
        if began.elapsed() > WELL {
            pause = Duration::from_secs(1);
        }
        let retry_at = clock::now() + pause.as_secs_f64();
        let is_new = source.status.change(|told| {
            told.state = "failed";
            told.error = Some(reason);
            told.retry_at = Some(retry_at);
        });
        tell(source, station, is_new);
        if tokio::time::timeout(pause, closing(station)).await.is_ok() {
            break;
        }
        source.status.change(|told| told.restarts += 1);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
    scoring.abort();
    source.status.change(|told| told.state = "stopped");
}

/// One life of the program; returns why it ended.
async fn run_once(
    source: &Arc<Source>,
    command: &[String],
    stall: Duration,
    newest: &Newest,
    station: &Weak<Station>,
) -> String {
    let limit = station
        .upgrade()
        .and_then(|station| station.server().ok())
        .map_or(32 << 20, |server| server.options.max_body);
    let mut child = match start(command) {
        Ok(child) => child,
        Err(error) => return format!("cannot start `{}`: {error}", command[0]),
    };
    let (Some(mut output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return "its output cannot be read".into();
    };
    let listener = source.clone();
    let hearing = tokio::spawn(async move {
        let mut lines = BufReader::new(errors.take(1 << 40)).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            listener.status.heard(&String::from_utf8_lossy(&line));
        }
    });
    let mut frames = Frames::new(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut buffer = vec![0; 1 << 16];
    let mut number = 0;
    let mut last_frame = Instant::now();
    let reason = loop {
        let rest = stall.saturating_sub(last_frame.elapsed());
        let read = tokio::select! {
            // First, so that a program that always has something to say is ended as well.
            biased;
            () = closing(station) => break "the station is closing".into(),
            read = output.read(&mut buffer) => read,
            () = tokio::time::sleep(rest) => break format!("no picture for {} s", stall.as_secs_f64()),
        };
        match read {
            Ok(0) => break ended(&mut child).await,
            Err(error) => break format!("its output cannot be read: {error}"),
            Ok(count) => frames.push(&buffer[..count]),
        }
        while let Some(frame) = frames.next() {
            last_frame = Instant::now();
            number += 1;
            let before = lock(&newest.frame).replace((number, frame));
            newest.came.notify_one();
            let is_new = source.status.change(|told| {
                told.dropped += u64::from(before.is_some());
                // Both say that it works, whether or not the line is paused.
                told.state = if told.state == "paused" { "paused" } else { "running" };
                told.error = None;
                told.retry_at = None;
            });
            tell(source, station, is_new);
        }
        if frames.rubbish > RUBBISH {
            break "what it writes is neither JPEG nor PNG; let it write one picture after another to its standard output".into();
        }
        source.status.change(|told| told.unreadable += std::mem::take(&mut frames.too_long));
        // A program that writes faster than anybody can read must not starve the others on this thread.
        tokio::task::yield_now().await;
    };
    stop(child).await;
    hearing.abort();
    reason
}

fn start(command: &[String]) -> std::io::Result<Child> {
    let mut program = Command::new(&command[0]);
    program
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // With whatever it starts itself it is one group, which is ended as one.
    #[cfg(unix)]
    program.process_group(0);
    program.spawn()
}

async fn ended(child: &mut Child) -> String {
    match tokio::time::timeout(Duration::from_secs(1), child.wait()).await {
        Ok(Ok(status)) if status.success() => "it has ended".into(),
        Ok(Ok(status)) => format!("it has ended with {status}"),
        _ => "it has closed its output".into(),
    }
}

/// Ends a program and what it has started.
async fn stop(mut child: Child) {
    #[cfg(unix)]
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // Safety: sends a signal to the group that was made for this child, which is not waited for yet.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    let _ = child.start_kill();
    let _ = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
}

/// Scores the newest frame, again and again.
async fn score_frames(source: Arc<Source>, newest: Arc<Newest>, trigger: Trigger, station: Weak<Station>) {
    let mut next = Instant::now();
    loop {
        if let Trigger::Interval(pause) = trigger {
            tokio::time::sleep_until(next.into()).await;
            next = Instant::now() + pause;
        }
        if trigger == Trigger::Request {
            while !source.triggers.are_waiting() {
                source.triggers.asked.notified().await;
            }
            // Whoever triggers wants what is seen from now on.
            let old = lock(&newest.frame).take();
            source.status.change(|told| told.dropped += u64::from(old.is_some()));
        }
        let (number, frame) = loop {
            if let Some(frame) = lock(&newest.frame).take() {
                break frame;
            }
            newest.came.notified().await;
        };
        let Some(station) = station.upgrade() else { return };
        if station.is_paused() {
            source.status.change(|told| told.skipped += 1);
            station.skipped();
            for waiting in source.triggers.take() {
                let _ = waiting.send(Err(Fault::new("conflict", "the line is paused; resume it first")));
            }
            continue;
        }
        let waiting = source.triggers.take();
        let name = format!("{}-{number}", source.option.name);
        let outcome = source.score(&station, frame, name, Origin::Command).await;
        match &outcome {
            Ok(_) => source.status.took(),
            Err(fault) => {
                let is_new = source.status.change(|told| {
                    told.unreadable += u64::from(is_of_the_image(fault));
                    told.error = Some(fault.to_string());
                });
                tell(&source, &Arc::downgrade(&station), is_new);
                if !is_of_the_image(fault) {
                    // No model, or one that is being loaded: frames come all the same.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        for one in waiting {
            let _ = one.send(outcome.clone());
        }
    }
}

fn tell(source: &Source, station: &Weak<Station>, is_new: bool) {
    if let (true, Some(station)) = (is_new, station.upgrade()) {
        station.say_source(source);
    }
}

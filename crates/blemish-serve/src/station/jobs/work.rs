//! A job at work: its steps as children, and what becomes of what they made.

use super::child::{Child, Ended};
use super::plan::Step;
use super::progress::Progress;
use super::{Cancel, Request, Running, blocking, laid};
use crate::fault::Fault;
use crate::station::Station;
use crate::station::feedback::note_learnt;
use crate::station::store::jobs::{self as rows, Stored};
use crate::station::store::{LogLine, lock};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Time between two events of a job's progress.
const PAUSE: Duration = Duration::from_millis(500);

impl Station {
    /// Does a job from its beginning to its end.
    pub(super) async fn work(self: Arc<Self>, mut job: Stored) {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let cancelled = Arc::new(Cancel::default());
        *lock(&self.jobs.running) =
            Some(Running { id: job.id, progress: progress.clone(), cancelled: cancelled.clone() });
        let id = job.id;
        let started = self.write(move |connection| rows::start(connection, id)).await;
        if let Err(fault) = started {
            tracing::warn!("{fault}");
        }
        job.state = "running".into();
        self.say_job(&self.jobs.told(job.clone()));
        let outcome = self.do_job(&mut job, &progress, &cancelled).await;
        {
            let progress = lock(&progress);
            job.stage = progress.stage.clone();
            job.log = progress.log.iter().cloned().collect();
        }
        job.state = match &outcome {
            Ok(()) => "done",
            // The station goes: it is taken up again after the next start, where it can be.
            Err(fault) if fault.code == "interrupted" && self.is_closing() => "interrupted",
            Err(fault) if fault.code == "interrupted" => "cancelled",
            Err(_) => "failed",
        }
        .into();
        job.error = outcome.err().map(|fault| match fault.help.is_empty() {
            true => fault.text,
            false => format!("{}; {}", fault.text, fault.help),
        });
        let folder = self.jobs.root.join(job.id.to_string());
        job.can_resume = job.state != "done" && laid::has_checkpoint(&folder);
        if !job.can_resume {
            // What it worked with is worth nothing without it.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
        }
        let ended = job.clone();
        let written = self
            .write(move |connection| {
                let text = match &ended.error {
                    None => format!("job {}: {}", ended.id, ended.state),
                    Some(error) => format!("job {}: {}: {error}", ended.id, ended.state),
                };
                LogLine::add(connection, "job", "", &text)?;
                rows::end(connection, &ended)
            })
            .await;
        if let Err(fault) = written {
            tracing::warn!("{fault}");
        }
        *lock(&self.jobs.running) = None;
        self.say_job(&self.jobs.told(job));
    }

    async fn do_job(
        self: &Arc<Self>,
        job: &mut Stored,
        progress: &Arc<Mutex<Progress>>,
        cancelled: &Arc<Cancel>,
    ) -> Result<(), Fault> {
        let request = Request::read(&job.request)?;
        let folder = self.jobs.root.join(job.id.to_string());
        let (station, asked) = (self.clone(), request.clone());
        let plan = blocking(move || asked.plan(&station, &folder)).await?;
        for step in &plan.steps {
            let result = self.do_step(job, step, progress, cancelled).await?;
            job.result = Some(match job.result.take() {
                // The first step is what was asked for; what comes after it is told beside.
                Some(Value::Object(mut first)) => {
                    first.insert(step.name.to_owned(), result);
                    Value::Object(first)
                }
                _ => result,
            });
        }
        if let Some(made) = plan.makes {
            lock(progress).begin("taking in the new version");
            let (name, file) = (job.model.clone(), made.file);
            let note = format!("job {}", job.id);
            let (made_by, parent) = (made.by, made.parent);
            let station = self.clone();
            let record =
                blocking(move || station.versions.take_in(&name, &file, made_by, parent, &note)).await?;
            job.version = Some(record.key.clone());
            if !made.learnt.is_empty() {
                let (model, key, learnt) = (job.model.clone(), record.key.clone(), made.learnt);
                self.write(move |connection| note_learnt(connection, &model, &key, &learnt)).await?;
            }
            if request.goes_live() {
                self.make_live(&job.model, &record.key, &job.author, &note_of(job)).await?;
            } else if request.comes_of_labels() && self.server()?.models.find(&job.model).is_ok() {
                self.set_shadow(&job.model, Some(&record.key), &job.author).await?;
            } else {
                // The version is there, whether or not somebody can be told.
                let _ = self.say_model(&job.model).await;
            }
        }
        Ok(())
    }

    /// Runs one child.
    async fn do_step(
        self: &Arc<Self>,
        job: &Stored,
        step: &Step,
        progress: &Arc<Mutex<Progress>>,
        cancelled: &Arc<Cancel>,
    ) -> Result<Value, Fault> {
        if cancelled.is_asked() {
            return Err(Fault::new("interrupted", "cancelled before it began"));
        }
        lock(progress).begin(step.name);
        let threads = self.threads_for_jobs();
        let mut child = Child::start(&self.jobs.program, &step.arguments, threads)?;
        let mut told = Instant::now();
        let mut is_stopping = false;
        loop {
            tokio::select! {
                line = child.line() => match line {
                    Some(line) => {
                        lock(progress).hear(&line);
                        if told.elapsed() > PAUSE {
                            told = Instant::now();
                            self.say_job(&self.jobs.told(job.clone()));
                        }
                    }
                    None => break,
                },
                () = cancelled.wake.notified(), if !is_stopping => {
                    is_stopping = true;
                    child.interrupt();
                }
            }
        }
        let ended = child.end().await;
        match ended {
            Ended::Done(output) => read_output(&output, step.output.as_deref()),
            _ if is_stopping || cancelled.is_asked() => Err(Fault::new("interrupted", "cancelled")),
            Ended::Interrupted => Err(Fault::new("interrupted", "interrupted from outside")),
            Ended::Killed => Err(Fault::new(
                "memory",
                "the system has ended it, most likely for want of memory; the line goes on: use fewer or smaller images, a smaller size, or a machine with more memory",
            )),
            Ended::Failed(words) => {
                let text = lock(progress).error().unwrap_or(words);
                Err(Fault { code: "job", text, help: String::new() })
            }
        }
    }

    /// Half the cores while a source runs, else all.
    fn threads_for_jobs(&self) -> Option<usize> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.has_running_sources().then(|| (cores / 2).max(1))
    }
}

fn note_of(job: &Stored) -> String {
    format!("job {} ({})", job.id, job.kind)
}

/// The JSON that a child has written to its standard output or a file.
fn read_output(output: &[u8], file: Option<&Path>) -> Result<Value, Fault> {
    let bytes = match file {
        Some(file) => std::fs::read(file).unwrap_or_default(),
        None => output.to_vec(),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        Fault::new("job", format!("what the program wrote cannot be read: {error}; look at its log"))
    })
}

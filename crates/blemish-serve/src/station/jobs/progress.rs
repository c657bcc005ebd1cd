//! What a child tells of its work.

use serde_json::Value;
use std::collections::VecDeque;
use std::time::Instant;

/// Lines that are kept, and characters of each.
const LOG: (usize, usize) = (200, 500);

/// How a job stands.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What it is doing.
    pub stage: String,
    /// Steps of the stage that are done.
    pub done: u64,
    /// All of them.
    pub total: Option<u64>,
    /// How it stands, in a few words.
    pub status: String,
    /// What it told.
    pub log: VecDeque<String>,
    began: Option<Instant>,
    /// Lines that were no events since the last event: what it says when it fails.
    plain: Vec<String>,
}

impl Progress {
    /// A stage begins.
    pub fn begin(&mut self, stage: &str) {
        self.stage = stage.to_owned();
        (self.done, self.total) = (0, None);
        self.status.clear();
        self.began = Some(Instant::now());
    }

    /// Takes in a line of the child's standard error: an event, or words.
    pub fn hear(&mut self, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let event = if line.starts_with('{') { serde_json::from_str::<Value>(line).ok() } else { None };
        let Some(event) = event else {
            self.plain.push(line.chars().take(LOG.1).collect());
            return self.note(line.to_owned());
        };
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap_or_default() {
            "stage" => {
                self.begin(&text("stage"));
                self.total = event["total"].as_u64();
                self.note(self.stage.clone());
            }
            "progress" => {
                self.stage = text("stage");
                self.done = event["done"].as_u64().unwrap_or(0);
                self.total = event["total"].as_u64();
                self.status = text("status");
            }
            "stage_end" => {
                self.done = event["done"].as_u64().unwrap_or(self.done);
                let seconds = event["seconds"].as_f64().unwrap_or(0.0);
                self.note(format!("{}: {} in {seconds:.1} s", text("stage"), self.done));
            }
            "warning" => self.note(format!("warning: {}", text("message"))),
            _ => self.note(line.to_owned()),
        }
        self.plain.clear();
    }

    fn note(&mut self, line: String) {
        if self.log.len() == LOG.0 {
            self.log.pop_front();
        }
        self.log.push_back(line.chars().filter(|one| !one.is_control()).take(LOG.1).collect());
    }

    /// Seconds that the stage will take, by what it has taken.
    pub fn seconds_left(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > self.done && self.done > 0)?;
        let taken = self.began?.elapsed().as_secs_f64();
        Some(taken / self.done as f64 * (total - self.done) as f64)
    }

    /// The loss of a training, where its status names one.
    pub fn loss(&self) -> Option<f64> {
        let (_, after) = self.status.split_once("loss")?;
        let number = after.trim_start_matches([' ', ':', '=']);
        let end =
            number.find(|one: char| !(one.is_ascii_digit() || matches!(one, '.' | '-' | '+' | 'e' | 'E')));
        number[..end.unwrap_or(number.len())].trim_end_matches(['.', '-', '+']).parse().ok()
    }

    /// What it said when it failed.
    pub fn error(&self) -> Option<String> {
        // The frame that errors are drawn in on a terminal says nothing.
        let bare = |line: &String| {
            line.trim_matches(|one: char| one.is_whitespace() || "×│├╰─▶╭·".contains(one)).to_owned()
        };
        let words: Vec<String> = self.plain.iter().map(bare).filter(|line| !line.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_progress_and_words_become_the_error() {
        let mut progress = Progress::default();
        progress.hear(r#"{"event":"stage","stage":"fitting","total":40}"#);
        assert_eq!(
            (progress.stage.as_str(), progress.total, progress.seconds_left()),
            ("fitting", Some(40), None)
        );
        progress.hear(
            r#"{"event":"progress","stage":"fitting","done":10,"total":40,"status":"loss 0.25, best 0.2"}"#,
        );
        assert_eq!((progress.done, progress.loss()), (10, Some(0.25)));
        assert!(progress.seconds_left().is_some());
        progress.hear(r#"{"event":"warning","message":"few images"}"#);
        assert_eq!(progress.error(), None);
        progress.hear("  × cannot read image `a.png`: it is cut short");
        progress.hear("  │ help: copy it again");
        progress.hear("");
        assert_eq!(
            progress.error().unwrap(),
            "cannot read image `a.png`: it is cut short help: copy it again"
        );
        assert!(progress.log.iter().any(|line| line == "warning: few images"));
        for number in 0..1000 {
            progress.hear(&format!("{{ no event {number} \u{1b}[31m"));
        }
        assert_eq!(progress.log.len(), LOG.0);
        assert!(!progress.log.iter().any(|line| line.contains('\u{1b}')));
    }

    #[test]
    fn a_loss_is_found_where_there_is_one() {
        let of = |status: &str| Progress { status: status.into(), ..Progress::default() }.loss();
        assert_eq!(
            [of("loss 1.5e-3"), of("loss: -0.2."), of("epoch 3"), of("loss")],
            [Some(1.5e-3), Some(-0.2), None, None]
        );
    }
}

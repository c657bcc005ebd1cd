//! Thresholds on the line: tried, set, brought back.

use super::super::store::history::{Scored, last_scores};
use super::super::store::thresholds::{self, NewChange};
use super::super::threshold::{self, Outcome, Wanted};
use super::{Station, blocking};
use crate::fault::Fault;
use crate::models::Served;
use blemish::evaluate::EvaluateOptions;
use blemish::{Recalibration, Silent, recalibrate};
use serde_json::json;
use std::sync::Arc;

/// Changes of a threshold that can be undone.
const UNDONE: usize = 5;

impl Station {
    /// The last scores of the version that is live.
    ///
    /// # Errors
    /// Of the database.
    pub async fn live_scores(&self, served: &Served, last: usize) -> Result<Vec<Scored>, Fault> {
        let (model, version) = (served.name().to_owned(), served.current().version.clone());
        self.read(move |connection| last_scores(connection, &model, &version, last)).await
    }

    /// What another threshold would do.
    ///
    /// # Errors
    /// `not_calibrated`, `request`, `no_such_model`.
    pub async fn try_threshold(&self, model: &str, wanted: Wanted, last: usize) -> Result<Outcome, Fault> {
        let served = self.server()?.models.find(model)?;
        let live = self.live_scores(&served, last).await?;
        let version = served.current();
        let calibration = version.detector.calibration().ok_or_else(threshold::not_calibrated)?;
        threshold::dry_run(calibration, threshold::rate_for(calibration, wanted)?, &live)
    }

    /// Sets another threshold: the version's file is replaced by one with other thresholds, and the line takes it.
    ///
    /// # Errors
    /// As [`Self::try_threshold`]; `io`.
    pub async fn set_threshold(
        self: &Arc<Self>,
        model: &str,
        wanted: Wanted,
        author: &str,
        reason: &str,
        last: usize,
    ) -> Result<Outcome, Fault> {
        let served = {
            let _changing = self.versions.changing.lock().await;
            let served = self.server()?.models.find(model)?;
            let version = served.current();
            let calibration = version.detector.calibration().ok_or_else(threshold::not_calibrated)?;
            let rate = threshold::rate_for(calibration, wanted)?;
            let engine = self.server()?.options.engine_options();
            let (station, asked) = (self.clone(), served.clone());
            let (key, backup) = blocking(move || {
                let key = station.versions.key_of(&asked)?;
                let backup = station.versions.back_up(asked.name(), &key)?;
                let path = station.versions.path(asked.name(), &key)?;
                let request = Recalibration { false_alarm: Some(rate), ..Recalibration::default() };
                let options = EvaluateOptions { observer: &Silent, ..EvaluateOptions::default() };
                recalibrate(&path, &path, &request, &engine, &options)
                    .map_err(|error| Fault::from(&error))?;
                station.versions.renew(asked.name(), &key)?;
                Ok((key, backup))
            })
            .await?;
            let before = calibration.image_threshold;
            let change = Change { key, before, author, reason, backup: Some(backup), undo: false };
            self.take_threshold(&served, change).await?;
            served
        };
        self.told_threshold(&served, author, reason, last).await
    }

    /// Brings the threshold before back.
    ///
    /// # Errors
    /// `conflict` if there is none; `io`.
    pub async fn undo_threshold(
        self: &Arc<Self>,
        model: &str,
        author: &str,
        last: usize,
    ) -> Result<Outcome, Fault> {
        let served = {
            let _changing = self.versions.changing.lock().await;
            let served = self.server()?.models.find(model)?;
            let (station, asked) = (self.clone(), served.clone());
            let key = blocking(move || station.versions.key_of(&asked)).await?;
            let (name, version) = (model.to_owned(), key.clone());
            let undoable =
                self.read(move |connection| thresholds::undoable(connection, &name, &version)).await?;
            let (id, backup) = undoable.ok_or_else(|| {
                Fault::new(
                    "conflict",
                    "no change of this version's threshold is left to undo; set another one",
                )
            })?;
            let before =
                served.current().detector.calibration().and_then(|calibration| calibration.image_threshold);
            let (station, name, version) = (self.clone(), model.to_owned(), key.clone());
            blocking(move || {
                let from = station.versions.backup(&name, &backup);
                let to = station.versions.path(&name, &version)?;
                station.versions.publish(&from, &to)?;
                station.versions.renew(&name, &version)?;
                // It is the version's file again, under its own name.
                let _ = std::fs::remove_file(from);
                Ok(())
            })
            .await?;
            self.write(move |connection| thresholds::forget(connection, id)).await?;
            let change = Change { key, before, author, reason: "undo", backup: None, undo: true };
            self.take_threshold(&served, change).await?;
            served
        };
        self.told_threshold(&served, author, "undo", last).await
    }

    /// Lets the line take a version's file whose thresholds have changed, and notes it.
    async fn take_threshold(self: &Arc<Self>, served: &Arc<Served>, change: Change<'_>) -> Result<(), Fault> {
        let model = served.name().to_owned();
        let Change { key, before, author, reason, backup, undo } = change;
        let from = self.versions.path(&model, &key)?;
        let put = self.put_on_line(&model, Some(served.clone()), from, served.path().to_owned()).await;
        if let (Err(fault), Some(backup)) = (&put, &backup) {
            // The line goes on with what it had, and so does the version.
            let (station, name, version, backup) = (self.clone(), model.clone(), key.clone(), backup.clone());
            let restored = blocking(move || {
                let to = station.versions.path(&name, &version)?;
                station.versions.publish(&station.versions.backup(&name, &backup), &to)?;
                station.versions.renew(&name, &version).map(drop)
            });
            if let Err(second) = restored.await {
                tracing::error!("after {fault}: {second}");
            }
        }
        put?;
        self.versions.loaded(&model, served.current().loaded, &key);
        let record = self.versions.record(&model, &key)?;
        let noted = NewChange {
            model: model.clone(),
            version: key.clone(),
            values: (before, record.threshold),
            rate: record.rate,
            author: author.to_owned(),
            reason: reason.to_owned(),
            backup,
            undo,
        };
        let name = model.clone();
        let old = self
            .write(move |connection| {
                noted.insert(connection)?;
                thresholds::forget_old(connection, &name, &key, UNDONE)
            })
            .await?;
        for backup in old {
            let _ = std::fs::remove_file(self.versions.backup(&model, &backup));
        }
        Ok(())
    }

    async fn told_threshold(
        self: &Arc<Self>,
        served: &Served,
        author: &str,
        reason: &str,
        last: usize,
    ) -> Result<Outcome, Fault> {
        let live = self.live_scores(served, last).await?;
        let version = served.current();
        let calibration = version.detector.calibration().ok_or_else(threshold::not_calibrated)?;
        let outcome = threshold::outcome(calibration, &live, true)?;
        let model = served.name();
        let text = format!("{model}: the threshold is {:.4}: {reason}", outcome.threshold);
        self.log("threshold", author, text.clone()).await?;
        self.say("threshold", model, text, json!({"threshold": outcome.threshold, "rate": outcome.rate}));
        // It holds, whether or not somebody can be told.
        let _ = self.say_model(model).await;
        Ok(outcome)
    }
}

/// A threshold that has changed in a version's file.
struct Change<'a> {
    key: String,
    before: Option<f32>,
    author: &'a str,
    reason: &'a str,
    backup: Option<String>,
    undo: bool,
}

//! Comparison, drift, audit, what may be learnt, and jobs.

use super::{Caller, Json, Query, answer};
use crate::fault::Fault;
use crate::guard::Right;
use crate::models::Served;
use crate::station::Station;
use crate::station::feedback::{Audit, Feedback};
use crate::station::jobs::{Job, blocking};
use crate::station::store::history::{Pair, last_scores, pairs};
use crate::station::store::jobs as rows;
use axum::extract::{Path, State};
use axum::response::Response;
use blemish::CalibrationConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Pairs of a comparison, unless it is asked otherwise, and at most.
const PAIRS: (usize, usize) = (1000, 10_000);

/// Scores of the drift page.
const SCORES: usize = 500;

/// Jobs that are listed.
const JOBS: usize = 100;

/// What [`compare`] takes.
#[derive(Deserialize)]
pub struct Compared {
    candidate: String,
    last: Option<usize>,
}

/// How many of some images each version has flagged.
#[derive(Default, Serialize)]
struct Both {
    of: u64,
    live: u64,
    candidate: u64,
}

/// The live version and one that was in shadow, on the same images.
pub async fn compare(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Query(compared): Query<Compared>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let Compared { candidate, last } = compared;
    let (name, key) = (model.clone(), candidate.clone());
    let last = last.unwrap_or(PAIRS.0).min(PAIRS.1);
    let (live, thresholds, found) = blocking(move || {
        station.versions.path(&name, &key)?;
        let (live, _) = station.version_file(&name, None)?;
        let threshold =
            |key: &str| station.versions.record(&name, key).ok().and_then(|record| record.threshold);
        let thresholds = (threshold(&live), threshold(&key));
        let found = station.store.read(|connection| pairs(connection, &name, &key, last))?;
        Ok((live, thresholds, found))
    })
    .await?;
    let (mut good, mut defective) = (Both::default(), Both::default());
    // Both, the live one alone, the candidate alone, neither.
    let mut flagged = [0u64; 4];
    let mut disagreements = Vec::new();
    for pair in &found {
        let [is_live, is_candidate] = pair.said.map(|(.., anomalous)| anomalous == Some(true));
        flagged[match (is_live, is_candidate) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        }] += 1;
        if is_live != is_candidate {
            disagreements.push(pair.id.clone());
        }
        let labelled = match pair.label.as_deref() {
            Some("good") => &mut good,
            Some("defective") => &mut defective,
            _ => continue,
        };
        labelled.of += 1;
        labelled.live += u64::from(is_live);
        labelled.candidate += u64::from(is_candidate);
    }
    let said = |(score, p_value, anomalous): (f32, Option<f64>, Option<bool>)| json!({"score": score, "p_value": p_value, "anomalous": anomalous});
    let told: Vec<Value> = found
        .iter()
        .map(|Pair { id, time, label, said: [live, candidate] }| {
            json!({"id": id, "time": time, "label": label, "live": said(*live), "candidate": said(*candidate)})
        })
        .collect();
    let [both, live_only, candidate_only, neither] = flagged;
    Ok(answer(json!({
        "model": model,
        "live": {"key": live, "threshold": thresholds.0},
        "candidate": {"key": candidate, "threshold": thresholds.1},
        "n": found.len(),
        "pairs": told,
        "flagged": {"both": both, "live_only": live_only, "candidate_only": candidate_only, "neither": neither},
        "good": good,
        "defective": defective,
        "disagreements": disagreements,
    })))
}

impl Station {
    /// The monitor of a model, in words and numbers.
    pub(super) fn drift_of(&self, served: &Served) -> Value {
        let model = served.name();
        let watch = self.server().ok().and_then(|server| server.plugs.watch.get().cloned());
        let Some(state) = watch.and_then(|watch| watch.state(model)) else {
            return json!({
                "model": model, "state": "off", "words": "nobody watches for drift yet; it begins with --monitor and the first image",
                "watched": 0, "set_aside": 0, "share_set_aside": null, "evidence": 0.0, "missing": 0,
            });
        };
        let name = match (state.drift.is_some(), state.missing) {
            (true, _) => "moved",
            (false, 0) => "quiet",
            (false, _) => "collecting",
        };
        let share = (state.watched > 0).then(|| state.set_aside as f64 / state.watched as f64);
        json!({
            "model": model, "state": name, "words": state.words, "version": state.version, "watched": state.watched,
            "set_aside": state.set_aside, "share_set_aside": share, "evidence": state.evidence, "missing": state.missing,
            "reference": state.reference, "found": state.drift,
        })
    }

    async fn drift_told(self: &Arc<Self>, served: &Arc<Served>) -> Result<Value, Fault> {
        let mut told = self.drift_of(served);
        let (model, version) = (served.name().to_owned(), served.current().version.clone());
        let scores = self.read(move |connection| last_scores(connection, &model, &version, SCORES)).await?;
        told["scores"] = json!(scores);
        Ok(told)
    }
}

/// The monitor's state, and scores over time.
pub async fn drift(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let served = station.server()?.models.find(&model)?;
    Ok(answer(station.drift_told(&served).await?))
}

/// What changes without more to say take.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct By {
    author: Option<String>,
}

/// Begins a new monitor.
pub async fn restart_drift(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    let server = station.server()?;
    let served = server.models.find(&model)?;
    let watch = server.plugs.watch.get().cloned();
    let watch = watch
        .ok_or_else(|| Fault::new("conflict", "nobody watches for drift; start the server with --monitor"))?;
    let (name, version) = (model.clone(), served.current());
    blocking(move || watch.restart(&name, &version.detector)).await?;
    let text = format!("{model}: a new monitor has begun");
    station.log("drift", &author, text.clone()).await?;
    let told = station.drift_told(&served).await?;
    station.say("drift", &model, text, station.drift_of(&served));
    Ok(answer(told))
}

/// What [`audit`] takes.
#[derive(Deserialize)]
pub struct Audited {
    model: Option<String>,
}

/// What the audit says.
pub async fn audit(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Query(audited): Query<Audited>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let share = station.settings().audit;
    let model = audited.model.filter(|model| !model.is_empty());
    let told = station.read(move |connection| Audit::read(connection, model.as_deref(), share)).await?;
    Ok(answer(told))
}

/// What labels may be used for.
pub async fn feedback(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let told = blocking(move || {
        let (key, _) = station.version_file(&model, None)?;
        let record = station.versions.record(&model, &key)?;
        let ancestry = station.ancestry(&model, &key);
        let rate = record.rate.unwrap_or(CalibrationConfig::default().false_alarm);
        station
            .store
            .read(|connection| Feedback::read(connection, &model, &ancestry, rate, record.can_update))
    })
    .await?;
    Ok(answer(told))
}

/// The latest jobs.
pub async fn jobs(State(station): State<Arc<Station>>, caller: Caller) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    let stored = station.read(|connection| rows::list(connection, JOBS)).await?;
    let jobs: Vec<Job> = stored.into_iter().map(|stored| station.jobs.told(stored)).collect();
    Ok(answer(json!({"jobs": jobs})))
}

/// A job.
pub async fn job(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    caller.need(Right::Read)?;
    Ok(answer(station.job(id).await?))
}

/// Takes a job into the queue.
pub async fn add_job(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Json(mut request): Json<Value>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, request["author"].as_str())?;
    if let Some(request) = request.as_object_mut() {
        // Only the station itself says whose files a job goes on with.
        request.remove("resume_of");
    }
    Ok(answer(station.add_job(request, author).await?))
}

/// Lets a job stop, or not begin.
pub async fn cancel(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    Ok(answer(station.cancel_job(id, author).await?))
}

/// Goes on where a job ended.
pub async fn resume(
    State(station): State<Arc<Station>>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(by): Json<By>,
) -> Result<Response, Fault> {
    let author = caller.signs(Right::Admin, by.author.as_deref())?;
    Ok(answer(station.resume_job(id, author).await?))
}

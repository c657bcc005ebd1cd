//! The live version beside a candidate.

use super::{Caller, Query, Refusals, answer};
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::guard::Right;
use crate::station::Station;
use crate::station::jobs::blocking;
use crate::station::store::history::{Pair, pairs};
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Pairs of a comparison, unless it is asked otherwise, and at most.
const PAIRS: (usize, usize) = (1000, 10_000);

/// What [`compare`] takes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Compared {
    /// The key of the version that was in shadow.
    candidate: String,
    /// The last images of both, up to 10,000; 1,000 by default.
    last: Option<usize>,
}

/// Two versions on the same images.
#[derive(Serialize, ToSchema)]
pub struct Comparison {
    model: String,
    live: Side,
    candidate: Side,
    /// Images that both have scored.
    n: usize,
    /// Newest first.
    pairs: Vec<Scores>,
    flagged: FlaggedBy,
    /// Of those labelled good.
    good: Both,
    /// Of those labelled defective.
    defective: Both,
    /// Ids of images that one alone has flagged.
    disagreements: Vec<String>,
}

/// A version that is compared.
#[derive(Serialize, ToSchema)]
pub struct Side {
    key: String,
    threshold: Option<f32>,
}

/// An image that both have scored.
#[derive(Serialize, ToSchema)]
pub struct Scores {
    id: String,
    /// Seconds since 1970.
    time: f64,
    /// The latest label.
    label: Option<String>,
    live: Opinion,
    candidate: Opinion,
}

/// What a version said of it.
#[derive(Serialize, ToSchema)]
pub struct Opinion {
    score: f32,
    p_value: Option<f64>,
    anomalous: Option<bool>,
}

/// How many images were flagged by whom.
#[derive(Serialize, ToSchema)]
pub struct FlaggedBy {
    both: u64,
    live_only: u64,
    candidate_only: u64,
    neither: u64,
}

/// How many of some images each version has flagged.
#[derive(Default, Serialize, ToSchema)]
pub struct Both {
    of: u64,
    live: u64,
    candidate: u64,
}

/// Compares the live version and one that was in shadow on the same images.
#[utoipa::path(get, path = "/v1/station/compare/{model}", tag = "feedback", security(("token" = ["read"])),
    params(("model" = String, Path, description = "The model."), Compared),
    responses((status = 200, description = "What each has said.", body = Comparison), (status = 404, description = "There is no such model or version.", body = ErrorBody), Refusals))]
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
    let opinion = |(score, p_value, anomalous)| Opinion { score, p_value, anomalous };
    let n = found.len();
    let scores = |Pair { id, time, label, said: [live, candidate] }: Pair| Scores {
        id,
        time,
        label,
        live: opinion(live),
        candidate: opinion(candidate),
    };
    let [both, live_only, candidate_only, neither] = flagged;
    Ok(answer(Comparison {
        model,
        live: Side { key: live, threshold: thresholds.0 },
        candidate: Side { key: candidate, threshold: thresholds.1 },
        n,
        pairs: found.into_iter().map(scores).collect(),
        flagged: FlaggedBy { both, live_only, candidate_only, neither },
        good,
        defective,
        disagreements,
    }))
}

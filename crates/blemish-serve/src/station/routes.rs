//! The station's JSON routes, all under `/v1/station`. `/openapi.json` follows from the handlers; below is the same on one page.
//!
//! Every error has the body of [`crate::fault::Fault`]: `{"error","code","help"}`. Times are seconds since 1970 with fractions. Sizes are
//! `[height, width]`. `?` behind a type means that it may be null. What a route needs: `read` to look, `label` to label, `admin` for
//! everything that changes models, settings or jobs. Names are text from outside: to be shown, never to be taken for markup.
//!
//! # Shapes that several routes share
//! ```text
//! Row      {"id": "0192f0c2a1b3c4d5e6f7", "request": "text", "time": 1790000000.123, "source": "http|folder|command|browser",
//!           "name": "text", "sha256": "hex", "size": [h, w], "bytes": 123, "has_original": true, "has_map": true, "pinned": false,
//!           "label": "good|defective|unsure"?, "verdict": Said?}
//!          Rows sort by id as by time. `sha256` and `has_original` are "" and false where pixels came instead of a file; a picture that
//!          retention has removed turns both `has_` false. `verdict` is null in the list of questions: whoever answers shall not know it.
//! Said     {"model": "line", "version": "12 digits", "score": 17.8, "p_value": 0.004?, "threshold": 15.1?, "anomalous": true?,
//!           "regions": [{"area", "box": {"x","y","width","height"}, "centroid": {"x","y"}, "peak": {"x","y","score"}, "mean_score"}],
//!           "milliseconds": {"queue","decode","score"}, "frame": {"x","y","width","height"}, "shadow": false,
//!           "words": "3 of 250 good images score like this or worse"?}
//!          `frame` is the part of the upright image that the map covers, in its pixels.
//! Version  {"key": "0123456789ab", "version": "12 digits", "identity": "64 digits", "method": "patchcore", "images": 30,
//!           "bytes": 123, "time": 1790000000.0, "made_by": "fit|pick|update|calibrate|import", "parent": "key"?, "origin": "words"?,
//!           "promise": "words"?, "threshold": 15.1?, "rate": 0.01?, "is_live": true, "is_shadow": false,
//!           "verified": {"passed": true, "time": 1790000000.0}?, "note": "text", "can_update": true}
//!          `key` names it in every route; two versions of the same content with other calibrations have keys that differ.
//! Model    {"name": "line", "is_ready": true, "live": "key"?, "shadow": "key"?, "can_roll_back": true, "versions": [Version, newest first]}
//! Source   {"name": "camera", "kind": "folder|command", "model": "line"?, "state": "running|waiting|failed|paused|stopped",
//!           "error": "words"?, "retry_at": 1790000000.0?, "taken": 12, "skipped": 0, "dropped": 0, "repeated": 0, "unreadable": 0, "restarts": 0,
//!           "last": 1790000000.0?, "trigger": "every|request|500ms", "what": "parts/in|ffmpeg ...", "after": "keep"?, "tail": ["line", ...]}
//! Job      {"id": 7, "kind": "fit|pick|update|calibrate|eval|suspects", "model": "line", "state":
//!           "waiting|running|done|failed|cancelled|interrupted", "stage": "fitting", "done": 12, "total": 30?, "seconds_left": 3.2?,
//!           "loss": 0.12?, "status": "words", "created": s, "started": s?, "ended": s?, "error": "words"?, "result": {...}?,
//!           "version": "key"?, "author": "text", "can_resume": false, "log": ["line", ...], "request": {...as posted}}
//!          `result` is what the program itself wrote with --json. `version` is the version that the job made.
//! Set      {"set": "u-0123456789ab", "files": [{"name", "sha256", "bytes", "size": [h, w]}], "images": 30, "bytes": 123,
//!           "added": 2, "known": 0, "refused": [{"name": "x.txt", "reason": "words"}]}
//!          `added`, `known` and `refused` are of this request alone.
//! Rate     {"count": 3, "of": 120, "rate": 0.025?, "low": 0.005, "high": 0.071}      exact 95 % interval
//! ```
//!
//! # Line
//! ```text
//! GET  /state     (any)  {"program": "0.1.0", "models": [{"name","version","key"?,"shadow"?,"is_ready","threshold"?}], "sources": [Source],
//!                  "job": Job?, "waiting": 0, "today": {"images","flagged","labelled","skipped"}, "paused": false,
//!                  "drift": [{"model","state","words"}], "rights": {"score","read","label","admin"}, "role":
//!                  "none|viewer|operator|engineer", "needs_login": false, "audit": 0.02, "questions": 12, "is_empty": true,
//!                  "banner": "words"?, "dropped": 0, "last": Row?}
//!                  `is_empty`: no model and no image yet. `needs_login`: there are tokens and the caller has shown none; then all but
//!                  `program`, `rights`, `role` and `needs_login` are missing. `banner`: the history was damaged and begun anew, or the like.
//! POST /pause     (label) {}                  -> {"paused": true}     sources stay connected, what comes meanwhile counts as skipped
//! POST /resume    (label) {}                  -> {"paused": false}
//! GET  /sources   (read)                      -> {"sources": [Source]}
//! POST /v1/trigger (score) {"source": "camera"?} -> a verdict as of /v1/models/NAME/score, of the next frame; 504 if none comes
//! POST /login     (any)  {"token": "...", "name": "Ada"?} -> {"role", "rights"} and the cookie; 401
//! POST /logout    (any)  {}                   -> {"role": "none"}
//! ```
//!
//! # History
//! ```text
//! GET  /images    (read) ?verdict=flagged|passed|undecided &label=good|defective|unsure|none &model= &version= &day=2026-11-28 &p_max=0.01
//!                  &source= &filter=disagreements|unlabelled|questions|pinned &before=ID &after=ID &limit=60 (at most 500)
//!                  -> {"images": [Row, newest first], "next": "ID"?, "total": 1234?}      `next` goes into `before`
//!                  disagreements: the latest label is good and it was flagged, or defective and it passed. unlabelled: flagged, no label.
//!                  questions: flagged ones and those of the audit, no label, mixed, without verdicts.
//! GET  /images/ID (read) -> Row + {"verdicts": [Said, those in shadow too], "labels": [{"label","author","time","note"}, newest first],
//!                  "neighbours": {"before": [Row, up to 5, newest first], "after": [Row, up to 5, oldest first]}}
//! GET  /images/ID/original, /images/ID/map.png, /images/ID/thumb.jpg   (read) pictures, immutable; 404 once retention took them.
//!                  map.png is an 8-bit palette PNG: its index is the level on the model's colour range, its palette the colours.
//! POST /images/ID/label (label) {"label": "good|defective|unsure", "author": "Ada"?, "note": "text"?} -> Row
//! POST /labels    (label) {"ids": ["ID", ...up to 1000], "label", "author"?, "note"?} -> {"labelled": 3, "unknown": ["ID"]}
//! POST /images/ID/pin   (label) {"pinned": true} -> Row
//! GET  /download  (read) ?layout=folder|mvtec and the filters of /images -> application/zip
//! GET  /log       (read) ?kind=&before=ID&limit=100 -> {"events": [{"id","time","kind","author","text"}]}  who changed what
//! ```
//!
//! # Threshold
//! ```text
//! GET  /threshold/MODEL (read) ?last=500 -> {"model","version","key","threshold": 15.1?,"rate": 0.01?,"asked": 0.001?,"lowest_rate": 0.004,
//!                  "promise": "words","origin": "words","calibration": [scores, ascending],"groups": 250,
//!                  "positions": [{"rate": 0.004, "threshold": 18.2}, ..., rates ascending],
//!                  "live": [{"id","time","score","p_value","label"?}, newest first], "history": [{"id","time","author","from"?,"to"?,"rate"?,
//!                  "reason","version","undo": false}], "can_undo": true}
//!                  `positions` are all places where the handle can stand: the thresholds that the rule gives. `live` has images that this
//!                  very version scored. An image is flagged if score > threshold. 409 `not_calibrated` without scores of good images.
//! POST /v1/models/MODEL/threshold?dry_run=true (admin; dry run: read) {"threshold": 15.1} or {"rate": 0.01}, "author"?, "reason"?, "last"?: 500
//!                  -> {"threshold","rate","asked"?,"promise","of": 500,"flagged": 12,"good": {"of","flagged"},"defective": {"of","flagged"},
//!                  "applied": false}
//!                  A threshold goes to the lowest position at or above it. good, defective: of the labelled ones among the last.
//!                  Without dry_run it is applied: `applied` is true, and the next image is judged by it.
//! POST /v1/models/MODEL/threshold/undo (admin) {"author"?} -> as above; 409 if nothing is to undo
//! ```
//!
//! # Models and jobs
//! ```text
//! GET  /models    (read) -> {"models": [Model]}
//! POST /models/M/live     (admin) {"version": "key", "author"?, "reason"?} -> Model      a model that was not served yet is from now on
//! POST /models/M/shadow   (admin) {"version": "key"?, "author"?}           -> Model      null ends the shadow
//! POST /models/M/rollback (admin) {"author"?}                              -> Model      the version that was live before
//! POST /models/M/verify   (admin) {"version": "key"}                       -> {"passed","is_content_intact","decisions","images": [...]}
//! POST /models/M/try?version=key (score) one image as body, or multipart   -> {"results": [Said + {"name","size","map": "data:image/png;base64,..."}]}
//! DELETE /models/M/versions/KEY (admin)                                    -> Model      409 for the live one and the one in shadow
//! GET  /models/M/versions/KEY/download (read)                              -> the model file
//! GET  /methods   (read) -> {"methods": [{"name","summary","trains_long","can_update"}]}
//! POST /uploads?set=SET (admin) multipart, any number of images and zips; without `set` a new one -> Set
//! GET  /uploads/SET (read) ?check=true -> Set + {"check": [{"finding": "words","error": true,"files": [names],"detail": "words"}]?}
//! GET  /uploads/SET/files/SHA256 (read) -> the picture
//! DELETE /uploads/SET (admin) -> {"deleted": 30};   DELETE /uploads/SET/files/SHA256 (admin) -> Set
//! POST /jobs      (admin) {"kind": ..., "model": "line", "author"?, "live": false} and by kind
//!                  fit: "set", "method"?: "patchcore", "settings"?: {"key": "value"}, "size"?: "auto|256x256|320", "false_alarm"?: 0.01,
//!                       "updatable"?: true, "fast"?: false, "time_limit"?: "20m"
//!                  pick: "set", "latency_ms": 50      suspects: "set"
//!                  update: "version"?: key (the live one)                         learns what /feedback/M says
//!                  calibrate: "version"?, "with": "audit|labelled", "false_alarm"?, "by"?: "f1|recall|cost"
//!                  eval: "version"?, "set"? (an uploaded labelled tree) else the labelled images of the history
//!                  -> Job.  `live`: make the version live once it is done. The model's name is 1 to 64 of A-Z a-z 0-9 . _ -
//! GET  /jobs      (read) -> {"jobs": [Job, newest first, at most 100]};  GET /jobs/ID -> Job
//! POST /jobs/ID/cancel (admin) {} -> Job;  POST /jobs/ID/resume (admin) {} -> Job (a new one)
//! ```
//!
//! # Feedback
//! ```text
//! GET  /compare/M?candidate=KEY&last=1000 (read) -> {"model","live": {"key","threshold"?},"candidate": {"key","threshold"?},"n": 800,
//!                  "pairs": [{"id","time","label"?,"live": {"score","p_value"?,"anomalous"?},"candidate": {...}}, newest first],
//!                  "flagged": {"both","live_only","candidate_only","neither"},
//!                  "good": {"of","live","candidate"}, "defective": {"of","live","candidate"}, "disagreements": ["ID", ...]}
//!                  good, defective: how many of those labelled so each has flagged.
//! GET  /drift/M   (read) -> {"model","state": "off|collecting|quiet|moved","words","watched": 0,"set_aside": 0,"share_set_aside": 0.0?,
//!                  "evidence": 0.0,"missing": 0,"scores": [{"id","time","score","p_value"?,"anomalous"?}, newest first, 500]}
//! POST /drift/M/restart (admin) {"author"?} -> as above
//! GET  /audit?model=M (read) -> {"share": 0.02,"model"?,"audited": 300,"answered": 250,"unsure": 3,"waiting": 47,"false_alarms": Rate,
//!                  "misses": Rate,"defective": Rate,"words": "from 250 audited images"}
//! GET  /feedback/M (read) -> {"model","learn": {"images": 12,"can": true,"words"},"calibrate": {"images": 80,"rate": 0.01,"needed": 99,
//!                  "missing": 19,"can": false,"promises": 0.0124?,"words"},"labelled": {"good": 90,"defective": 7,"can": true,"words"}}
//! GET  /settings  (read) -> {"record": "all|flagged|none","audit": 0.02,"history_max": 21474836480,"history_days": 90,"sources": [Source],
//!                  "retention": {"bytes","pictures","oldest": s?,"next": [Row, up to 12],"words"},
//!                  "sinks": [{"name","kind","waiting","error"?}],"tokens": true}
//! PUT  /settings  (admin) any of {"record","audit","history_max","history_days","author"} -> as GET.
//!                  Sources are read only: they name paths and programs, which no request may; they stand in serve.toml and DIR/sources.toml.
//! ```
//!
//! # Events (`/v1/events`)
//! `verdict` as it was answered; `image`, whose `data` is the Row as soon as it can be asked for; `compared` ({"id"}) once the version
//! in shadow has said something of it, too; `source` (Source), `job` (Job without log),
//! `label` ({"ids","label"}), `threshold` ({"threshold","rate"}), `model` (Model: live, shadow, new version, deleted), `reload`, `drift`,
//! `retention` ({"deleted","bytes"}), `pause` ({"paused"}), `upload` ({"set","images"}), `settings`. All but `verdict` are
//! `{"kind","model","text","data"}`.

mod caller;
mod compare;
mod download;
mod feedback;
mod history;
mod jobs;
mod line;
mod login;
mod models;
mod settings;
mod threshold;
mod tries;
mod uploads;

use super::Station;
use crate::api::ErrorBody;
use crate::fault::Fault;
use crate::server::Server;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
pub use caller::Caller;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as of;

/// Bytes of a JSON body.
const JSON: usize = 4 << 20;

/// What any route of the station may refuse; what more a route refuses stands with it.
#[derive(IntoResponses)]
pub enum Refusals {
    /// The request does not say what it should.
    #[response(status = 400)]
    Request(ErrorBody),
    /// No token or login that the server knows.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// Who asks may not do that, or a page of another origin asks.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// Another error.
    #[response(status = "default")]
    Other(ErrorBody),
}

/// All routes of the station, its pages among them.
pub fn routes(station: Arc<Station>) -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .merge(line())
        .merge(history())
        .merge(models())
        .merge(feedback())
        // What is larger says so itself.
        .layer(DefaultBodyLimit::max(JSON))
        .merge(uploads())
        .merge(super::pages::routes())
        .with_state(station)
}

fn line() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(line::state))
        .routes(of!(line::pause))
        .routes(of!(line::resume))
        .routes(of!(line::sources))
        .routes(of!(login::login))
        .routes(of!(login::logout))
        .routes(of!(settings::settings, settings::set_settings))
        .routes(of!(settings::log))
        .routes(of!(line::trigger))
}

fn history() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(history::list))
        .routes(of!(history::image))
        .routes(of!(history::original))
        .routes(of!(history::map))
        .routes(of!(history::thumbnail))
        .routes(of!(history::label))
        .routes(of!(history::pin))
        .routes(of!(history::labels))
        .routes(of!(download::download))
}

fn models() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(models::list))
        .routes(of!(models::live))
        .routes(of!(models::shadow))
        .routes(of!(models::roll_back))
        .routes(of!(models::verify))
        .routes(of!(models::delete))
        .routes(of!(models::download))
        .routes(of!(models::methods))
        .routes(of!(threshold::threshold))
        .routes(of!(threshold::set_threshold))
        .routes(of!(threshold::undo_threshold))
}

fn feedback() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(compare::compare))
        .routes(of!(feedback::drift))
        .routes(of!(feedback::restart_drift))
        .routes(of!(feedback::audit))
        .routes(of!(feedback::feedback))
        .routes(of!(jobs::jobs, jobs::add_job))
        .routes(of!(jobs::job))
        .routes(of!(jobs::cancel))
        .routes(of!(jobs::resume))
}

fn uploads() -> OpenApiRouter<Arc<Station>> {
    OpenApiRouter::new()
        .routes(of!(uploads::upload))
        .routes(of!(uploads::set, uploads::delete))
        .routes(of!(uploads::file, uploads::remove))
        .routes(of!(tries::try_version))
}

/// What changes without more to say take.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct By {
    /// The name of whoever logged in goes before.
    author: Option<String>,
}

/// The JSON of a body; an empty one is `{}`. Whatever the content type says: clients without one are common.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|_| {
            Fault::new("body_too_large", "the body is cut short or has more than 4 MiB; send less at once")
        })?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Fault::request(format!("the body is not what is asked for: {error}; see /openapi.json"))
        })
    }
}

/// The values of a query.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Fault> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Fault::request(format!("{}; see /openapi.json", rejection.body_text())))
    }
}

/// JSON whose numbers of 32 bits have all digits, so that scores and thresholds compare in a page as they do here.
fn answer(value: impl serde::Serialize) -> Response {
    axum::Json(serde_json::to_value(value).unwrap_or_default()).into_response()
}

/// A picture that never changes under its address; browsers must take it for nothing else.
fn picture(bytes: Vec<u8>, content_type: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            HeaderName::from_static("content-security-policy"),
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
    ];
    (headers, bytes).into_response()
}

/// A file to be saved under a name.
fn attachment(body: Body, content_type: &'static str, name: &str) -> Response {
    let name: String =
        name.chars().filter(|one| one.is_ascii_alphanumeric() || ".-_".contains(*one)).collect();
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static("attachment")),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, body).into_response()
}

//! Jobs with a program of a few lines in the place of this one, which does what the real one does and worse.

#![cfg(unix)]

use super::*;
use crate::options::ServeOptions;
use crate::station::tests::json_of;
use crate::testing::{bench, options, request};
use axum::Router;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

/// Fits by copying a model; what it does depends on the method's settings.
const PROGRAM: &str = r#"#!/bin/sh
echo '{"event":"stage","stage":"fitting","total":10}' >&2
echo '{"event":"progress","stage":"fitting","done":4,"total":10,"status":"loss 0.5"}' >&2
for word in "$@"; do
    case "$word" in --resume) echo '{"event":"warning","message":"resumed"}' >&2;; esac
    case "$last" in -o) output="$word";; esac
    last="$word"
done
for word in "$@"; do
    case "$word" in
        *how=fail) echo '  × there are no good images' >&2; exit 1;;
        *how=memory) kill -9 $$;;
        *how=long) trap 'touch "$output.checkpoint"; exit 130' INT TERM; while true; do sleep 0.05; done;;
    esac
done
[ -n "$output" ] && cp "@MODEL@" "$output"
echo "$@" > "@FOLDER@/arguments"
echo '{"images": 12}'
"#;

struct Bed {
    station: Arc<Station>,
    server: Arc<crate::server::Server>,
    app: Router,
    folder: tempfile::TempDir,
    set: String,
}

async fn bed(names: &[&str]) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let text = PROGRAM.replace("@MODEL@", &bench().path("other").display().to_string());
    std::fs::write(&program, text.replace("@FOLDER@", &folder.path().display().to_string())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (options, _models) = options(names);
    let dir = folder.path().join("station");
    let options = ServeOptions { station: Some(dir.clone()), ..options };
    let (server, station, app) = crate::station::tests::open(options, &dir, program).await;
    let set = station.uploads.begin().unwrap();
    Bed { station, server, app, folder, set }
}

impl Bed {
    async fn json(&self, verb: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, value) = json_of(&self.app, request(verb, path, body.to_string())).await;
        (status.as_u16(), value)
    }

    async fn fit(&self, how: &str, live: bool) -> i64 {
        let body = json!({"kind": "fit", "model": "new", "set": self.set, "method": "padim", "settings": {"how": how}, "live": live});
        let (status, job) = self.json("POST", "/v1/station/jobs", body).await;
        assert_eq!(status, 200, "{job}");
        job["id"].as_i64().unwrap()
    }

    async fn ended(&self, id: i64) -> Value {
        self.until(id, |job| !matches!(job["state"].as_str().unwrap(), "waiting" | "running")).await
    }

    async fn until(&self, id: i64, holds: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (_, job) = self.json("GET", &format!("/v1/station/jobs/{id}"), Value::Null).await;
            if holds(&job) {
                return job;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{job}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_makes_a_version_and_goes_live_where_there_was_no_model() {
    let bed = bed(&[]).await;
    let id = bed.fit("well", true).await;
    let job = bed.ended(id).await;
    assert_eq!(
        (&job["state"], &job["error"], &job["result"]["images"]),
        (&json!("done"), &Value::Null, &json!(12)),
        "{job}"
    );
    let arguments = std::fs::read_to_string(bed.folder.path().join("arguments")).unwrap();
    assert!(
        arguments.starts_with("fit ") && arguments.contains("--set=how=well") && arguments.contains("--json"),
        "{arguments}"
    );
    let (_, models) = bed.json("GET", "/v1/station/models", Value::Null).await;
    let model = &models["models"][0];
    assert_eq!(
        (&model["name"], &model["live"], &model["is_ready"]),
        (&json!("new"), &job["version"], &json!(true)),
        "{models}"
    );
    assert_eq!(model["versions"][0]["made_by"], "fit");
    let served = bed.server.models.get("new").unwrap();
    assert_eq!(served.path(), bed.station.versions.own_path("new"));
    let (status, _) = json_of(&bed.app, request("POST", "/score", bench().images()[0].clone())).await;
    assert_eq!(status.as_u16(), 200);
    assert!(!bed.station.jobs.root.join(id.to_string()).exists(), "nothing of it is left");
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_labels_teach_runs_in_shadow_first() {
    let bed = bed(&["line"]).await;
    let (status, settings) = bed.json("PUT", "/v1/station/settings", json!({"audit": 1})).await;
    assert_eq!(status, 200, "{settings}");
    let (status, _) = json_of(&bed.app, request("POST", "/score", bench().images()[0].clone())).await;
    assert_eq!(status.as_u16(), 200);
    let began = Instant::now();
    let row = loop {
        let (_, list) = bed.json("GET", "/v1/station/images", Value::Null).await;
        if let Some(row) = list["images"].get(0) {
            break row["id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{list}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let label = json!({"label": "good", "author": "Ada"});
    assert_eq!(bed.json("POST", &format!("/v1/station/images/{row}/label"), label).await.0, 200);
    let calibrate = json!({"kind": "calibrate", "model": "line", "with": "audit", "false_alarm": 0.5});
    let (status, job) = bed.json("POST", "/v1/station/jobs", calibrate).await;
    assert_eq!(status, 200, "{job}");
    let job = bed.ended(job["id"].as_i64().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    let (_, models) = bed.json("GET", "/v1/station/models", Value::Null).await;
    let model = &models["models"][0];
    assert_eq!(model["shadow"], job["version"], "{models}");
    assert_ne!(model["live"], job["version"], "{models}");
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_why_and_the_line_goes_on() {
    let bed = bed(&["line"]).await;
    let id = bed.fit("fail", false).await;
    let job = bed.ended(id).await;
    assert_eq!(
        (&job["state"], &job["error"]),
        (&json!("failed"), &json!("there are no good images")),
        "{job}"
    );
    let id = bed.fit("memory", false).await;
    let job = bed.ended(id).await;
    assert_eq!(job["state"], "failed");
    assert!(job["error"].as_str().unwrap().contains("want of memory"), "{job}");
    let (status, _) = json_of(&bed.app, request("POST", "/score", bench().images()[0].clone())).await;
    assert_eq!(status.as_u16(), 200);
    for wrong in [
        json!({"kind": "fit", "model": "new", "set": "u-000000000000"}),
        json!({"kind": "fit", "model": "../x", "set": bed.set}),
        json!({"kind": "fit", "model": "new", "set": bed.set, "size": "--output=/etc"}),
        json!({"kind": "fit", "model": "new", "set": bed.set, "false_alarm": 3}),
        json!({"kind": "format", "model": "new"}),
        json!({"kind": "update", "model": "nobody"}),
        json!({"kind": "calibrate", "model": "line", "with": "flagged"}),
        json!(7),
    ] {
        let (status, fault) = bed.json("POST", "/v1/station/jobs", wrong.clone()).await;
        assert!(matches!(status, 400 | 404), "{wrong}: {status} {fault}");
    }
    // There is nothing to calibrate with and nothing to learn.
    for body in [
        json!({"kind": "update", "model": "line"}),
        json!({"kind": "calibrate", "model": "line", "with": "audit"}),
    ] {
        let (_, job) = bed.json("POST", "/v1/station/jobs", body).await;
        let job = bed.ended(job["id"].as_i64().unwrap()).await;
        assert_eq!(job["state"], "failed", "{job}");
    }
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runs_while_others_wait_and_each_can_be_cancelled_and_resumed() {
    let bed = bed(&[]).await;
    let first = bed.fit("long", false).await;
    let second = bed.fit("well", false).await;
    let third = bed.fit("well", false).await;
    let running = bed.until(first, |job| job["done"] == 4).await;
    assert_eq!(
        (&running["state"], &running["stage"], &running["total"], &running["loss"]),
        (&json!("running"), &json!("fitting"), &json!(10), &json!(0.5))
    );
    let (_, state) = bed.json("GET", "/v1/station/state", Value::Null).await;
    assert_eq!((&state["job"]["id"], &state["waiting"]), (&json!(first), &json!(2)));
    let (status, dropped) = bed.json("POST", &format!("/v1/station/jobs/{second}/cancel"), json!({})).await;
    assert_eq!((status, &dropped["state"]), (200, &json!("cancelled")));
    let (status, _) = bed.json("POST", &format!("/v1/station/jobs/{first}/cancel"), json!({})).await;
    assert_eq!(status, 200);
    let cancelled = bed.ended(first).await;
    assert_eq!(
        (&cancelled["state"], &cancelled["can_resume"]),
        (&json!("cancelled"), &json!(true)),
        "{cancelled}"
    );
    assert_eq!(bed.ended(third).await["state"], "done");
    let (status, _) = bed.json("POST", &format!("/v1/station/jobs/{third}/cancel"), json!({})).await;
    assert_eq!(status, 409);
    let (status, resumed) = bed.json("POST", &format!("/v1/station/jobs/{first}/resume"), json!({})).await;
    assert_eq!(status, 200, "{resumed}");
    let id = resumed["id"].as_i64().unwrap();
    let resumed = bed
        .until(id, |job| {
            job["log"].to_string().contains("resumed")
                || job["state"] != "running" && job["state"] != "waiting"
        })
        .await;
    assert!(resumed["state"] == "running" || resumed["log"].to_string().contains("resumed"), "{resumed}");
    bed.json("POST", &format!("/v1/station/jobs/{id}/cancel"), json!({})).await;
    bed.ended(id).await;
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ran_when_the_station_ended_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let store = crate::station::store::Store::open(&path).unwrap();
    store
        .write(|connection| {
            let id = rows::add(connection, "fit", "line", &json!({"kind": "fit"}), "Ada")?;
            rows::start(connection, id)
        })
        .unwrap();
    drop(store);
    let store = crate::station::store::Store::open(&path).unwrap();
    assert_eq!(store.write(rows::interrupt_running).unwrap(), [1]);
    let job = store.read(|connection| rows::job(connection, 1)).unwrap();
    assert_eq!(job.state, "interrupted");
}

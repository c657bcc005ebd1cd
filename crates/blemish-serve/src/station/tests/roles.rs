//! Who may do what, and what a page of another origin may.

use super::*;
use crate::guard::Rights;
use crate::testing::{request, send};
use axum::body::Body;
use axum::http::{StatusCode, header};

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_may_and_a_foreign_page_nothing() {
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("tokens");
    std::fs::write(&file, "look read\nhand read,label\nboss score,read,label,admin\nrobot score\n").unwrap();
    let bed = Bed::with(&["line"], |options| options.token_file = Some(file.clone()), |_| {}).await;
    let login = async |token: &str| {
        let body = Body::from(json!({"token": token, "name": "Ada"}).to_string());
        let response = send(&bed.app, request("POST", "/v1/station/login", body)).await;
        let cookie = response
            .headers()
            .get(header::SET_COOKIE)
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        (response.status(), cookie.unwrap_or_default())
    };
    assert_eq!(login("wrong").await.0, StatusCode::UNAUTHORIZED);
    let read = [
        "GET /v1/station/images",
        "GET /v1/station/models",
        "GET /v1/station/settings",
        "GET /v1/station/audit",
        "GET /v1/station/threshold/line",
    ];
    let label = ["POST /v1/station/pause", "POST /v1/station/resume", "POST /v1/station/labels"];
    let admin = [
        "POST /v1/models/line/threshold",
        "PUT /v1/station/settings",
        "POST /v1/station/models/line/rollback",
        "POST /v1/station/jobs",
        "POST /v1/station/uploads",
        "DELETE /v1/station/models/line/versions/x",
        "POST /v1/station/drift/line/restart",
    ];
    let body = |path: &str| match path {
        "/v1/station/labels" => json!({"ids": [], "label": "good"}),
        _ => json!({}),
    };
    for (token, may) in [
        ("", [false, false, false]),
        ("look", [true, false, false]),
        ("hand", [true, true, false]),
        ("boss", [true, true, true]),
        ("robot", [false, false, false]),
    ] {
        let cookie = if token.is_empty() { String::new() } else { login(token).await.1 };
        for (group, may) in [(&read[..], may[0]), (&label[..], may[1]), (&admin[..], may[2])] {
            for line in group {
                let (verb, path) = line.split_once(' ').unwrap();
                let mut asked = request(verb, path, Body::from(body(path).to_string()));
                if !cookie.is_empty() {
                    asked.headers_mut().insert(header::COOKIE, cookie.parse().unwrap());
                }
                let status = send(&bed.app, asked).await.status();
                let refused = match token {
                    "" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::FORBIDDEN,
                };
                assert_eq!(status == refused, !may, "{token}: {line}: {status}");
                assert!(!may || status != StatusCode::UNAUTHORIZED, "{token}: {line}: {status}");
                // The same with the right to everything from a page of another origin.
                let mut asked = request(verb, path, Body::from(body(path).to_string()));
                asked.headers_mut().insert(header::AUTHORIZATION, "Bearer boss".parse().unwrap());
                asked.headers_mut().insert(header::ORIGIN, "https://elsewhere.example".parse().unwrap());
                if verb != "GET" {
                    let (status, fault) = json_of(&bed.app, asked).await;
                    assert_eq!((status, &fault["code"]), (StatusCode::FORBIDDEN, &json!("origin")), "{line}");
                }
            }
        }
    }
    // Who changed what is noted under the name of the login.
    let boss = login("boss").await.1;
    let mut asked = request("GET", "/v1/station/log", Body::empty());
    asked.headers_mut().insert(header::COOKIE, boss.parse().unwrap());
    let (_, log) = json_of(&bed.app, asked).await;
    let events = log["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["kind"] == "pause" && event["author"] == "Ada"), "{log}");
    let (_, state) = bed.json("GET", "/v1/station/state", Value::Null).await;
    assert_eq!((&state["needs_login"], &state["models"]), (&json!(true), &Value::Null));
    assert_eq!(login::role(Rights::all()), "engineer");
    bed.station.close(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_a_proxy_with_tls_never_travels_in_the_clear() {
    let bed = Bed::with(&[], |options| options.hosts = vec!["station.example".into()], |_| {}).await;
    for path in ["/v1/station/login", "/v1/station/logout"] {
        for (origin, is_secure) in [("https://station.example", true), ("http://station.example", false)] {
            let mut asked = request("POST", path, Body::from("{}"));
            asked.headers_mut().insert(header::HOST, "station.example".parse().unwrap());
            asked.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
            let response = send(&bed.app, asked).await;
            let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
            assert_eq!(cookie.contains("; Secure"), is_secure, "{path} {origin}: {cookie}");
        }
    }
    bed.station.close(Duration::from_secs(1));
}

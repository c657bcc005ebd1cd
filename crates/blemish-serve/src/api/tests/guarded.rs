//! Tokens, hosts, origins, and what is told of requests.

use super::SCORE;
use crate::options::ServeOptions;
use crate::server::{Access, AccessHook, Room, Server};
use crate::testing::{ask, bench, options, request, send, server};
use axum::body::Body;
use axum::http::{Request, header};
use std::sync::{Arc, Mutex};

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[derive(Default)]
struct Log(Mutex<Vec<Access>>);

impl AccessHook for Log {
    fn answered(&self, access: &Access) {
        self.0.lock().unwrap().push(access.clone());
    }
}

#[tokio::test]
async fn each_right_opens_its_routes_and_tokens_stand_in_no_log() {
    let (options, folder) = options(&["line"]);
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "s3cret-score score\ns3cret-read read\ns3cret-admin admin\n").unwrap();
    let server = Server::open(ServeOptions { token_file: Some(tokens), ..options }).unwrap();
    server.models.verify().await.unwrap();
    let log = Arc::new(Log::default());
    let room = Room { access: vec![log.clone()], ..Room::default() };
    let (app, _) = server.app(vec![room]);
    let image = bench().images()[0].clone();
    let routes = [
        ("POST", SCORE, "score"),
        ("POST", "/score", "score"),
        ("POST", "/v1/models/line/score-batch", "score"),
        ("GET", "/v1/models", "read"),
        ("GET", "/v1/models/line", "read"),
        ("GET", "/metrics", "read"),
        ("POST", "/v1/models/line/reload", "admin"),
    ];
    for (verb, path, right) in routes {
        let plain = || request(verb, path, image.clone());
        assert_eq!(ask(&app, plain()).await.0, 401, "{path}");
        let wrong = send(&app, with(plain(), "authorization", "Bearer s3cret-wrong")).await;
        assert_eq!(
            (wrong.status().as_u16(), &wrong.headers()[header::WWW_AUTHENTICATE]),
            (401, &"Bearer".parse().unwrap())
        );
        for token in ["score", "read", "admin"] {
            let status = ask(&app, with(plain(), "authorization", &format!("Bearer s3cret-{token}"))).await.0;
            // The batch is no form, and nothing counts here: what matters is that they are reached.
            assert_eq!(token == right, !matches!(status, 401 | 403), "{path} {token}: {status}");
        }
        // Never in the query, where logs of others would have it.
        let asked = request(verb, &format!("{path}?token=s3cret-{right}"), image.clone());
        assert_eq!(ask(&app, asked).await.0, 401);
    }
    for open in ["/livez", "/readyz", "/openapi.json"] {
        assert_eq!(ask(&app, request("GET", open, "")).await.0, 200, "{open}");
    }
    let logged = log.0.lock().unwrap();
    assert!(logged.len() > 40 && logged.iter().all(|access| !format!("{access:?}").contains("s3cret")));
}

#[tokio::test]
async fn hosts_and_origins_of_others_are_refused() {
    let (options, _folder) = options(&["line"]);
    let options = ServeOptions {
        hosts: vec!["line.local".into()],
        cors: vec!["https://mes.example".into()],
        ..options
    };
    let (_server, app) = server(options).await;
    let image = bench().images()[0].clone();
    let score = || request("POST", SCORE, image.clone());
    assert_eq!(ask(&app, with(score(), "host", "evil.example")).await.0, 421);
    assert_eq!(ask(&app, with(request("GET", "/livez", ""), "host", "evil.example:8080")).await.0, 421);
    for host in ["localhost:8080", "127.0.0.1", "[::1]:9", "line.local"] {
        assert_eq!(ask(&app, with(score(), "host", host)).await.0, 200, "{host}");
    }
    let (status, body) = ask(&app, with(score(), "origin", "http://evil.example")).await;
    assert_eq!((status, body["code"].as_str()), (403, Some("origin")));
    assert_eq!(ask(&app, with(score(), "origin", "http://localhost")).await.0, 200);
    let own = send(&app, with(request("GET", "/v1/models", ""), "origin", "http://evil.example")).await;
    assert!(own.status().is_success() && !own.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let allowed = send(&app, with(score(), "origin", "https://mes.example")).await;
    assert_eq!(allowed.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://mes.example");
    let before = send(&app, with(request("OPTIONS", SCORE, ""), "origin", "https://mes.example")).await;
    assert_eq!(before.status().as_u16(), 204);
    assert!(before.headers()[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("POST"));
    let refused = ask(&app, with(request("OPTIONS", SCORE, ""), "origin", "http://evil.example")).await;
    assert_eq!(refused.0, 405);
}

#[tokio::test]
async fn requests_have_an_id_and_are_told_of_by_route() {
    let (options, _folder) = options(&["line"]);
    let server = Server::open(options).unwrap();
    server.models.verify().await.unwrap();
    let log = Arc::new(Log::default());
    let (app, _) = server.app(vec![Room { access: vec![log.clone()], ..Room::default() }]);
    let image = bench().images()[0].clone();
    let own = send(&app, with(request("POST", SCORE, image.clone()), "x-request-id", "part-17")).await;
    assert_eq!(own.headers()["x-request-id"], "part-17");
    for bad in ["", "two words", &"x".repeat(65)] {
        let made = send(&app, with(request("GET", "/livez", ""), "x-request-id", bad)).await;
        assert_ne!(made.headers()["x-request-id"], bad);
    }
    ask(&app, request("BREW", "/any/path/at/all?x=1", "")).await;
    let logged = log.0.lock().unwrap();
    let first = &logged[0];
    assert_eq!((first.id.as_str(), first.verb.as_str(), first.status), ("part-17", "POST", 200));
    assert_eq!(first.route, "/v1/models/{name}/score");
    assert_eq!((first.noted.model.as_deref(), first.noted.answered.len()), (Some("line"), 1));
    assert_eq!(first.noted.answered[0].verdict.id, "part-17");
    let last = logged.last().unwrap();
    assert_eq!((last.verb.as_str(), last.route.as_str(), last.code), ("other", "", Some("not_found")));
}

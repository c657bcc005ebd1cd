//! `/openapi.json` beside the routes that there are.

use crate::options::ServeOptions;
use crate::rooms;
use crate::server::{Room, Server};
use crate::testing::{ask, options, request, send};
use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use utoipa_axum::router::OpenApiRouter;

/// Verbs and paths of a router. It tells them to nobody but the debugger, and the verbs to whoever comes with a wrong one.
async fn routes(app: &Router) -> BTreeSet<String> {
    let told = format!("{app:?}");
    let told = told.split("fallback_router").next().unwrap();
    let mut routes = BTreeSet::new();
    for path in told.split('"').filter(|text| text.starts_with('/')) {
        let response = send(app, request("BREW", &path.replace(['{', '}'], ""), "")).await;
        assert_eq!(response.status(), 405, "{path}");
        let verbs = response.headers()[header::ALLOW].to_str().unwrap();
        // Whoever answers GET answers HEAD.
        let verbs = verbs.split(',').filter(|verb| *verb != "HEAD");
        routes.extend(verbs.map(|verb| format!("{verb} {path}")));
    }
    routes
}

async fn description(app: &Router) -> Value {
    let (status, description) = ask(app, request("GET", "/openapi.json", "")).await;
    assert_eq!(status, 200);
    description
}

/// Verb, path and operation of all that is described.
fn operations(description: &Value) -> Vec<(String, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    let of = |(path, item)| {
        let (path, item): (&String, &Value) = (path, item);
        let verbs = item.as_object().unwrap().iter();
        verbs.map(move |(verb, operation)| (verb.to_uppercase(), path.as_str(), operation))
    };
    paths.iter().flat_map(of).collect()
}

fn described(description: &Value) -> BTreeSet<String> {
    operations(description).iter().map(|(verb, path, _)| format!("{verb} {path}")).collect()
}

/// A server with all its rooms, and one more.
async fn whole(more: Room) -> (std::sync::Arc<Server>, Router, tempfile::TempDir) {
    let (options, folder) = options(&["line"]);
    let station = Some(folder.path().join("station"));
    let server = Server::open(ServeOptions { station, ..options }).unwrap();
    server.models.verify().await.unwrap();
    let mut rooms = rooms::all(&server).unwrap();
    rooms.push(more);
    let (app, _) = server.app(rooms);
    (server, app, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_lists_exactly_the_routes_of_all_rooms() {
    let (_server, app, _folder) = whole(Room::default()).await;
    let description = description(&app).await;
    let routes = routes(&app).await;
    assert!(routes.len() > 50, "{routes:?}");
    assert_eq!(described(&description), routes);
    let mut ids = BTreeSet::new();
    for (verb, path, operation) in operations(&description) {
        let what = format!("{verb} {path}: {operation}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{what}");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{what}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = parameters
            .iter()
            .filter(|one| one["in"] == "path")
            .filter_map(|one| one["name"].as_str())
            .collect();
        let wanted: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        assert_eq!(in_path, wanted, "{what}");
        // A station's errors are named one by one: its callers are many programs.
        if path.starts_with("/v1/station") {
            for status in ["200", "400", "401", "403", "default"] {
                assert!(operation["responses"].get(status).is_some(), "{what}: no {status}");
            }
            assert!(wanted.is_empty() || operation["responses"].get("404").is_some(), "{what}: no 404");
        }
    }
    // Every reference leads somewhere.
    let text = description.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(description["components"]["schemas"].get(name).is_some(), "{name}");
    }
    validate(&text);
}

/// Whoever has every right but the one that is described is refused, and whoever has that one alone is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_described_are_those_that_are_asked_for() {
    const RIGHTS: [&str; 4] = ["score", "read", "label", "admin"];
    let (options, folder) = options(&["line"]);
    let tokens = folder.path().join("tokens");
    let lines = RIGHTS.map(|right| {
        let others: Vec<&str> = RIGHTS.into_iter().filter(|other| *other != right).collect();
        format!("only-{right} {right}\nbut-{right} {}\n", others.join(","))
    });
    std::fs::write(&tokens, lines.concat()).unwrap();
    let station = Some(folder.path().join("station"));
    let server = Server::open(ServeOptions { station, token_file: Some(tokens), ..options }).unwrap();
    server.models.verify().await.unwrap();
    let (app, _) = server.app(rooms::all(&server).unwrap());
    // What every body that is read before the rights may be.
    let body =
        r#"{"ids": [], "label": "good", "pinned": true, "version": "x", "threshold": 1, "kind": "eval"}"#;
    let status = async |verb: &str, path: &str, token: &str| {
        let mut asked = request(verb, path, body);
        asked.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        send(&app, asked).await.status().as_u16()
    };
    let description = description(&app).await;
    let mut wrong = Vec::new();
    for (verb, path, operation) in operations(&description) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let query: Vec<String> = parameters
            .filter(|one| one["in"] == "query" && one["required"] == true)
            .map(|one| format!("{}=x", one["name"].as_str().unwrap()))
            .collect();
        // A name and a number at once.
        let fill = |(at, part)| if at % 2 == 0 { part } else { "1" };
        let filled: String = path.split(['{', '}']).enumerate().map(fill).collect();
        let asked = format!("{filled}?{}", query.join("&"));
        let security = operation["security"].as_array().cloned().unwrap_or_default();
        let any: Vec<&str> = security.iter().filter_map(|one| one["token"][0].as_str()).collect();
        for right in RIGHTS {
            let may = any.is_empty() || any.contains(&right);
            if (status(&verb, &asked, &format!("only-{right}")).await == 403) == may {
                wrong.push(format!("{verb} {path}: {any:?} is described, {right} alone is another matter"));
            }
        }
        if let [right] = any[..]
            && status(&verb, &asked, &format!("but-{right}")).await != 403
        {
            wrong.push(format!("{verb} {path}: {right} is described and not needed"));
        }
        // A login with a wrong token is refused in this way, too.
        let is_strange = status(&verb, &asked, "nobody").await == 401;
        if path != "/v1/station/login" && is_strange == any.is_empty() {
            wrong.push(format!("{verb} {path}: {any:?} is described, and no token is another matter"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_says_nothing_of_itself_is_found() {
    let routes_of_room = OpenApiRouter::new().route("/forgotten/{id}", get(async || "nothing"));
    let (_server, app, _folder) = whole(Room { routes: routes_of_room, ..Room::default() }).await;
    let described = described(&description(&app).await);
    let routes = routes(&app).await;
    assert_eq!(routes.difference(&described).collect::<Vec<_>>(), ["GET /forgotten/{id}"]);
}

/// Asks openapi-spec-validator, where the Python of `BLEMISH_CLIENTS_PYTHON` (else `python3`) has it.
fn validate(text: &str) {
    let python = std::env::var("BLEMISH_CLIENTS_PYTHON").unwrap_or_else(|_| "python3".into());
    let has = Command::new(&python).args(["-c", "import openapi_spec_validator"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: `{python}` has no module openapi_spec_validator");
        return;
    }
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let checked =
        Command::new(python).args(["-m", "openapi_spec_validator"]).arg(file.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

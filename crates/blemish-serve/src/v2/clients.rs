//! Real clients against a server behind a socket: the scripts of `tests/clients/`, and curl.
//!
//! The Python that has the clients is named by `BLEMISH_CLIENTS_PYTHON`, else `python3` is asked. What is not installed is skipped aloud.

use crate::options::ServeOptions;
use crate::server::Running;
use crate::testing::{bench, options, with_outputs};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

async fn running() -> (Running, tempfile::TempDir) {
    let (options, folder) = options(&["line"]);
    let options = ServeOptions { listen: "127.0.0.1:0".parse().unwrap(), ..options };
    let (server, app, _) = with_outputs(options, std::io::sink()).await;
    (Running::new(server, app).unwrap(), folder)
}

fn images() -> Vec<PathBuf> {
    // A good one and a defective one, at least.
    let test = &bench().dataset.test;
    [test.first(), test.last()].into_iter().flatten().map(|sample| sample.path.clone()).collect()
}

/// Runs a program while the server goes on.
async fn run(mut command: Command) -> std::io::Result<Output> {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap()
}

/// Runs a script if Python has this module.
async fn script(name: &str, module: &str, more: &[&str]) {
    let python = std::env::var("BLEMISH_CLIENTS_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut has = Command::new(&python);
    has.args(["-c", &format!("import {module}")]);
    if !run(has).await.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: `{python}` has no module {module}");
        return;
    }
    let (running, _folder) = running().await;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let mut client = Command::new(&python);
    client.arg(path).args([&running.address, "line"]);
    match more {
        [] => client.args(images()),
        more => client.args(images().iter().take(1)).args(more),
    };
    let output = run(client).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn tritonclient_gets_what_our_own_interface_says() {
    script("triton.py", "tritonclient.http", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_kserve_gets_what_our_own_interface_says() {
    script("kserve_rest.py", "kserve", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_library_of_python_is_enough() {
    script("plain.py", "http.client", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parser_of_prometheus_reads_the_metrics() {
    script("metrics.py", "prometheus_client", &["10000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_scores_a_form_a_bare_file_and_a_request_of_the_protocol() {
    let (running, _folder) = running().await;
    let curl = async |arguments: &[&str], path: &str| -> Option<Value> {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--compressed"])
            .args(arguments)
            .arg(format!("http://{}{path}", running.address));
        match run(command).await {
            Ok(output) => Some(serde_json::from_slice(&output.stdout).unwrap()),
            Err(_) => {
                eprintln!("skipped: curl is not installed");
                None
            }
        }
    };
    let file = images().swap_remove(0);
    let shown = file.display();
    let Some(bare) = curl(&["--data-binary", &format!("@{shown}")], "/score").await else { return };
    let form = curl(&["-F", &format!("image=@{shown}")], "/v1/models/line/score").await.unwrap();
    assert_eq!((&bare["score"], &bare["p_value"]), (&form["score"], &form["p_value"]));
    let text =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, std::fs::read(&file).unwrap());
    let request = format!(
        r#"{{"inputs":[{{"name":"image","shape":[1],"datatype":"BYTES","parameters":{{"content_type":"base64"}},"data":["{text}"]}}]}}"#
    );
    let infer = curl(&["--data-binary", &request], "/v2/models/line/infer").await.unwrap();
    assert_eq!(infer["outputs"][0]["data"][0], bare["score"]);
}

//! The station, as the program runs it: from images to a live model, and through a kill.

use crate::serving::Server;
use crate::support::Bench;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What is lost at most when the station is killed, and a little for the machine.
const LOST: Duration = Duration::from_millis(200 + 300);

impl Server {
    fn ask(&self, verb: &str, path: &str, kind: &str, body: &[u8]) -> (String, Value) {
        let (status, body) = self.request(verb, path, &format!("Content-Type: {kind}\r\n"), body);
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    fn get(&self, path: &str) -> Value {
        let (status, told) = self.ask("GET", path, "application/json", b"");
        assert_eq!(status, "200", "{path}: {told}");
        told
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, told) = self.ask("POST", path, "application/json", body.to_string().as_bytes());
        assert_eq!(status, "200", "{path}: {told}");
        told
    }

    /// All of the history, newest first.
    fn history(&self) -> Vec<Value> {
        let (mut all, mut before) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/v1/station/images?limit=500&before={before}"));
            all.extend(page["images"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(next) => before = next.to_owned(),
                None => return all,
            }
        }
    }

    fn ended(&self, job: &Value) -> Value {
        let began = Instant::now();
        loop {
            let told = self.get(&format!("/v1/station/jobs/{}", job["id"]));
            if !matches!(told["state"].as_str().unwrap(), "waiting" | "running") {
                return told;
            }
            assert!(began.elapsed() < Duration::from_secs(300), "{told}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Files as a form.
fn form(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!(
            "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--frontier--\r\n");
    body
}

fn images(bench: &Bench, folder: &str) -> Vec<(String, Vec<u8>)> {
    bench
        .pictures(folder)
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect()
}

/// Waits until something is so, for 20 seconds at most.
fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn from_an_empty_folder_to_a_live_model_that_learns_and_is_calibrated_by_its_audit() {
    let bench = Bench::with_model();
    let server = Server::start(&bench, "--station parts --audit 1");
    assert_eq!(server.get("/v1/station/state")["is_empty"], true);
    let good = images(&bench, "set/train/good");
    let (status, set) =
        server.ask("POST", "/v1/station/uploads", "multipart/form-data; boundary=frontier", &form(&good));
    assert_eq!((status.as_str(), &set["images"]), ("200", &json!(good.len())), "{set}");
    let body = json!({
        "kind": "fit", "model": "line", "set": set["set"], "method": "padim", "settings": {"dimensions": 20}, "size": "64x64",
        "updatable": true, "false_alarm": 0.2, "live": true,
    });
    let job = server.ended(&server.post("/v1/station/jobs", &body));
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["result"]["images"], good.len());
    let first = server.get("/v1/station/models")["models"][0]["live"].clone();
    assert_eq!(first, job["version"]);
    for folder in ["set/test/good", "set/train/good"] {
        for (_, image) in images(&bench, folder) {
            assert_eq!(server.score("/score", &image).0, "200");
        }
    }
    let count = images(&bench, "set/test/good").len() + good.len();
    until(|| server.history().len() >= count);
    let ids: Vec<Value> = server.history().iter().map(|row| row["id"].clone()).collect();
    server.post("/v1/station/labels", &json!({"ids": ids, "label": "good"}));
    // All of it is audited: nothing of it may be learnt, all of it may calibrate.
    let feedback = server.get("/v1/station/feedback/line");
    assert_eq!(
        (&feedback["learn"]["images"], &feedback["calibrate"]["images"]),
        (&json!(0), &json!(count)),
        "{feedback}"
    );
    let body = json!({"kind": "calibrate", "model": "line", "with": "audit", "false_alarm": 0.1});
    let job = server.ended(&server.post("/v1/station/jobs", &body));
    assert_eq!((&job["state"], &job["result"]["images"]), (&json!("done"), &json!(count)), "{job}");
    let version = job["version"].clone();
    assert_ne!(version, first, "the same content by another calibration");
    server.post("/v1/station/models/line/shadow", &json!({"version": version}));
    assert_eq!(server.score("/score", &good[0].1).0, "200");
    let compared = format!("/v1/station/compare/line?candidate={}", version.as_str().unwrap());
    until(|| server.get(&compared)["n"] == 1);
    let model = server.post("/v1/station/models/line/live", &json!({"version": version}));
    assert_eq!((&model["live"], &model["shadow"]), (&version, &Value::Null));
    let suspects =
        server.ended(&server.post("/v1/station/jobs", &json!({"kind": "suspects", "set": set["set"]})));
    assert_eq!(suspects["state"], "done", "{suspects}");
    // What is live is what is there after a restart, without a name on the command line.
    drop(server);
    let server = Server::start(&bench, "--station parts");
    until(|| server.get("/v1/station/models")["models"][0]["live"] == version);
    let info = bench.ok("info parts/models/line.blemish");
    assert!(info.contains("10 %"), "{info}");
}

/// Good images of another lot, which the model flags; half of all images are audited.
#[test]
fn labels_measure_a_line_and_teach_it() {
    let bench = Bench::new();
    bench.ok("data synth set --train 10 --test-good 4 --test-per-defect 1 --size 64x64");
    bench.ok("data synth lot --look metal --train 12 --test-good 1 --test-per-defect 1 --size 64x64");
    bench.ok("fit set --size 64x64 --set dimensions=20 --method padim --updatable --false-alarm 0.2 -o line.blemish");
    let server = Server::start(&bench, "line.blemish --station parts --audit 0.5");
    let defects = std::fs::read_dir(bench.path("set/test")).unwrap().map(|entry| entry.unwrap().file_name());
    let defects: Vec<String> =
        defects.map(|name| name.into_string().unwrap()).filter(|name| name != "good").collect();
    let mut test: Vec<(String, Vec<u8>)> = Vec::new();
    for kind in defects.iter().map(String::as_str).chain(["good"]) {
        let of = images(&bench, &format!("set/test/{kind}"));
        test.extend(of.into_iter().map(|(name, bytes)| (format!("{kind}/{name}"), bytes)));
    }
    let scored = |image: &[u8]| -> Value {
        let (status, verdict) = server.score("/score", image);
        assert_eq!(status, "200", "{verdict}");
        serde_json::from_str::<Value>(&verdict).unwrap()
    };
    let mut labels = BTreeMap::new();
    for (name, image) in &test {
        let label = if name.starts_with("good/") { "good" } else { "defective" };
        labels.insert(scored(image)["id"].to_string(), label);
    }
    for (_, image) in images(&bench, "lot/train/good") {
        let verdict = scored(&image);
        assert_eq!(verdict["anomalous"], true, "{verdict}");
        labels.insert(verdict["id"].to_string(), "good");
    }
    until(|| server.history().len() == labels.len());
    for label in ["good", "defective"] {
        let rows = server.history();
        let ids: Vec<&Value> = rows
            .iter()
            .filter(|row| labels[&row["request"].to_string()] == label)
            .map(|row| &row["id"])
            .collect();
        server.post("/v1/station/labels", &json!({"ids": ids, "label": label}));
    }
    let done = |body: Value| server.ended(&server.post("/v1/station/jobs", &body));

    // What the history measures is what its labels say; what an upload measures is what the program itself says of the same folders.
    let job = done(json!({"kind": "eval", "model": "line"}));
    assert_eq!(job["result"]["decisions"]["false_alarms"]["of"], 16, "{job}");
    assert_eq!(job["result"]["decisions"]["misses"]["of"], defects.len(), "{job}");
    bench.ok("eval line.blemish set/test --json metrics.json");
    let wanted: Value = serde_json::from_slice(&std::fs::read(bench.path("metrics.json")).unwrap()).unwrap();
    let kind = "multipart/form-data; boundary=frontier";
    let upload =
        |files: &[(String, Vec<u8>)]| server.ask("POST", "/v1/station/uploads", kind, &form(files)).1;
    let job = done(json!({"kind": "eval", "model": "line", "set": upload(&test)["set"]}));
    for part in ["image", "decisions"] {
        assert_eq!(job["result"][part], wanted[part], "{job}");
    }
    let good: Vec<_> = test.iter().filter(|(name, _)| name.starts_with("good/")).cloned().collect();
    let job = done(json!({"kind": "eval", "model": "line", "set": upload(&good)["set"]}));
    assert!(job["error"].as_str().is_some_and(|error| error.contains("both good and defective")), "{job}");

    let job = done(json!({"kind": "calibrate", "model": "line", "with": "labelled", "by": "recall"}));
    assert_eq!(job["result"]["rule"]["criterion"]["by"], "recall", "{job}");
    assert_eq!(server.get("/v1/station/models")["models"][0]["shadow"], job["version"]);

    // Flagged good images are learnt, but for those of the audit, and those calibrate what was learnt.
    let feedback = server.get("/v1/station/feedback/line");
    let (learn, audited) = (&feedback["learn"]["images"], &feedback["calibrate"]["images"]);
    assert!(learn.as_u64().unwrap() > 0 && audited.as_u64().unwrap() > 0, "{feedback}");
    let job = done(json!({"kind": "update", "model": "line"}));
    assert_eq!(job["result"]["images"], 10 + learn.as_u64().unwrap(), "{job}");
    assert_eq!(&job["result"]["calibrating"]["images"], audited, "{job}");
    let model = &server.get("/v1/station/models")["models"][0];
    assert_eq!((&model["shadow"], &model["versions"][0]["made_by"]), (&job["version"], &json!("update")));
    assert_eq!(&model["versions"][0]["parent"], &model["live"], "{model}");
    let again = done(json!({"kind": "update", "model": "line", "version": job["version"]}));
    assert!(again["error"].as_str().is_some_and(|error| error.contains("nothing new to learn")), "{again}");
}

#[cfg(unix)]
#[test]
fn a_kill_loses_no_verdict_but_those_of_the_last_moment() {
    let bench = Bench::with_model();
    let mut server = Server::start(&bench, "model.blemish --station parts");
    let image = std::fs::read(bench.path("set/train/good/000.png")).unwrap();
    let answered: Mutex<BTreeMap<String, SystemTime>> = Mutex::default();
    let is_over = AtomicBool::new(false);
    let killed = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let sent = std::panic::catch_unwind(|| server.score("/score", &image));
                    let Ok((status, body)) = sent else { return };
                    if status == "200" {
                        let verdict: Value = serde_json::from_str(&body).unwrap();
                        let id = verdict["id"].as_str().unwrap().to_owned();
                        answered.lock().unwrap().insert(id, SystemTime::now());
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        server.signal(libc::SIGKILL);
        let killed = SystemTime::now();
        is_over.store(true, Ordering::Relaxed);
        killed
    });
    server.child.wait().unwrap();
    drop(server);
    let answered = answered.into_inner().unwrap();
    assert!(answered.len() > 10, "{}", answered.len());
    let server = Server::start(&bench, "model.blemish --station parts");
    assert_eq!(server.get("/v1/station/state")["banner"], Value::Null);
    let rows = server.history();
    let known: BTreeSet<&str> = rows.iter().map(|row| row["request"].as_str().unwrap()).collect();
    for (id, when) in &answered {
        let is_recent = killed.duration_since(*when).unwrap_or_default() < LOST;
        assert!(known.contains(id.as_str()) || is_recent, "{id} was answered and is not there");
    }
    // A file without a row is taken away, and a row has its file.
    let with_rows: BTreeSet<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let began = Instant::now();
    loop {
        let on_disk: BTreeSet<String> =
            files(&bench.path("parts/images")).iter().map(|name| name[..20].to_owned()).collect();
        if on_disk == with_rows {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{} files, {} rows",
            on_disk.len(),
            with_rows.len()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.score("/score", &image).0, "200");
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    found
}

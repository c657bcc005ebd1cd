use super::*;
use crate::sinks::SinkKind;
use crate::station::sources::{After, Kind, SourceOption, Trigger};
use std::path::PathBuf;
use std::time::Duration;

fn parse(text: &str) -> Result<ServeOptions, Fault> {
    super::parse(Path::new("/etc/blemish/serve.toml"), text)
}

#[test]
fn every_option_is_read_and_paths_begin_at_the_folder_of_the_file() {
    let options = parse(
        r#"
        listen = "unix:serve.sock"
        host = ["line3"]
        cors = ["https://panel"]
        token-file = "tokens"
        insecure = true
        tls_cert = "line.pem"
        tls_key = "/keys/line.key"
        tls_client_ca = "ca.pem"
        queue = 2
        batch = 3
        batch_wait = 5
        memory_limit = "1GiB"
        max_body = "8MiB"
        max_pixels = "20MP"
        timeout = 4
        drain = "5s"
        verify = "off"
        monitor = "monitors"
        keep = "flagged"
        keep_dir = "flagged"
        keep_max = "1GB"
        keep_count = 7
        threads = 2
        engine = "native"
        device = "cpu"
        logs = "text"
        station = "parts"
        record = "none"
        history_max = "3GiB"
        history_days = 9
        audit = 0.5

        [models]
        line = "line.blemish"
        lid = "/models/lid.blemish"

        [[source]]
        name = "inbox"
        folder = "in"
        after = "move:/srv/done"
        min-area = 20

        [[source]]
        name = "camera"
        command = ["ffmpeg", "-"]
        trigger = "500ms"
        "#,
    )
    .unwrap();
    let path = |text: &str| PathBuf::from(text);
    let expected = ServeOptions {
        config: None,
        models: vec![
            ModelOption { name: "line".into(), path: path("/etc/blemish/line.blemish") },
            ModelOption { name: "lid".into(), path: path("/models/lid.blemish") },
        ],
        listen: Listen::Unix(path("/etc/blemish/serve.sock")),
        hosts: vec!["line3".into()],
        cors: vec!["https://panel".into()],
        token_file: Some(path("/etc/blemish/tokens")),
        is_insecure: true,
        tls: Some(Tls {
            certificate: path("/etc/blemish/line.pem"),
            key: path("/keys/line.key"),
            client_authorities: Some(path("/etc/blemish/ca.pem")),
        }),
        queue: 2,
        batch: 3,
        batch_wait: Duration::from_millis(5),
        memory_limit: 1 << 30,
        max_body: 8 << 20,
        max_pixels: 20_000_000,
        timeout: Duration::from_secs(4),
        drain: Duration::from_secs(5),
        verifies: false,
        monitor: Some(path("/etc/blemish/monitors")),
        keep: Which::Flagged,
        keep_dir: Some(path("/etc/blemish/flagged")),
        keep_max: 1_000_000_000,
        keep_count: 7,
        threads: Some(2),
        engine: "native".parse().unwrap(),
        device: "cpu".parse().unwrap(),
        logs_json: false,
        station: Some(path("/etc/blemish/parts")),
        record: Which::None,
        history_max: 3 << 30,
        history_days: 9,
        audit: 0.5,
        sinks: Vec::new(),
        sources: vec![
            SourceOption {
                name: "inbox".into(),
                model: None,
                min_area: 20,
                kind: Kind::Folder {
                    path: path("/etc/blemish/in"),
                    after: After::Move("/srv/done".into()),
                    events: true,
                },
            },
            SourceOption {
                name: "camera".into(),
                model: None,
                min_area: 0,
                kind: Kind::Command {
                    command: vec!["ffmpeg".into(), "-".into()],
                    stall: Duration::from_secs(10),
                    trigger: Trigger::Interval(Duration::from_millis(500)),
                },
            },
        ],
    };
    // Every field is named above, so that a new one is asked about here.
    let sorted = |mut options: ServeOptions| {
        options.models.sort_by(|one, other| one.name.cmp(&other.name));
        format!("{options:?}")
    };
    assert_eq!(sorted(options.clone()), sorted(expected));
    assert_eq!(options.check(), Ok(()));
    let alone = ServeOptions { station: None, ..options }.check().unwrap_err();
    assert!(alone.text.contains("`inbox`") && alone.help.contains("--station"), "{alone:?}");
    assert_eq!(format!("{:?}", parse("").unwrap()), format!("{:?}", ServeOptions::default()));
}

#[test]
fn sinks_of_every_kind_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "key\n").unwrap();
    let config = super::parse(
        &folder.path().join("serve.toml"),
        r#"
        [[sink]]
        kind = "folder"
        path = "verdicts"

        [[sink]]
        kind = "mqtt"
        name = "plant"
        url = "mqtts://[::1]"
        prefix = "plant/line3"
        client_id = "line3"
        username = "me"
        password_file = "secret"
        ca = "ca.pem"
        only = "anomalous"
        rate = 2.5
        image = "overlay"
        buffer = 10

        [[sink]]
        kind = "webhook"
        url = "http://host/path"
        secret_file = "secret"
        timeout = "2s"

        [[sink]]
        kind = "command"
        command = ["gpio", "17"]

        [[sink]]
        kind = "folder"
        path = "others"

        [[sink]]
        kind = "modbus"
        model = "line"
        "#,
    )
    .unwrap();
    let names: Vec<&str> = config.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(names, ["folder", "plant", "webhook", "command", "folder-5", "modbus"]);
    let SinkKind::Mqtt(mqtt) = &config.sinks[1].kind else { panic!("mqtt") };
    assert_eq!(
        (mqtt.host.as_str(), mqtt.port, mqtt.is_tls, mqtt.prefix.as_str()),
        ("::1", 8883, true, "plant/line3")
    );
    assert_eq!(
        mqtt.login.as_ref().map(|(name, password)| (name.as_str(), password.reveal())),
        Some(("me", "key"))
    );
    let one = &config.sinks[1];
    assert_eq!((one.only_anomalous, one.rate, one.overlay, one.buffer), (true, Some(2.5), true, 10));
    let SinkKind::Webhook(webhook) = &config.sinks[2].kind else { panic!("webhook") };
    assert_eq!((webhook.secret.as_ref().unwrap().reveal(), webhook.timeout), ("key", Duration::from_secs(2)));
    assert!(!format!("{:?}", config.sinks).contains("key\""), "secrets are not shown");
    let SinkKind::Modbus(modbus) = &config.sinks[5].kind else { panic!("modbus") };
    assert_eq!(
        (modbus.listen.to_string().as_str(), modbus.model.as_deref()),
        ("127.0.0.1:1502", Some("line"))
    );
    assert_eq!(config.sinks[3].kind, SinkKind::Command(vec!["gpio".into(), "17".into()]));
}

#[test]
fn errors_name_file_table_and_key() {
    let source = |text: &str| {
        let name = if text.contains("name") { "" } else { "name = \"b\"\n" };
        format!("[[source]]\nname = \"a\"\nfolder = \"in\"\n[[source]]\n{name}{text}")
    };
    let sink = |text: &str| format!("[[sink]]\nkind = \"folder\"\npath = \"x\"\n[[sink]]\n{text}");
    for (text, place, what) in [
        ("queu = 3".to_owned(), "`/etc/blemish/serve.toml`, `queu`", "queue"),
        ("queue = 0".into(), "`queue`", "from 1 on"),
        ("queue = \"3\"".into(), "`queue`", "whole number"),
        ("timeout = \"soon\"".into(), "`timeout`", "10s"),
        ("verify = \"perhaps\"".into(), "`verify`", "on, off"),
        ("audit = 2".into(), "`audit`", "between 0 and 1"),
        ("tls_cert = \"a\"".into(), "`tls_key`", "missing"),
        ("listen = \"nowhere\"".into(), "`listen`", ""),
        ("[models]\n\"a b\" = \"x\"".into(), "[models], `a b`", "A-Z"),
        ("[models]\na = 3".into(), "[models], `a`", "PATH"),
        ("a = = 1".into(), "`/etc/blemish/serve.toml` is no TOML", "line 1"),
        (sink("kind = \"kafka\""), "[[sink]] number 2, `kind`", "folder, mqtt"),
        (sink("kind = \"folder\""), "[[sink]] number 2, `path`", "missing"),
        (sink("kind = \"folder\"\npath = \"y\"\ncolour = 1"), "[[sink]] number 2, `colour`", "path"),
        (
            sink("kind = \"folder\"\npath = \"y\"\nname = \"folder\""),
            "[[sink]] number 2, `name`",
            "two sinks",
        ),
        (sink("kind = \"mqtt\"\nurl = \"broker\""), "[[sink]] number 2, `url`", "mqtt://"),
        (sink("kind = \"mqtt\"\nurl = \"mqtt://me:pw@broker\""), "[[sink]] number 2, `url`", "password_env"),
        (sink("kind = \"mqtt\"\nurl = \"mqtt://b\"\nprefix = \"a/#\""), "[[sink]] number 2, `prefix`", "#"),
        (
            sink("kind = \"mqtt\"\nurl = \"mqtt://b\"\nusername = \"me\"\npassword = \"pw\""),
            "`password`",
            "password_env",
        ),
        (
            sink("kind = \"webhook\"\nurl = \"http://b\"\nsecret_env = \"NOBODY_SETS_THIS\""),
            "`secret_env`",
            "NOBODY_SETS_THIS",
        ),
        (sink("kind = \"webhook\"\nurl = \"ftp://b\""), "`url`", "https://"),
        (sink("kind = \"command\"\ncommand = []"), "`command`", "PROGRAM"),
        (source("folder = \"in\"\ncolour = 1"), "`/etc/blemish/serve.toml`, [[source]] number 2", "`colour`"),
        (source("folder = \"in\"\nafter = \"burn\""), "[[source]] number 2", "after is keep"),
        (source("folder = \"in\"\nname = \"a\""), "[[source]] number 2", "two sources are called `a`"),
        (source("folder = 3"), "[[source]] number 2", "string"),
    ] {
        let fault = parse(&text).unwrap_err();
        let shown = format!("{}; {}", fault.text, fault.help);
        assert!(shown.contains(place) && shown.contains(what), "{text}\n{shown}");
        assert!(!shown.contains("pw"), "no secret in an error: {shown}");
    }
}

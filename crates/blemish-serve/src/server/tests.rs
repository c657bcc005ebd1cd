//! TLS, as programs meet it: with certificates of openssl, asked by curl.

use super::{Running, ping};
use crate::options::{ServeOptions, Tls};
use crate::testing::{options, running};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Makes a certificate, signed by itself or by another; `None`, and said aloud, where there is no openssl.
fn certificate(folder: &Path, name: &str, signer: Option<&str>) -> Option<()> {
    let path = |name: &str, end: &str| folder.join(format!("{name}.{end}")).display().to_string();
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", &path(name, "key"), "-out", &path(name, "pem")]);
    if let Some(signer) = signer {
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command.args(["-CA", &path(signer, "pem"), "-CAkey", &path(signer, "key")]);
    }
    match command.output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            println!("skipped: openssl is absent");
            None
        }
    }
}

/// Asks with curl; `None` where there is none.
async fn curl(running: &Running, arguments: Vec<String>) -> Option<Output> {
    let address = running.address.replace("127.0.0.1", "localhost");
    let asked = move || {
        Command::new("curl").args(["-sS", &format!("https://{address}/livez")]).args(arguments).output()
    };
    match tokio::task::spawn_blocking(asked).await.unwrap() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("skipped: curl is absent");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_takes_new_certificates_and_asks_for_those_of_callers() {
    let (options, folder) = options(&["line"]);
    let signed = [("one", None), ("two", None), ("authority", None), ("caller", Some("authority"))];
    let made = signed.map(|(name, signer)| certificate(folder.path(), name, signer));
    if made.contains(&None) {
        return;
    }
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    for (from, to) in [("one.pem", "chain.pem"), ("one.key", "chain.key")] {
        std::fs::copy(path(from), path(to)).unwrap();
    }
    let tls = Tls { certificate: path("chain.pem"), key: path("chain.key"), client_authorities: None };
    let server = running(ServeOptions { tls: Some(tls.clone()), ..options.clone() }).await;
    let trust = |name: &str| vec!["--cacert".to_owned(), text(name)];
    let Some(first) = curl(&server, trust("one.pem")).await else { return };
    assert_eq!(String::from_utf8_lossy(&first.stdout), "{\"live\":true}", "{first:?}");
    assert!(!curl(&server, trust("two.pem")).await.unwrap().status.success());
    let old = [trust("one.pem"), vec!["--tls-max".into(), "1.1".into()]].concat();
    assert!(!curl(&server, old).await.unwrap().status.success());
    let listen = server.address.parse().unwrap();
    let asked = move || [true, false].map(|is_tls| ping(&listen, is_tls, Duration::from_secs(5)));
    let [by_tls, plain] = tokio::task::spawn_blocking(asked).await.unwrap();
    by_tls.unwrap();
    assert!(plain.as_ref().is_err_and(|fault| fault.help.contains("--tls")), "{plain:?}");
    // A key that does not belong to the certificate changes nothing yet; both together do.
    std::fs::copy(path("two.key"), path("chain.key")).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(curl(&server, trust("one.pem")).await.unwrap().status.success());
    std::fs::copy(path("two.pem"), path("chain.pem")).unwrap();
    let mut tries = 0;
    while !curl(&server, trust("two.pem")).await.unwrap().status.success() {
        tries += 1;
        assert!(tries < 100, "the new certificate is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(server);
    let tls = Tls { client_authorities: Some(path("authority.pem")), ..tls };
    let server = running(ServeOptions { tls: Some(tls), ..options }).await;
    assert!(!curl(&server, trust("two.pem")).await.unwrap().status.success());
    let known = ["--cert", &text("caller.pem"), "--key", &text("caller.key")].map(str::to_owned).to_vec();
    let known = curl(&server, [trust("two.pem"), known].concat()).await.unwrap();
    assert!(known.status.success(), "{known:?}");
    let other = ["--cert", &text("one.pem"), "--key", &text("one.key")].map(str::to_owned).to_vec();
    assert!(!curl(&server, [trust("two.pem"), other].concat()).await.unwrap().status.success());
}

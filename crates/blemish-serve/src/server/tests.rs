//! TLS, as programs meet it: with certificates of openssl, asked by curl.

use super::{Running, ping};
use crate::options::{ServeOptions, Tls};
use crate::testing::{certificate, options, running};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// A certificate, signed by itself or by another.
fn signed(folder: &Path, name: &str, signer: Option<&str>) -> Option<()> {
    let Some(signer) = signer else { return certificate(folder, name, &[]) };
    let path = |end: &str| folder.join(format!("{signer}.{end}")).display().to_string();
    let constraints = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let by = ["-CA", &path("pem"), "-CAkey", &path("key")];
    certificate(folder, name, &[&constraints[..], &by].concat())
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
    let all = [("one", None), ("two", None), ("authority", None), ("caller", Some("authority"))];
    let made = all.map(|(name, signer)| signed(folder.path(), name, signer));
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

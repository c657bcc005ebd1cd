//! TLS from PEM files.

use crate::fault::Fault;
use crate::options::Tls;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The configuration that the files give now: TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// `setting` with the file and what is wrong with it.
pub(super) fn config(tls: &Tls) -> Result<Arc<ServerConfig>, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wrong = |path: &Path, what: &dyn std::fmt::Display| {
        Fault::new(
            "setting",
            format!("cannot use `{}` for TLS: {what}; give PEM files that belong together", path.display()),
        )
    };
    let chain = certificates(&tls.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| wrong(&tls.key, &error))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(|error| wrong(&tls.certificate, &error))?;
    let builder = match &tls.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| wrong(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, &error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| wrong(&tls.certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let wrong = |what: &dyn std::fmt::Display| {
        Fault::new(
            "setting",
            format!("cannot read certificates from `{}`: {what}; give a PEM file", path.display()),
        )
    };
    match read {
        Ok(list) if list.is_empty() => Err(wrong(&"it holds none")),
        Ok(list) => Ok(list),
        Err(error) => Err(wrong(&error)),
    }
}

/// When the files were changed last.
pub(super) fn changed(tls: &Tls) -> Vec<Option<SystemTime>> {
    let files = [Some(&tls.certificate), Some(&tls.key), tls.client_authorities.as_ref()];
    let time = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    files.into_iter().flatten().map(|path| time(path)).collect()
}

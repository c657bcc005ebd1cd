//! A POST of one JSON an image to a host, signed with HMAC-SHA256 where there is a secret.

use super::options::{Secret, WebhookOptions};
use super::{Message, Outlet, Sent};
use crate::fault::Fault;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// How often a message is sent that its host answers with an error of its own. One that gets no answer at all is tried until there is one.
const TRIES: u32 = 5;

/// The host.
pub struct Webhook {
    url: String,
    secret: Option<Secret>,
    agent: Agent,
    /// How often the present message was answered with an error.
    failed: u32,
}

impl Webhook {
    /// Ready to send; nothing is sent yet.
    ///
    /// # Errors
    /// [`Fault`] if the file of authorities is not one.
    pub fn new(options: &WebhookOptions) -> Result<Self, Fault> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &options.authorities {
            let fail = |why: String| {
                Fault::new("setting", format!("cannot use the authorities `{}`: {why}", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(fail("there is no certificate in it; give a PEM file".into()));
            }
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A signed body goes where the options say, and nowhere else.
            .max_redirects(0)
            .timeout_global(Some(options.timeout))
            .timeout_connect(Some(options.timeout.min(Duration::from_secs(5))))
            .tls_config(tls.build())
            .build();
        Ok(Self {
            url: options.url.clone(),
            secret: options.secret.clone(),
            agent: config.new_agent(),
            failed: 0,
        })
    }

    fn post(&self, body: &str, event: &str) -> Result<u16, String> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("User-Agent", concat!("blemish/", env!("CARGO_PKG_VERSION")))
            .header("X-Blemish-Event", event);
        if let Some(secret) = &self.secret {
            request = request.header("X-Blemish-Signature", signature(secret, body.as_bytes()));
        }
        let answer = request.send(body).map_err(|error| error.to_string())?;
        Ok(answer.status().as_u16())
    }
}

/// The header that proves who sent a body: `sha256=` and the HMAC in hexadecimal digits.
pub fn signature(secret: &Secret, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Outlet for Webhook {
    fn send(&mut self, message: &Message) -> Sent {
        let outcome = match self.post(message.json(), message.event) {
            Ok(200..=299) => Sent::Yes,
            Ok(status @ (429 | 500..=599)) => {
                self.failed += 1;
                let why = format!("`{}` answers {status}", self.url);
                if self.failed < TRIES { Sent::Later(why) } else { Sent::No(why) }
            }
            Ok(status) => Sent::No(format!("`{}` answers {status}", self.url)),
            Err(error) => Sent::Later(format!("`{}` does not answer: {error}", self.url)),
        };
        if !matches!(outcome, Sent::Later(_)) {
            self.failed = 0;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn signatures_are_hmac_sha_256() {
        assert_eq!(
            signature(&Secret::new("Jefe"), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}

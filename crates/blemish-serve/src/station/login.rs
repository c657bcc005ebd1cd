//! The login of people: a token is shown once, and a signed cookie stands for it during a shift.
//!
//! The cookie holds what it allows, who it is and until when, sealed with a key that only this station has (HMAC-SHA-256). It cannot be read by
//! scripts, is sent to this origin alone and by its own pages alone, and under TLS never in the clear. It also holds a digest that the token
//! must still match, so that a token which is taken away takes its cookies with it.

use super::clock;
use super::store::lock;
use crate::fault::Fault;
use crate::guard::{Logins, Rights, Tokens};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blemish::data::files;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The cookie's name.
const NAME: &str = "blemish";

/// How long a login lasts, in seconds.
const LASTS: u64 = 12 * 3600;

/// Failed logins in a minute after which all wait.
const FAILURES: usize = 20;

/// Characters of a name.
const LONGEST: usize = 80;

/// Logins of a station.
pub struct Login {
    key: [u8; 32],
    tokens: Arc<Tokens>,
    /// Tokens that were shown since the start, by their digests: a cookie is worth what its token is worth now. After a restart the
    /// digest is not known yet, and the cookie's own word counts until its end.
    shown: Mutex<HashMap<String, String>>,
    failed: Mutex<Vec<Instant>>,
}

/// Who somebody is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// What they may do.
    pub rights: Rights,
    /// What they call themselves.
    pub name: String,
}

impl Login {
    /// Logins with the key of a file, which is made if there is none.
    ///
    /// # Errors
    /// `io` if it can neither be read nor written.
    pub fn open(path: &Path, tokens: Arc<Tokens>) -> Result<Self, Fault> {
        let fail = |error: std::io::Error| {
            Fault::new(
                "io",
                format!(
                    "cannot keep the key of logins in `{}`: {error}; check the rights there",
                    path.display()
                ),
            )
        };
        let key = match files::read(path, 1024).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                random(&mut key).map_err(fail)?;
                write_for_owner(path, &key).map_err(fail)?;
                key
            }
        };
        Ok(Self { key, tokens, shown: Mutex::default(), failed: Mutex::default() })
    }

    /// Lets somebody in who shows a token: who they are, and the cookie.
    ///
    /// # Errors
    /// `unauthorized` for a token that is not known, `not_ready` after too many of these.
    pub fn enter(&self, token: &str, name: &str, is_secure: bool) -> Result<(Who, HeaderValue), Fault> {
        {
            let mut failed = lock(&self.failed);
            failed.retain(|when| when.elapsed() < Duration::from_secs(60));
            if failed.len() >= FAILURES {
                return Err(Fault::new("not_ready", "too many logins have failed; wait a minute"));
            }
        }
        let rights = match self.tokens.are_needed() {
            false => Rights::all(),
            true => self.tokens.rights(token.trim()).ok_or_else(|| {
                lock(&self.failed).push(Instant::now());
                Fault::new("unauthorized", "this token is not known; ask whoever runs the station for one")
            })?,
        };
        let name: String = name.chars().filter(|one| !one.is_control()).take(LONGEST).collect();
        let who = Who { rights, name: name.trim().to_owned() };
        let digest = self.digest(token.trim());
        lock(&self.shown).insert(digest.clone(), token.trim().to_owned());
        let until = clock::now() as u64 + LASTS;
        let content = format!("{until}.{}.{digest}.{}", letters(rights), URL_SAFE_NO_PAD.encode(&who.name));
        let sealed = format!("{content}.{}", self.seal(&content));
        let secure = if is_secure { "; Secure" } else { "" };
        let cookie = format!("{NAME}={sealed}; Path=/; Max-Age={LASTS}; HttpOnly; SameSite=Strict{secure}");
        let cookie = HeaderValue::from_str(&cookie)
            .map_err(|_| Fault::request("this name cannot stand in a cookie; use another"))?;
        Ok((who, cookie))
    }

    /// The cookie that ends a login.
    pub fn leave(is_secure: bool) -> HeaderValue {
        HeaderValue::from_static(match is_secure {
            true => "blemish=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure",
            false => "blemish=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
        })
    }

    /// Who the cookie of a request says that somebody is.
    pub fn who(&self, headers: &HeaderMap) -> Option<Who> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let sealed = cookies
            .flat_map(|all| all.split(';'))
            .find_map(|one| one.trim().strip_prefix(NAME)?.strip_prefix('='))?;
        let (content, seal) = sealed.rsplit_once('.')?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(content.as_bytes());
        // Compares in constant time.
        mac.verify_slice(&hex::decode(seal).ok()?).ok()?;
        let mut parts = content.splitn(4, '.');
        let until: u64 = parts.next()?.parse().ok()?;
        let rights = of_letters(parts.next()?);
        let digest = parts.next()?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
        if (clock::now() as u64) >= until {
            return None;
        }
        let token = lock(&self.shown).get(digest).cloned();
        let rights = match token {
            Some(token) if self.tokens.are_needed() => self.tokens.rights(&token)?,
            _ => rights,
        };
        Some(Who { rights, name })
    }

    fn digest(&self, token: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(token.as_bytes());
        hex::encode(&digest.finalize()[..8])
    }

    fn seal(&self, content: &str) -> String {
        match Hmac::<Sha256>::new_from_slice(&self.key) {
            Ok(mut mac) => {
                mac.update(content.as_bytes());
                hex::encode(mac.finalize().into_bytes())
            }
            // Keys of any length are taken.
            Err(_) => String::new(),
        }
    }
}

impl Logins for Login {
    fn rights(&self, headers: &HeaderMap) -> Option<Rights> {
        Some(self.who(headers)?.rights)
    }
}

/// `viewer`, `operator`, `engineer` or `none`.
pub fn role(rights: Rights) -> &'static str {
    match rights {
        Rights { read: true, admin: true, .. } => "engineer",
        Rights { read: true, label: true, .. } => "operator",
        Rights { read: true, .. } => "viewer",
        _ => "none",
    }
}

fn letters(rights: Rights) -> String {
    let Rights { score, read, label, admin } = rights;
    [(score, 's'), (read, 'r'), (label, 'l'), (admin, 'a')]
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, one)| one)
        .collect()
}

fn of_letters(letters: &str) -> Rights {
    let has = |one| letters.contains(one);
    Rights { score: has('s'), read: has('r'), label: has('l'), admin: has('a') }
}

/// Random bytes of the system.
fn random(bytes: &mut [u8]) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::io::Read;
        std::fs::File::open("/dev/urandom")?.read_exact(bytes)
    }
    #[cfg(not(unix))]
    {
        // Keys of hash maps come from the system's generator.
        use std::hash::{BuildHasher, Hasher};
        for part in bytes.chunks_mut(8) {
            let drawn = std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
        Ok(())
    }
}

fn write_for_owner(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("other=1; {pair}").parse().unwrap());
        headers
    }

    #[test]
    fn a_cookie_stands_for_its_token_and_cannot_be_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, "token-of-ada read,label\nxyz read,admin\n").unwrap();
        let tokens = Arc::new(Tokens::open(Some(&file)).unwrap());
        let login = Login::open(&folder.path().join("key"), tokens.clone()).unwrap();
        let (who, cookie) = login.enter("token-of-ada", "Ada; Path=/\n", true).unwrap();
        assert_eq!((role(who.rights), who.name.as_str()), ("operator", "Ada; Path=/"));
        let text = cookie.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Secure", "Max-Age=43200"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("token-of-ada"), "the token does not stand in it");
        assert_eq!(login.who(&headers(&cookie)), Some(who.clone()));
        // The same key after a restart.
        let again = Login::open(&folder.path().join("key"), tokens.clone()).unwrap();
        assert_eq!(again.who(&headers(&cookie)), Some(who));
        // Another key, another letter, another right.
        let other = Login::open(&folder.path().join("other"), tokens.clone()).unwrap();
        assert_eq!(other.who(&headers(&cookie)), None);
        for (from, to) in [(".rl.", ".rla."), (".rl.", ".sr."), ("blemish=1", "blemish=2")] {
            let forged = HeaderValue::from_str(&text.replace(from, to)).unwrap();
            assert_eq!(login.who(&headers(&forged)), None, "{from} {to}");
        }
        // A token that is taken away takes its cookies with it.
        std::fs::write(&file, "xyz read,admin\n").unwrap();
        tokens.reload().unwrap();
        assert_eq!(login.who(&headers(&cookie)), None);
        assert_eq!(login.enter("token-of-ada", "", false).unwrap_err().code, "unauthorized");
        for _ in 0..FAILURES {
            let _ = login.enter("guess", "", false);
        }
        assert_eq!(login.enter("xyz", "", false).unwrap_err().code, "not_ready");
    }

    #[test]
    fn a_login_ends_after_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let login = Login::open(&folder.path().join("key"), Arc::new(Tokens::open(None).unwrap())).unwrap();
        let content = format!("{}.srla.{}.", clock::now() as u64 - 1, login.digest(""));
        let cookie = HeaderValue::from_str(&format!("blemish={content}.{}", login.seal(&content))).unwrap();
        assert_eq!(login.who(&headers(&cookie)), None);
        let content = format!("{}.srla.{}.", clock::now() as u64 + 100, login.digest(""));
        let cookie = HeaderValue::from_str(&format!("blemish={content}.{}", login.seal(&content))).unwrap();
        assert_eq!(role(login.who(&headers(&cookie)).unwrap().rights), "engineer");
    }
}

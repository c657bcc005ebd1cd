//! Tokens and what they allow.

use super::rights::Rights;
use crate::fault::Fault;
use arc_swap::ArcSwap;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// A token as it is kept: its digest, so that it stands in no memory dump and no log, and what it allows as bits.
struct Known {
    digest: [u8; 32],
    rights: u8,
}

/// Who may do what: the tokens of a file, or nobody needs one.
pub struct Tokens {
    path: Option<PathBuf>,
    known: ArcSwap<Vec<Known>>,
}

impl Tokens {
    /// The tokens of a file; without one nobody needs any.
    ///
    /// # Errors
    /// `io` if the file cannot be read, `setting` for a line that is no token.
    pub fn open(path: Option<&Path>) -> Result<Self, Fault> {
        let known = path.map(read).transpose()?.unwrap_or_default();
        Ok(Self { path: path.map(Path::to_owned), known: ArcSwap::from_pointee(known) })
    }

    /// Reads the file anew.
    ///
    /// # Errors
    /// As [`Self::open`]; the tokens stay as they were.
    pub fn reload(&self) -> Result<(), Fault> {
        if let Some(path) = &self.path {
            self.known.store(read(path)?.into());
        }
        Ok(())
    }

    /// Whether anything needs a token.
    pub fn are_needed(&self) -> bool {
        self.path.is_some()
    }

    /// What a token allows; `None` for one that is not known. Takes the same time for every token.
    pub fn rights(&self, token: &str) -> Option<Rights> {
        let digest = Sha256::digest(token.as_bytes());
        let (mut rights, mut is_known) = (0_u8, Choice::from(0));
        for known in self.known.load().iter() {
            let is_this = known.digest[..].ct_eq(&digest[..]);
            rights.conditional_assign(&known.rights, is_this);
            is_known |= is_this;
        }
        bool::from(is_known).then(|| Rights::of_bits(rights))
    }

    /// What the `Authorization` of a request allows.
    pub fn of(&self, headers: &HeaderMap) -> Rights {
        if !self.are_needed() {
            return Rights::all();
        }
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        token.and_then(|token| self.rights(token)).unwrap_or_default()
    }
}

fn read(path: &Path) -> Result<Vec<Known>, Fault> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::new(
            "io",
            format!("cannot read the tokens `{shown}`: {error}; check that the file exists and may be read"),
        )
    })?;
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path)
        && std::os::unix::fs::MetadataExt::mode(&metadata) & 0o004 != 0
    {
        tracing::warn!(
            "everybody on this machine can read the tokens `{shown}`; take that right away with chmod o-r"
        );
    }
    let mut known = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // What is wrong with a line is told without the line.
        let wrong = |what: &str| {
            Fault::new(
                "setting",
                format!(
                    "line {} of the tokens `{shown}` {what}; write TOKEN score,read,label,admin",
                    number + 1
                ),
            )
        };
        let (token, rights) = line.split_once(char::is_whitespace).unwrap_or((line, "score"));
        let rights = rights.trim().trim_start_matches('[').trim_end_matches(']');
        let rights = Rights::parse(rights).ok_or_else(|| wrong("gives a right that there is not"))?;
        if !token.chars().all(|one| one.is_ascii_graphic()) {
            return Err(wrong("has a token of other than visible ASCII characters"));
        }
        known.push(Known { digest: Sha256::digest(token.as_bytes()).into(), rights: rights.bits() });
    }
    match known.is_empty() {
        true => Err(Fault::new(
            "setting",
            format!("there is no token in `{shown}`, so that nobody could ask; write one a line"),
        )),
        false => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Right;
    use super::*;

    #[test]
    fn tokens_allow_what_their_line_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "# people\nplain\nboth score,read\n\nboss [admin, read]\n").unwrap();
        let tokens = Tokens::open(Some(&path)).unwrap();
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            let rights = tokens.of(&headers);
            [Right::Score, Right::Read, Right::Label, Right::Admin].map(|right| match rights.need(right) {
                Ok(()) => "yes",
                Err(fault) => fault.code,
            })
        };
        assert_eq!(of("Bearer plain"), ["yes", "forbidden", "forbidden", "forbidden"]);
        assert_eq!(of("bearer both"), ["yes", "yes", "forbidden", "forbidden"]);
        assert_eq!(of("Bearer boss"), ["forbidden", "yes", "forbidden", "yes"]);
        for wrong in ["Bearer wrong", "Bearer ", "plain", "Basic plain", "Bearer #"] {
            assert_eq!(of(wrong), ["unauthorized"; 4], "{wrong}");
        }
        std::fs::write(&path, "new read").unwrap();
        tokens.reload().unwrap();
        assert_eq!(of("Bearer plain"), ["unauthorized"; 4]);
        std::fs::write(&path, "secret everything").unwrap();
        let fault = tokens.reload().unwrap_err();
        assert!(!fault.to_string().contains("secret"), "{fault}");
        assert_eq!(of("Bearer new")[1], "yes");
        std::fs::write(&path, "# none\n").unwrap();
        assert!(tokens.reload().is_err());
        assert!(Tokens::open(Some(&folder.path().join("none"))).is_err());
        assert!(Tokens::open(None).unwrap().of(&HeaderMap::new()).admin);
    }
}

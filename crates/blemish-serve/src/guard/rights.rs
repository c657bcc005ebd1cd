//! What a caller may do, and by what else than a token.

use crate::fault::Fault;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::convert::Infallible;

/// What a token can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Score images.
    Score,
    /// See models, metrics and history.
    Read,
    /// Label images.
    Label,
    /// Reload models, change thresholds.
    Admin,
}

/// What the caller may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Score images.
    pub score: bool,
    /// See models, metrics and history.
    pub read: bool,
    /// Label images.
    pub label: bool,
    /// Reload models, change thresholds.
    pub admin: bool,
}

impl Rights {
    /// Everything: where no tokens are asked for.
    pub fn all() -> Self {
        Self { score: true, read: true, label: true, admin: true }
    }

    /// Checks a right.
    ///
    /// # Errors
    /// `unauthorized` for a caller without a token that is known, `forbidden` for one whose token does not allow it.
    pub fn need(&self, right: Right) -> Result<(), Fault> {
        let (has, name) = match right {
            Right::Score => (self.score, "score"),
            Right::Read => (self.read, "read"),
            Right::Label => (self.label, "label"),
            Right::Admin => (self.admin, "admin"),
        };
        if has {
            return Ok(());
        }
        Err(match *self == Self::default() {
            true => Fault::new(
                "unauthorized",
                "this needs a token that the server knows; send it as `Authorization: Bearer TOKEN`",
            ),
            false => Fault::new(
                "forbidden",
                format!("the token does not have the right `{name}`; ask for one that has"),
            ),
        })
    }

    pub(super) fn parse(list: &str) -> Option<Self> {
        let mut rights = Self::default();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                "score" => rights.score = true,
                "read" => rights.read = true,
                "label" => rights.label = true,
                "admin" => rights.admin = true,
                _ => return None,
            }
        }
        (rights != Self::default()).then_some(rights)
    }

    pub(super) fn bits(self) -> u8 {
        [self.score, self.read, self.label, self.admin]
            .iter()
            .enumerate()
            .fold(0, |bits, (at, &has)| bits | u8::from(has) << at)
    }

    pub(super) fn of_bits(bits: u8) -> Self {
        let has = |at: u8| bits & 1 << at != 0;
        Self { score: has(0), read: has(1), label: has(2), admin: has(3) }
    }
}

impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Nobody gets past the guard without; if somebody did, nothing would be allowed.
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Another way to rights than a token in a header: the cookie of a login.
pub trait Logins: Send + Sync {
    /// What the headers of a request allow by it.
    fn rights(&self, headers: &HeaderMap) -> Option<Rights>;
}

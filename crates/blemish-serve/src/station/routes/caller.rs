//! Who calls: their rights, and what they call themselves.

use crate::fault::Fault;
use crate::guard::{Right, Rights};
use crate::station::Station;
use crate::station::login::role;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// Characters of an author.
const LONGEST: usize = 80;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What they may do.
    pub rights: Rights,
    /// What they called themselves when they logged in; empty if they did not.
    pub name: String,
}

impl Caller {
    /// Checks a right.
    ///
    /// # Errors
    /// `unauthorized`, `forbidden`.
    pub fn need(&self, right: Right) -> Result<(), Fault> {
        self.rights.need(right)
    }

    /// Checks the right to a change; who it is noted for, see [`Self::author`].
    ///
    /// # Errors
    /// As [`Self::need`].
    pub fn signs(&self, right: Right, given: Option<&str>) -> Result<String, Fault> {
        self.need(right)?;
        Ok(self.author(given))
    }

    /// Who a change is noted for: whoever logged in, or the name that came with the request, or the role.
    pub fn author(&self, given: Option<&str>) -> String {
        let given: String =
            given.unwrap_or_default().chars().filter(|one| !one.is_control()).take(LONGEST).collect();
        match (self.name.is_empty(), given.trim().is_empty()) {
            (false, _) => self.name.clone(),
            (true, false) => given.trim().to_owned(),
            (true, true) => role(self.rights).to_owned(),
        }
    }
}

impl FromRequestParts<Arc<Station>> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, station: &Arc<Station>) -> Result<Self, Infallible> {
        let rights = Rights::from_request_parts(parts, station).await?;
        let name = station.login.who(&parts.headers).map(|who| who.name).unwrap_or_default();
        Ok(Self { rights, name })
    }
}

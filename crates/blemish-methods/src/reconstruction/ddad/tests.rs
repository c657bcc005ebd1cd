use crate::contract::Small;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[];

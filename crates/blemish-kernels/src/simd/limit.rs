//! A bound on the instructions in use, to compare machines on one machine.

use std::sync::OnceLock;

/// The environment variable: `portable`, `avx2`, `avxvnni`, `avx512` or `amx`; each allows those before it. Nothing, or any other word, allows
/// all that the machine has. It is read once.
pub const VARIABLE: &str = "BLEMISH_SIMD";

/// The widest instructions that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// What every machine of the architecture has.
    Portable,
    Avx2,
    AvxVnni,
    Avx512,
    Amx,
}

impl Limit {
    fn parse(word: &str) -> Self {
        match word {
            "portable" => Self::Portable,
            "avx2" => Self::Avx2,
            "avxvnni" => Self::AvxVnni,
            "avx512" => Self::Avx512,
            _ => Self::Amx,
        }
    }
}

/// What the environment allows.
pub(crate) fn limit() -> Limit {
    static LIMIT: OnceLock<Limit> = OnceLock::new();
    *LIMIT.get_or_init(|| Limit::parse(&std::env::var(VARIABLE).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_allows_those_before_it() {
        let limits = ["portable", "avx2", "avxvnni", "avx512", "amx"].map(Limit::parse);
        assert!(limits.is_sorted_by(|a, b| a < b));
        assert_eq!(Limit::parse(""), Limit::Amx);
    }
}

//! One digest over a whole model file, stored in its header.
//!
//! The digits of the digest themselves count as zeros. So a file can be written in one go, its digits filled in at the end, and what is
//! read lies in memory as it is.

use sha2::{Digest, Sha256};
use std::ops::Range;

/// Hexadecimal digits of SHA-256.
const DIGITS: usize = 64;

/// How the digest's key looks in the file: the header is JSON within JSON.
const KEY: &[u8] = br#"\"file_digest\":\""#;

/// What stands for the digest before it is known.
pub(super) fn blank() -> String {
    "0".repeat(DIGITS)
}

/// Where the digits are; `None` unless there is exactly one place. `head` is the file up to its tensors.
pub(super) fn place(head: &[u8]) -> Option<Range<usize>> {
    let mut found = head.windows(KEY.len()).enumerate().filter(|(_, window)| *window == KEY);
    let start = found.next()?.0 + KEY.len();
    let is_only = found.next().is_none();
    let is_whole = head.get(start..start + DIGITS)?.iter().all(u8::is_ascii_hexdigit);
    (is_only && is_whole).then_some(start..start + DIGITS)
}

/// Takes the digest of a file in pieces, from its first byte on.
pub(super) struct Seal {
    digest: Sha256,
}

impl Seal {
    /// Of a file whose head is `head`, with its digits at `place`.
    pub(super) fn begin(head: &[u8], place: &Range<usize>) -> Self {
        let mut digest = Sha256::new();
        digest.update(&head[..place.start]);
        digest.update(blank());
        digest.update(&head[place.end..]);
        Self { digest }
    }

    /// Takes in what follows.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The digits.
    pub(super) fn finish(self) -> String {
        blemish_data::digest::hexadecimal(&self.digest.finalize())
    }
}

/// Whether a file, whose tensors start at `start`, is the one that `stated` was written for.
pub(super) fn holds(file: &[u8], start: usize, stated: &str) -> bool {
    let (head, tensors) = file.split_at(start);
    place(head).is_some_and(|place| {
        let mut seal = Seal::begin(head, &place);
        seal.update(tensors);
        &head[place] == stated.as_bytes() && seal.finish() == stated
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_covers_everything_but_its_own_digits() {
        let key = std::str::from_utf8(KEY).unwrap();
        let head = format!("{{\"x\":\"{key}{}\\\"\"}}", blank());
        let place = place(head.as_bytes()).unwrap();
        let mut seal = Seal::begin(head.as_bytes(), &place);
        seal.update(b"tensors");
        let digits = seal.finish();
        let file = format!("{}{digits}{}tensors", &head[..place.start], &head[place.end..]).into_bytes();
        assert!(holds(&file, head.len(), &digits));
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            // A digit may not differ from what the header says, either.
            assert!(!holds(&altered, head.len(), &digits), "byte {at}");
        }
        let twice = [head.as_bytes(), head.as_bytes()].concat();
        assert_eq!(super::place(&twice), None);
        assert_eq!(super::place(&head.as_bytes()[..place.end - 1]), None);
    }
}

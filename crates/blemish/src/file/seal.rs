//! One digest that covers a whole model file, stored in its header.
//!
//! It is the SHA-256 of the head, which is everything before the tensors; the head in turn holds the checksum of the tensors. So every byte
//! is covered, and reading a large model costs no more than its checksum always did. The digits of the digest itself count as zeros.

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

/// The digits for a head that has room for them at `place`.
pub(super) fn digits(head: &[u8], place: &Range<usize>) -> String {
    let mut digest = Sha256::new();
    digest.update(&head[..place.start]);
    digest.update(blank());
    digest.update(&head[place.end..]);
    blemish_data::digest::hexadecimal(&digest.finalize())
}

/// Whether a head is the one that `stated` was written for.
pub(super) fn holds(head: &[u8], stated: &str) -> bool {
    place(head).is_some_and(|place| digits(head, &place) == stated && &head[place] == stated.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_covers_everything_but_its_own_digits() {
        let key = std::str::from_utf8(KEY).unwrap();
        let head = format!("{{\"x\":\"{key}{}\\\"\"}}", blank());
        let place = place(head.as_bytes()).unwrap();
        let digits = digits(head.as_bytes(), &place);
        let sealed = format!("{}{digits}{}", &head[..place.start], &head[place.end..]).into_bytes();
        assert!(holds(&sealed, &digits));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            // A digit may not differ from what the header says, either.
            assert!(!holds(&altered, &digits), "byte {at}");
        }
        let twice = [head.as_bytes(), head.as_bytes()].concat();
        assert_eq!(super::place(&twice), None);
        assert_eq!(super::place(&head.as_bytes()[..place.end - 1]), None);
    }
}

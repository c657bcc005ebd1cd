//! Names of characters as HTML writes them.

use super::code_page::by_code_page;
use std::collections::HashMap;
use std::sync::OnceLock;

/// A name without its `&`, a tab, what it stands for: the table of the HTML standard.
static NAMES: &str = include_str!("../../assets/entities.txt");

/// Longest run of characters that may be a name.
const LONGEST: usize = 32;

fn named(name: &str) -> Option<&'static str> {
    static TABLE: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    let table = TABLE.get_or_init(|| NAMES.lines().filter_map(|line| line.split_once('\t')).collect());
    // The two that are blanks, which a table of lines cannot hold.
    match name {
        "NewLine;" => Some("\n"),
        "Tab;" => Some("\t"),
        name => table.get(name).copied(),
    }
}

/// The text with `&amp;`, `&#38;` and `&#x26;` resolved; `strictly` only those that end in a semicolon, else also what old pages wrote,
/// such as `&amp` or `&notit;`, by the rules of the HTML standard.
pub(super) fn unescape(text: &str, strictly: bool) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let found = if strictly { strict(part) } else { lenient(part) };
        match found {
            Some((stands_for, length)) => {
                plain.push_str(&stands_for);
                plain.push_str(&part[length..]);
            }
            None => {
                plain.push('&');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// What the beginning of `part` stands for, and the bytes of it that do.
type Found = Option<(String, usize)>;

/// Up to 24 letters and digits and a semicolon.
fn strict(part: &str) -> Found {
    let end = part.find(';')?;
    let body = &part[..end];
    let plain = body.strip_prefix('#').unwrap_or(body);
    if plain.is_empty() || plain.len() > 24 || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    if body.starts_with('#') {
        // Only where all of it is a number.
        return number(&part[1..]).filter(|(_, length)| *length == end).map(|(text, _)| (text, end + 1));
    }
    Some((named(&part[..=end])?.to_owned(), end + 1))
}

fn lenient(part: &str) -> Found {
    if let Some(digits) = part.strip_prefix('#') {
        let (text, length) = number(digits)?;
        return Some((text, 1 + length));
    }
    let ends = |character: char| matches!(character, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let stop =
        part.char_indices().enumerate().find(|(count, (_, character))| *count == LONGEST || ends(*character));
    let end = stop.map_or(part.len(), |(_, (at, _))| at);
    let whole = if part[end..].starts_with(';') { end + 1 } else { end };
    if let Some(text) = named(&part[..whole]) {
        return Some((text.to_owned(), whole));
    }
    // The longest name that it begins with.
    let cuts = part[..whole].char_indices().map(|(at, _)| at).skip(2);
    cuts.collect::<Vec<_>>().into_iter().rev().find_map(|cut| Some((named(&part[..cut])?.to_owned(), cut)))
}

/// A character by its number, decimal or behind an x hexadecimal, and the bytes that were read, a semicolon among them.
fn number(text: &str) -> Found {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let count = digits.find(|character: char| !character.is_digit(radix)).unwrap_or(digits.len());
    if count == 0 {
        return None;
    }
    let length = text.len() - digits.len() + count;
    let length = if digits[count..].starts_with(';') { length + 1 } else { length };
    // Too large for a number is too large for a character.
    let code = u32::from_str_radix(&digits[..count], radix).unwrap_or(u32::MAX);
    let text = match code {
        0 => "\u{fffd}".to_owned(),
        0x80..=0x9f => by_code_page(code).to_string(),
        0xd => "\r".to_owned(),
        1..=8 | 0xb | 0xe..=0x1f | 0x7f | 0xfdd0..=0xfdef => String::new(),
        _ if code <= 0x10_ffff && code & 0xfffe == 0xfffe => String::new(),
        _ => char::from_u32(code).unwrap_or('\u{fffd}').to_string(),
    };
    Some((text, length))
}

//! Texts as people type and paste them, made plain: what CLIP's training did before it split texts.

use super::code_page::by_code_page;
use super::entities::unescape;
use unicode_normalization::UnicodeNormalization;

/// The text with its HTML names resolved, its ligatures, wide letters, curly quotes and line breaks plain, without control characters,
/// composed (NFC), and with single blanks between words.
pub(super) fn cleaned(text: &str) -> String {
    let plain: String = lines(text).map(plain).collect();
    // Twice, since texts of the web are often escaped twice.
    let text = unescape(&unescape(&plain, false), false);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of a text, with their ends.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n')
}

/// One line, until nothing changes any more: what one rule makes another may take.
fn plain(line: &str) -> String {
    // A tag shows that the text is meant to be HTML, whose names then stand for themselves.
    let is_html = line.contains('<');
    let mut text = line.to_owned();
    loop {
        let unescaped = if is_html { text.clone() } else { unescape(&text, true) };
        let mut next = String::with_capacity(unescaped.len());
        for character in unescaped.chars() {
            push_plain(character, &mut next);
        }
        let next = next.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        let next: String =
            without_escapes(&next).chars().filter(|character| !is_control(*character)).nfc().collect();
        if next == text {
            return next;
        }
        text = next;
    }
}

/// A character in its plain form.
fn push_plain(character: char, text: &mut String) {
    match character {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => text.push('\''),
        '\u{201c}'..='\u{201f}' => text.push('"'),
        '\u{80}'..='\u{9f}' => match by_code_page(character.into()) {
            same if same == character => text.push(same),
            printed => push_plain(printed, text),
        },
        '\u{149}' => text.push_str("'n"),
        '\u{3000}' => text.push(' '),
        '\u{fb05}' => text.push_str("\u{17f}t"),
        // Two letters in one character, and letters as wide or as narrow as others of another script.
        '\u{132}'
        | '\u{133}'
        | '\u{1c4}'..='\u{1cc}'
        | '\u{1f1}'..='\u{1f3}'
        | '\u{fb00}'..='\u{fb06}'
        | '\u{ff01}'..='\u{ffef}' => {
            text.extend([character].into_iter().nfkc());
        }
        other => text.push(other),
    }
}

/// The text without what colours a terminal: ESC, `[`, digits and semicolons, a letter.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';');
        match rest.chars().next() {
            Some(letter) if letter.is_ascii_alphabetic() => plain.push_str(&rest[1..]),
            _ => {
                plain.push_str("\u{1b}[");
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Control characters that are no blanks, and marks that nobody sees.
fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}

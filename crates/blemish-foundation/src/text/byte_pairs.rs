//! CLIP's tokenizer: byte pairs of lower-cased text.

use super::clean::cleaned;
use super::{TextError, shortened};
use std::collections::HashMap;
use std::sync::OnceLock;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// The two tokens that each merge joins, as little-endian 16-bit numbers, the merges by their rank. From the vocabulary file of
/// OpenAI's CLIP (MIT licence); `assets/make_text.py` makes it.
static MERGES: &[u8] = include_bytes!("../../assets/merges.bin");

/// Tokens of single bytes, and of bytes that end a word.
const BYTES: u16 = 256;

/// The token that begins a text and the one that ends it, as they may also be written in one.
const MARKS: [(&str, u32); 2] = [("<start_of_text>", 49_406), ("<end_of_text>", 49_407)];

/// Endings that are tokens of their own.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// CLIP's byte pair encoding.
///
/// A text is cleaned (HTML names resolved, quotes straightened, blanks joined), lower-cased and split into words, numbers digit by
/// digit, and signs; the bytes of each are joined pair by pair, the most usual pair first, until no known pair is left. Equal to
/// open_clip's tokenizer, but for texts that were decoded by a wrong code page, which open_clip repairs and this one takes as they are.
pub struct BytePairs {
    /// The rank of each pair.
    ranks: HashMap<[u16; 2], u16>,
    /// The token of each byte within a word.
    bytes: [u16; 256],
}

impl BytePairs {
    /// Tokens there are.
    pub const COUNT: usize = 49_408;
    /// The token before every text.
    pub const START: u32 = MARKS[0].1;
    /// The token behind every text; the largest number of all.
    pub const END: u32 = MARKS[1].1;

    /// CLIP's vocabulary.
    pub fn clip() -> &'static Self {
        static CLIP: OnceLock<BytePairs> = OnceLock::new();
        CLIP.get_or_init(|| {
            let pair = |four: &[u8]| [0, 2].map(|at| u16::from_le_bytes([four[at], four[at + 1]]));
            let ranks = MERGES.chunks_exact(4).zip(0..).map(|(four, rank)| (pair(four), rank)).collect();
            Self { ranks, bytes: tokens_of_bytes() }
        })
    }

    /// The tokens of a text, without those before and behind it.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let text = cleaned(text).to_lowercase();
        let mut tokens = Vec::new();
        for word in Words(&text) {
            match MARKS.iter().find(|(mark, _)| *mark == word) {
                Some((_, token)) => tokens.push(*token),
                None => tokens.extend(self.joined(word).into_iter().map(u32::from)),
            }
        }
        tokens
    }

    /// The tokens of a text between [`Self::START`] and [`Self::END`], `context` at most.
    ///
    /// # Errors
    /// [`TextError::Empty`], [`TextError::TooLong`].
    pub fn prompt(&self, text: &str, context: usize) -> Result<Vec<u32>, TextError> {
        let tokens = self.encode(text);
        if tokens.is_empty() {
            return Err(TextError::Empty { text: text.to_owned() });
        }
        if tokens.len() + 2 > context {
            let most = context.saturating_sub(2);
            return Err(TextError::TooLong { text: shortened(text), tokens: tokens.len(), most });
        }
        Ok([&[Self::START], tokens.as_slice(), &[Self::END]].concat())
    }

    /// The tokens of one word: the pair of the lowest rank is joined wherever it stands, then the next.
    fn joined(&self, word: &str) -> Vec<u16> {
        let mut tokens: Vec<u16> = word.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        if let Some(last) = tokens.last_mut() {
            *last += BYTES;
        }
        loop {
            let ranked = |pair: &[u16]| Some((*self.ranks.get(&[pair[0], pair[1]])?, [pair[0], pair[1]]));
            let Some((rank, pair)) = tokens.windows(2).filter_map(ranked).min() else { return tokens };
            let mut joined = Vec::with_capacity(tokens.len());
            let mut at = 0;
            while at < tokens.len() {
                let is_pair = tokens[at..].starts_with(&pair);
                joined.push(if is_pair { 2 * BYTES + rank } else { tokens[at] });
                at += if is_pair { 2 } else { 1 };
            }
            tokens = joined;
        }
    }
}

/// Bytes that print come first, in their order, then the others.
fn tokens_of_bytes() -> [u16; 256] {
    let prints = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..);
    let (printing, others): (Vec<u8>, Vec<u8>) = (0..=255).partition(prints);
    let mut tokens = [0; 256];
    for (token, byte) in (0..).zip(printing.into_iter().chain(others)) {
        tokens[usize::from(byte)] = token;
    }
    tokens
}

/// The words of a text: marks, contractions, letters in a row, single digits, other signs in a row.
struct Words<'a>(&'a str);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Letter,
    Number,
    Sign,
}

fn kind(character: char) -> Kind {
    if character.is_whitespace() {
        return Kind::Blank;
    }
    match character.general_category_group() {
        GeneralCategoryGroup::Letter => Kind::Letter,
        GeneralCategoryGroup::Number => Kind::Number,
        _ => Kind::Sign,
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0 = self.0.trim_start();
        let first = kind(self.0.chars().next()?);
        let run = || self.0.find(|character| kind(character) != first).unwrap_or(self.0.len());
        let whole =
            MARKS.iter().map(|(mark, _)| *mark).chain(CONTRACTIONS).find_map(|whole| begins(self.0, whole));
        let length = match (whole, first) {
            (Some(length), _) => length,
            (None, Kind::Number) => self.0.chars().next().map_or(0, char::len_utf8),
            (None, _) => run(),
        };
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(word)
    }
}

/// The bytes of `text` that are `whole`, a long s being an s: both are one letter in two cases.
fn begins(text: &str, whole: &str) -> Option<usize> {
    let mut characters = text.chars();
    let mut length = 0;
    for wanted in whole.chars() {
        let found = characters.next()?;
        if found != wanted && !(found == '\u{17f}' && wanted == 's') {
            return None;
        }
        length += found.len_utf8();
    }
    Some(length)
}

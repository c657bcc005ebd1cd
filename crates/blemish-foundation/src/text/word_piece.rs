//! BERT's tokenizer: whole words where they are known, else the longest known pieces from the left.

use super::TextError;
use std::collections::HashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Characters of the longest word that is looked for in pieces.
const LONGEST: usize = 100;

/// The uncased word pieces of BERT.
///
/// A text is lower-cased, its accents and control characters are dropped, and punctuation and each Chinese character stand alone. Equal to
/// the tokenizer of `bert-base-uncased`, but that marks such as `[SEP]` written in a text are text like any other.
pub struct WordPiece {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    first: u32,
    last: u32,
    unknown: u32,
}

impl WordPiece {
    /// By a vocabulary: a token a line, its number that of the line; pieces within a word begin with `##`.
    ///
    /// # Errors
    /// [`TextError::Vocabulary`].
    pub fn new(vocabulary: &str) -> Result<Self, TextError> {
        let tokens: Vec<String> = vocabulary.lines().map(|line| line.trim_end().to_owned()).collect();
        let ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let id = |token: &'static str| ids.get(token).copied().ok_or(TextError::Vocabulary { token });
        let (first, last, unknown) = (id("[CLS]")?, id("[SEP]")?, id("[UNK]")?);
        Ok(Self { tokens, first, last, unknown, ids })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The number of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The token of a number.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize).map(String::as_str)
    }

    /// The tokens of a text, `[CLS]` before and `[SEP]` behind them.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        [&[self.first], self.pieces(text).as_slice(), &[self.last]].concat()
    }

    /// The tokens of a text alone.
    pub fn pieces(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        for word in normal(text).split(char::is_whitespace) {
            let mut rest = word;
            while !rest.is_empty() {
                let cut = rest.find(is_punctuation);
                let length = match cut {
                    Some(0) => rest.chars().next().map_or(0, char::len_utf8),
                    Some(length) => length,
                    None => rest.len(),
                };
                self.push_word(&rest[..length], &mut ids);
                rest = &rest[length..];
            }
        }
        ids
    }

    /// The words of tokens, with single blanks, pieces joined; without `[CLS]`, `[SEP]` and numbers of no token.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        for &id in ids.iter().filter(|id| ![self.first, self.last].contains(id)) {
            match self.token(id).map(|token| (token, token.strip_prefix("##"))) {
                None => {}
                Some((_, Some(piece))) => text.push_str(piece),
                Some((token, None)) => {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(token);
                }
            }
        }
        text
    }

    fn push_word(&self, word: &str, ids: &mut Vec<u32>) {
        let start = ids.len();
        if word.chars().count() > LONGEST {
            return ids.push(self.unknown);
        }
        let mut at = 0;
        let mut piece = String::new();
        while at < word.len() {
            let ends = word[at..].char_indices().map(|(end, character)| at + end + character.len_utf8());
            let longest = ends.collect::<Vec<_>>().into_iter().rev().find_map(|end| {
                piece.clear();
                piece.push_str(if at > 0 { "##" } else { "" });
                piece.push_str(&word[at..end]);
                Some((self.id(&piece)?, end))
            });
            match longest {
                Some((id, end)) => {
                    ids.push(id);
                    at = end;
                }
                // A word with an unknown part is unknown as a whole.
                None => {
                    ids.truncate(start);
                    return ids.push(self.unknown);
                }
            }
        }
    }
}

/// Lower case without accents and control characters, Chinese characters apart.
fn normal(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' | char::REPLACEMENT_CHARACTER => {}
            _ if character.is_whitespace() => plain.push(' '),
            _ if character.general_category_group() == GeneralCategoryGroup::Other => {}
            _ if is_chinese(character) => plain.extend([' ', character, ' ']),
            _ => plain.push(character),
        }
    }
    let bare = plain.nfd().filter(|character| !is_accent(*character));
    bare.flat_map(char::to_lowercase).collect()
}

fn is_accent(character: char) -> bool {
    is_combining_mark(character) && character.general_category() == GeneralCategory::NonspacingMark
}

fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || character.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks of Chinese characters, which Japanese shares; its own letters and Korean's are words like any other.
fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x3400..=0x4dbf
            | 0x4e00..=0x9fff
            | 0xf900..=0xfaff
            | 0x2_0000..=0x2_a6df
            | 0x2_a700..=0x2_ceaf
            | 0x2_f800..=0x2_fa1f
    )
}

//! Tokenizers: texts become the numbers that text networks read.
//!
//! | type | of | vocabulary |
//! |---|---|---|
//! | [`BytePairs`] | CLIP | embedded |
//! | [`WordPiece`] | BERT | from its file `vocab.txt` |
//!
//! Both are small algorithms over a table, so they are written here and compared with the usual Python packages in the tests.

mod byte_pairs;
mod clean;
mod code_page;
mod entities;
#[cfg(test)]
mod tests;
mod word_piece;

pub use byte_pairs::BytePairs;
pub use word_piece::WordPiece;

/// A text or a vocabulary that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing is left of a text once it is cleaned.
    #[error("the text `{text}` is empty; give at least one word")]
    Empty {
        /// The text.
        text: String,
    },
    /// A text has more tokens than a network reads.
    #[error("the text `{text}` has {tokens} tokens, but the network reads {most} at most; shorten it")]
    TooLong {
        /// The beginning of the text.
        text: String,
        /// Its tokens.
        tokens: usize,
        /// The most there may be.
        most: usize,
    },
    /// A vocabulary without a token that every text needs.
    #[error(
        "the vocabulary has no token `{token}`; bring the `vocab.txt` of an uncased BERT, one token a line"
    )]
    Vocabulary {
        /// The token.
        token: &'static str,
    },
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

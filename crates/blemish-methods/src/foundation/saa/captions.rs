//! Captions as the detector has read them, and the words of its boxes.

use super::boxes::Detection;
use super::config::SaaConfig;
use super::networks::file_of;
use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_foundation::grounding::{GroundingDino, GroundingImage, GroundingText};
use blemish_foundation::text::WordPiece;
use std::path::PathBuf;

/// File of BERT's vocabulary.
const VOCABULARY: &str = "vocab.txt";

/// A caption that the detector has read.
pub(super) struct Caption {
    text: GroundingText,
    /// Each token as text; pieces within a word begin with `##`.
    words: Vec<String>,
}

impl Caption {
    /// Reads a caption: lower case, with a full stop behind it.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is too long.
    pub fn read(key: &str, text: &str, pieces: &WordPiece, detector: &GroundingDino) -> Result<Self, Error> {
        let text = text.trim().to_lowercase();
        let ended = if text.ends_with('.') { text.clone() } else { format!("{text}.") };
        let tokens = pieces.encode(&ended);
        let words = tokens.iter().map(|token| pieces.token(*token).unwrap_or_default().to_owned()).collect();
        let read = detector.read(&tokens).map_err(|error| Error::Setting {
            key: key.into(),
            reason: format!("`{}`: {error}", text.chars().take(60).collect::<String>()),
            help: "use fewer words, or part it into several captions".into(),
        })?;
        Ok(Self { text: read, words })
    }

    /// The detector's boxes for it, whichever scores they have; tokens above the threshold are a box's phrase.
    pub fn detect(&self, detector: &GroundingDino, image: &GroundingImage, threshold: f32) -> Vec<Detection> {
        let boxes = detector.detect(image, &self.text).into_iter();
        boxes
            .map(|found| Detection {
                bounds: found.bounds,
                score: found.score(),
                phrase: joined(
                    found.phrase(self.text.tokens(), threshold).into_iter().map(|at| &*self.words[at]),
                ),
            })
            .collect()
    }

    /// Stores it under a prefix.
    pub fn store(&self, prefix: &str, state: &mut State) {
        let tokens = self.text.tokens();
        state.set_u32(&format!("{prefix}.tokens"), &[tokens.len()], tokens.to_vec());
        let width = self.text.rows().len() / tokens.len().max(1);
        state.set_f32(&format!("{prefix}.rows"), &[tokens.len(), width], self.text.rows().to_vec());
        // A list of words always serialises.
        let words = serde_json::to_vec(&self.words).unwrap_or_default();
        state.set_u8(&format!("{prefix}.words"), &[words.len()], words);
    }

    /// What [`Self::store`] stored, for this detector.
    ///
    /// # Errors
    /// [`StateError`] naming the tensor that is missing or misshapen.
    pub fn restore(prefix: &str, state: &State, detector: &GroundingDino) -> Result<Self, StateError> {
        let wrong = |part: &str, reason: String| StateError { name: format!("{prefix}.{part}"), reason };
        let tokens = state.u32(&format!("{prefix}.tokens"), 1)?.1.to_vec();
        let sizes = detector.config();
        if tokens.is_empty() || tokens.len() > sizes.most_tokens {
            return Err(wrong("tokens", format!("has {} tokens", tokens.len())));
        }
        let (shape, rows) = state.f32(&format!("{prefix}.rows"), 2)?;
        if shape != [tokens.len(), sizes.width] {
            let reason = format!("has shape {shape:?}, not [{}, {}]", tokens.len(), sizes.width);
            return Err(wrong("rows", reason));
        }
        let words = state.u8(&format!("{prefix}.words"), 1)?.1;
        let words: Vec<String> = serde_json::from_slice(&words)
            .map_err(|error| wrong("words", format!("is no list of words ({error})")))?;
        if words.len() != tokens.len() {
            return Err(wrong("words", format!("has {} words for {} tokens", words.len(), tokens.len())));
        }
        Ok(Self { text: GroundingText::new(tokens, rows.to_vec()), words })
    }
}

/// Tokens as a text: pieces joined, words apart.
fn joined<'a>(tokens: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for token in tokens {
        match token.strip_prefix("##") {
            Some(piece) => text.push_str(piece),
            None if text.is_empty() => text.push_str(token),
            None => {
                text.push(' ');
                text.push_str(token);
            }
        }
    }
    text
}

/// The vocabulary of the detector's texts: the file that the settings name, else `vocab.txt` beside the detector's weights.
///
/// # Errors
/// [`Error::Setting`] saying which file to bring.
pub(super) fn vocabulary(config: &SaaConfig) -> Result<WordPiece, Error> {
    #[cfg(test)]
    if config.detector == super::tests::DETECTOR {
        return Ok(super::tests::tiny_vocabulary());
    }
    let path = match &config.vocabulary {
        Some(path) => PathBuf::from(path),
        None => file_of(&config.detector)?.with_file_name(VOCABULARY),
    };
    let refuse = |reason: String| {
        Error::Setting {
        key: "vocabulary".into(),
        reason,
        help: "bring the `vocab.txt` of bert-base-uncased, which lies beside the published weights of the detector".into(),
    }
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| refuse(format!("`{}` cannot be read ({error})", path.display())))?;
    WordPiece::new(&text).map_err(|error| refuse(format!("`{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn pieces_are_joined_and_words_are_apart() {
        assert_eq!(joined(["a", "crack", "##ed", "nut"].into_iter()), "a cracked nut");
        assert_eq!(joined(["##ed", "nut"].into_iter()), "ed nut");
        assert_eq!(joined([].into_iter()), "");
    }
}

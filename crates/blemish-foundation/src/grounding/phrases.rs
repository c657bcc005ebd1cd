//! Captions of several phrases: which tokens belong together.

/// `[CLS]`, `[SEP]`, a full stop and a question mark of BERT's uncased vocabulary: they end phrases.
const ENDS: [u32; 4] = [101, 102, 1012, 1029];

/// Whether a token ends a phrase and is no part of what is shown.
pub(super) fn is_end(token: u32) -> bool {
    ENDS.contains(&token)
}

/// How the tokens of a caption lie in phrases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phrases {
    /// The place of each token in its phrase; 0 outside of phrases.
    pub places: Vec<usize>,
    /// Which tokens each sees, n x n: those of its phrase with the end of it, else itself alone.
    pub seen: Vec<bool>,
}

impl Phrases {
    /// A phrase is what lies between two ends, with the second of them. The first and the last token of the caption end no phrase, so a
    /// phrase without a full stop before the last token is none.
    pub fn of(tokens: &[u32]) -> Self {
        let count = tokens.len();
        let mut places = vec![0; count];
        let mut seen = vec![false; count * count];
        (0..count).for_each(|token| seen[token * count + token] = true);
        let mut first = 0;
        for end in (0..count).filter(|index| is_end(tokens[*index])) {
            if end != 0 && end != count - 1 {
                for query in first..=end {
                    places[query] = query - first;
                    (first..=end).for_each(|key| seen[query * count + key] = true);
                }
            }
            first = end + 1;
        }
        Self { places, seen }
    }
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn phrases_end_at_full_stops_and_see_themselves_only() {
        let phrases = Phrases::of(&[101, 7, 8, 1012, 9, 1012, 102]);
        assert_eq!(phrases.places, [0, 0, 1, 2, 0, 1, 0]);
        let rows: Vec<String> = phrases
            .seen
            .chunks(7)
            .map(|row| row.iter().map(|seen| if *seen { '1' } else { '0' }).collect())
            .collect();
        assert_eq!(rows, ["1000000", "0111000", "0111000", "0111000", "0000110", "0000110", "0000001"]);
    }

    #[test]
    fn what_no_full_stop_ends_is_no_phrase() {
        let phrases = Phrases::of(&[101, 7, 1012, 8, 9, 102]);
        assert_eq!(phrases.places, [0, 0, 1, 0, 0, 0]);
        assert!(!phrases.seen[3 * 6 + 4] && phrases.seen[3 * 6 + 3]);
    }
}

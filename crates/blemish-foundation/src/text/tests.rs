//! Against open_clip's and transformers' tokenizers; `tests/golden/make_text.py` makes the files.

use super::*;

/// Lines of `ids<TAB>text as JSON`.
fn golden(name: &str) -> Vec<(Vec<u32>, String)> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let line = |line: &str| {
        let (ids, text) = line.split_once('\t').unwrap();
        let ids = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        (ids, serde_json::from_str(text).unwrap())
    };
    std::fs::read_to_string(path).unwrap().lines().map(line).collect()
}

#[test]
fn byte_pairs_are_those_of_open_clip_on_odd_strings() {
    let lines = golden("byte_pairs.tsv");
    assert!(lines.len() >= 1000);
    let wrong: Vec<_> = lines.iter().filter(|(ids, text)| BytePairs::clip().encode(text) != *ids).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), lines.len(), &wrong[..wrong.len().min(5)]);
}

#[test]
fn word_pieces_are_those_of_bert_on_odd_strings() {
    let path = format!("{}/tests/golden/vocab.txt", env!("CARGO_MANIFEST_DIR"));
    let pieces = WordPiece::new(&std::fs::read_to_string(path).unwrap()).unwrap();
    let lines = golden("word_pieces.tsv");
    assert!(lines.len() >= 1000);
    let wrong: Vec<_> = lines.iter().filter(|(ids, text)| pieces.encode(text) != *ids).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), lines.len(), &wrong[..wrong.len().min(5)]);
    let known = pieces.encode("A Damaged cable.");
    assert_eq!(pieces.decode(&known), "a damaged cable .");
}

#[test]
fn a_prompt_is_framed_and_empty_or_long_ones_are_refused() {
    let tokens = BytePairs::clip().prompt("a photo of a cat", 77).unwrap();
    assert_eq!(tokens, [49406, 320, 1125, 539, 320, 2368, 49407]);
    assert_eq!(BytePairs::clip().prompt("a photo of a cat", 7).unwrap().len(), 7);
    for empty in ["", "  \n\t", "\u{0}\u{feff}"] {
        let message = BytePairs::clip().prompt(empty, 77).unwrap_err().to_string();
        assert!(message.contains("is empty"), "{message}");
    }
    let long = "nut ".repeat(400);
    let message = BytePairs::clip().prompt(&long, 77).unwrap_err().to_string();
    assert!(message.contains("400 tokens") && message.contains("75 at most"), "{message}");
    assert!(BytePairs::clip().prompt("a photo of a cat", 6).is_err());
}

#[test]
fn a_vocabulary_without_its_marks_is_refused() {
    let message = WordPiece::new("[CLS]\n[SEP]\nword").err().unwrap().to_string();
    assert!(message.contains("[UNK]") && message.contains("vocab.txt"), "{message}");
}

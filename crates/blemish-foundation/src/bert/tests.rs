//! Equality with transformers' BertModel on seeded random weights (`tests/golden/make_bert.py`), and what is refused.

use super::{Bert, BertConfig, BertText};
use crate::golden::Golden;

fn tiny() -> BertConfig {
    BertConfig {
        name: "tiny".into(),
        vocabulary: 50,
        width: 16,
        depth: 2,
        heads: 2,
        hidden: 24,
        positions: 20,
    }
}

fn numbers<T>(golden: &Golden, name: &str, number: impl Fn(f32) -> T) -> Vec<T> {
    golden.values(name).iter().map(|value| number(*value)).collect()
}

#[test]
fn rows_are_those_of_transformers() {
    let golden = Golden::read("bert");
    let bert = Bert::load(tiny(), &golden.weights()).unwrap();
    let tokens = numbers(&golden, "tokens", |value| value as u32);
    golden.close(&bert.encode(BertText::new(&tokens)).unwrap(), "plain");
    let kinds = numbers(&golden, "kinds", |value| value as usize);
    let places = numbers(&golden, "places", |value| value as usize);
    for (mask, out) in [("keys", "padded"), ("seen", "masked")] {
        let seen = numbers(&golden, mask, |value| value == 1.0);
        let text =
            BertText { tokens: &tokens, places: Some(&places), kinds: Some(&kinds), seen: Some(&seen) };
        golden.close(&bert.encode(text).unwrap(), out);
    }
}

#[test]
fn names_may_have_a_prefix() {
    let golden = Golden::read("bert");
    let prefixed =
        golden.weights().into_iter().map(|(name, tensor)| (format!("bert.{name}"), tensor)).collect();
    let bert = Bert::load(tiny(), &prefixed).unwrap();
    let tokens = numbers(&golden, "tokens", |value| value as u32);
    golden.close(&bert.encode(BertText::new(&tokens)).unwrap(), "plain");
}

#[test]
fn texts_that_cannot_be_read_are_refused() {
    let golden = Golden::read("bert");
    let bert = Bert::load(tiny(), &golden.weights()).unwrap();
    for (tokens, words) in [(vec![], "no words"), (vec![1; 21], "at most 20"), (vec![50], "token 50")] {
        let message = bert.encode(BertText::new(&tokens)).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let text = BertText { kinds: Some(&[0, 2]), ..BertText::new(&[1, 2]) };
    assert!(bert.encode(text).unwrap_err().to_string().contains("kinds"));
    let mut state = golden.weights();
    state.remove("embeddings.LayerNorm.bias");
    let message = Bert::load(tiny(), &state).unwrap_err().to_string();
    assert!(message.contains("embeddings.LayerNorm.bias"), "{message}");
}

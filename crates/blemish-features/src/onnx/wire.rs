//! The frame of an ONNX file, walked before anything of it is built: how deep it nests and how many parts it has.
//!
//! Readers of protocol buffers follow nesting on their stack and make an object of every part, so a small file could take all of
//! either. They also differ in what they make of a message that comes twice where one belongs (the last, or both joined); such files
//! are refused, so that what is checked here is what every engine sees.

/// Graphs within graphs (branches of `If`); real ones have one or two.
const DEEPEST_GRAPH: usize = 8;
/// Fields that are messages, texts or packed numbers; the largest networks have some ten thousand.
const MOST_PARTS: usize = 400_000;

/// What a message is, as far as engines read it.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    SequenceType,
    Shape,
    Leaf,
}

impl Kind {
    /// The message in a field, and whether it may come several times; `None` for texts, bytes and numbers.
    fn child(self, field: u64) -> Option<(Self, bool)> {
        Some(match (self, field) {
            (Self::Model, 7) => (Self::Graph, false),
            (Self::Model, 8 | 14) => (Self::Leaf, true),
            (Self::Graph, 1) => (Self::Node, true),
            (Self::Graph, 5) => (Self::Tensor, true),
            (Self::Graph, 11..=13) => (Self::Value, true),
            (Self::Node, 5) => (Self::Attribute, true),
            (Self::Attribute, 5) => (Self::Tensor, false),
            (Self::Attribute, 6) => (Self::Graph, false),
            (Self::Tensor, 13) => (Self::Leaf, true),
            (Self::Value, 2) => (Self::Type, false),
            (Self::Type, 1) => (Self::TensorType, false),
            (Self::Type, 4) => (Self::SequenceType, false),
            (Self::SequenceType, 1) => (Self::Type, false),
            (Self::TensorType, 2) => (Self::Shape, false),
            (Self::Shape, 1) => (Self::Leaf, true),
            _ => return None,
        })
    }
}

/// Walks a whole file.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut parts = 0;
    // Messages yet to be walked, with the graphs and types around them.
    let mut open = vec![(Kind::Model, bytes, 0)];
    while let Some((kind, message, depth)) = open.pop() {
        let mut seen = [false; 16];
        for field in fields(message) {
            let Field { number, content, .. } = field?;
            let Some(content) = content else { continue };
            parts += 1;
            if parts > MOST_PARTS {
                return Err(format!("it has more than {MOST_PARTS} parts, which no network needs"));
            }
            let Some((child, is_repeated)) = kind.child(number) else { continue };
            // The fields of messages that come once all have small numbers.
            let slot = number as usize % seen.len();
            if !is_repeated && std::mem::replace(&mut seen[slot], true) {
                return Err("a part that belongs there once comes twice; it is damaged".into());
            }
            let depth = depth + usize::from(matches!(child, Kind::Graph | Kind::Type));
            if depth > DEEPEST_GRAPH {
                return Err(format!("its graphs nest more than {DEEPEST_GRAPH} deep"));
            }
            open.push((child, content, depth));
        }
    }
    Ok(())
}

/// A field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// Its content, where that has a length of its own.
    pub(super) content: Option<&'a [u8]>,
    /// All its bytes.
    pub(super) whole: &'a [u8],
}

/// The fields of a message, up to the first that is damaged.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let before = rest;
        let field = next_field(&mut rest).map(|(number, content)| {
            let whole = &before[..before.len() - rest.len()];
            Field { number, content, whole }
        });
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or_else(|| "its messages are damaged; copy or export it again".into()))
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Option<&'a [u8]>)> {
    let key = prost::encoding::decode_varint(rest).ok()?;
    let length = match key & 7 {
        0 => {
            prost::encoding::decode_varint(rest).ok()?;
            return Some((key >> 3, None));
        }
        1 => 8,
        5 => 4,
        2 => usize::try_from(prost::encoding::decode_varint(rest).ok()?).ok()?,
        _ => return None, // Groups, which ONNX never had.
    };
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((key >> 3, (key & 7 == 2).then_some(content)))
}

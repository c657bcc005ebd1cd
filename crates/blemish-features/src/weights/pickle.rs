//! The part of Python's pickle language that PyTorch's files use, as data: nothing is ever executed.
//!
//! A pickle is a program for a stack machine. Here its instructions build [`Value`]s; a class or function it names must be one of
//! [`ALLOWED`], and "calling" it only notes the call. Sizes and depths are bounded, so a lying file cannot take the memory.

use std::collections::HashMap;
use std::rc::Rc;

/// Classes and functions a weight file may name; storages (`torch.*Storage`) are allowed beside them.
const ALLOWED: [(&str, &str); 7] = [
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.nn.parameter", "Parameter"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
];

/// Values on the stack and in the memo, together; far beyond any real network.
const MOST_VALUES: usize = 4_000_000;
/// Nesting of values that is followed.
pub(super) const DEEPEST: usize = 64;

/// What a pickle builds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Something no tensor is made of: None, truth values, floats, bytes.
    Other,
    Int(i64),
    Text(Rc<str>),
    List(Shared<Vec<Value>>),
    Tuple(Rc<[Value]>),
    Dict(Shared<Vec<(Value, Value)>>),
    /// `module.name`.
    Global(Rc<str>),
    /// A class or function and its arguments.
    Call(Rc<str>, Rc<[Value]>),
    /// What a persistent id names: a storage.
    Persistent(Rc<[Value]>),
    /// A mark for the instructions that take everything above it.
    Mark,
}

type Shared<T> = Rc<std::cell::RefCell<T>>;

impl Value {
    pub(super) fn int(&self) -> Option<usize> {
        match self {
            Self::Int(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Global(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn ints(&self) -> Option<Vec<usize>> {
        match self {
            Self::Tuple(items) => items.iter().map(Self::int).collect(),
            Self::List(items) => items.borrow().iter().map(Self::int).collect(),
            Self::Call(_, arguments) => arguments.first()?.ints(),
            _ => None,
        }
    }
}

/// Reads one pickle from the front of `rest`, leaving what follows.
///
/// # Errors
/// A reason in words: damage, an instruction PyTorch does not use, or a class that is not allowed.
pub(super) fn read(rest: &mut &[u8]) -> Result<Value, String> {
    let mut machine = Machine::default();
    loop {
        let opcode = take(rest, 1)?[0];
        if machine.step(opcode, rest)? {
            return machine.pop();
        }
        if machine.stack.len() + machine.memo.len() > MOST_VALUES {
            return Err("it builds too many values".into());
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(count).ok_or("it ends too early; copy it again")?;
    *rest = left;
    Ok(taken)
}

fn number<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or("it ends too early; copy it again")?;
    *rest = left;
    Ok(*taken)
}

fn small(rest: &mut &[u8]) -> Result<usize, String> {
    Ok(usize::from(number::<1>(rest)?[0]))
}

fn medium(rest: &mut &[u8]) -> Result<usize, String> {
    Ok(u32::from_le_bytes(number(rest)?) as usize)
}

fn large(rest: &mut &[u8]) -> Result<usize, String> {
    usize::try_from(u64::from_le_bytes(number(rest)?)).map_err(|_| "a length is impossible".into())
}

fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = rest.iter().position(|&byte| byte == b'\n').ok_or("it ends too early; copy it again")?;
    let text = std::str::from_utf8(take(rest, end)?).map_err(|_| "a name is not text")?;
    take(rest, 1)?;
    Ok(text)
}

#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    memo: HashMap<usize, Value>,
}

impl Machine {
    /// Carries out one instruction; true at the end.
    fn step(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<bool, String> {
        match opcode {
            b'.' => return Ok(true),
            0x80 => drop(take(rest, 1)?), // PROTO
            0x95 => drop(take(rest, 8)?), // FRAME
            b'(' => self.stack.push(Value::Mark),
            b'0' => drop(self.pop()?),
            b'2' => {
                let top = self.stack.last().cloned().ok_or("its stack is empty")?;
                self.stack.push(top);
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.remember(opcode, rest)?,
            b'}' | b']' | b')' | b't' | 0x85..=0x87 | b'l' | b'd' => self.build_container(opcode)?,
            b's' | b'u' | b'a' | b'e' => self.fill_container(opcode)?,
            b'c' | 0x93 | b'R' | 0x81 | b'b' | b'Q' => self.refer(opcode, rest)?,
            _ => self.push_scalar(opcode, rest)?,
        }
        Ok(false)
    }

    fn pop(&mut self) -> Result<Value, String> {
        self.stack.pop().ok_or_else(|| "its stack is empty".into())
    }

    /// Everything above the last mark, the mark removed.
    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark =
            self.stack.iter().rposition(|value| matches!(value, Value::Mark)).ok_or("a mark is missing")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    /// PUT and GET instructions.
    fn remember(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<(), String> {
        let key = match opcode {
            b'q' | b'h' => small(rest)?,
            b'r' | b'j' => medium(rest)?,
            _ => self.memo.len(),
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(&key).cloned().ok_or("it refers to a value it never made")?;
            self.stack.push(value);
        } else {
            let value = self.stack.last().cloned().ok_or("its stack is empty")?;
            self.memo.insert(key, value);
        }
        Ok(())
    }

    fn build_container(&mut self, opcode: u8) -> Result<(), String> {
        let value = match opcode {
            b'}' => Value::Dict(Shared::default()),
            b']' => Value::List(Shared::default()),
            b')' => Value::Tuple(Rc::new([])),
            b't' => Value::Tuple(self.pop_to_mark()?.into()),
            b'l' => Value::List(Rc::new(self.pop_to_mark()?.into())),
            b'd' => Value::Dict(Rc::new(pairs(self.pop_to_mark()?)?.into())),
            _ => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or("its stack is empty")?;
                Value::Tuple(self.stack.split_off(start).into())
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// SETITEM(S) and APPEND(S).
    fn fill_container(&mut self, opcode: u8) -> Result<(), String> {
        let items = match opcode {
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            b'a' => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        match (self.stack.last(), opcode) {
            (Some(Value::Dict(dict)), b's' | b'u') => dict.borrow_mut().extend(pairs(items)?),
            (Some(Value::List(list)), b'a' | b'e') => list.borrow_mut().extend(items),
            // Attributes set on other objects (an OrderedDict's `_metadata`) are of no interest.
            (Some(_), _) => {}
            (None, _) => return Err("its stack is empty".into()),
        }
        Ok(())
    }

    /// Classes, calls and persistent ids.
    fn refer(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<(), String> {
        let value = match opcode {
            b'c' => {
                let module = line(rest)?.to_owned();
                global(&module, line(rest)?)?
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (module.text(), name.text()) else {
                    return Err("a class has no name".into());
                };
                global(module, name)?
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                match (callee, arguments) {
                    (Value::Global(name), Value::Tuple(_)) if &*name == "collections.OrderedDict" => {
                        Value::Dict(Shared::default())
                    }
                    (Value::Global(name), Value::Tuple(arguments)) => Value::Call(name, arguments),
                    _ => return Err("it calls something that is not a class".into()),
                }
            }
            b'b' => {
                self.pop()?; // The state of an object: hooks and metadata.
                return Ok(());
            }
            _ => match self.pop()? {
                Value::Tuple(id) => Value::Persistent(id),
                _ => return Err("a persistent id has an unknown form".into()),
            },
        };
        self.stack.push(value);
        Ok(())
    }

    fn push_scalar(&mut self, opcode: u8, rest: &mut &[u8]) -> Result<(), String> {
        let text = |bytes: &[u8]| {
            std::str::from_utf8(bytes)
                .map(|text| Value::Text(text.into()))
                .map_err(|_| "a text is not UTF-8".to_owned())
        };
        let value = match opcode {
            b'N' | 0x88 | 0x89 => Value::Other,
            b'K' => Value::Int(small(rest)? as i64),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(number(rest)?))),
            b'J' => Value::Int(i64::from(i32::from_le_bytes(number(rest)?))),
            0x8a => {
                let length = small(rest)?;
                long(take(rest, length)?)
            }
            b'G' => {
                take(rest, 8)?;
                Value::Other
            }
            b'X' => {
                let length = medium(rest)?;
                text(take(rest, length)?)?
            }
            0x8c => {
                let length = small(rest)?;
                text(take(rest, length)?)?
            }
            0x8d => {
                let length = large(rest)?;
                text(take(rest, length)?)?
            }
            b'U' => {
                let length = small(rest)?;
                text(take(rest, length)?)?
            }
            b'T' => {
                let length = medium(rest)?;
                text(take(rest, length)?)?
            }
            b'C' => {
                let length = small(rest)?;
                take(rest, length)?;
                Value::Other
            }
            b'B' => {
                let length = medium(rest)?;
                take(rest, length)?;
                Value::Other
            }
            other => {
                return Err(format!("it has the instruction {other:#04x}, which weight files do not use"));
            }
        };
        self.stack.push(value);
        Ok(())
    }
}

/// A little-endian two's complement integer; one beyond 64 bits (the file's magic number) is of no interest.
fn long(bytes: &[u8]) -> Value {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    if bytes.len() <= 8 {
        let mut padded = [if negative { 0xff } else { 0 }; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        return Value::Int(i64::from_le_bytes(padded));
    }
    Value::Other
}

fn pairs(items: Vec<Value>) -> Result<Vec<(Value, Value)>, String> {
    if !items.len().is_multiple_of(2) {
        return Err("a dictionary has a key without a value".into());
    }
    let mut items = items.into_iter();
    Ok(std::iter::from_fn(|| items.next().zip(items.next())).collect())
}

fn global(module: &str, name: &str) -> Result<Value, String> {
    let is_storage = matches!(module, "torch" | "torch.storage") && name.ends_with("Storage");
    if !is_storage && !ALLOWED.contains(&(module, name)) {
        return Err(format!(
            "it asks for `{module}.{name}`, which a file of plain weights has no use for; nothing was executed"
        ));
    }
    Ok(Value::Global(format!("{module}.{name}").into()))
}

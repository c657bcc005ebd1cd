//! The part of Python's pickle language that PyTorch's files use, as data: nothing is ever executed.
//!
//! A pickle is a program for a stack machine. Here its instructions build [`Value`]s; a class or function it names must be one of
//! [`ALLOWED`], and "calling" it only notes the call. All containers lie side by side in one list and refer to each other by number,
//! so that neither depth nor circles of a hostile file ever become depth of our own stack; their number is bounded.

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

/// Values on the stack, in the memo and in containers, together; far beyond any real network.
const MOST_VALUES: usize = 4_000_000;

/// What a pickle builds; containers are looked up in its [`Pickle`].
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Something no tensor is made of: None, truth values, floats, bytes.
    Other,
    Int(i64),
    Text(Rc<str>),
    List(Container),
    Tuple(Container),
    /// Keys and values by turns.
    Dict(Container),
    /// `module.name`.
    Global(Rc<str>),
    /// A class or function and its arguments.
    Call(Rc<str>, Container),
    /// What a persistent id names: a storage.
    Persistent(Container),
    /// A mark for the instructions that take everything above it.
    Mark,
}

/// Number of a container within its pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container(usize);

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    /// What it gives.
    pub(super) root: Value,
    containers: Vec<Vec<Value>>,
}

impl Pickle {
    /// The values in a container.
    pub(super) fn items(&self, container: Container) -> &[Value] {
        &self.containers[container.0] // Containers are only made together with their place.
    }

    /// The entries of a dictionary.
    pub(super) fn entries(&self, dict: Container) -> impl Iterator<Item = (&Value, &Value)> {
        self.items(dict).as_chunks::<2>().0.iter().map(|[key, value]| (key, value))
    }

    /// Every value in any container.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.containers.iter().flatten()
    }

    /// The whole numbers of a tuple, a list, or a `torch.Size` of one.
    pub(super) fn ints(&self, value: &Value) -> Option<Vec<usize>> {
        let value = match value {
            Value::Call(_, arguments) => self.items(*arguments).first()?,
            value => value,
        };
        match value {
            Value::Tuple(items) | Value::List(items) => self.items(*items).iter().map(Value::int).collect(),
            _ => None,
        }
    }
}

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
}

/// Reads one pickle from the front of `rest`, leaving what follows.
///
/// # Errors
/// A reason in words: damage, an instruction PyTorch does not use, or a class that is not allowed.
pub(super) fn read(rest: &mut &[u8]) -> Result<Pickle, String> {
    let mut machine = Machine::default();
    loop {
        let opcode = take(rest, 1)?[0];
        if machine.step(opcode, rest)? {
            let root = machine.pop()?;
            return Ok(Pickle { root, containers: machine.containers });
        }
        if machine.stack.len() + machine.memo.len() + machine.contained > MOST_VALUES {
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
    containers: Vec<Vec<Value>>,
    /// Containers and the values in them.
    contained: usize,
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

    /// Keeps the items of a new container.
    fn keep(&mut self, items: Vec<Value>) -> Container {
        self.contained += 1 + items.len();
        self.containers.push(items);
        Container(self.containers.len() - 1)
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
            b'}' => Value::Dict(self.keep(Vec::new())),
            b']' => Value::List(self.keep(Vec::new())),
            b')' => Value::Tuple(self.keep(Vec::new())),
            b't' | b'l' | b'd' => {
                let items = self.pop_to_mark()?;
                match opcode {
                    b't' => Value::Tuple(self.keep(items)),
                    b'l' => Value::List(self.keep(items)),
                    _ => Value::Dict(self.keep(in_pairs(items)?)),
                }
            }
            _ => {
                let count = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(count).ok_or("its stack is empty")?;
                let items = self.stack.split_off(start);
                Value::Tuple(self.keep(items))
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
        let (container, items) = match (self.stack.last(), opcode) {
            (Some(Value::Dict(dict)), b's' | b'u') => (*dict, in_pairs(items)?),
            (Some(Value::List(list)), b'a' | b'e') => (*list, items),
            // Attributes set on other objects (an OrderedDict's `_metadata`) are of no interest.
            (Some(_), _) => return Ok(()),
            (None, _) => return Err("its stack is empty".into()),
        };
        self.contained += items.len();
        self.containers[container.0].extend(items);
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
                        Value::Dict(self.keep(Vec::new()))
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

/// The items, if there are as many values as keys.
fn in_pairs(items: Vec<Value>) -> Result<Vec<Value>, String> {
    if items.len().is_multiple_of(2) {
        Ok(items)
    } else {
        Err("a dictionary has a key without a value".into())
    }
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

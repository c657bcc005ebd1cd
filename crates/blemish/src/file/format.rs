//! The `.blemish` file: a safetensors file whose metadata holds one JSON header.
//!
//! The header says what the tensors mean (format version, method, settings, backbone, transform, digests); the tensors are the method's
//! state and, under `backbone.`, the backbone's weights (`backbones.1.` and so on: those of an ensemble's others), so that one file
//! scores the same wherever it goes. One digest covers every byte, header and tensors alike, and is checked whenever a file is read. Files are
//! read into memory whole, so that nobody can change them under way; they are written to a temporary name first, so nothing half-written is
//! ever found under the final name.

use super::header::{FORMAT_VERSION, Header};
use super::{outline, seal, whole};
use blemish_core::error::Error;
use blemish_core::state::{Bytes, Shared, State, StateTensor, Storage, Values};
use blemish_data::files::unfinished;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

const HEADER_KEY: &str = "blemish";

/// What errors call a model that is not in a file.
const IN_MEMORY: &str = "model in memory";

/// Writes a model file; an existing file is replaced only when the new one is complete, and keeps its owner and permissions.
///
/// Who has read the file before claims it first, with a [`Claim`](super::Claim).
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written or is full.
pub fn write(path: &Path, header: &Header, state: &State) -> Result<(), Error> {
    let fail = |source: io::Error| Error::Io { action: "write", path: path.to_owned(), source };
    let mut file = unfinished(path).map_err(fail)?;
    let mut buffered = BufWriter::new(&mut file);
    write_to(header, state, &mut buffered).and_then(|()| buffered.flush()).map_err(fail)?;
    drop(buffered);
    file.file().sync_all().map_err(fail)?;
    file.complete().map_err(fail)
}

/// The bytes that [`write()`] puts into a file.
///
/// # Errors
/// [`Error::Io`] if they cannot be serialised.
pub fn to_bytes(header: &Header, state: &State) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write_to(header, state, &mut bytes).map_err(|source| Error::Io {
        action: "write",
        path: IN_MEMORY.into(),
        source,
    })?;
    Ok(bytes)
}

/// Writes head and tensors one after the other. The library would need all of it in memory.
fn write_to(header: &Header, state: &State, to: &mut impl Write) -> io::Result<()> {
    let (mut head, tensors) = head_of(header, state)?;
    let place =
        seal::place(&head).ok_or_else(|| io::Error::other("the header has no one place for its digest"))?;
    let digits = seal::digits(&head, &place);
    head[place].copy_from_slice(digits.as_bytes());
    to.write_all(&head)?;
    tensors.into_iter().try_for_each(|tensor| to.write_all(tensor.values.bytes()))
}

/// What comes before the tensors, its digest still blank, and the tensors in their order: the largest types first, so that all are aligned.
fn head_of<'a>(header: &Header, state: &'a State) -> io::Result<(Vec<u8>, Vec<&'a StateTensor>)> {
    use safetensors::tensor::View;
    let header = Header { checksum: checksum(state), file_digest: Some(seal::blank()), ..header.clone() };
    let about = HashMap::from([(HEADER_KEY.to_owned(), serde_json::to_string(&header)?)]);
    let mut tensors: Vec<(&String, &StateTensor)> = state.tensors().iter().collect();
    tensors.sort_by(|(name, tensor), (other_name, other)| {
        other.dtype().cmp(&tensor.dtype()).then(name.cmp(other_name))
    });
    let mut offset = 0;
    let mut infos = Vec::with_capacity(tensors.len());
    for (name, tensor) in &tensors {
        let end = offset + tensor.values.bytes().len();
        let info =
            TensorInfo { dtype: tensor.dtype(), shape: tensor.shape.clone(), data_offsets: (offset, end) };
        infos.push(((*name).clone(), info));
        offset = end;
    }
    let metadata = Metadata::new(Some(about), infos).map_err(|error| io::Error::other(error.to_string()))?;
    let mut text = serde_json::to_vec(&metadata)?;
    // So that the first tensor is aligned, too.
    text.resize(text.len().next_multiple_of(8), b' ');
    let head = [&(text.len() as u64).to_le_bytes()[..], &text].concat();
    Ok((head, tensors.into_iter().map(|(_, tensor)| tensor).collect()))
}

/// Reads a model from bytes in memory, which its tensors share.
///
/// # Errors
/// As [`read()`].
pub fn from_bytes(bytes: Bytes) -> Result<(Header, State), Error> {
    read_tensors(Path::new(IN_MEMORY), &Storage::Memory(bytes))
}

/// Reads a model file: its header and its tensors, which share one piece of memory.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`], [`Error::Corrupt`], [`Error::NewerVersion`], [`Error::NewerContent`] or [`Error::Io`], each
/// naming the file.
pub fn read(path: &Path) -> Result<(Header, State), Error> {
    read_tensors(path, &Storage::Memory(whole::read(path)?))
}

fn read_tensors(path: &Path, storage: &Storage) -> Result<(Header, State), Error> {
    let bytes = storage.bytes();
    let (tensors, start) = outline::metadata(path, bytes)?;
    // The start is at most the length.
    let header = parse_header(path, &tensors, &|digest| seal::holds(&bytes[..start], digest))?;
    let state = map_tensors(path, storage, &tensors, start)?;
    if checksum(&state) != header.checksum {
        return Err(altered(path));
    }
    Ok((header, state))
}

fn altered(path: &Path) -> Error {
    let reason = "its content is not what was written: its digest does not match".into();
    Error::Corrupt { path: path.to_owned(), reason }
}

/// The header. `holds` says whether a digest is that of the file's head.
fn parse_header(path: &Path, tensors: &Metadata, holds: &dyn Fn(&str) -> bool) -> Result<Header, Error> {
    let about = tensors.metadata().as_ref();
    let text = about.and_then(|metadata| metadata.get(HEADER_KEY)).ok_or_else(|| {
        let reason = "it is a safetensors file without a model header (perhaps backbone weights)".into();
        Error::NotAModel { path: path.to_owned(), reason }
    })?;
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        path: path.to_owned(),
        reason: format!("its model header is damaged ({error})"),
    };
    let value: Value = serde_json::from_str(text).map_err(corrupt)?;
    // The version comes first: a later header may lack or add anything else.
    let found = value.get("format_version").and_then(Value::as_u64).unwrap_or(0);
    if found > FORMAT_VERSION {
        return Err(Error::NewerVersion { path: path.to_owned(), found, supported: FORMAT_VERSION });
    }
    if let Some(digest) = value.get("file_digest")
        && !digest.as_str().is_some_and(holds)
    {
        return Err(altered(path));
    }
    let header = Header::deserialize(&value).map_err(corrupt)?;
    let beside = about.into_iter().flatten().map(|(key, _)| key.clone()).find(|key| key != HEADER_KEY);
    let known = serde_json::to_value(&header).map_err(corrupt)?;
    match unknown_key(&value, &known).or(beside) {
        // What this program does not know may change what the rest means.
        Some(key) => Err(Error::NewerContent { path: path.to_owned(), key, written_by: header.written_by }),
        None => Ok(header),
    }
}

/// A key of `found` that does not come back in `known`, which is `found` read and written again, with the keys it lies in.
fn unknown_key(found: &Value, known: &Value) -> Option<String> {
    let below = |key: String, found, known| unknown_key(found, known).map(|rest| format!("{key}.{rest}"));
    match (found, known) {
        (Value::Object(found), Value::Object(known)) => {
            found.iter().find_map(|(key, value)| match known.get(key) {
                Some(known) => below(key.clone(), value, known),
                // Nothing is said by it.
                None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => None,
                None => Some(key.clone()),
            })
        }
        (Value::Array(found), Value::Array(known)) => {
            let mut pairs = found.iter().zip(known).enumerate();
            pairs.find_map(|(at, (found, known))| below(at.to_string(), found, known))
        }
        _ => None,
    }
}

fn map_tensors(
    path: &Path,
    storage: &Storage,
    tensors: &Metadata,
    data_start: usize,
) -> Result<State, Error> {
    let mut state = State::default();
    for (name, info) in tensors.tensors() {
        let corrupt =
            |what: &str| Error::Corrupt { path: path.to_owned(), reason: format!("tensor `{name}` {what}") };
        let length: usize = info.shape.iter().product();
        let offset = data_start + info.data_offsets.0;
        let outside = || corrupt("lies outside the file");
        let values = match info.dtype {
            Dtype::F64 => Values::F64(Shared::within(storage, offset, length).ok_or_else(outside)?),
            Dtype::F32 => Values::F32(Shared::within(storage, offset, length).ok_or_else(outside)?),
            Dtype::F16 => Values::F16(Shared::within(storage, offset, length).ok_or_else(outside)?),
            Dtype::U32 => Values::U32(Shared::within(storage, offset, length).ok_or_else(outside)?),
            Dtype::U8 => Values::U8(Shared::within(storage, offset, length).ok_or_else(outside)?),
            _ => return Err(corrupt("has a type that models do not use")),
        };
        state.insert(name, StateTensor { shape: info.shape.clone(), values });
    }
    Ok(state)
}

fn checksum(state: &State) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, tensor) in state.tensors() {
        hasher.update(name.as_bytes());
        hasher.update(tensor.values.bytes());
    }
    hasher.finalize()
}

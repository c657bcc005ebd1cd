//! The `.blemish` file: a safetensors file whose metadata holds one JSON header.
//!
//! The header says what the tensors mean (format version, method, settings, backbone, transform, digests); the tensors are the method's
//! state and, under `backbone.`, the backbone's weights (`backbones.1.` and so on: those of an ensemble's others), so that one file
//! scores the same wherever it goes. Files are read through a memory map, or lie in memory as a whole; they are written to a temporary
//! name first, so nothing half-written is ever found under the final name.

use super::header::{FORMAT_VERSION, Header};
use blemish_core::error::Error;
use blemish_core::state::{Bytes, Shared, State, StateTensor, Storage, Values};
use blemish_data::files::unfinished;
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors};
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const HEADER_KEY: &str = "blemish";

/// What errors call a model that is not in a file.
const IN_MEMORY: &str = "model in memory";

/// Writes a model file; an existing file is replaced only when the new one is complete.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written or is full.
pub fn write(path: &Path, header: &Header, state: &State) -> Result<(), Error> {
    let fail = |source: std::io::Error| Error::Io { action: "write", path: path.to_owned(), source };
    let metadata = metadata_of(header, state).map_err(fail)?;
    let file = unfinished(path).map_err(fail)?;
    let permissions = file.as_file().metadata().map_err(fail)?.permissions();
    // Serialising in memory would double the peak. The library streams, but to a private file of its own that takes this one's place.
    safetensors::serialize_to_file(state.tensors(), Some(metadata), file.path()).map_err(
        |error| match error {
            safetensors::SafeTensorError::IoError(source) => fail(source),
            other => fail(std::io::Error::other(other.to_string())),
        },
    )?;
    std::fs::set_permissions(file.path(), permissions).map_err(fail)?;
    File::open(file.path()).and_then(|written| written.sync_all()).map_err(fail)?;
    file.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// The metadata of a file: the header with the checksum of the tensors.
fn metadata_of(header: &Header, state: &State) -> Result<HashMap<String, String>, std::io::Error> {
    let header = Header { checksum: checksum(state), ..header.clone() };
    Ok(HashMap::from([(HEADER_KEY.to_owned(), serde_json::to_string(&header)?)]))
}

/// The bytes that [`write()`] puts into a file.
///
/// # Errors
/// [`Error::Io`] if they cannot be serialised.
pub fn to_bytes(header: &Header, state: &State) -> Result<Vec<u8>, Error> {
    let fail = |source: std::io::Error| Error::Io { action: "write", path: IN_MEMORY.into(), source };
    let metadata = metadata_of(header, state).map_err(fail)?;
    safetensors::serialize(state.tensors(), Some(metadata))
        .map_err(|error| fail(std::io::Error::other(error.to_string())))
}

/// Reads a model from bytes in memory, which its tensors share.
///
/// # Errors
/// As [`read()`].
pub fn from_bytes(bytes: Bytes) -> Result<(Header, State), Error> {
    read_tensors(Path::new(IN_MEMORY), &Storage::Memory(bytes))
}

/// Reads a model file: its header and its tensors, mapped into memory.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`], [`Error::Corrupt`], [`Error::NewerVersion`] or [`Error::Io`], each naming the file.
pub fn read(path: &Path) -> Result<(Header, State), Error> {
    let fail = |source: std::io::Error| Error::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if metadata.is_dir() {
        return Err(Error::NotAModel { path: path.to_owned(), reason: "it is a folder".into() });
    }
    if metadata.len() == 0 {
        return Err(Error::NotAModel { path: path.to_owned(), reason: "it is empty".into() });
    }
    // Safety: the map is read-only; a file that another program shortens meanwhile is outside what any reader can guard against.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(fail)?);
    read_tensors(path, &Storage::Map(map))
}

fn read_tensors(path: &Path, storage: &Storage) -> Result<(Header, State), Error> {
    let (tensors, data_start) = open(path, storage.bytes())?;
    let header = parse_header(path, &tensors)?;
    let state = map_tensors(path, storage, &tensors, data_start)?;
    if checksum(&state) != header.checksum {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            reason: "its checksum does not match its content".into(),
        });
    }
    Ok((header, state))
}

/// Reads the safetensors header and tells foreign, truncated and damaged files apart.
fn open(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize), Error> {
    let foreign = |reason: &str| Error::NotAModel { path: path.to_owned(), reason: reason.to_owned() };
    let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
    if let Some(kind) = kind_of(bytes) {
        return Err(foreign(&format!("it looks like {kind}")));
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(foreign("it is too short"));
    };
    let length = u64::from_le_bytes(*length);
    if rest.first() != Some(&b'{') || length > 100_000_000 {
        return Err(foreign("its first bytes are not those of a safetensors file"));
    }
    let (total, start) = (bytes.len() as u64, 8 + length);
    if total < start {
        return Err(Error::Truncated { path: path.to_owned(), found: total, expected: start });
    }
    // `length` is at most the file's size here, so it fits an usize.
    let text = &rest[..length as usize];
    let metadata: Metadata =
        serde_json::from_slice(text).map_err(|error| corrupt(format!("its header is damaged ({error})")))?;
    let expected = start + metadata.data_len() as u64;
    if total < expected {
        return Err(Error::Truncated { path: path.to_owned(), found: total, expected });
    }
    // The library repeats the checks of offsets, shapes and sizes.
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| corrupt(error.to_string()))?;
    Ok((metadata, start as usize))
}

fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 7] = [
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"PK\x03\x04", "a zip archive (perhaps PyTorch weights)"),
        (b"\x80\x02", "a Python pickle (perhaps PyTorch weights)"),
        (b"BM", "a BMP image"),
        (b"II*\0", "a TIFF image"),
        (b"\x08", "an ONNX graph"),
    ];
    // A safetensors header may well be 8 bytes modulo 256 long: its ninth byte decides.
    if bytes.get(8) == Some(&b'{') {
        return None;
    }
    KINDS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}

fn parse_header(path: &Path, tensors: &Metadata) -> Result<Header, Error> {
    let text =
        tensors.metadata().as_ref().and_then(|metadata| metadata.get(HEADER_KEY)).ok_or_else(|| {
            let reason = "it is a safetensors file without a model header (perhaps backbone weights)".into();
            Error::NotAModel { path: path.to_owned(), reason }
        })?;
    let corrupt = |error: serde_json::Error| Error::Corrupt {
        path: path.to_owned(),
        reason: format!("its model header is damaged ({error})"),
    };
    let value: serde_json::Value = serde_json::from_str(text).map_err(corrupt)?;
    // The version comes first: a later header may lack or add anything else.
    let found = value.get("format_version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if found > FORMAT_VERSION {
        return Err(Error::NewerVersion { path: path.to_owned(), found, supported: FORMAT_VERSION });
    }
    serde_json::from_value(value).map_err(corrupt)
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

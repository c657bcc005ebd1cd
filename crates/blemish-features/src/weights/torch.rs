//! PyTorch's files: the zip of today and the bare pickle of before 1.6.

use super::numbers::Number;
use super::pickle::{self, Pickle, Value};
use crate::FeatureError;
use crate::graph::{StateDict, Tensor};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

/// First value of an old file.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Keys under which training checkpoints keep the state dict.
const NESTED: [&str; 4] = ["state_dict", "model", "model_state_dict", "net"];

/// How deep a state dict is looked for in a checkpoint, and a tensor in what wraps it.
const DEEPEST: usize = 4;

/// Reads today's format: a zip with `data.pkl` and one file a storage.
pub(super) fn read_zip(bytes: &[u8], path: &Path) -> Result<StateDict, FeatureError> {
    let broken = |error: zip::result::ZipError| {
        FeatureError::weight_file(path, format!("its zip archive is damaged ({error}); copy it again"))
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let index = archive
        .file_names()
        .flatten()
        .find(|name| name.ends_with("data.pkl"))
        .map(|name| name.into_owned())
        .ok_or_else(|| {
            FeatureError::weight_file(
                path,
                "it is a zip archive without PyTorch data; bring the .pth file itself",
            )
        })?;
    let prefix = index[..index.len() - "data.pkl".len()].to_owned();
    let program =
        entry(&mut archive, &index, bytes.len()).map_err(|reason| FeatureError::weight_file(path, reason))?;
    let order = entry(&mut archive, &format!("{prefix}byteorder"), bytes.len()).unwrap_or_default();
    if order.starts_with(b"big") {
        return Err(FeatureError::weight_file(
            path,
            "its numbers are big endian; save it again on an ordinary machine",
        ));
    }
    let pickle =
        pickle::read(&mut program.as_slice()).map_err(|reason| FeatureError::weight_file(path, reason))?;
    // Storages lie uncompressed side by side, so all of them together are no larger than the archive.
    let mut left = bytes.len();
    let mut storages = Storages::new(|key: &str| {
        let content = entry(&mut archive, &format!("{prefix}data/{key}"), left)?;
        left -= content.len();
        Ok(content)
    });
    state_dict(&pickle, &mut storages, most_numbers(bytes))
        .map_err(|reason| FeatureError::weight_file(path, reason))
}

/// How many numbers all tensors of a file may have: tensors that share a storage (tied layers) count each for itself, but a small file
/// is not to become large by naming one storage again and again.
fn most_numbers(bytes: &[u8]) -> usize {
    bytes.len().saturating_mul(4)
}

/// One file of an archive; PyTorch stores them uncompressed, so none can be larger than the archive.
fn entry(archive: &mut zip::ZipArchive<Cursor<&[u8]>>, name: &str, limit: usize) -> Result<Vec<u8>, String> {
    let file = archive.by_name(name).map_err(|error| format!("`{name}` cannot be read in it ({error})"))?;
    let mut content = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("`{name}` cannot be read in it ({error}); copy it again"))?;
    if content.len() > limit {
        return Err(format!(
            "`{name}` makes its content larger than the whole archive, which PyTorch never writes"
        ));
    }
    Ok(content)
}

/// Reads the old format: five pickles, then the storages one after the other.
pub(super) fn read_legacy(bytes: &[u8], path: &Path) -> Result<StateDict, FeatureError> {
    legacy(bytes).map_err(|reason| FeatureError::weight_file(path, reason))
}

fn legacy(bytes: &[u8]) -> Result<StateDict, String> {
    if bytes.get(2..4) != Some(&[0x8a, 10]) || bytes.get(4..14) != Some(&LEGACY_MAGIC) {
        return Err(
            "it is a pickle, but not of PyTorch weights; bring a state dict in .pth or .safetensors".into()
        );
    }
    let rest = &mut &bytes[..];
    for _ in ["magic", "protocol", "system"] {
        pickle::read(rest)?;
    }
    let pickle = pickle::read(rest)?;
    let keys = pickle::read(rest)?;
    let Value::List(list) = keys.root else { return Err("its list of storages is missing".into()) };
    // Sizes count elements, whose type only the tensors know.
    let types = storage_types(&pickle);
    let mut found = HashMap::new();
    for key in keys.items(list) {
        let key = key.text().ok_or("a storage has no name")?.to_owned();
        let number = *types.get(&key).ok_or_else(|| format!("nothing uses its storage `{key}`"))?;
        let (count, after) = rest.split_first_chunk::<8>().ok_or("it ends too early; copy it again")?;
        let length =
            usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(number.size()));
        let content =
            length.and_then(|length| after.get(..length)).ok_or("it ends too early; copy it again")?;
        *rest = &after[content.len()..];
        found.insert(key, content);
    }
    let find = |key: &str| {
        found.get(key).map(|content| content.to_vec()).ok_or(format!("storage `{key}` is missing"))
    };
    state_dict(&pickle, &mut Storages::new(find), most_numbers(bytes))
}

/// The number type of every storage that a pickle refers to.
fn storage_types(pickle: &Pickle) -> HashMap<String, Number> {
    let named = pickle.values().filter_map(|value| match value {
        Value::Persistent(id) => storage_id(pickle.items(*id)).ok(),
        _ => None,
    });
    named.map(|(key, number)| (key.to_owned(), number)).collect()
}

/// Key and number type of a persistent id `('storage', type, key, device, count, ...)`.
fn storage_id(id: &[Value]) -> Result<(&str, Number), String> {
    let [kind, class, key, ..] = id else { return Err("a persistent id has an unknown form".into()) };
    let (Some("storage"), Some(class), Some(key)) = (kind.text(), class.text(), key.text()) else {
        return Err("a persistent id has an unknown form".into());
    };
    let number = match class.rsplit('.').next().unwrap_or_default() {
        "DoubleStorage" => Number::F64,
        "FloatStorage" => Number::F32,
        "HalfStorage" => Number::F16,
        "BFloat16Storage" => Number::Bf16,
        "LongStorage" => Number::I64,
        "IntStorage" => Number::I32,
        "ShortStorage" => Number::I16,
        "CharStorage" => Number::I8,
        "ByteStorage" | "BoolStorage" => Number::U8,
        other => return Err(format!("its numbers have the unsupported type {other}")),
    };
    Ok((key, number))
}

/// Storages by key, each read once however many tensors share it.
struct Storages<F> {
    find: F,
    read: HashMap<String, Vec<f32>>,
}

impl<F: FnMut(&str) -> Result<Vec<u8>, String>> Storages<F> {
    fn new(find: F) -> Self {
        Self { find, read: HashMap::new() }
    }

    fn get(&mut self, id: &[Value]) -> Result<&[f32], String> {
        let (key, number) = storage_id(id)?;
        if !self.read.contains_key(key) {
            let content = (self.find)(key)?;
            self.read.insert(key.to_owned(), number.read(&content));
        }
        Ok(&self.read[key])
    }
}

/// The tensors of a state dict, or of the one inside a checkpoint; together they have at most `most` numbers.
fn state_dict<F: FnMut(&str) -> Result<Vec<u8>, String>>(
    pickle: &Pickle,
    storages: &mut Storages<F>,
    most: usize,
) -> Result<StateDict, String> {
    let Value::Dict(mut dict) = pickle.root else {
        return Err("it holds no state dict; save it with torch.save(model.state_dict(), FILE)".into());
    };
    for _ in 0..DEEPEST {
        let inner = pickle.entries(dict).find_map(|(key, value)| match value {
            Value::Dict(inner) if key.text().is_some_and(|key| NESTED.contains(&key)) => Some(*inner),
            _ => None,
        });
        let Some(inner) = inner else { break };
        dict = inner;
    }
    let mut tensors = StateDict::new();
    let mut left = most;
    for (key, value) in pickle.entries(dict) {
        if let (Some(name), Some(arguments)) = (key.text(), tensor_arguments(pickle, value)) {
            let tensor = tensor(pickle, arguments, storages, left)
                .map_err(|reason| format!("tensor `{name}`: {reason}"))?;
            left -= tensor.data.len();
            tensors.insert(name.to_owned(), tensor);
        }
    }
    if tensors.is_empty() { Err("it holds no tensors".into()) } else { Ok(tensors) }
}

/// The arguments of the call that rebuilds a tensor, also inside a parameter.
fn tensor_arguments<'a>(pickle: &'a Pickle, mut value: &'a Value) -> Option<&'a [Value]> {
    for _ in 0..DEEPEST {
        let Value::Call(name, arguments) = value else { return None };
        if name.starts_with("torch._utils._rebuild_tensor") {
            return Some(pickle.items(*arguments));
        }
        value = pickle.items(*arguments).first().filter(|_| name.contains("arameter"))?;
    }
    None
}

/// Rebuilds a tensor from `(storage, offset, shape, strides, ...)`.
fn tensor<F: FnMut(&str) -> Result<Vec<u8>, String>>(
    pickle: &Pickle,
    arguments: &[Value],
    storages: &mut Storages<F>,
    most: usize,
) -> Result<Tensor, String> {
    let [Value::Persistent(id), offset, shape, strides, ..] = arguments else {
        return Err("it is described in an unknown form".into());
    };
    let (Some(offset), Some(shape), Some(strides)) = (offset.int(), pickle.ints(shape), pickle.ints(strides))
    else {
        return Err("its shape is not one of whole numbers".into());
    };
    if shape.len() != strides.len() || shape.len() > 8 {
        return Err("its shape and strides do not fit".into());
    }
    let storage = storages.get(pickle.items(*id))?;
    let count = shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .ok_or("its shape is impossible")?;
    let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
    });
    // Expanded tensors (stride 0) could ask for far more numbers than there are.
    if count > 0 && (last.is_none_or(|last| last >= storage.len()) || count > storage.len()) {
        return Err("it reaches beyond its storage; the file is damaged".into());
    }
    if count > most {
        return Err("with it the file holds more numbers than its size allows; the file is damaged".into());
    }
    let mut data = Vec::with_capacity(count);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        data.push(storage[offset + index.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(Tensor { shape, data })
}

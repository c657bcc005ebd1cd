//! Named tensors that make up a fitted method, in memory or mapped from a model file.

use memmap2::Mmap;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A read-only slice that is either owned or lies in a memory-mapped file; cloning is free.
#[derive(Clone)]
pub struct Shared<T> {
    source: Source<T>,
    start: usize,
    length: usize,
}

/// Bytes in memory that tensors may share.
pub type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Where a model's bytes lie; cloning is free.
#[derive(Clone)]
pub enum Storage {
    /// In a file that is mapped into memory.
    Map(Arc<Mmap>),
    /// In memory.
    Memory(Bytes),
}

impl Storage {
    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Memory(bytes) => (**bytes).as_ref(),
        }
    }
}

#[derive(Clone)]
enum Source<T> {
    Owned(Arc<Vec<T>>),
    Stored(Storage),
}

impl<T: bytemuck::Pod> Shared<T> {
    /// A view of `length` values that start at byte `offset` of a model's bytes; copied if they are not aligned there.
    ///
    /// `None` if the range lies outside.
    pub fn within(storage: &Storage, offset: usize, length: usize) -> Option<Self> {
        let end = offset.checked_add(length.checked_mul(size_of::<T>())?)?;
        let bytes = storage.bytes().get(offset..end)?;
        match bytemuck::try_cast_slice::<u8, T>(bytes) {
            Ok(_) => Some(Self { source: Source::Stored(storage.clone()), start: offset, length }),
            Err(_) => Some(bytemuck::allocation::pod_collect_to_vec::<u8, T>(bytes).into()),
        }
    }

    /// Lets the system take back the memory of a mapped file's pages; they are read again when they are next looked at.
    pub fn release(&self) {
        #[cfg(unix)]
        if let Source::Stored(Storage::Map(map)) = &self.source {
            // Safety: the map is shared and read-only, so its pages hold nothing but the file's content. A refusal costs memory only.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

impl<T: bytemuck::Pod> AsRef<[T]> for Shared<T> {
    fn as_ref(&self) -> &[T] {
        match &self.source {
            Source::Owned(values) => &values[self.start..self.start + self.length],
            // `within` has checked range and alignment, so this cast cannot fail.
            Source::Stored(storage) => {
                bytemuck::cast_slice(&storage.bytes()[self.start..self.start + self.length * size_of::<T>()])
            }
        }
    }
}

impl<T: bytemuck::Pod> std::ops::Deref for Shared<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.as_ref()
    }
}

impl<T> From<Vec<T>> for Shared<T> {
    fn from(values: Vec<T>) -> Self {
        let length = values.len();
        Self { source: Source::Owned(Arc::new(values)), start: 0, length }
    }
}

impl<T: bytemuck::Pod + std::fmt::Debug> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.length)
    }
}

/// The values of a tensor in the precision it is stored with.
#[derive(Clone, Debug)]
pub enum Values {
    /// 64-bit floats.
    F64(Shared<f64>),
    /// 32-bit floats.
    F32(Shared<f32>),
    /// Half-precision floats, as bits.
    F16(Shared<u16>),
    /// Unsigned 32-bit integers.
    U32(Shared<u32>),
    /// Bytes.
    U8(Shared<u8>),
}

impl Values {
    /// The raw bytes, little endian.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F64(values) => bytemuck::cast_slice(values),
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(values) => bytemuck::cast_slice(values),
            Self::U32(values) => bytemuck::cast_slice(values),
            Self::U8(values) => values,
        }
    }
}

/// A tensor of a fitted method.
#[derive(Clone, Debug)]
pub struct StateTensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Values,
}

/// The named tensors of a fitted method, in the order of their names.
#[derive(Clone, Debug, Default)]
pub struct State {
    tensors: BTreeMap<String, StateTensor>,
}

/// A tensor that a state lacks or that has another form than its method needs.
#[derive(Debug, thiserror::Error)]
#[error("tensor `{name}` {reason}")]
pub struct StateError {
    /// The tensor.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

macro_rules! typed_access {
    ($set:ident, $get:ident, $variant:ident, $type:ty) => {
        #[doc = concat!("Stores `", stringify!($type), "` values under a name.")]
        pub fn $set(&mut self, name: &str, shape: &[usize], values: impl Into<Shared<$type>>) {
            let tensor = StateTensor { shape: shape.to_vec(), values: Values::$variant(values.into()) };
            self.tensors.insert(name.to_owned(), tensor);
        }

        #[doc = concat!("The `", stringify!($type), "` values and shape of a tensor with `rank` dimensions.")]
        ///
        /// # Errors
        /// [`StateError`] if it is absent, of another type or of another rank.
        pub fn $get(&self, name: &str, rank: usize) -> Result<(&[usize], Shared<$type>), StateError> {
            let wrong = |reason: String| StateError { name: name.to_owned(), reason };
            let tensor = self.tensors.get(name).ok_or_else(|| wrong("is missing".into()))?;
            match &tensor.values {
                Values::$variant(values)
                    if tensor.shape.len() == rank
                        && tensor.shape.iter().product::<usize>() == values.len() =>
                {
                    Ok((&tensor.shape, values.clone()))
                }
                Values::$variant(_) => {
                    Err(wrong(format!("has shape {:?}, not {rank} dimensions", tensor.shape)))
                }
                _ => Err(wrong(format!("does not hold {} values", stringify!($variant)))),
            }
        }
    };
}

impl State {
    typed_access!(set_f64, f64, F64, f64);
    typed_access!(set_f32, f32, F32, f32);
    typed_access!(set_f16, f16, F16, u16);
    typed_access!(set_u32, u32, U32, u32);
    typed_access!(set_u8, u8, U8, u8);

    /// Stores one count.
    pub fn set_count(&mut self, name: &str, count: u64) {
        self.set_u32(name, &[2], vec![count as u32, (count >> 32) as u32]);
    }

    /// A count stored by [`Self::set_count`].
    ///
    /// # Errors
    /// [`StateError`] if it is absent or no count.
    pub fn count(&self, name: &str) -> Result<u64, StateError> {
        match &self.u32(name, 1)?.1[..] {
            &[low, high] => Ok(u64::from(low) | u64::from(high) << 32),
            _ => Err(StateError { name: name.to_owned(), reason: "does not hold one count".into() }),
        }
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, StateTensor> {
        &self.tensors
    }

    /// Puts a tensor in.
    pub fn insert(&mut self, name: String, tensor: StateTensor) {
        self.tensors.insert(name, tensor);
    }

    /// Takes the tensors under `prefix` out, without the prefix.
    pub fn split_off_prefix(&mut self, prefix: &str) -> State {
        let names: Vec<String> =
            self.tensors.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let mut taken = State::default();
        for name in names {
            if let Some(tensor) = self.tensors.remove(&name) {
                taken.insert(name[prefix.len()..].to_owned(), tensor);
            }
        }
        taken
    }

    /// Puts another state's tensors in, under `prefix`.
    pub fn absorb(&mut self, prefix: &str, other: State) {
        for (name, tensor) in other.tensors {
            self.tensors.insert(format!("{prefix}{name}"), tensor);
        }
    }
}

impl View for &StateTensor {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F64(_) => Dtype::F64,
            Values::F32(_) => Dtype::F32,
            Values::F16(_) => Dtype::F16,
            Values::U32(_) => Dtype::U32,
            Values::U8(_) => Dtype::U8,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.values.bytes())
    }
    fn data_len(&self) -> usize {
        self.values.bytes().len()
    }
}

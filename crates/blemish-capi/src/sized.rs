//! Structs that begin with their size, so that they can grow: a caller with an older header gives less, one with a newer header more.

use crate::status::Fault;
use crate::text::null;
use std::mem::{MaybeUninit, size_of};

/// A struct of the header that begins with `uint32_t struct_size`.
///
/// # Safety
/// It is `repr(C)`, begins with a `u32`, and all bytes zero, as well as any others, are a value of it.
pub unsafe trait Sized32: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// Its bytes in the first version of the header.
    const FIRST: usize;
}

/// No struct will ever have more bytes; a size beyond is a mistake, and what lies there is not looked at.
const MOST: usize = 4096;

/// Reads a caller's struct. What an older caller does not know is zero, which is the default everywhere.
///
/// # Safety
/// `from` is NULL, or its first four bytes may be read, and then as many bytes as they say.
pub unsafe fn read<T: Sized32>(from: *const T) -> Result<Option<T>, Fault> {
    if from.is_null() {
        return Ok(None);
    }
    // Safety: the caller's promise.
    let size = unsafe { check(from) }?;
    let mut value = MaybeUninit::<T>::zeroed();
    // Safety: both have so many bytes, and any bytes are a value.
    unsafe {
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), value.as_mut_ptr().cast(), size.min(size_of::<T>()));
        Ok(Some(value.assume_init()))
    }
}

/// Fills a caller's struct up to the size that it says, which stays as it is.
///
/// # Safety
/// As [`read`], and the bytes may be written.
pub unsafe fn write<T: Sized32>(to: *mut T, name: &str, value: &T) -> Result<(), Fault> {
    if to.is_null() {
        return Err(null(name));
    }
    // Safety: the caller's promise.
    unsafe {
        let size = check(to.cast_const())?;
        let (from, to) = ((&raw const *value).cast::<u8>(), to.cast::<u8>());
        let head = size_of::<u32>();
        std::ptr::copy_nonoverlapping(from.add(head), to.add(head), size.min(size_of::<T>()) - head);
    }
    Ok(())
}

/// The size that a struct says, if it can be one.
///
/// # Safety
/// As [`read`].
unsafe fn check<T: Sized32>(from: *const T) -> Result<usize, Fault> {
    // Safety: the caller's promise; nothing is said of alignment.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    let name = T::NAME;
    if size < T::FIRST || size > MOST {
        return Err(Fault::usage(format!(
            "struct_size of {name} is {size}, which no version has; set it to sizeof({name})"
        )));
    }
    let known = size_of::<T>();
    // Safety: the caller says that there are so many bytes.
    let is_plain = (known..size).all(|at| unsafe { from.cast::<u8>().add(at).read() } == 0);
    if !is_plain {
        return Err(Fault::usage(format!(
            "{name} of {size} bytes asks for what this library of version {} does not know; update libblemish",
            env!("CARGO_PKG_VERSION")
        )));
    }
    Ok(size)
}

/// Declares structs of the header that are as they were in its first version. One that has grown says where it once ended.
macro_rules! sized {
    ($($struct:ident = $name:literal),+ $(,)?) => {
        $(
            const _: () = assert!(std::mem::offset_of!($struct, struct_size) == 0);

            // Safety: `repr(C)`, and its fields are numbers and pointers.
            unsafe impl $crate::sized::Sized32 for $struct {
                const NAME: &'static str = $name;
                const FIRST: usize = std::mem::size_of::<Self>();
            }
        )+
    };
}
pub(crate) use sized;

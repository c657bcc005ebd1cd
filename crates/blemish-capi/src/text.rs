//! Strings from and to C: UTF-8, ended by a zero byte.

use crate::status::Fault;
use std::ffi::{CStr, CString, c_char};
use std::path::PathBuf;

/// A text for C. A zero byte inside, which C cannot see beyond, becomes a space.
pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

/// The caller's text; `None` for NULL.
///
/// # Safety
/// `text` is NULL or ends with a zero byte and lives as long as what is returned.
pub unsafe fn optional<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>, Fault> {
    if text.is_null() {
        return Ok(None);
    }
    // Safety: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Fault::usage(format!("{name} is not UTF-8; convert it first")))
}

/// The caller's path. On Unix it may be any bytes, elsewhere it must be UTF-8.
///
/// # Safety
/// As [`optional`].
pub unsafe fn path(path: *const c_char, name: &str) -> Result<PathBuf, Fault> {
    if path.is_null() {
        return Err(null(name));
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        // Safety: the caller's promise.
        let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
        Ok(std::ffi::OsStr::from_bytes(bytes).into())
    }
    #[cfg(not(unix))]
    {
        // Safety: the caller's promise.
        Ok(unsafe { optional(path, name) }?.unwrap_or_default().into())
    }
}

/// An argument that must be something.
pub fn null(name: &str) -> Fault {
    Fault::usage(format!("the argument `{name}` is NULL; give a value"))
}

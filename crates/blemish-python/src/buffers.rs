//! Bytes of Python's that a model's tensors may share.

use blemish::state::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A buffer that nobody writes to, kept from being freed.
struct Kept(ManuallyDrop<PyBuffer<u8>>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        // Safety: the buffer is contiguous and read-only, which was checked, and lives as long as this.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), self.0.len_bytes()) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Safety: nothing looks at it after this.
        let buffer = unsafe { ManuallyDrop::take(&mut self.0) };
        // The last to hold it may be a thread of work that was given up, while the interpreter ends: then it goes with the process.
        let mut held = Some(buffer);
        let _ = Python::try_attach(|_| drop(held.take()));
        std::mem::forget(held);
    }
}

/// The bytes of an object with a buffer: shared where `is_fixed` says that nobody can change them, else copied.
///
/// # Errors
/// `TypeError` or `BufferError` for an object without a contiguous buffer of bytes.
pub fn bytes_of(data: &Bound<'_, PyAny>, is_fixed: bool) -> PyResult<Bytes> {
    let buffer: PyBuffer<u8> = PyBuffer::get(data)?;
    if is_fixed && buffer.readonly() && buffer.is_c_contiguous() {
        return Ok(Arc::new(Kept(ManuallyDrop::new(buffer))));
    }
    Ok(Arc::new(buffer.to_vec(data.py())?))
}

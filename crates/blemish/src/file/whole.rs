//! A model file read into memory at once.
//!
//! Whatever happens to the file afterwards, what was read stays: a file that another program shortens or overwrites in place would end a
//! process that had mapped it, or change its scores. Peak memory is that of a map all of whose pages are looked at, as its checksum does.

use super::outline::{self, Outline};
use blemish_core::error::Error;
use blemish_core::memory;
use blemish_core::state::Bytes;
use blemish_data::files;
use memmap2::MmapMut;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// Memory that begins with a page, so that tensors of any type can share it.
struct Pages(MmapMut);

impl Pages {
    fn new(length: usize) -> io::Result<Self> {
        let pages = MmapMut::map_anon(length)?;
        // A large model is read in half the time where the system need not find its pages one by one. A refusal costs time only.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Self(pages))
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes of a model file. What cannot be one is refused before memory is taken for it.
///
/// # Errors
/// [`Error::NotAModel`], [`Error::Truncated`], [`Error::Corrupt`] or [`Error::Io`].
pub(super) fn read(path: &Path) -> Result<Bytes, Error> {
    let fail = |source: io::Error| Error::Io { action: "read", path: path.to_owned(), source };
    let (mut file, length) = files::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::NotAModel { path: path.to_owned(), reason: error.to_string() },
        _ => fail(error),
    })?;
    let mut head = Vec::new();
    file.by_ref().take(outline::FIRST as u64).read_to_end(&mut head).map_err(fail)?;
    let Outline { start } = outline::of(path, &head, length)?;
    // As long as the file at most.
    file.by_ref().take(start.saturating_sub(head.len() as u64)).read_to_end(&mut head).map_err(fail)?;
    outline::check_extent(path, head.get(8..).unwrap_or_default(), start, length)?;
    if let Some(free) = memory::available().filter(|free| *free < length) {
        let mega = |bytes: u64| bytes / 1_000_000;
        let reason = format!("it needs {} MB of memory, of which {} are free", mega(length), mega(free));
        return Err(fail(io::Error::new(io::ErrorKind::OutOfMemory, reason)));
    }
    let total = usize::try_from(length).map_err(|error| fail(io::Error::other(error)))?;
    let mut whole = Pages::new(total).map_err(fail)?;
    let changed = || Error::Corrupt {
        path: path.to_owned(),
        reason: "it was changed while it was read; let the other program finish".into(),
    };
    let (front, rest) = whole.0.split_at_mut_checked(head.len()).ok_or_else(changed)?;
    front.copy_from_slice(&head);
    file.read_exact(rest).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(),
        _ => fail(error),
    })?;
    match file.read(&mut [0]).map_err(fail)? {
        0 => Ok(Arc::new(whole)),
        _ => Err(changed()),
    }
}

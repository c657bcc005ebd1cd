//! How much memory a fit may take for what it keeps.

use std::path::PathBuf;

/// Bytes kept in memory where no memory limit was given.
const IN_MEMORY: u64 = 1 << 30;

/// Most bytes that are kept at all, in memory or in the temporary file.
const LARGEST: u64 = 16 << 30;

/// How much may be kept, and where.
#[derive(Clone, Debug)]
pub struct CacheLimits {
    /// Bytes in memory.
    pub in_memory: u64,
    /// Bytes altogether.
    pub largest: u64,
    /// Folder for the temporary file; `None` is the system's.
    pub folder: Option<PathBuf>,
}

impl CacheLimits {
    /// A quarter of the memory limit, where there is one.
    pub fn new(memory_limit: Option<u64>, folder: Option<PathBuf>) -> Self {
        Self { in_memory: Self::in_memory(memory_limit), largest: LARGEST, folder }
    }

    /// Bytes of features that stay in memory.
    pub fn in_memory(memory_limit: Option<u64>) -> u64 {
        memory_limit.map_or(IN_MEMORY, |limit| limit / 4)
    }
}

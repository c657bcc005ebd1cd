//! Pools of threads, one for each piece of work at a time.
//!
//! A pool is kept when its work is done and taken by the next. Pools are never shared: a thread that waits in one piece of work would take up
//! another's. After a fork only the forking thread lives in the child, so that pools of another process are forgotten, never joined.

use crate::errors;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Mutex, PoisonError};

/// Pools that wait for work, and the process that they live in. Looked at only while the thread is attached to Python, and so is every `os.fork`:
/// no fork finds the lock taken.
static IDLE: Mutex<Vec<(u32, ThreadPool)>> = Mutex::new(Vec::new());

/// Pools that are kept at most.
const KEPT: usize = 8;

/// Stack of a thread: that of a main thread, on which the program does the same work.
const STACK: usize = 8 << 20;

/// A pool of so many threads; `None` is as many as the machine runs at once.
///
/// # Errors
/// `InternalError` if the system has no more threads.
pub fn take(py: Python<'_>, threads: Option<usize>) -> PyResult<ThreadPool> {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.unwrap_or(most).clamp(1, most);
    let process = std::process::id();
    {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.iter().any(|(of, _)| *of != process) {
            // The parent's: their threads are not here, and dropping them would wait for locks that the threads held.
            std::mem::forget(std::mem::take(&mut *idle));
        }
        if let Some(at) = idle.iter().position(|(_, pool)| pool.current_num_threads() == threads) {
            return Ok(idle.swap_remove(at).1);
        }
    }
    let name = |number| format!("blemish {number}");
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).thread_name(name).build();
    pool.map_err(|error| errors::internal(py, &format!("no threads can be started: {error}")))
}

/// Keeps a pool for the next piece of work.
pub fn give_back(_: Python<'_>, pool: ThreadPool) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < KEPT {
        idle.push((std::process::id(), pool));
    }
}

//! How a caller watches long work and ends it.

use crate::text::c_string;
use blemish::Observer;
use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// A number that the caller sets to other than 0, from any thread, to end a call.
pub type CancelFlag = i32;

/// The caller's flag; NULL never ends anything.
#[derive(Clone, Copy)]
pub struct Cancel(pub *const CancelFlag);

// Safety: it is only read, in one piece, which the caller allows from any thread while the call lasts.
unsafe impl Send for Cancel {}
unsafe impl Sync for Cancel {}

impl Cancel {
    pub fn is_given(self) -> bool {
        !self.0.is_null()
    }
}

impl Observer for Cancel {
    fn is_cancelled(&self) -> bool {
        // Safety: the caller's promise; `volatile`, since another thread writes it.
        self.is_given() && unsafe { self.0.read_volatile() } != 0
    }
}

/// What a blemish_progress event tells.
#[allow(non_camel_case_types, reason = "the names that C sees")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum ProgressKind {
    /// A stage begins: its name is in stage, its number of steps in total where it is known.
    BLEMISH_PROGRESS_STAGE = 1,
    /// Steps are done: how many in all is in done.
    BLEMISH_PROGRESS_STEP,
    /// How the stage stands, in a few words (loss, rate): in message.
    BLEMISH_PROGRESS_STATUS,
    /// Something to know that does not end the work: in message.
    BLEMISH_PROGRESS_WARNING,
}

/// How work stands. It and its texts live during the callback only.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Progress {
    /// Bytes of this struct in the library that calls.
    pub struct_size: u32,
    /// A blemish_progress_kind.
    pub kind: i32,
    /// The stage under way; never NULL.
    pub stage: *const c_char,
    /// Words; never NULL, often empty.
    pub message: *const c_char,
    /// Steps of the stage that are done.
    pub done: u64,
    /// Steps of the stage; 0 where that is not known.
    pub total: u64,
}

/// Told of progress, from one thread at a time, not always the same. Other than 0 ends the work, which then has status 5. It must come back:
/// no exception, no longjmp.
pub type ProgressCallback = Option<unsafe extern "C" fn(progress: *const Progress, user: *mut c_void) -> i32>;

/// Tells the caller's function.
pub struct Teller {
    callback: ProgressCallback,
    /// Given back with every call.
    user: *mut c_void,
    cancel: Cancel,
    is_cancelled: AtomicBool,
    stage: Mutex<Stage>,
}

#[derive(Default)]
struct Stage {
    name: CString,
    done: u64,
    total: u64,
}

// Safety: `user` is handed to the callback alone, one call at a time; the caller expects it on any thread.
unsafe impl Send for Teller {}
unsafe impl Sync for Teller {}

impl Teller {
    pub fn new(callback: ProgressCallback, user: *mut c_void, cancel: Cancel) -> Self {
        Self { callback, user, cancel, is_cancelled: AtomicBool::new(false), stage: Mutex::default() }
    }

    /// Changes the stage and tells it; the lock is what makes callbacks come one at a time.
    fn tell(&self, kind: ProgressKind, message: &str, change: impl FnOnce(&mut Stage)) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut stage);
        // Who has ended the work hears no more of it, though other threads are still at it.
        let Some(callback) = self.callback.filter(|_| !self.is_cancelled.load(Ordering::Relaxed)) else {
            return;
        };
        let message = c_string(message);
        let progress = Progress {
            struct_size: size_of::<Progress>() as u32,
            kind: kind as i32,
            stage: stage.name.as_ptr(),
            message: message.as_ptr(),
            done: stage.done,
            total: stage.total,
        };
        // Safety: the caller's function, called as its type says.
        if unsafe { callback(&raw const progress, self.user) } != 0 {
            self.is_cancelled.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Teller {
    fn stage(&self, name: &str, total: Option<u64>) {
        self.tell(ProgressKind::BLEMISH_PROGRESS_STAGE, "", |stage| {
            *stage = Stage { name: c_string(name), done: 0, total: total.unwrap_or(0) };
        });
    }

    fn advance(&self, steps: u64) {
        self.tell(ProgressKind::BLEMISH_PROGRESS_STEP, "", |stage| stage.done += steps);
    }

    fn status(&self, words: &str) {
        self.tell(ProgressKind::BLEMISH_PROGRESS_STATUS, words, |_| {});
    }

    fn warn(&self, message: &str) {
        self.tell(ProgressKind::BLEMISH_PROGRESS_WARNING, message, |_| {});
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed) || self.cancel.is_cancelled()
    }
}

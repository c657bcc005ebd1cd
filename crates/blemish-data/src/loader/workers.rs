//! The decoding threads behind a loader.

use crate::error::{DataError, ImageFault};
use crate::layout::Sample;
use crate::mask::Mask;
use crate::reader::{RgbImage, read_image, read_mask};
use crate::transform::{PlanarImage, Transform};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// What the threads work on.
pub(super) struct Job {
    pub(super) samples: Arc<[Sample]>,
    /// Position in the stream to index of the sample.
    pub(super) order: Arc<[usize]>,
    pub(super) transform: Arc<Transform>,
    pub(super) with_masks: bool,
}

/// One image, transformed.
pub(super) struct Loaded {
    pub(super) image: PlanarImage,
    pub(super) mask: Option<Mask>,
    pub(super) original_size: (usize, usize),
}

/// Running threads; stopped and joined on drop.
pub(super) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    job: Job,
    /// How many positions may be claimed beyond those taken.
    window: usize,
    state: Mutex<State>,
    /// Signals threads: the reader has taken something, or all is over.
    room: Condvar,
    /// Signals the reader: something is ready.
    ready: Condvar,
}

#[derive(Default)]
struct State {
    /// Positions given to threads so far: all below this.
    claimed: usize,
    /// Positions the reader has taken so far: all below this.
    taken: usize,
    /// Results not taken yet, by position; at most a window of them.
    done: HashMap<usize, Result<Loaded, DataError>>,
    is_stopped: bool,
}

impl Workers {
    /// Starts up to `threads` threads, fewer if the system has no more.
    pub(super) fn start(job: Job, threads: usize, window: usize) -> Self {
        let shared = Arc::new(Shared {
            job,
            window,
            state: Mutex::default(),
            room: Condvar::new(),
            ready: Condvar::new(),
        });
        let start = |number: usize| {
            let shared = shared.clone();
            let builder = std::thread::Builder::new().name(format!("blemish-load-{number}"));
            builder.spawn(move || shared.work()).ok()
        };
        let threads = (0..threads).filter_map(start).collect();
        Self { shared, threads }
    }

    /// How many threads could be started.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// The result at `position`, waiting for it. Positions must be taken in order, each once, before [`Self::stop`].
    pub(super) fn take(&self, position: usize) -> Result<Loaded, DataError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(result) = state.done.remove(&position) {
                state.taken = position + 1;
                self.shared.room.notify_all();
                return result;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the threads end after the images they are at, and forgets what is ready.
    pub(super) fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_stopped = true;
        state.done.clear();
        self.shared.room.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // A thread's panic was already turned into an error of its image.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(position) = self.claim() {
            let sample = &self.job.samples[self.job.order[position]];
            // Whatever happens, the reader waits for this position and must get something.
            let result = catch_unwind(AssertUnwindSafe(|| self.job.load(sample))).unwrap_or_else(|_| {
                let detail = "it could not be transformed".to_string();
                Err(DataError::image(&sample.path, ImageFault::Damaged { format: "image", detail }))
            });
            let mut state = self.lock();
            if state.is_stopped {
                return;
            }
            state.done.insert(position, result);
            self.ready.notify_all();
        }
    }

    /// The next position, once there is room for its result; `None` when all are claimed or the reader has stopped.
    fn claim(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.is_stopped || state.claimed == self.job.order.len() {
                return None;
            }
            if state.claimed < state.taken + self.window {
                state.claimed += 1;
                return Some(state.claimed - 1);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Job {
    fn load(&self, sample: &Sample) -> Result<Loaded, DataError> {
        let at_image = |fault| DataError::image(&sample.path, fault);
        let image = read_image(&sample.path, &self.transform.read_options())?;
        let original_size = (image.height, image.width);
        let mask = match self.with_masks {
            true => mask_of(sample, &image)?,
            false => None,
        };
        let mask = mask.map(|mask| self.transform.apply_mask(&mask)).transpose().map_err(at_image)?;
        let image = self.transform.apply(&image).map_err(at_image)?;
        Ok(Loaded { image, mask, original_size })
    }
}

/// The mask of a sample, if it has one, at the size of its image.
pub(super) fn mask_of(sample: &Sample, image: &RgbImage) -> Result<Option<Mask>, DataError> {
    let Some(path) = sample.mask.as_deref() else { return Ok(None) };
    let mask = read_mask(path)?;
    if (mask.height, mask.width) != (image.height, image.width) {
        let fault = ImageFault::MaskSize {
            mask_width: mask.width,
            mask_height: mask.height,
            width: image.width,
            height: image.height,
        };
        return Err(DataError::image(path, fault));
    }
    Ok(Some(mask))
}

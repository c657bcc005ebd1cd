//! Detectors as handles: loaded, verified, freed.

use crate::error::BlemishError;
use crate::guard::{give, looked_up, run};
use crate::observer::Cancel;
use crate::sized::{self, sized};
use crate::status::{Fault, Status};
use crate::text::{null, optional, path};
use blemish::data::ReadOptions;
use blemish::features::EngineOptions;
use blemish::{Detector, Error, Observer};
use blemish_kernels::Workers;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A fitted detector, for any number of threads at once. Free it with blemish_detector_free.
pub struct BlemishDetector {
    // Dropped in this order: what works in threads goes before the threads.
    pub detector: Detector,
    pub engine: EngineOptions,
    pub read: ReadOptions,
    gate: Gate,
    workers: Workers,
}

/// How a detector is to run. All zero is the default.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct LoadOptions {
    /// sizeof(blemish_load_options).
    pub struct_size: u32,
    /// Threads of the detector; 0 is one for each core. Scores do not depend on it.
    pub threads: u32,
    /// What runs the network: auto, native, rten, ort, burn. NULL is auto.
    pub engine: *const c_char,
    /// Where: auto, cpu, or a GPU where the library was built for one. NULL is auto.
    pub device: *const c_char,
    /// Bytes that one image may take as pixels; 0 is 1 GiB.
    pub memory_limit: u64,
}

sized!(LoadOptions = "blemish_load_options");

/// How many calls work at once: as many as there are threads, so that a thread that waits for others takes up no further call.
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// How often a call that waits for its turn looks whether it is cancelled.
const LOOK: Duration = Duration::from_millis(10);

impl Gate {
    fn new(calls: usize) -> Self {
        Self { free: Mutex::new(calls), freed: Condvar::new() }
    }

    fn enter(&self, cancel: Cancel) -> Result<Pass<'_>, Fault> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            cancel.check_cancelled()?;
            free = match cancel.is_given() {
                true => self.freed.wait_timeout(free, LOOK).unwrap_or_else(PoisonError::into_inner).0,
                false => self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *free -= 1;
        Ok(Pass(self))
    }
}

/// The right to work; given back when it is dropped, after a panic too.
struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// What [`LoadOptions`] say.
pub struct Running {
    pub engine: EngineOptions,
    pub memory_limit: Option<u64>,
    pub workers: Workers,
}

impl Running {
    /// Starts the threads.
    pub fn new(options: Option<LoadOptions>) -> Result<Self, Fault> {
        let mut engine = EngineOptions::default();
        let mut memory_limit = None;
        if let Some(LoadOptions { threads, engine: name, device, memory_limit: limit, .. }) = options {
            // Safety: the caller's texts, which live during the call.
            let (name, device) = unsafe { (optional(name, "engine")?, optional(device, "device")?) };
            engine.engine = name.map_or(Ok(engine.engine), str::parse)?;
            engine.device = device.map_or(Ok(engine.device), str::parse)?;
            engine.threads = (threads > 0).then_some(threads as usize);
            memory_limit = (limit > 0).then_some(limit);
        }
        // More only wait for each other, and a number that was not meant would start as many.
        let most = std::thread::available_parallelism().map_or(1, usize::from).max(64);
        let threads = engine.thread_count().min(most);
        engine.threads = Some(threads);
        Ok(Self { engine, memory_limit, workers: started(threads)? })
    }

    /// The handle of the detector that `make` gives; all its work is done in threads that end with the handle.
    pub fn handle(
        self,
        make: impl FnOnce(&EngineOptions) -> Result<Detector, Fault> + Send,
    ) -> Result<*mut BlemishDetector, Fault> {
        let Self { engine, memory_limit, workers } = self;
        let detector = workers.install(|| make(&engine))?;
        let mut read = detector.transform().read_options();
        read.memory_limit = memory_limit.unwrap_or(read.memory_limit);
        if !detector.is_native(&engine) {
            stay_loaded();
        }
        let gate = Gate::new(workers.current_num_threads());
        Ok(Box::into_raw(Box::new(BlemishDetector { detector, engine, read, gate, workers })))
    }
}

impl BlemishDetector {
    /// The handle that a caller gives.
    ///
    /// # Safety
    /// `detector` is NULL or was given by this library and not freed.
    pub unsafe fn of<'a>(detector: *const Self) -> Result<&'a Self, Fault> {
        // Safety: the caller's promise.
        unsafe { detector.as_ref() }.ok_or_else(|| null("detector"))
    }

    /// Does short work in the detector's threads, when it is its turn.
    pub fn work<T: Send>(
        &self,
        cancel: Cancel,
        work: impl FnOnce(&Detector) -> Result<T, Error> + Send,
    ) -> Result<T, Fault> {
        let _pass = self.gate.enter(cancel)?;
        Ok(self.workers.install(|| work(&self.detector))?)
    }

    /// How a detector runs that is made of this one.
    pub fn running_alike(&self) -> Result<Running, Fault> {
        Ok(Running {
            engine: self.engine.clone(),
            memory_limit: Some(self.read.memory_limit),
            workers: started(self.workers.current_num_threads())?,
        })
    }
}

/// So many threads.
fn started(threads: usize) -> Result<Workers, Fault> {
    Workers::new(threads, "blemish").map_err(|error| {
        Fault::new("io", format!("cannot start {threads} threads: {error}; close other programs"))
    })
}

/// Keeps the library in memory, whatever the program unloads: other engines have threads that may outlive their detector.
fn stay_loaded() {
    #[cfg(unix)]
    // Safety: `dladdr` fills the struct, whose name then is that of the file this code was loaded from. Both are asked for the library that
    // is running; a refusal changes nothing.
    unsafe {
        let mut place = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        let own: *const c_void = (blemish_detector_free as unsafe extern "C" fn(_)) as *const c_void;
        if libc::dladdr(own, place.as_mut_ptr()) != 0 {
            let name = place.assume_init().dli_fname;
            if !name.is_null() {
                libc::dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
            }
        }
    }
}

/// Loads a model file. options may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_load(
    path: *const c_char,
    options: *const LoadOptions,
    out: *mut *mut BlemishDetector,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let path = self::path(path, "path")?;
                let running = Running::new(sized::read(options)?)?;
                running.handle(|engine| Ok(Detector::load(&path, engine)?))
            })
        })
    }
}

/// Loads a model from the bytes of its file, which are copied. options may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_load_bytes(
    data: *const c_void,
    length: usize,
    options: *const LoadOptions,
    out: *mut *mut BlemishDetector,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let bytes: Arc<[u8]> = bytes(data, length)?.into();
                let running = Running::new(sized::read(options)?)?;
                running.handle(|engine| Ok(Detector::from_bytes(Arc::new(bytes), engine)?))
            })
        })
    }
}

/// The caller's bytes.
///
/// # Safety
/// `data` is NULL or has `length` bytes.
pub unsafe fn bytes<'a>(data: *const c_void, length: usize) -> Result<&'a [u8], Fault> {
    if data.is_null() {
        return Err(null("data"));
    }
    if length > isize::MAX as usize {
        return Err(Fault::usage(format!(
            "length is {length}, more than memory can have; give the number of bytes"
        )));
    }
    // Safety: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), length) })
}

/// Proves that the model scores and decides here as where it was fitted: scores the pictures that it holds and compares.
///
/// largest_difference, which may be NULL, becomes the largest difference of a score or map as a share of the highest map value: 0 for the
/// native engine. Status 3 with the code "not_verified" if the model is not as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_verify(
    detector: *const BlemishDetector,
    largest_difference: *mut f64,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            let handle = BlemishDetector::of(detector)?;
            let never = Cancel(std::ptr::null());
            let verified = handle.work(never, |detector| detector.verify(&handle.engine))?;
            if let Some(objection) = verified.objection() {
                let help =
                    "deploy the fitted file again, or look for another engine, device or program version";
                return Err(Fault::new(
                    "not_verified",
                    format!("the model is not verified: {objection}; {help}"),
                ));
            }
            if !largest_difference.is_null() {
                largest_difference.write(verified.largest_difference());
            }
            Ok(())
        })
    }
}

/// Frees a detector, whose threads have ended then. No other call may be using it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_detector_free(detector: *mut BlemishDetector) {
    if !detector.is_null() {
        // Safety: it was boxed by `Running::handle`, and the caller gives it back once.
        looked_up((), || drop(unsafe { Box::from_raw(detector) }));
    }
}

//! What a call through C costs beside the same call in Rust, and what several threads get through one detector.
//!
//! The C side is the built library itself, loaded as a program loads it. `cargo bench -p blemish-capi` prints a table. The bench crate of the
//! other benches is not used: it changes the features of crates below, which then are built twice.

use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::data::{Files, PixelFormat, RgbImage, Transform, open_dataset};
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions};
use std::ffi::{CString, c_char, c_void};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

#[repr(C)]
struct Image {
    struct_size: u32,
    format: i32,
    width: u32,
    height: u32,
    stride: usize,
    planes: [*const c_void; 3],
}

type Load = unsafe extern "C" fn(*const c_char, *const c_void, *mut *mut c_void, *mut c_void) -> i32;
type Score =
    unsafe extern "C" fn(*const c_void, *const Image, *const c_void, *mut *mut c_void, *mut c_void) -> i32;
type Free = unsafe extern "C" fn(*mut c_void);

/// The functions of the library that are measured.
#[derive(Clone, Copy)]
struct Library {
    load: Load,
    score: Score,
    free_result: Free,
    free_detector: Free,
}

impl Library {
    fn open() -> Self {
        let path = std::env::current_exe().unwrap().with_file_name("libblemish_capi.so");
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // Safety: the library is ours, and its functions have these types.
        unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!handle.is_null(), "{path:?} cannot be loaded");
            let find = |name: &std::ffi::CStr| {
                let found = libc::dlsym(handle, name.as_ptr());
                assert!(!found.is_null(), "{name:?}");
                found
            };
            Self {
                load: std::mem::transmute::<*mut c_void, Load>(find(c"blemish_load")),
                score: std::mem::transmute::<*mut c_void, Score>(find(c"blemish_score")),
                free_result: std::mem::transmute::<*mut c_void, Free>(find(c"blemish_result_free")),
                free_detector: std::mem::transmute::<*mut c_void, Free>(find(c"blemish_detector_free")),
            }
        }
    }

    fn load(&self, model: &Path) -> Handle {
        let (path, mut detector) = (CString::new(model.to_str().unwrap()).unwrap(), std::ptr::null_mut());
        // Safety: as the header says.
        let status =
            unsafe { (self.load)(path.as_ptr(), std::ptr::null(), &raw mut detector, std::ptr::null_mut()) };
        assert_eq!(status, 0);
        Handle { library: *self, detector }
    }
}

struct Handle {
    library: Library,
    detector: *mut c_void,
}

// Safety: a detector may be used from any thread.
unsafe impl Sync for Handle {}

impl Handle {
    fn score(&self, pixels: &[u8], side: usize) {
        let format = 4; // BLEMISH_RGB8
        let size = size_of::<Image>() as u32;
        let planes = [pixels.as_ptr().cast(), std::ptr::null(), std::ptr::null()];
        let image =
            Image { struct_size: size, format, width: side as u32, height: side as u32, stride: 0, planes };
        let mut result = std::ptr::null_mut();
        // Safety: as the header says.
        unsafe {
            let status = (self.library.score)(
                self.detector,
                &raw const image,
                std::ptr::null(),
                &raw mut result,
                std::ptr::null_mut(),
            );
            assert_eq!(status, 0);
            (self.library.free_result)(result);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Safety: it is given back once.
        unsafe { (self.library.free_detector)(self.detector) }
    }
}

/// A model and its file.
fn model(folder: &Path, method: &str, side: usize) -> std::path::PathBuf {
    let set = folder.join(format!("{method}-{side}"));
    let looks = SynthOptions {
        train: 10,
        test_good: 1,
        test_per_defect: 1,
        height: side,
        width: side,
        ..SynthOptions::new(Look::Fabric)
    };
    write_synthetic_set(&set, &looks, &|_, _| {}).unwrap();
    let dataset = open_dataset(&set, &Default::default()).unwrap();
    let config = DetectorConfig {
        method: method.into(),
        transform: Some(Transform::resize_to(side, side)),
        calibration: CalibrationConfig { folds: 0, ..CalibrationConfig::default() },
        ..DetectorConfig::default()
    };
    let detector = Detector::fit(&config, &Files::training(&dataset), &FitOptions::default()).unwrap();
    let path = folder.join(format!("{method}.blemish"));
    detector.save(&path).unwrap();
    path
}

/// Microseconds that each of some calls takes: the least of 8 seconds, by turns, so that what else the machine does meets both.
fn microseconds(calls: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let timed = |call: &mut dyn FnMut()| {
        let started = Instant::now();
        call();
        started.elapsed().as_secs_f64() * 1e6
    };
    let mut least = vec![f64::INFINITY; calls.len()];
    let started = Instant::now();
    while started.elapsed().as_secs() < 8 {
        for (call, least) in calls.iter_mut().zip(&mut least) {
            *least = least.min(timed(call));
        }
    }
    least
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let library = Library::open();
    println!("{:<18}{:>14}{:>14}{:>14}", "model, side", "Rust us", "C us", "difference us");
    for (method, side) in [("statistical", 64), ("statistical", 256), ("patchcore", 256)] {
        let path = model(folder.path(), method, side);
        let pixels: Vec<u8> = (0..3 * side * side).map(|at| ((at * 2_654_435_761) >> 7) as u8).collect();
        let detector = Detector::load(&path, &Default::default()).unwrap();
        let handle = library.load(&path);
        let mut in_rust = || {
            let image = RgbImage::from_rows(&pixels, (side, side), 3 * side, PixelFormat::Rgb8).unwrap();
            black_box(detector.judge("image", &image).unwrap());
        };
        let least = microseconds(&mut [&mut in_rust, &mut || handle.score(&pixels, side)]);
        let (rust, c) = (least[0], least[1]);
        println!("{:<18}{rust:>14.1}{c:>14.1}{:>14.1}", format!("{method} {side}"), c - rust);
        if method == "patchcore" {
            threads(&handle, &pixels, side);
            let load = microseconds(&mut [&mut || drop(library.load(&path))])[0];
            println!("load and free: {:.1} ms", load / 1e3);
        }
    }
}

/// What 1 and 8 threads get through one detector.
fn threads(handle: &Handle, pixels: &[u8], side: usize) {
    for threads in [1, 8] {
        let (images, started) = (200, Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..images / threads).for_each(|_| handle.score(pixels, side)));
            }
        });
        let rate = images as f64 / started.elapsed().as_secs_f64();
        println!("{threads} threads on one detector: {rate:.0} images/s");
    }
}

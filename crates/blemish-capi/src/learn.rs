//! Detectors that learn: fitted, updated, calibrated, saved.

use crate::detector::{BlemishDetector, LoadOptions, Running};
use crate::error::BlemishError;
use crate::guard::{give, run};
use crate::image::{Image, images_of};
use crate::observer::{Cancel, CancelFlag, ProgressCallback, Teller};
use crate::sized::{self, sized};
use crate::status::{Fault, Status};
use crate::text::{null, optional, path};
use blemish::data::{
    Dataset, Files, Memory, MemoryImage, OpenOptions, ReadOptions, Skipped, Source, Transform, open_dataset,
    open_good,
};
use blemish::evaluate::EvaluateOptions;
use blemish::{CalibrationConfig, Detector, DetectorConfig, FitOptions, Recalibration, registry};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;

/// What to fit on, and how. Only where the good images are must be said: in data or in images.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Fitting {
    /// sizeof(blemish_fit_options).
    pub struct_size: u32,
    /// Fixes every random choice.
    pub seed: u32,
    /// A folder of good images, a data set or a list, as for `blemish fit`; NULL if they are in memory.
    pub data: *const c_char,
    /// Good images in memory, one after another; they are read during the call.
    pub images: *const Image,
    /// How many.
    pub image_count: usize,
    /// Which category of data with several; NULL if there is one.
    pub category: *const c_char,
    /// The method; NULL is patchcore.
    pub method: *const c_char,
    /// Settings of the method as a JSON object, such as {"coreset_ratio": 0.05}; NULL is none.
    pub settings: *const c_char,
    /// Size of the input in pixels; 0 is chosen by the images.
    pub width: u32,
    /// The same.
    pub height: u32,
    /// Share of good images that may be flagged; 0 is 0.01.
    pub false_alarm: f64,
    /// Not 0: no calibration, so no p-values and no decisions, in a fraction of the time.
    pub no_calibration: i32,
    /// Not 0: the model can learn on by blemish_update.
    pub updatable: i32,
    /// Not 0: images that cannot be read are left out, with a warning to the callback, instead of ending the fit.
    pub skip_bad: i32,
    /// How the detector is to run, during the fit and after; NULL is the default.
    pub running: *const LoadOptions,
    /// Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
    pub cancel: *const CancelFlag,
}

/// What a detector is to learn from now.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Learning {
    /// sizeof(blemish_learn_options).
    pub struct_size: u32,
    /// Not 0: images that cannot be read are left out, with a warning to the callback.
    pub skip_bad: i32,
    /// A folder of good images, a list, an image or a pattern; NULL if they are in memory, or none are needed.
    pub data: *const c_char,
    /// Good images in memory, one after another; they are read during the call.
    pub images: *const Image,
    /// How many.
    pub image_count: usize,
    /// Share of good images that may be flagged, for blemish_calibrate; 0 keeps the model's own.
    pub false_alarm: f64,
    /// Set to other than 0 by another thread, it ends the call with status 5. NULL: nothing does.
    pub cancel: *const CancelFlag,
}

sized!(Fitting = "blemish_fit_options", Learning = "blemish_learn_options");

/// Good images, wherever they are.
struct Good {
    source: Box<dyn Source>,
    /// What was left out when files were listed.
    skipped: Vec<Skipped>,
    /// Frames of films are there as long as this is.
    _dataset: Option<Dataset>,
}

impl Good {
    /// The images of files.
    fn of(mut dataset: Dataset) -> Self {
        let (source, skipped) = (Box::new(Files::training(&dataset)), std::mem::take(&mut dataset.skipped));
        Self { source, skipped, _dataset: Some(dataset) }
    }

    /// The caller's images.
    ///
    /// # Safety
    /// As [`images_of`].
    unsafe fn in_memory(images: *const Image, count: usize, read: &ReadOptions) -> Result<Self, Fault> {
        // Safety: the caller's promise.
        let images = unsafe { images_of(images, count, read) }?;
        let named = |(number, image)| MemoryImage::new(image).named(format!("image {}", number + 1)).good();
        let source = Box::new(Memory::new(images.into_iter().enumerate().map(named))?);
        Ok(Self { source, skipped: Vec::new(), _dataset: None })
    }
}

fn tell_skipped(skipped: &[Skipped], teller: &Teller) {
    use blemish::Observer;
    for one in skipped {
        teller.warn(&format!("left out `{}`: {}", one.path.display(), one.reason));
    }
}

/// Where good images are said to be, in both kinds of options.
struct Place {
    data: Option<PathBuf>,
    images: *const Image,
    count: usize,
}

impl Place {
    /// # Safety
    /// `data` is NULL or a text that lives during the call.
    unsafe fn new(data: *const c_char, images: *const Image, count: usize) -> Result<Self, Fault> {
        if !data.is_null() && count > 0 {
            return Err(Fault::usage("good images are given twice, in data and in images; give one of them"));
        }
        // Safety: the caller's promise.
        let data = if data.is_null() { None } else { Some(unsafe { path(data, "data") }?) };
        Ok(Self { data, images, count })
    }
}

/// Learns what good images look like. progress, which may be NULL, is called with user as the work goes on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_fit(
    options: *const Fitting,
    progress: ProgressCallback,
    user: *mut c_void,
    out: *mut *mut BlemishDetector,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let options = sized::read(options)?.ok_or_else(|| null("options"))?;
                let config = configuration(&options)?;
                let running = Running::new(sized::read(options.running)?)?;
                let method = registry::method(&config.method)?;
                let needs = method.needs(&config.settings)?;
                let place = Place::new(options.data, options.images, options.image_count)?;
                let good = match place.data {
                    Some(data) => Good::of(open_dataset(
                        &data,
                        &OpenOptions {
                            category: optional(options.category, "category")?.map(str::to_owned),
                            skip_bad: options.skip_bad != 0,
                            frames: needs.clip > 1,
                            ..OpenOptions::default()
                        },
                    )?),
                    None if place.count == 0 && needs.good_images > 0 => {
                        return Err(Fault::usage(
                            "there are no good images; give a folder in data, or images",
                        ));
                    }
                    None => {
                        let mut read = ReadOptions::default();
                        read.memory_limit = running.memory_limit.unwrap_or(read.memory_limit);
                        Good::in_memory(place.images, place.count, &read)?
                    }
                };
                let teller = Teller::new(progress, user, Cancel(options.cancel));
                tell_skipped(&good.skipped, &teller);
                running.handle(|engine| {
                    let options = fit_options(engine, options.skip_bad, &teller);
                    let detector = Detector::fit(&config, &*good.source, &options)?;
                    tell_skipped(detector.skipped(), &teller);
                    Ok(detector)
                })
            })
        })
    }
}

/// What a fit is to make.
///
/// # Safety
/// The texts of the options are NULL or live during the call.
unsafe fn configuration(options: &Fitting) -> Result<DetectorConfig, Fault> {
    let mut config = DetectorConfig { seed: options.seed.into(), ..DetectorConfig::default() };
    // Safety: the caller's promise.
    let (method, settings) =
        unsafe { (optional(options.method, "method")?, optional(options.settings, "settings")?) };
    if let Some(method) = method {
        config.method = method.to_owned();
    }
    if let Some(settings) = settings {
        config.settings = serde_json::from_str(settings).map_err(|error| {
            Fault::usage(format!(
                r#"settings are not a JSON object ({error}); write them as {{"coreset_ratio": 0.05}}"#
            ))
        })?;
    }
    config.transform = match (options.height, options.width) {
        (0, 0) => None,
        (height, width) if height > 0 && width > 0 => {
            Some(Transform::resize_to(height as usize, width as usize))
        }
        (height, width) => {
            return Err(Fault::usage(format!(
                "the input is {width}x{height} pixels; give both sides, or none"
            )));
        }
    };
    config.calibration = match options.false_alarm {
        0.0 => CalibrationConfig::default(),
        false_alarm => CalibrationConfig { false_alarm, ..CalibrationConfig::default() },
    };
    if options.no_calibration != 0 {
        config.calibration.folds = 0;
    }
    Ok(if options.updatable != 0 { config.updatable()? } else { config })
}

fn fit_options<'a>(
    engine: &blemish::features::EngineOptions,
    skip_bad: i32,
    observer: &'a Teller,
) -> FitOptions<'a> {
    FitOptions { engine: engine.clone(), skip_bad: skip_bad != 0, observer, ..FitOptions::default() }
}

/// What update and calibrate are given.
///
/// # Safety
/// The pointers are NULL, or what the header says of them.
unsafe fn learning<'a>(
    detector: *const BlemishDetector,
    options: *const Learning,
) -> Result<(&'a BlemishDetector, Learning, Option<Good>), Fault> {
    // Safety: the caller's promise.
    unsafe {
        let handle = BlemishDetector::of(detector)?;
        let options = sized::read(options)?.ok_or_else(|| null("options"))?;
        let place = Place::new(options.data, options.images, options.image_count)?;
        let good = match place.data {
            Some(data) => {
                let open = OpenOptions {
                    skip_bad: options.skip_bad != 0,
                    frames: handle.detector.clip() > 1,
                    ..OpenOptions::default()
                };
                Some(Good::of(open_good(&[data], &open)?))
            }
            None if place.count > 0 => Some(Good::in_memory(place.images, place.count, &handle.read)?),
            None => None,
        };
        Ok((handle, options, good))
    }
}

/// A detector that has learnt from more good images, which the old one stays beside. It has no calibration: blemish_calibrate makes one.
///
/// The model must have been fitted as updatable. progress may be NULL; it must not use the detector for anything but scoring.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_update(
    detector: *const BlemishDetector,
    options: *const Learning,
    progress: ProgressCallback,
    user: *mut c_void,
    out: *mut *mut BlemishDetector,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let (handle, options, good) = learning(detector, options)?;
                let good = good.ok_or_else(|| {
                    Fault::usage("there are no new images; give a folder in data, or images")
                })?;
                let teller = Teller::new(progress, user, Cancel(options.cancel));
                tell_skipped(&good.skipped, &teller);
                handle.running_alike()?.handle(|engine| {
                    let options = fit_options(engine, options.skip_bad, &teller);
                    let updated = handle.detector.update(&*good.source, &options)?;
                    tell_skipped(updated.skipped(), &teller);
                    Ok(updated)
                })
            })
        })
    }
}

/// A detector with new thresholds, which the old one stays beside: from good images that it has not seen, or, without any, from the scores
/// that it holds and another false_alarm.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_calibrate(
    detector: *const BlemishDetector,
    options: *const Learning,
    progress: ProgressCallback,
    user: *mut c_void,
    out: *mut *mut BlemishDetector,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            give(out, "out", || {
                let (handle, options, good) = learning(detector, options)?;
                let teller = Teller::new(progress, user, Cancel(options.cancel));
                if let Some(good) = &good {
                    tell_skipped(&good.skipped, &teller);
                }
                handle.running_alike()?.handle(|engine| {
                    let request = Recalibration {
                        good: good.as_ref().map(|good| &*good.source),
                        false_alarm: (options.false_alarm != 0.0).then_some(options.false_alarm),
                        ..Recalibration::default()
                    };
                    let evaluate = EvaluateOptions {
                        skip_bad: options.skip_bad != 0,
                        observer: &teller,
                        ..EvaluateOptions::default()
                    };
                    let (calibrated, skipped) = handle.detector.recalibrated(&request, engine, &evaluate)?;
                    tell_skipped(&skipped, &teller);
                    Ok(calibrated)
                })
            })
        })
    }
}

/// Writes the detector as a model file, whole or not at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn blemish_save(
    detector: *const BlemishDetector,
    path: *const c_char,
    error: *mut *mut BlemishError,
) -> Status {
    // Safety: the caller's promises.
    unsafe {
        run(error, || {
            let handle = BlemishDetector::of(detector)?;
            let path = self::path(path, "path")?;
            Ok(handle.detector.save(&path)?)
        })
    }
}

//! `blemish predict`: a score a line for files, folders or globs, and pictures of where.

use super::fit::report_skipped;
use super::monitor::Watch;
use super::{engine_options, load};
use crate::args::{Export, Picture, PredictArgs};
use crate::console::{Console, Quiet};
use crate::failure::Failure;
use crate::output::{ScoreWriter, check_writable, picture_folder};
use crate::pictures;
use blemish::data::film::Unpacked;
use blemish::data::layout::{in_sequences, remark_of_gifs};
use blemish::data::names::text_of;
use blemish::data::{Files, FoundImages, Sample, Source, Transform, files, find_images, searched_folders};
use blemish::{Detector, Observer, ScoreOptions, Scored, ScoredImage, Watched};
use blemish_report::{Animation, ExportFormat, Exports, Names, save_float_tiff};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub fn run(args: &PredictArgs, threads: Option<usize>, console: &Console) -> Result<(), Failure> {
    let detector = load(&args.model, &engine_options(&args.engine, threads)?, console)?;
    let can_decide = detector.calibration().is_some_and(|calibration| calibration.image_threshold.is_some());
    if args.fail_on_anomaly && !can_decide {
        return Err(Failure::new(format!(
            "`{}` has no threshold to call an image anomalous by; `blemish calibrate` sets one",
            args.model.display()
        )));
    }
    check_category(args, &detector)?;
    let are_frames = args.frames || detector.clip() > 1;
    // Films and their like become folders of frames, which go at the end.
    let mut clips = are_frames.then(|| Unpacked::new(None)).transpose()?;
    let inputs: Vec<PathBuf> = match &mut clips {
        Some(clips) => args.inputs.iter().map(|path| clips.stand_in(path)).collect::<Result<_, _>>()?,
        None => args.inputs.clone(),
    };
    let shown = |path: &Path| clips.as_ref().map_or_else(|| path.to_owned(), |clips| clips.shown(path));
    let FoundImages { images: paths, skipped: unlisted, passed_over } = find_images(&inputs, args.skip_bad)?;
    let paths = if are_frames { frames(&paths) } else { paths };
    check_outputs(args, &paths)?;
    let mut exports = exports(args, &detector)?;
    let mut watch = Watch::open(&args.monitor, &detector, console)?;
    if args.pictures.contains(&Picture::Animation) && !are_frames {
        return Err(Failure::usage(
            "only clips can be animated: add --frames if the images of a folder are the frames of a video",
        ));
    }
    let mut pictures = Pictures::new(args, &detector, &paths)?;
    let mut writer = ScoreWriter::new(args.format, args.output.as_deref())?;
    writer.begin()?;
    let samples: Vec<Sample> = paths.iter().map(|path| Sample::unlabelled(path)).collect();
    let samples = if are_frames { in_sequences(samples) } else { samples };
    let category = args.category.as_deref().unwrap_or_default();
    let images = if are_frames { Files::frames(samples, category) } else { Files::new(samples, category) };
    if args.output.is_some() {
        console.stage("scoring", Some(paths.len() as u64));
    }
    // Lines on standard output are progress enough.
    let quiet = Quiet(console);
    let options = ScoreOptions {
        batch_size: args.batch_size.max(1),
        skip_bad: args.skip_bad,
        observer: if args.output.is_some() { console } else { &quiet },
        ..ScoreOptions::default()
    };
    let mut names = Names::default();
    let (mut anomalous, mut scored_images) = (0, 0);
    let watched = Watched::new(&images);
    let source: &dyn Source = if watch.is_on() { &watched } else { &images };
    let skipped = detector.score_source(source, &options, |one| -> Result<(), Failure> {
        let ScoredImage { index, size, scored, .. } = one;
        let path = &paths[index];
        watch.observe(path, scored.score, watched.take(index).as_ref(), console)?;
        let name = names.unique(path);
        let shown = text_of(&shown(path));
        let mut verdict = match &args.category {
            Some(category) => detector.verdict_in(category, &shown, &scored, size, args.min_area)?,
            None => detector.verdict(&shown, &scored, size, args.min_area)?,
        };
        if let Some(decision) = &verdict.decision {
            anomalous += usize::from(decision.anomalous == Some(true));
            exports.add(path, &name, size, &decision.regions)?;
        }
        scored_images += 1;
        (verdict.overlay, verdict.map) = pictures.write(path, &name, &scored)?;
        writer.write(&verdict)?;
        if scored_images % options.batch_size == 0 { watch.save() } else { Ok(()) }
    })?;
    watch.save()?;
    writer.finish()?;
    exports.finish()?;
    pictures.finish()?;
    console.finish();
    watch.report(console);
    super::taken::remark_passed_over(&passed_over, console);
    if let Some(remark) = remark_of_gifs(paths.iter().map(PathBuf::as_path)) {
        console.warn(&remark);
    }
    report_skipped(unlisted.iter().chain(&skipped), console);
    match args.fail_on_anomaly && anomalous > 0 {
        true => Err(Failure::anomaly(anomalous, scored_images)),
        false => Ok(()),
    }
}

/// Checks that the model knows the category that images are said to be of.
fn check_category(args: &PredictArgs, detector: &Detector) -> Result<(), Failure> {
    let Some(wanted) = &args.category else { return Ok(()) };
    let data = &detector.header().data;
    let known =
        if data.categories.is_empty() { vec![data.category.clone()] } else { data.categories.clone() };
    match known.contains(wanted) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "`{}` has not learned a category `{wanted}`; it knows: {}. Without --category images are judged by the thresholds of all",
            args.model.display(),
            known.join(", ")
        ))),
    }
}

/// Images as the frames of videos, a folder each, in the order of time.
fn frames(paths: &[PathBuf]) -> Vec<PathBuf> {
    let samples = in_sequences(paths.iter().map(|path| Sample::unlabelled(path)).collect());
    samples.into_iter().map(|sample| sample.path).collect()
}

/// Checks that no file of the run lies over an input or where a folder is.
fn check_outputs(args: &PredictArgs, paths: &[PathBuf]) -> Result<(), Failure> {
    let inputs = || paths.iter().chain([&args.model]).map(PathBuf::as_path);
    if let Some(monitor) = args.monitor.monitor.as_deref() {
        files::check_outputs(&[monitor], &[], inputs()).map_err(Failure::new)?;
    }
    let Some(folder) = &args.output else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
    let coco = args.export.contains(&Export::Coco).then_some("coco.json");
    let files: Vec<PathBuf> =
        coco.into_iter().chain([args.format.file_name()]).map(|name| folder.join(name)).collect();
    check_writable(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>(), inputs())?;
    files::check_outputs(&[], &[&folder.join("labelme")], inputs()).map_err(Failure::new)
}

/// Where regions are written for other programs.
fn exports(args: &PredictArgs, detector: &Detector) -> Result<Exports, Failure> {
    let Some(output) = args.output.as_ref().filter(|_| !args.export.is_empty()) else {
        return Ok(Exports::default());
    };
    if detector.calibration().is_none_or(|calibration| calibration.pixel_threshold.is_none()) {
        return Err(Failure::new(format!(
            "`{}` has no pixel threshold, so there are no regions to export; `blemish calibrate` sets one",
            args.model.display()
        )));
    }
    let format = |export: &Export| match export {
        Export::Coco => ExportFormat::Coco,
        Export::Labelme => ExportFormat::LabelMe,
    };
    Ok(Exports::new(output, &args.export.iter().map(format).collect::<Vec<_>>())?)
}

/// Where and how heat maps are written.
struct Pictures {
    overlays: Option<PathBuf>,
    maps: Option<PathBuf>,
    animations: Option<PathBuf>,
    /// The clip under way: its folder, and the file of it.
    animation: Option<(PathBuf, Animation)>,
    clips: Names,
    colour_range: (f32, f32),
    transform: Arc<Transform>,
}

impl Pictures {
    /// Adds a frame to the animation of its clip.
    fn animate(&mut self, image: &Path, scored: &Scored) -> Result<(), Failure> {
        let Some(folder) = &self.animations else { return Ok(()) };
        let clip = image.parent().unwrap_or(Path::new("")).to_path_buf();
        if self.animation.as_ref().is_none_or(|(known, _)| *known != clip) {
            let name = self.clips.unique(&clip.join(clip.file_name().unwrap_or("clip".as_ref())));
            let next = Animation::new(&folder.join(format!("{name}.gif")))?;
            if let Some((_, last)) = self.animation.replace((clip, next)) {
                last.finish()?;
            }
        }
        if let Some((_, animation)) = &mut self.animation {
            animation.add(&pictures::draw(image, scored, &self.transform, self.colour_range)?)?;
        }
        Ok(())
    }

    /// Ends the last animation.
    fn finish(self) -> Result<(), Failure> {
        self.animation.map_or(Ok(()), |(_, last)| Ok(last.finish()?))
    }

    fn new(args: &PredictArgs, detector: &Detector, paths: &[PathBuf]) -> Result<Self, Failure> {
        let searched = searched_folders(&args.inputs);
        let folder = |picture: Picture, name: &str| -> Result<Option<PathBuf>, Failure> {
            match &args.output {
                Some(output) if args.pictures.contains(&picture) => {
                    let folder = output.join(name);
                    picture_folder(&folder, &searched, paths.iter().map(PathBuf::as_path))?;
                    Ok(Some(folder))
                }
                _ => Ok(None),
            }
        };
        Ok(Self {
            overlays: folder(Picture::Overlay, "overlays")?,
            maps: folder(Picture::Map, "maps")?,
            animations: folder(Picture::Animation, "animations")?,
            animation: None,
            clips: Names::default(),
            colour_range: args.colour_range.unwrap_or(detector.colour_range()),
            transform: detector.transform().clone(),
        })
    }

    /// Writes the pictures of one image; returns their names.
    fn write(
        &mut self,
        image: &Path,
        name: &str,
        scored: &Scored,
    ) -> Result<(Option<String>, Option<String>), Failure> {
        let mut written = (None, None);
        self.animate(image, scored)?;
        if let Some(folder) = &self.overlays {
            let path = folder.join(format!("{name}.png"));
            pictures::save(&path, image, scored, &self.transform, self.colour_range)?;
            written.0 = Some(text_of(&path));
        }
        if let Some(folder) = &self.maps {
            let path = folder.join(format!("{name}.tiff"));
            save_float_tiff(&path, &scored.map.values, (scored.map.height, scored.map.width))?;
            written.1 = Some(text_of(&path));
        }
        Ok(written)
    }
}

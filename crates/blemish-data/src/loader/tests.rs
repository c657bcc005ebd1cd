use super::*;
use crate::error::ImageFault;
use crate::layout::Label;
use crate::mask::Mask;
use crate::reader::{ReadOptions, RgbImage, read_image};
use crate::source::{Facts, Frames, Memory, MemoryImage};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// Grey pictures whose value is their number, with the named numbers broken.
fn pictures(count: usize, broken: &[usize]) -> (TempDir, Vec<Sample>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |number: usize| {
        let path = folder.path().join(format!("{number:03}.png"));
        if broken.contains(&number) {
            std::fs::write(&path, "no picture").unwrap();
        } else {
            image::GrayImage::from_pixel(12, 10, image::Luma([number as u8])).save(&path).unwrap();
        }
        Sample::unlabelled(&path)
    };
    let samples = (0..count).map(write).collect();
    (folder, samples)
}

fn transform() -> Transform {
    Transform::resize_to(8, 8)
}

/// `work` with a loader of all samples.
fn loading<T>(
    samples: &[Sample],
    transform: &Transform,
    options: &LoaderOptions,
    work: impl FnOnce(&mut Loader<'_>) -> T,
) -> T {
    let files = Files::new(samples, "any");
    let all: Vec<usize> = (0..samples.len()).collect();
    Loader::over(&files, &all, transform, options, work)
}

fn load_all(samples: &[Sample], options: LoaderOptions) -> Result<Vec<LoadedBatch>, DataError> {
    loading(samples, &transform(), &options, |loader| loader.collect())
}

#[test]
fn batches_come_in_order_with_what_belongs_to_each_image() {
    let (_folder, samples) = pictures(7, &[]);
    let batches = load_all(&samples, LoaderOptions { batch_size: 3, ..LoaderOptions::default() }).unwrap();
    let indices: Vec<Vec<usize>> = batches.iter().map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    for batch in &batches {
        assert_eq!(batch.images.count, batch.indices.len());
        assert_eq!(batch.original_sizes, vec![(10, 12); batch.indices.len()]);
        assert_eq!(batch.masks, vec![None; batch.indices.len()]);
        for (position, &index) in batch.indices.iter().enumerate() {
            assert_eq!(batch.images.image(position), [index as f32 / 255.0; 3 * 64]);
        }
    }
}

#[test]
fn neither_threads_nor_prefetch_change_the_batches() {
    let (_folder, samples) = pictures(23, &[4, 11]);
    for shuffle_seed in [None, Some(5)] {
        let with = |threads, prefetch| {
            let options = LoaderOptions {
                batch_size: 4,
                threads,
                prefetch,
                shuffle_seed,
                skip_bad: true,
                with_masks: true,
                clip: 1,
            };
            loading(&samples, &transform(), &options, |loader| {
                let batches: Vec<LoadedBatch> = loader.by_ref().map(Result::unwrap).collect();
                (batches, loader.skipped().to_vec())
            })
        };
        let alone = with(1, 1);
        assert_eq!(alone.0.iter().map(|batch| batch.images.count).sum::<usize>(), 21);
        assert_eq!(with(7, 3), alone);
        assert_eq!(with(2, 100), alone);
    }
}

#[test]
fn a_seed_fixes_a_shuffle_that_holds_every_image_once() {
    let order = order_of(100, Some(3));
    assert_eq!(order, order_of(100, Some(3)));
    assert_ne!(order, order_of(100, Some(4)));
    assert_ne!(order, order_of(100, None));
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, order_of(100, None));
    // Written down so that an update of a dependency cannot change what a seed means.
    assert_eq!(order_of(8, Some(0)), [7, 2, 1, 6, 0, 4, 3, 5]);
}

#[test]
fn the_first_bad_file_in_order_is_the_error() {
    let (_folder, samples) = pictures(20, &[9, 13]);
    for threads in [1, 6] {
        let options = LoaderOptions { batch_size: 4, threads, ..LoaderOptions::default() };
        loading(&samples, &transform(), &options, |loader| {
            assert!(loader.next().unwrap().is_ok() && loader.next().unwrap().is_ok());
            let error = loader.next().unwrap().unwrap_err();
            let DataError::Image { path, fault: ImageFault::Foreign { .. } } = &error else {
                panic!("{error}")
            };
            assert!(path.ends_with("009.png"));
            assert!(loader.next().is_none());
        });
    }
}

#[test]
fn skipped_files_are_listed_and_batches_filled_up() {
    let (_folder, samples) = pictures(9, &[0, 4, 8]);
    let options = LoaderOptions { batch_size: 3, skip_bad: true, ..LoaderOptions::default() };
    loading(&samples, &transform(), &options, |loader| {
        let indices: Vec<Vec<usize>> = loader.by_ref().map(|batch| batch.unwrap().indices).collect();
        assert_eq!(indices, [vec![1, 2, 3], vec![5, 6, 7]]);
        let names: Vec<&Path> = loader.skipped().iter().map(|skipped| skipped.path.as_path()).collect();
        assert_eq!(names, [0, 4, 8].map(|number: usize| samples[number].path.as_path()));
        assert_eq!(loader.left_out(), [0, 4, 8]);
        assert!(
            loader.skipped()[0].reason.starts_with("it is text, not an image"),
            "{:?}",
            loader.skipped()[0]
        );
    });
}

#[test]
fn when_nothing_is_left_that_is_an_error() {
    let (_folder, samples) = pictures(2, &[0, 1]);
    let options = LoaderOptions { skip_bad: true, ..LoaderOptions::default() };
    let error = load_all(&samples, options).unwrap_err();
    assert!(matches!(error, DataError::NothingLeft { count: 2, .. }), "{error}");
    assert!(load_all(&[], LoaderOptions::default()).unwrap().is_empty());
}

#[test]
fn masks_are_transformed_with_their_images() {
    let (folder, mut samples) = pictures(3, &[]);
    let write = |name: &str, width: u32| -> PathBuf {
        let path = folder.path().join(name);
        let picture = image::GrayImage::from_fn(width, 10, |x, _| image::Luma([if x < 6 { 255 } else { 0 }]));
        picture.save(&path).unwrap();
        path
    };
    samples[1] = Sample {
        path: samples[1].path.clone(),
        label: Label::Defective,
        defect: "half".into(),
        mask: Some(write("half.png", 12)),
        group: None,
    };
    let options = LoaderOptions { with_masks: true, ..LoaderOptions::default() };
    let batches = load_all(&samples, options.clone()).unwrap();
    let marked = [true, true, true, true, false, false, false, false].repeat(8);
    assert_eq!(batches[0].masks, [None, Some(Mask { height: 8, width: 8, marked }), None]);
    samples[1].mask = Some(write("other.png", 13));
    let error = load_all(&samples, options.clone()).unwrap_err();
    let expected = ImageFault::MaskSize { mask_width: 13, mask_height: 10, width: 12, height: 10 };
    assert!(matches!(&error, DataError::Image { fault, .. } if *fault == expected), "{error}");
    loading(&samples, &transform(), &LoaderOptions { skip_bad: true, ..options }, |loader| {
        assert_eq!(loader.by_ref().map(|batch| batch.unwrap().indices).collect::<Vec<_>>(), [[0, 2]]);
        assert!(loader.skipped()[0].reason.contains("other.png"), "{:?}", loader.skipped());
    });
}

#[test]
fn sizes_that_do_not_go_together_are_an_error() {
    let (folder, mut samples) = pictures(2, &[]);
    let path = folder.path().join("wide.png");
    image::GrayImage::new(30, 10).save(&path).unwrap();
    samples.push(Sample::unlabelled(&path));
    let with = |transform: &Transform, options: &LoaderOptions| {
        loading(&samples, transform, options, |loader| loader.find_map(Result::err))
    };
    let transform = Transform::shorter_side(8);
    let error = with(&transform, &LoaderOptions::default()).unwrap();
    assert!(matches!(error, DataError::MixedSizes { width: 24, batch_width: 9, .. }), "{error}");
    assert!(with(&transform, &LoaderOptions { batch_size: 1, ..LoaderOptions::default() }).is_none());
    // A crop makes sizes equal, but a region of interest would fall on different places.
    let cropped = Transform::shorter_side(8).with_crop(8, 8);
    assert!(with(&cropped, &LoaderOptions::default()).is_none());
    let region = folder.path().join("region.png");
    image::GrayImage::from_fn(9, 9, |x, _| image::Luma([if x < 2 { 1 } else { 0 }])).save(&region).unwrap();
    let seen = cropped.with_region_of_interest(&region).unwrap();
    let error = with(&seen, &LoaderOptions::default()).unwrap();
    assert!(error.to_string().contains("region of interest"), "{error}");
}

#[test]
fn wrong_options_come_with_the_first_batch() {
    let (_folder, samples) = pictures(2, &[]);
    let error = load_all(&samples, LoaderOptions { batch_size: 0, ..LoaderOptions::default() }).unwrap_err();
    assert!(matches!(error, DataError::Setting(_)));
    let empty = Transform::resize_to(0, 8);
    assert!(loading(&samples, &empty, &LoaderOptions::default(), |loader| loader.next().unwrap()).is_err());
    let files = Files::new(samples, "any");
    let beyond = |loader: &mut Loader<'_>| loader.next().unwrap().unwrap_err().to_string();
    let said = Loader::over(&files, &[0, 2], &transform(), &LoaderOptions::default(), beyond);
    assert!(said.contains("no image 2 among 2"), "{said}");
}

/// A source of plain images that counts what was read of it, and may stop a reader at a panic.
struct Counting {
    images: Memory,
    reads: AtomicUsize,
    panics_at: Option<usize>,
}

impl Counting {
    fn new(count: u8) -> Self {
        let grey = |value: u8| {
            let pixels = crate::reader::Pixels::U8(vec![value; 3 * 64]);
            MemoryImage::new(RgbImage { height: 8, width: 8, pixels }).in_group("video")
        };
        let images = Memory::new((0..count).map(grey)).unwrap();
        Self { images, reads: AtomicUsize::new(0), panics_at: None }
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Source for Counting {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn facts(&self, index: usize) -> &Facts {
        self.images.facts(index)
    }

    fn categories(&self) -> &[String] {
        self.images.categories()
    }

    fn size(&self, index: usize, options: &ReadOptions) -> Result<(usize, usize), DataError> {
        self.images.size(index, options)
    }

    fn read(&self, index: usize, options: &ReadOptions) -> Result<Arc<RgbImage>, DataError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        assert_ne!(self.panics_at, Some(index), "asked for");
        self.images.read(index, options)
    }

    fn digest(&self, index: usize) -> Result<[u8; 32], DataError> {
        self.images.digest(index)
    }
}

#[test]
fn a_loader_runs_ahead_by_its_window_only_and_stops_when_its_work_returns() {
    let source = Counting::new(60);
    let all: Vec<usize> = (0..60).collect();
    let options = LoaderOptions { batch_size: 2, prefetch: 3, threads: 4, ..LoaderOptions::default() };
    Loader::over(&source, &all, &transform(), &options, |loader| {
        for taken in [2, 4, 6] {
            assert!(loader.next().unwrap().is_ok());
            // Six may be read ahead of what was taken: all six are, and nothing else.
            let started = std::time::Instant::now();
            while source.reads() < taken + 6 && started.elapsed().as_secs() < 20 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(source.reads(), taken + 6);
        }
    });
    assert_eq!(source.reads(), 12, "the rest was not read");
}

#[test]
fn a_loader_stops_its_threads_when_its_work_panics() {
    let source = Counting::new(60);
    let all: Vec<usize> = (0..60).collect();
    let options = LoaderOptions { batch_size: 2, prefetch: 1, threads: 3, ..LoaderOptions::default() };
    let panicking = || {
        Loader::over(&source, &all, &transform(), &options, |loader| {
            loader.next().unwrap().unwrap();
            panic!("asked for");
        })
    };
    let caught: std::thread::Result<()> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "asked for");
    assert!(source.reads() < 10, "{}", source.reads());
}

#[test]
fn a_source_that_panics_is_an_error_of_that_image() {
    let source = Counting { panics_at: Some(3), ..Counting::new(5) };
    let options = LoaderOptions { skip_bad: true, batch_size: 5, ..LoaderOptions::default() };
    Loader::over(&source, &[0, 1, 2, 3, 4], &transform(), &options, |loader| {
        assert_eq!(loader.next().unwrap().unwrap().indices, [0, 1, 2, 4]);
        assert_eq!(loader.skipped()[0].path.to_str(), Some("image 3"));
    });
}

#[test]
fn positions_count_in_the_indices_given() {
    let source = Counting::new(9);
    let options = LoaderOptions { batch_size: 4, shuffle_seed: Some(1), ..LoaderOptions::default() };
    let given = [8, 2, 2, 5];
    let batch =
        Loader::over(&source, &given, &transform(), &options, |loader| loader.next()).unwrap().unwrap();
    assert_eq!(batch.indices, order_of(4, Some(1)));
    for (place, &position) in batch.indices.iter().enumerate() {
        assert_eq!(batch.images.image(place)[0], given[position] as f32 / 255.0);
    }
}

#[test]
fn memory_and_files_of_the_same_pixels_give_equal_batches() {
    let (folder, mut samples) = pictures(7, &[3]);
    let path = folder.path().join("mask.png");
    image::GrayImage::from_fn(12, 10, |x, _| image::Luma([u8::from(x < 6)])).save(&path).unwrap();
    samples[5].mask = Some(path.clone());
    let mask = crate::reader::read_mask(&path).unwrap();
    let image = |number: usize| {
        let image = read_image(&samples[number].path, &ReadOptions::default()).unwrap();
        let image = MemoryImage::new(image);
        if number == 5 { image.with_mask(mask.clone()) } else { image }
    };
    let memory = Memory::new([0, 1, 2, 4, 5, 6].map(image)).unwrap();
    let options =
        LoaderOptions { batch_size: 4, with_masks: true, shuffle_seed: Some(2), ..LoaderOptions::default() };
    let files = Files::new(samples, "any");
    let collect = |loader: &mut Loader<'_>| loader.map(Result::unwrap).collect::<Vec<_>>();
    let transform = Transform::resize_to(8, 9);
    let one = Loader::over(&files, &[0, 1, 2, 4, 5, 6], &transform, &options, collect);
    let other = Loader::over(&memory, &[0, 1, 2, 3, 4, 5], &transform, &options, collect);
    assert_eq!(one, other);
    assert_eq!(one.iter().flat_map(|batch| &batch.masks).flatten().count(), 1);
}

/// The values of the frames that came with each image, by its position.
fn clips(batches: &[LoadedBatch]) -> Vec<(usize, Vec<u8>)> {
    let mut clips = Vec::new();
    for batch in batches {
        let plane = 3 * batch.images.height * batch.images.width;
        for (place, &position) in batch.indices.iter().enumerate() {
            let frames: Vec<&[f32]> = batch.images.clip(place).chunks(plane).collect();
            assert_eq!(frames.len(), batch.images.frames);
            assert_eq!(batch.images.image(place), frames[frames.len() - 1]);
            let values = frames.iter().map(|frame| {
                assert!(frame.iter().all(|value| *value == frame[0]));
                (frame[0] * 255.0).round() as u8
            });
            clips.push((position, values.collect()));
        }
    }
    clips
}

#[test]
fn clips_bring_the_frames_before_each_image_and_every_frame_is_read_once() {
    let source = Counting::new(5);
    let frames = Frames::by_group(&source).unwrap();
    let all = [0, 1, 2, 3, 4];
    for threads in [1, 4] {
        let options = LoaderOptions { clip: 3, batch_size: 2, threads, ..LoaderOptions::default() };
        let before = source.reads();
        let batches: Vec<LoadedBatch> = Loader::over(&frames, &all, &transform(), &options, |loader| {
            loader.map(Result::unwrap).collect()
        });
        let expected = [vec![0, 0, 0], vec![0, 0, 1], vec![0, 1, 2], vec![1, 2, 3], vec![2, 3, 4]];
        assert_eq!(clips(&batches), expected.into_iter().enumerate().collect::<Vec<_>>());
        assert_eq!((batches[0].images.count, batches[0].images.frames), (2, 3));
        assert_eq!(batches[0].original_sizes, [(8, 8); 2]);
        assert_eq!(source.reads() - before, 5);
    }
    let options = LoaderOptions { clip: 2, shuffle_seed: Some(3), ..LoaderOptions::default() };
    let batches: Vec<LoadedBatch> = Loader::over(&frames, &[4, 0, 2], &transform(), &options, |loader| {
        loader.map(Result::unwrap).collect()
    });
    let mut shuffled = clips(&batches);
    shuffled.sort();
    assert_eq!(shuffled, [(0, vec![3, 4]), (1, vec![0, 0]), (2, vec![1, 2])]);
}

#[test]
fn what_stands_in_the_way_of_a_clip_is_named() {
    let grey = |value: u8, width: usize| {
        let pixels = crate::reader::Pixels::U8(vec![value; 3 * 9 * width]);
        MemoryImage::new(RgbImage { height: 9, width, pixels }).in_group("one").named(format!("f{value}"))
    };
    let options = LoaderOptions { clip: 2, ..LoaderOptions::default() };
    let said = |source: &dyn Source, transform: &Transform, options: &LoaderOptions| {
        let all: Vec<usize> = (0..source.len()).collect();
        Loader::over(source, &all, transform, options, |loader| loader.find_map(Result::err))
            .unwrap()
            .to_string()
    };
    let single = Memory::new([grey(0, 9)]).unwrap();
    assert!(said(&single, &transform(), &options).contains("`f0` is not a frame of a sequence"));
    let mixed = Frames::by_group(Memory::new([grey(0, 9), grey(1, 12)]).unwrap()).unwrap();
    assert!(
        said(&mixed, &Transform::native(), &options)
            .contains("`f0` comes out at 9x9 but the batch is at 12x9")
    );
    let none = LoaderOptions { clip: 0, ..LoaderOptions::default() };
    assert!(said(&mixed, &transform(), &none).contains("at least 1 frame"));
    // A frame that cannot be read takes the clips along that need it.
    let small =
        Frames::by_group(Memory::new([grey(0, 9), grey(1, 5), grey(2, 9), grey(3, 9)]).unwrap()).unwrap();
    let options = LoaderOptions { skip_bad: true, ..options };
    Loader::over(&small, &[0, 1, 2, 3], &transform(), &options, |loader| {
        assert_eq!(clips(&[loader.next().unwrap().unwrap()]), [(0, vec![0, 0]), (3, vec![2, 3])]);
        let skipped: Vec<&str> =
            loader.skipped().iter().filter_map(|skipped| skipped.path.to_str()).collect();
        assert_eq!((skipped, loader.left_out()), (vec!["f1", "f2"], &[1, 2][..]));
        assert!(loader.skipped()[0].reason.starts_with("it is 5x9"), "{:?}", loader.skipped()[0]);
        assert!(loader.skipped()[1].reason.contains("`f1`: it is 5x9"), "{:?}", loader.skipped()[1]);
    });
}

#[test]
fn a_loader_of_samples_gives_the_batches_of_their_files() {
    let (_folder, samples) = pictures(7, &[2]);
    let options = LoaderOptions { batch_size: 3, skip_bad: true, ..LoaderOptions::default() };
    let expected = load_all(&samples, options.clone()).unwrap();
    let mut loader = Loader::new(&samples, &Arc::new(transform()), options);
    assert_eq!(loader.by_ref().map(Result::unwrap).collect::<Vec<_>>(), expected);
    assert_eq!(loader.skipped().len(), 1);
    drop(Loader::new(&samples, &Arc::new(transform()), LoaderOptions::default()));
}

#[test]
fn batches_of_native_images_end_where_the_size_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, width): (usize, u32)| {
        let path = folder.path().join(format!("{number}.png"));
        image::GrayImage::from_pixel(width, 8, image::Luma([number as u8])).save(&path).unwrap();
        Sample::unlabelled(&path)
    };
    let samples: Vec<Sample> = [10, 10, 12, 12, 12, 10].into_iter().enumerate().map(write).collect();
    let options = LoaderOptions { batch_size: 2, ..LoaderOptions::default() };
    let batches: Vec<LoadedBatch> =
        loading(&samples, &Transform::native(), &options, |loader| loader.map(Result::unwrap).collect());
    let indices: Vec<Vec<usize>> = batches.iter().map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, [vec![0, 1], vec![2, 3], vec![4], vec![5]]);
    for batch in &batches {
        assert_eq!(batch.images.image(0), vec![batch.indices[0] as f32 / 255.0; 3 * 8 * batch.images.width]);
    }
}

#[test]
fn decoded_images_come_in_order_one_by_one_and_bad_ones_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = Vec::new();
    for (name, side) in [("a.png", 9), ("b.png", 0), ("c.png", 12)] {
        let path = folder.path().join(name);
        match side {
            0 => std::fs::write(&path, b"no image").unwrap(),
            side => image::GrayImage::new(side, side + 1).save(&path).unwrap(),
        }
        samples.push(Sample::unlabelled(&path));
    }
    let transform = Transform::native();
    let files = Files::new(samples.clone(), "any");
    let order = vec![2, 1, 0];
    let mut images = DecodedImages::over(&files, order.clone(), &transform, true, false);
    let seen: Vec<(usize, usize)> =
        images.by_ref().map(|image| image.unwrap()).map(|image| (image.index, image.image.width)).collect();
    assert_eq!(seen, [(2, 12), (0, 9)]);
    assert!(images.skipped()[0].path.ends_with("b.png"));
    let mut strict = DecodedImages::over(&files, order, &transform, false, false);
    assert!(strict.next().unwrap().is_ok() && strict.next().unwrap().is_err() && strict.next().is_none());
    let mut bad = DecodedImages::over(&files, vec![1], &transform, true, false);
    assert!(matches!(bad.next(), Some(Err(DataError::NothingLeft { .. }))));
    assert!(bad.next().is_none());
    let mut owned = DecodedImages::new(&samples, vec![0], &transform, false, false);
    assert_eq!(owned.next().unwrap().unwrap().image.width, 9);
}

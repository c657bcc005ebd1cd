//! Sources other than plain files, and what a loader asks of them.

use super::{pictures, transform};
use crate::error::DataError;
use crate::loader::{LoadedBatch, Loader, LoaderOptions, order_of};
use crate::reader::{Pixels, ReadOptions, RgbImage, read_image, read_mask};
use crate::source::{Facts, Files, Frames, Memory, MemoryImage, Source};
use crate::transform::Transform;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A source of plain images that counts what was read of it, and may stop a reader at a panic.
struct Counting {
    images: Memory,
    reads: AtomicUsize,
    panics_at: Option<usize>,
}

impl Counting {
    fn new(count: u8) -> Self {
        let grey = |value: u8| {
            let pixels = Pixels::U8(vec![value; 3 * 64]);
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
    samples[5].masks = vec![path.clone()];
    let mask = read_mask(&path).unwrap();
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
        let pixels = Pixels::U8(vec![value; 3 * 9 * width]);
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
    // A resize would hide it.
    let said_so = said(&mixed, &transform(), &options);
    assert!(said_so.contains("`f0` is 9x9") && said_so.contains("a camera does not"), "{said_so}");
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

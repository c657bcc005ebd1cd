use super::*;
use crate::error::ImageFault;
use crate::layout::Label;
use crate::layout::Sample;
use crate::mask::Mask;
use crate::source::Files;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

mod sources;

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
        masks: vec![write("half.png", 12)],
        group: None,
        category: None,
    };
    let options = LoaderOptions { with_masks: true, ..LoaderOptions::default() };
    let batches = load_all(&samples, options.clone()).unwrap();
    let marked = [true, true, true, true, false, false, false, false].repeat(8);
    assert_eq!(batches[0].masks, [None, Some(Mask { height: 8, width: 8, marked }), None]);
    samples[1].masks = vec![write("other.png", 13)];
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
    assert_eq!(images.left_out(), [1]);
    let mut strict = DecodedImages::over(&files, order, &transform, false, false);
    assert!(strict.next().unwrap().is_ok() && strict.next().unwrap().is_err() && strict.next().is_none());
    let mut bad = DecodedImages::over(&files, vec![1], &transform, true, false);
    assert!(matches!(bad.next(), Some(Err(DataError::NothingLeft { .. }))));
    assert!(bad.next().is_none());
}

#[test]
fn a_batch_takes_room_for_the_images_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    image::GrayImage::new(16, 16).save(&path).unwrap();
    let source = crate::source::Files::new(vec![crate::layout::Sample::unlabelled(&path)], "");
    let transform = Transform::resize_to(64, 64);
    let options = LoaderOptions { batch_size: usize::MAX / 2, threads: 1, ..LoaderOptions::default() };
    Loader::over(&source, &[0], &transform, &options, |loader| {
        let batch = loader.next().unwrap().unwrap();
        assert_eq!(batch.images.count, 1);
        assert!(batch.images.pixels.capacity() < 100_000);
    });
}

use super::*;
use crate::error::ImageFault;
use crate::layout::{Dataset, Layout, Sample};
use crate::reader::{Pixels, read_image};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An image of one value.
fn plain(value: u8, height: usize, width: usize) -> RgbImage {
    RgbImage { height, width, pixels: Pixels::U8(vec![value; 3 * height * width]) }
}

fn samples_in(folder: &TempDir, names: &[&str]) -> Vec<Sample> {
    let write = |(number, name): (usize, &&str)| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_pixel(10, 9, image::Luma([number as u8])).save(&path).unwrap();
        Sample::unlabelled(&path)
    };
    names.iter().enumerate().map(write).collect()
}

fn names(source: &dyn Source) -> Vec<&str> {
    (0..source.len()).map(|index| source.facts(index).name.as_str()).collect()
}

fn options() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn files_and_memory_give_the_same_images_and_facts() {
    let folder = tempfile::tempdir().unwrap();
    let mut samples = samples_in(&folder, &["a.png", "b.png"]);
    samples[0].group = Some("part 1".into());
    samples[1] = Sample { label: Label::Defective, defect: "cut".into(), ..samples[1].clone() };
    let mask = folder.path().join("m.png");
    image::GrayImage::from_fn(10, 9, |x, _| image::Luma([u8::from(x < 3)])).save(&mask).unwrap();
    samples[1].masks = vec![mask.clone()];
    let files = Files::new(samples.as_slice(), "bottle");
    let read = |sample: &Sample| read_image(&sample.path, &options()).unwrap();
    let name = |sample: &Sample| sample.path.to_str().unwrap().to_owned();
    let marked = Mask { height: 9, width: 10, marked: (0..90).map(|at| at % 10 < 3).collect() };
    let memory = Memory::new([
        MemoryImage::new(read(&samples[0])).named(name(&samples[0])).in_group("part 1").in_category("bottle"),
        MemoryImage::new(Arc::new(read(&samples[1])))
            .named(name(&samples[1]))
            .defective("cut")
            .with_mask(marked)
            .in_category("bottle"),
    ])
    .unwrap();
    assert_eq!((files.len(), memory.len()), (2, 2));
    assert_eq!(
        (files.categories(), memory.categories()),
        (&["bottle".to_owned()][..], &["bottle".to_owned()][..])
    );
    for index in 0..2 {
        assert_eq!(files.facts(index), memory.facts(index));
        assert_eq!(files.size(index, &options()).unwrap(), memory.size(index, &options()).unwrap());
        assert_eq!(files.read(index, &options()).unwrap(), memory.read(index, &options()).unwrap());
        assert_eq!(files.mask(index).unwrap(), memory.mask(index).unwrap());
        assert_eq!(files.window(index, 3), [index; 3]);
    }
    assert_eq!(files.mask_name(1).unwrap(), mask.to_str().unwrap());
    assert_eq!((files.mask_name(0), memory.mask_name(0)), (None, None));
}

#[test]
fn memory_shares_its_pixels_instead_of_copying_them() {
    let image = Arc::new(plain(7, 8, 8));
    let memory = Memory::single(image.clone()).unwrap();
    assert!(Arc::ptr_eq(&memory.read(0, &options()).unwrap(), &image));
    assert_eq!((memory.facts(0).name.as_str(), memory.facts(0).label), ("image 0", Label::Unknown));
}

#[test]
fn measured_values_in_memory_are_mapped_as_those_of_files() {
    let values: Vec<f32> = (0..192).map(|value| value as f32 - 10.0).collect();
    let memory = Memory::single(RgbImage { height: 8, width: 8, pixels: Pixels::F32(values) }).unwrap();
    let DataError::Image { path, fault } = memory.read(0, &options()).unwrap_err() else {
        panic!("no image error")
    };
    assert_eq!(
        (path.to_str().unwrap(), fault),
        ("image 0", ImageFault::OutOfRange { lowest: -10.0, highest: 181.0 })
    );
    let ranged = ReadOptions { value_range: Some((0.0, 40.0)), ..options() };
    let Pixels::F32(mapped) = &memory.read(0, &ranged).unwrap().pixels else { panic!("not float") };
    assert_eq!([mapped[0], mapped[20], mapped[191]], [0.0, 0.25, 1.0]);
}

#[test]
fn encoded_bytes_in_memory_are_read_as_their_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measured.tif");
    let values: Vec<f32> = (0..90).map(|value| value as f32).collect();
    let file = std::fs::File::create(&path).unwrap();
    let mut encoder = ::tiff::encoder::TiffEncoder::new(file).unwrap();
    encoder.write_image::<::tiff::encoder::colortype::Gray32Float>(10, 9, &values).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let files = Files::new([Sample::unlabelled(&path)], "any");
    let wrong_mask = Mask { height: 3, width: 3, marked: vec![true; 9] };
    let memory = Memory::new([
        MemoryImage::encoded(bytes.clone()).named(path.to_str().unwrap()).in_category("any"),
        MemoryImage::encoded(&bytes[..40]).named("cut").with_mask(wrong_mask),
    ])
    .unwrap();
    let ranged = ReadOptions { value_range: Some((0.0, 178.0)), ..options() };
    let image = memory.read(0, &ranged).unwrap();
    assert_eq!(image, files.read(0, &ranged).unwrap());
    let Pixels::F32(mapped) = &image.pixels else { panic!("not float") };
    assert_eq!(mapped[3 * 89], 0.5, "values are mapped once");
    assert_eq!(memory.size(0, &options()).unwrap(), (9, 10));
    assert_eq!(memory.digest(0).unwrap(), files.digest(0).unwrap());
    assert_eq!(memory.facts(0).name, files.facts(0).name);
    let error = memory.read(1, &options()).unwrap_err().to_string();
    assert!(error.contains("`cut`: the TIFF"), "{error}");
    assert_eq!(memory.mask(1).unwrap().unwrap().height, 3);
}

#[test]
fn wrong_images_in_memory_are_named() {
    let said = |images: Vec<MemoryImage>| Memory::new(images).unwrap_err().to_string();
    let twice = || MemoryImage::new(plain(0, 8, 8)).named("x");
    assert!(said(vec![twice(), twice()]).contains("two images are called `x`"));
    let short = RgbImage { height: 8, width: 9, pixels: Pixels::U8(vec![0; 192]) };
    assert!(
        said(vec![twice(), MemoryImage::new(short)]).contains("`image 1`: it holds 192 samples, but 9x8")
    );
    let mask = Mask { height: 8, width: 7, marked: vec![true; 56] };
    assert!(said(vec![twice().with_mask(mask)]).contains("the mask is 7x8 pixels but its image is 8x8"));
    let mask = Mask { height: 8, width: 8, marked: vec![true; 56] };
    assert!(said(vec![twice().with_mask(mask)]).contains("holds 56 values, not 8x8"));
    let small = Memory::new([MemoryImage::new(plain(0, 8, 7)).named("tiny")]).unwrap();
    for error in [small.size(0, &options()).unwrap_err(), small.read(0, &options()).unwrap_err()] {
        assert!(error.to_string().contains("`tiny`: it is 7x8 pixels"), "{error}");
    }
    let few = ReadOptions { minimum_side: 1, maximum_pixels: Some(55), ..options() };
    assert!(small.read(0, &few).unwrap_err().to_string().contains("at most 55 pixels"));
}

#[test]
fn several_categories_make_one_source_each_for_train_and_test() {
    let folder = tempfile::tempdir().unwrap();
    let files = samples_in(&folder, &["s/1.png", "s/2.png", "b/1.png", "b/2.png"]);
    let dataset = |category: &str, train: &[Sample], test: &[Sample]| Dataset {
        train: train.to_vec(),
        test: test.to_vec(),
        ..Dataset::empty(&PathBuf::new(), Layout::Mvtec, category)
    };
    let sets = [dataset("screw", &files[..1], &files[1..2]), dataset("bottle", &files[2..], &[])];
    let (train, test) = Files::of_datasets(&sets).unwrap();
    assert_eq!(
        (train.categories(), test.categories()),
        (&["screw".to_owned(), "bottle".to_owned()][..], train.categories())
    );
    assert_eq!((0..3).map(|index| train.facts(index).category).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!((test.len(), test.facts(0).category), (1, 0));
    assert!(Files::of_datasets(&[]).is_err());
    let memory = ["z", "a", "z"].map(|category| MemoryImage::new(plain(0, 8, 8)).in_category(category));
    let memory = Memory::new(memory).unwrap();
    assert_eq!(memory.categories(), ["a", "z"]);
    assert_eq!((0..3).map(|index| memory.facts(index).category).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(Memory::new([]).unwrap().categories().len(), 1);
}

#[test]
fn neither_the_order_of_images_nor_who_looks_at_them_changes_a_digest() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples_in(&folder, &["a/2.png", "a/10.png", "b/deep/1.png"]);
    let files = Files::new(samples.clone(), "any");
    let expected = source_digest(&files).unwrap();
    assert_eq!(source_digest(&Frames::by_folder(&files).unwrap()).unwrap(), expected);
    let fewer = Files::new([samples[0].clone(), samples[2].clone()], "any");
    let subset = Subset::new(&files, vec![2, 0]);
    assert_eq!(source_digest(&subset).unwrap(), source_digest(&fewer).unwrap());
    let missing = Files::new([Sample::unlabelled(Path::new("no/such.png"))], "any");
    assert!(source_digest(&missing).unwrap_err().to_string().contains("such.png"));
}

#[test]
fn a_digest_in_memory_covers_shape_depth_and_pixels() {
    let digest = |height, width, pixels| {
        Memory::single(RgbImage { height, width, pixels }).unwrap().digest(0).unwrap()
    };
    let eight = digest(8, 10, Pixels::U8(vec![3; 240]));
    assert_eq!(eight, digest(8, 10, Pixels::U8(vec![3; 240])));
    let mut one_off = vec![3; 240];
    one_off[239] = 4;
    let others = [
        digest(10, 8, Pixels::U8(vec![3; 240])),
        digest(8, 10, Pixels::U8(one_off)),
        digest(8, 10, Pixels::U16(vec![3; 240])),
        digest(8, 10, Pixels::F32(vec![3.0; 240])),
    ];
    for (number, other) in others.iter().enumerate() {
        assert!(*other != eight && !others[..number].contains(other), "{number}");
    }
    // By hand: depth, height, width, then little-endian samples, over more than one piece.
    use sha2::{Digest, Sha256};
    let mut expected = Sha256::new();
    expected.update([16]);
    expected.update(100_u64.to_le_bytes());
    expected.update(60_u64.to_le_bytes());
    (0..18_000_u16).for_each(|value| expected.update(value.to_le_bytes()));
    assert_eq!(digest(100, 60, Pixels::U16((0..18_000).collect()))[..], expected.finalize()[..]);
}

#[test]
fn frames_stand_in_the_order_of_time_one_video_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let given = ["v10/f1.png", "v2/f10.png", "v2/f9.png", "v2/f2.png", "v10/f3.png"];
    let files = Files::new(samples_in(&folder, &given), "any");
    let frames = Frames::by_folder(&files).unwrap();
    let expected = ["v2/f2.png", "v2/f9.png", "v2/f10.png", "v10/f1.png", "v10/f3.png"];
    let below: Vec<PathBuf> = expected.iter().map(|name| folder.path().join(name)).collect();
    assert_eq!(names(&frames).iter().map(PathBuf::from).collect::<Vec<_>>(), below);
    assert_eq!(frames.sequences(), [0..3, 3..5]);
    let moments: Vec<(u32, u32)> = (0..5)
        .map(|index| frames.facts(index).moment.unwrap())
        .map(|moment| (moment.sequence, moment.frame))
        .collect();
    assert_eq!(moments, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    for index in 0..5 {
        let group = frames.facts(index).group.as_deref().unwrap();
        assert_eq!(group, frames.names()[usize::from(index > 2)]);
        // The picture goes with its name: its value is its number among those given.
        let number = given.iter().position(|name| *name == expected[index]).unwrap();
        let Pixels::U8(values) = &frames.read(index, &options()).unwrap().pixels else { panic!("not 8 bit") };
        assert_eq!(usize::from(values[0]), number);
        assert_eq!(frames.digest(index).unwrap(), files.digest(number).unwrap());
    }
}

#[test]
fn a_clip_never_crosses_the_border_of_its_sequence() {
    let grouped = |number: u8| {
        MemoryImage::new(plain(number, 8, 8)).in_group(if number < 3 { "morning" } else { "noon" })
    };
    let frames = Frames::by_group(Memory::new((0..5).map(grouped)).unwrap()).unwrap();
    assert_eq!(frames.names(), ["morning", "noon"]);
    assert_eq!(frames.window(0, 3), [0, 0, 0]);
    assert_eq!(frames.window(1, 3), [0, 0, 1]);
    assert_eq!(frames.window(2, 3), [0, 1, 2]);
    assert_eq!(frames.window(3, 3), [3, 3, 3]);
    assert_eq!(frames.window(4, 2), [3, 4]);
    assert_eq!(frames.window(4, 1), [4]);
    let single = Memory::new([MemoryImage::new(plain(0, 8, 8)).named("loose")]).unwrap();
    let error = Frames::by_group(single).err().unwrap();
    assert!(error.to_string().contains("`loose` has no group"), "{error}");
}

#[test]
fn a_subset_looks_at_its_images_only() {
    let images = (0..6).map(|number| MemoryImage::new(plain(number, 8, 8)).in_group("one").good());
    let frames = Frames::by_group(Memory::new(images).unwrap()).unwrap();
    let subset = Subset::new(&frames, vec![5, 1, 3, 4]);
    assert_eq!(names(&subset), ["image 5", "image 1", "image 3", "image 4"]);
    let Pixels::U8(values) = &subset.read(2, &options()).unwrap().pixels else { panic!("not 8 bit") };
    assert_eq!(values[0], 3);
    // Frames 3, 4, 5 are here; 2 is not, so 3 stands for it.
    assert_eq!(subset.window(0, 4), [2, 2, 3, 0]);
    assert_eq!(subset.window(1, 3), [1, 1, 1]);
    assert_eq!(subset.window(2, 3), [1, 2, 2]);
    let deeper = Subset::new(&subset, vec![3, 0]);
    assert_eq!((names(&deeper), deeper.window(1, 2)), (vec!["image 4", "image 5"], vec![0, 1]));
}

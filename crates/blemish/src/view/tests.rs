//! What passes over a set give: every tile once, in the order that the seed decides, and kept features as if they were new.

use super::fitted::some_of;
use super::set::{Reading, ViewSet};
use crate::config::{TileModels, TileOptions};
use blemish_core::error::Error;
use blemish_core::limits::CacheLimits;
use blemish_core::method::{Pass, TrainingSet};
use blemish_core::observer::Silent;
use blemish_data::{Memory, MemoryImage, Pixels, RgbImage, Tiling, Transform};
use blemish_features::{Backbone, BackboneSpec, EngineOptions};
use std::sync::Arc;

/// Grey images of (width, height) whose pixels show the image and the tile of 16 x 16 that they lie in; a size of 0 is a broken file.
fn images(sizes: &[(usize, usize)]) -> Memory {
    let make = |(number, &(width, height)): (usize, &(usize, usize))| {
        if width == 0 {
            return MemoryImage::encoded(b"no image".to_vec()).named(format!("{number}.png"));
        }
        let value = |y: usize, x: usize| (100 * number + y / 16 * width.div_ceil(16) + x / 16) as u8;
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [value(y, x); 3])).collect();
        let image = RgbImage { height, width, pixels: Pixels::U8(pixels) };
        MemoryImage::new(image).named(format!("{number}.png"))
    };
    Memory::new(sizes.iter().enumerate().map(make).collect::<Vec<_>>()).unwrap()
}

fn reading(skip_bad: bool) -> Reading<'static> {
    Reading {
        transform: Arc::new(Transform::native()),
        backbone: None,
        clip: 1,
        batch_size: 4,
        skip_bad,
        observer: &Silent,
    }
}

fn try_set(images: &Memory, per_image: Option<usize>, skip_bad: bool) -> Result<ViewSet<'_>, Error> {
    let tiling = Tiling { height: 16, width: 16, overlap: 0 };
    let tiles = TileOptions { tiling, models: TileModels::Shared, per_image };
    ViewSet::tiled(images, reading(skip_bad), &tiles, 5)
}

fn set(images: &Memory, per_image: Option<usize>) -> ViewSet<'_> {
    try_set(images, per_image, false).unwrap()
}

/// The numbers of the tiles and the grey values of a pass, in order.
fn pass(part: &dyn TrainingSet, seed: Option<u64>) -> Vec<(usize, u8)> {
    let mut seen = Vec::new();
    let pass = Pass { shuffle: seed, ..Pass::IMAGES };
    part.for_each(pass, &mut |input| {
        let batch = input.images()?;
        assert!(batch.count <= 4 && (batch.height, batch.width) == (16, 16));
        assert_eq!((input.facts.len(), input.indices.len()), (batch.count, batch.count));
        let values = (0..batch.count).map(|index| (batch.image(index)[0] * 255.0).round() as u8);
        seen.extend(input.indices.iter().copied().zip(values));
        Ok(())
    })
    .unwrap();
    seen
}

#[test]
fn every_tile_comes_once_in_order_or_shuffled_by_the_seed() {
    let images = images(&[(48, 32), (16, 32)]);
    let set = set(&images, None);
    let all = set.all();
    assert_eq!(all.len(), 8);
    let in_order = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 100), (7, 101)];
    assert_eq!(pass(&all, None), in_order);
    let shuffled = pass(&all, Some(1));
    assert_eq!(shuffled, pass(&all, Some(1)));
    assert!(shuffled != in_order && shuffled != pass(&all, Some(2)));
    let mut sorted = shuffled;
    sorted.sort_unstable();
    assert_eq!(sorted, in_order);
    // A part counts its own tiles, in the order of its images.
    assert_eq!(pass(&set.part(vec![1, 0]), None)[..3], [(0, 100), (1, 101), (2, 0)]);
}

#[test]
fn a_share_of_the_tiles_or_one_place_can_be_learnt() {
    let images = images(&[(48, 32), (48, 32)]);
    let few = set(&images, Some(2));
    let drawn = pass(&few.all(), None);
    assert_eq!((few.all().len(), drawn.len()), (4, 4));
    assert!(drawn[0].1 < drawn[1].1 && drawn[1].1 < 100 && drawn[2].1 >= 100);
    assert_eq!(pass(&set(&images, Some(2)).all(), None), drawn, "the seed decides");
    let all = set(&images, None);
    assert_eq!(all.common_size().unwrap().unwrap().transformed, (32, 48));
    let one = all.only(4);
    assert_eq!((one.all().len(), pass(&one.all(), None)), (2, vec![(0, 4), (1, 104)]));
}

#[test]
fn broken_images_are_listed_and_the_rest_keep_their_tiles() {
    let images = images(&[(16, 16), (0, 0), (32, 16)]);
    let lenient = try_set(&images, None, true).unwrap();
    assert_eq!(pass(&lenient.all(), None), [(0, 0), (1, 200), (2, 201)]);
    assert_eq!(lenient.skipped().into_keys().collect::<Vec<_>>(), [1]);
    assert!(lenient.common_size().unwrap_err().to_string().contains("share one model"));
    assert!(try_set(&images, None, false).err().unwrap().to_string().contains("1.png"));
    assert_eq!(some_of(&images, 2, &Transform::native()), [0, 2]);
}

/// What a pass over features gives: for every image its index and values.
fn features(part: &dyn TrainingSet, seed: Option<u64>) -> Vec<(usize, Vec<f32>)> {
    let mut all = Vec::new();
    part.for_each(Pass { shuffle: seed, ..Pass::MAPS }, &mut |input| {
        let batch = input.maps()?;
        for (at, &index) in input.indices.iter().enumerate() {
            let maps = batch.single(at).maps;
            all.push((index, maps.into_iter().flat_map(|map| map.data).collect()));
        }
        Ok(())
    })
    .unwrap();
    all
}

#[test]
fn later_passes_give_the_same_values_whether_features_were_kept_or_not() {
    let noise = |number: u32| {
        let value = |at: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(number * 7919) >> 24) as u8;
        RgbImage { height: 64, width: 64, pixels: Pixels::U8((0..3 * 64 * 64).map(value).collect()) }
    };
    let image = |number: u32| match number {
        3 => MemoryImage::encoded(b"broken".to_vec()),
        _ => MemoryImage::new(noise(number)),
    };
    let images = Memory::new((0..5).map(image).collect::<Vec<_>>()).unwrap();
    let backbone = Backbone::load(&BackboneSpec::default(), &[8, 16], &EngineOptions::default()).unwrap();
    let reading = Reading { backbone: Some(Arc::new(backbone)), batch_size: 2, ..reading(true) };
    let limits = |in_memory, largest| CacheLimits { in_memory, largest, folder: None };
    let full = CacheLimits { folder: Some("/nowhere/at/all".into()), ..limits(0, u64::MAX) };
    let sets = [limits(u64::MAX, u64::MAX), limits(0, u64::MAX), limits(u64::MAX, 0), full]
        .map(|limits| ViewSet::whole(&images, reading.clone()).keeping(limits));
    let first = features(&sets[0].all(), None);
    assert_eq!(first.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 4]);
    // The first pass may be shuffled: what is kept is known by its image.
    let mut spilled = features(&sets[1].all(), Some(1));
    spilled.sort_unstable_by_key(|(index, _)| *index);
    assert_eq!(spilled, first);
    assert_eq!(features(&sets[2].all(), None), first);
    assert!(sets[1].declined().is_none());
    assert!(sets[2].declined().unwrap().contains("GiB"), "the bytes decide, and are named");
    assert_eq!(features(&sets[2].all(), None), first, "what is not kept is extracted again");
    assert_eq!(features(&sets[3].all(), None), first, "a disk that cannot be written ends nothing");
    assert!(sets[3].declined().unwrap().contains("/nowhere/at/all"));
    for set in &sets[..2] {
        assert_eq!(features(&set.all(), None), first);
        assert_eq!(features(&set.all(), Some(5)).len(), 4);
        let part = features(&set.part(vec![4, 1]), None);
        assert_eq!(part, [(0, first[3].1.clone()), (1, first[1].1.clone())]);
    }
}

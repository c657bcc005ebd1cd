use super::*;
use crate::detector::FitOptions;
use blemish_core::method::TrainingSet;
use blemish_data::{Dataset, Layout, Sample, Transform};
use image::{GrayImage, Luma};
use std::sync::Arc;

/// Grey images whose pixels tell the image and the tile of 16 x 16 that they lie in.
fn dataset(folder: &std::path::Path, sizes: &[(u32, u32)]) -> Dataset {
    let write = |(number, &(width, height)): (usize, &(u32, u32))| {
        let path = folder.join(format!("{number}.png"));
        let value =
            |x: u32, y: u32| Luma([(100 * number as u32 + y / 16 * width.div_ceil(16) + x / 16) as u8]);
        GrayImage::from_fn(width, height, value).save(&path).unwrap();
        Sample::unlabelled(&path)
    };
    Dataset {
        root: folder.to_owned(),
        layout: Layout::Folder,
        category: "parts".into(),
        train: sizes.iter().enumerate().map(write).collect(),
        test: Vec::new(),
        skipped: Vec::new(),
    }
}

fn try_set(dataset: &Dataset, per_image: Option<usize>, skip_bad: bool) -> Result<TiledSet<'_>, Error> {
    let options = FitOptions { batch_size: 4, skip_bad, ..FitOptions::default() };
    let tiling = Tiling { height: 16, width: 16, overlap: 0 };
    let tiles = TileOptions { tiling, models: TileModels::Shared, per_image };
    TiledSet::new(dataset, &Arc::new(Transform::native()), &tiles, &options, 5)
}

fn set(dataset: &Dataset, per_image: Option<usize>, skip_bad: bool) -> TiledSet<'_> {
    try_set(dataset, per_image, skip_bad).unwrap()
}

/// The numbers of the tiles and the grey values of a pass, in order.
fn pass(set: &TiledSet<'_>, seed: Option<u64>) -> Vec<(usize, u8)> {
    let mut seen = Vec::new();
    set.for_each_batch(seed, &mut |indices, batch| {
        assert!(batch.count <= 4 && (batch.height, batch.width) == (16, 16));
        let values = (0..batch.count).map(|index| (batch.image(index)[0] * 255.0).round() as u8);
        seen.extend(indices.iter().copied().zip(values));
        Ok(())
    })
    .unwrap();
    seen
}

#[test]
fn every_tile_comes_once_in_order_or_shuffled_by_the_seed() {
    let folder = tempfile::tempdir().unwrap();
    let samples = dataset(folder.path(), &[(48, 32), (16, 32)]);
    let set = set(&samples, None, false);
    assert_eq!((set.len(), set.category(7)), (8, "parts"));
    let in_order = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 100), (7, 101)];
    assert_eq!(pass(&set, None), in_order);
    let shuffled = pass(&set, Some(1));
    assert_eq!(shuffled, pass(&set, Some(1)));
    assert!(shuffled != in_order && shuffled != pass(&set, Some(2)));
    let mut sorted = shuffled;
    sorted.sort_unstable();
    assert_eq!(sorted, in_order);
}

#[test]
fn a_share_of_the_tiles_or_one_place_can_be_learnt() {
    let folder = tempfile::tempdir().unwrap();
    let samples = dataset(folder.path(), &[(48, 32), (48, 32)]);
    let few = set(&samples, Some(2), false);
    let drawn = pass(&few, None);
    assert_eq!((few.len(), drawn.len()), (4, 4));
    assert!(drawn[0].1 < drawn[1].1 && drawn[1].1 < 100 && drawn[2].1 >= 100);
    assert_eq!(pass(&set(&samples, Some(2), false), None), drawn, "the seed decides");
    let mut one = set(&samples, None, false);
    assert_eq!(one.common_size().unwrap().unwrap().transformed, (32, 48));
    one.only(4);
    assert_eq!((one.len(), pass(&one, None)), (2, vec![(0, 4), (1, 104)]));
}

#[test]
fn broken_images_are_listed_and_the_rest_keep_their_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let samples = dataset(folder.path(), &[(16, 16), (16, 16), (32, 16)]);
    std::fs::write(&samples.train[1].path, "no image").unwrap();
    let lenient = set(&samples, None, true);
    assert_eq!(pass(&lenient, None), [(0, 0), (1, 200), (2, 201)]);
    assert_eq!(lenient.skipped().len(), 1);
    assert!(lenient.common_size().unwrap_err().to_string().contains("--tile-models shared"));
    assert!(try_set(&samples, None, false).err().unwrap().to_string().contains("1.png"));
}

use super::*;
use crate::layout::{Label, OpenOptions, open_dataset};
use crate::reader::{Pixels, RgbImage, read_mask};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn small(look: Look) -> SynthOptions {
    SynthOptions {
        train: 3,
        test_good: 2,
        test_per_defect: 2,
        height: 64,
        width: 80,
        ..SynthOptions::new(look)
    }
}

fn bytes(image: &RgbImage) -> &[u8] {
    match &image.pixels {
        Pixels::U8(bytes) => bytes,
        other => panic!("not 8 bit: {other:?}"),
    }
}

fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    entries
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_path_buf();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn a_set_opens_as_mvtec_with_one_mask_per_defective_image() {
    for look in Look::ALL {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("set");
        let calls = std::sync::Mutex::new(Vec::new());
        let report = write_synthetic_set(&out, &small(look), &|done, total| {
            calls.lock().unwrap().push((done, total));
        })
        .unwrap();
        let defects = look.defects().len();
        assert!(defects >= 4);
        assert_eq!(report.defects.len(), defects);
        let total = 5 + 2 * defects as u64;
        let mut calls = calls.into_inner().unwrap();
        calls.sort_unstable();
        assert_eq!(calls, (1..=total).map(|done| (done, total)).collect::<Vec<_>>());
        let set = open_dataset(&out, &OpenOptions::default()).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (3, 2 + 2 * defects));
        for sample in &set.test {
            assert_eq!(!sample.masks.is_empty(), sample.label == Label::Defective);
            for mask in &sample.masks {
                let mask = read_mask(mask).unwrap();
                let marked = mask.marked.iter().filter(|&&is_marked| is_marked).count();
                assert_eq!((mask.height, mask.width), (64, 80));
                assert!((8..64 * 80 / 2).contains(&marked), "{}: {marked}", sample.path.display());
            }
        }
        // Nothing unfinished stays: 2 folders of good images, and 2 files a defective image, and the marker.
        assert_eq!(all_files(&out).len(), 3 + 2 + 4 * defects + 1);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, threads: usize, seed: u64| {
        let out = folder.path().join(name);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = SynthOptions { seed, ..small(Look::Print) };
        pool.install(|| write_synthetic_set(&out, &options, &|_, _| {})).unwrap();
        all_files(&out)
    };
    let one = write("one", 1, 5);
    assert_eq!(one, write("three", 3, 5));
    let other = write("other", 2, 6);
    assert!(one.iter().all(|(name, bytes)| other[name] != *bytes), "another seed changes every file");
}

#[test]
fn good_images_differ_and_do_not_depend_on_the_order() {
    let generator = Generator::new(Look::Fabric, 1, (48, 64)).unwrap();
    let forward: Vec<_> = generator.good_images().take(4).collect();
    let backward: Vec<_> = (0..4).rev().map(|index| generator.good(index)).collect();
    assert!(forward.iter().eq(backward.iter().rev()));
    assert!((1..4).all(|index| forward[index] != forward[0]));
    let sizes: Vec<_> = forward.iter().map(|image| (image.height, image.width, bytes(image).len())).collect();
    assert_eq!(sizes, [(48, 64, 48 * 64 * 3); 4]);
}

/// Averages out the sensor's noise: the mean brightness inside and outside the mask, good against defective scene.
#[test]
fn pixels_outside_the_mask_are_those_of_a_good_scene() {
    for look in Look::ALL {
        let generator = Generator::new(look, 3, (96, 96)).unwrap();
        for &defect in look.defects() {
            for index in 0..3 {
                let (twin, made) = generator.twins(defect, index).unwrap();
                let noisy_limit = 255.0 * 8.0 * canvas::sensor_noise(1.0);
                let mut inside = 0u32;
                for ((before, after), &is_marked) in
                    bytes(&twin).chunks(3).zip(bytes(&made.image).chunks(3)).zip(&made.mask.marked)
                {
                    let change = before.iter().zip(after).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                    // Both images carry the same draw of noise; its strength follows the brightness.
                    let limit =
                        255.0 * 3.5 * canvas::sensor_noise(f32::from(*before.iter().max().unwrap()) / 255.0)
                            + 1.0;
                    assert!(is_marked || f32::from(change) <= limit, "{look} {defect} {index}: {change}");
                    inside += u32::from(is_marked && f32::from(change) > noisy_limit);
                }
                assert!(inside > 0, "{look} {defect} {index} shows nothing");
            }
        }
    }
}

#[test]
fn defects_neither_vanish_nor_fill_the_picture() {
    for look in Look::ALL {
        for seed in 0..4 {
            let generator = Generator::new(look, seed, (64, 64)).unwrap();
            for &defect in look.defects() {
                for index in 0..4 {
                    let made = generator.defective(defect, index).unwrap();
                    let marked = made.mask.marked.iter().filter(|&&is_marked| is_marked).count();
                    assert!((8..1600).contains(&marked), "{look} {defect}, seed {seed}: {marked}");
                }
            }
        }
    }
}

#[test]
fn only_an_earlier_set_is_overwritten_and_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let options = SynthOptions { overwrite: true, ..small(Look::Metal) };
    let write = |options: &SynthOptions| write_synthetic_set(&out, options, &|_, _| {});
    write(&options).unwrap();
    let error = write(&small(Look::Metal)).unwrap_err().to_string();
    assert!(error.contains("earlier synthetic set"), "{error}");
    write(&SynthOptions { train: 1, ..options.clone() }).unwrap();
    assert!(!out.join("train/good/002.png").exists());
    std::fs::write(out.join("train/good/mine.png"), b"precious").unwrap();
    let error = write(&options).unwrap_err().to_string();
    assert!(error.contains("mine.png"), "{error}");
    assert!(out.join("train/good/mine.png").exists() && out.join("train/good/000.png").exists());
}

/// What an interruption leaves is taken for no set, and the same command works again.
#[test]
fn a_set_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let seen = std::sync::atomic::AtomicBool::new(false);
    let write = |overwrite: bool| {
        let options = SynthOptions { overwrite, ..small(Look::Metal) };
        write_synthetic_set(&out, &options, &|done, total| {
            let is_there = out.join("train").exists() || out.join("synthetic.json").exists();
            seen.fetch_or(done < total && is_there, std::sync::atomic::Ordering::Relaxed);
        })
    };
    write(false).unwrap();
    assert!(!seen.into_inner(), "nothing is seen of it before it is complete");
    // As a killed run leaves it, in a folder that is there and beside one that is not.
    std::fs::remove_dir_all(&out).unwrap();
    for left in [folder.path().to_owned(), out.clone()] {
        std::fs::create_dir_all(left.join(".blemish-unfinished-aaaaaaaaaa.d/train/good")).unwrap();
        std::fs::write(left.join(".blemish-unfinished-aaaaaaaaaa"), "").unwrap();
    }
    assert!(open_dataset(&out, &OpenOptions::default()).is_err());
    let options = small(Look::Metal);
    write_synthetic_set(&out, &options, &|_, _| {}).unwrap();
    assert!(!out.join(".blemish-unfinished-aaaaaaaaaa").exists());
    // An earlier set stays until the new one is complete.
    let options = SynthOptions { overwrite: true, train: 1, ..options };
    write_synthetic_set(&out, &options, &|_, _| {
        assert!(out.join("train/good/002.png").exists() && out.join("synthetic.json").exists());
    })
    .unwrap();
    assert_eq!(open_dataset(&out, &OpenOptions::default()).unwrap().train.len(), 1);
}

#[test]
fn foreign_folders_and_impossible_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("letter.txt"), b"dear").unwrap();
    let options = SynthOptions { overwrite: true, ..small(Look::Metal) };
    let fails = |options: &SynthOptions| {
        write_synthetic_set(folder.path(), options, &|_, _| {}).unwrap_err().to_string()
    };
    assert!(fails(&options).contains("not empty"));
    assert!(fails(&SynthOptions { height: 8, ..options.clone() }).contains("80x8"));
    assert!(fails(&SynthOptions { width: 20_000, ..options }).contains("20000x64"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = "silk".parse::<Look>().unwrap_err().to_string();
    assert!(error.contains("fabric, metal, print"), "{error}");
    assert!(Look::ALL.iter().all(|look| look.name().parse::<Look>().unwrap() == *look));
    let generator = Generator::new(Look::Metal, 0, (64, 64)).unwrap();
    let error = generator.defective(Defect::Hole, 0).unwrap_err().to_string();
    assert!(error.contains("no defect `hole`") && error.contains("dent"), "{error}");
}

#[test]
fn noise_has_mean_0_and_deviation_1() {
    let random = &mut Random::new(9, 9, 9);
    let field = noise::Noise::new(random, (300, 300), (2.0, 3.0)).field((300, 300));
    let count = field.len() as f32;
    let mean = field.iter().sum::<f32>() / count;
    let variance = field.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    assert!(mean.abs() < 0.05 && (0.9..1.1).contains(&variance), "{mean} {variance}");
    let noise = noise::Noise::new(random, (20, 30), (2.5, 4.0));
    let field = noise.field((20, 30));
    assert!((field[7 * 30 + 11] - noise.at(7.0, 11.0)).abs() < 1e-5, "field and point agree");
    let draws: Vec<f32> = (0..40_000).map(|_| random.normal()).collect();
    let variance = draws.iter().map(|draw| draw * draw).sum::<f32>() / 40_000.0;
    assert!((0.97..1.03).contains(&variance), "{variance}");
}

#[test]
fn shuffle_keeps_every_item() {
    let mut items: Vec<u32> = (0..100).collect();
    shuffle(&mut items, &mut Random::new(1, 2, 3));
    assert!(!items.is_sorted());
    items.sort_unstable();
    assert!(items.iter().copied().eq(0..100));
}

#[test]
fn a_set_that_is_stopped_leaves_nothing_and_the_earlier_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let stop = |done: u64, _: u64| if done < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let stopped = write_synthetic_set(&out, &small(Look::Metal), &stop);
    assert!(matches!(stopped, Err(SynthError::Interrupted)) && !out.exists());
    write_synthetic_set(&out, &small(Look::Metal), &|_, _| {}).unwrap();
    let earlier = all_files(&out);
    let other = SynthOptions { seed: 9, overwrite: true, ..small(Look::Metal) };
    write_synthetic_set(&out, &other, &stop).unwrap_err();
    assert_eq!(all_files(&out), earlier);
    // What a killed run has left is neither the set's nor in the way.
    std::fs::create_dir_all(out.join(".blemish-unfinished-leftleftle.d/train")).unwrap();
    std::fs::write(out.join(".blemish-unfinished-leftleftle.d/train/0.png"), "x").unwrap();
    write_synthetic_set(&out, &other, &|_, _| {}).unwrap();
    assert!(!out.join(".blemish-unfinished-leftleftle.d").exists() && all_files(&out).len() == earlier.len());
}

#[test]
fn absurd_sizes_and_counts_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("set");
    let refused = |options: SynthOptions| {
        let error = write_synthetic_set(&out, &options, &|_, _| {}).unwrap_err();
        assert!(!out.exists());
        error
    };
    let small = || small(Look::Fabric);
    assert!(matches!(
        refused(SynthOptions { train: 99_999_999_999_999, ..small() }),
        SynthError::Count { .. }
    ));
    let most = SynthOptions { test_per_defect: usize::MAX, test_good: usize::MAX, ..small() };
    assert!(refused(most).to_string().contains("ask for at most 1000000"));
    let large = SynthOptions { height: 16_384, width: 16_384, ..small() };
    assert!(matches!(refused(large), SynthError::Pixels { .. }));
}

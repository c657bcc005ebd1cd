//! Images, masks and folders as users bring them.

use super::json;
use crate::support::Bench;
use std::fs;

#[test]
fn broken_images_stop_the_work_or_are_listed() {
    let bench = Bench::with_model();
    fs::write(bench.path("set/train/good/zzz.png"), b"not an image").unwrap();
    let error = bench.fails("fit set --size 64x64 -o other.blemish");
    assert!(error.contains("zzz.png") && error.contains("--skip-bad"), "{error}");
    assert!(!bench.path("other.blemish").exists());
    let output = bench.command("fit set --size 64x64 --skip-bad -o other.blemish").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("zzz.png"));
    assert!(bench.path("other.blemish").exists());
}

#[test]
fn suspects_are_ranked_with_pictures_and_trimmed_aloud() {
    let bench = Bench::with_model();
    let defect = fs::read_dir(bench.path("set/test")).unwrap().filter_map(Result::ok);
    let folder = defect.map(|entry| entry.path()).find(|path| !path.ends_with("good")).unwrap();
    let bad = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    fs::copy(bad, bench.path("set/train/good/odd.png")).unwrap();
    let words = bench.ok("data suspects set --size 64x64 -o suspects --show 3");
    assert_eq!(
        words.lines().filter(|line| line.contains(".png") && line.contains("good")).count(),
        3,
        "{words}"
    );
    let list = fs::read_to_string(bench.path("suspects/suspects.csv")).unwrap();
    assert_eq!(list.lines().count(), 8);
    assert!(list.contains("odd.png"));
    assert!(image::open(bench.path("suspects/suspects.png")).unwrap().width() > 400);
    let words = bench.ok("fit set --size 64x64 --trim 1 -o trimmed.blemish");
    assert!(words.contains("trimmed `set/train/good/") && words.contains("fitted on 6 images"), "{words}");
    let wrong = bench.command("fit set --trim most").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

/// Pictures of 12-bit values in 16 bit, or the same ones in 8 bit, in a folder.
fn camera_pictures(bench: &Bench, folder: &str, numbers: std::ops::Range<u32>, is_deep: bool) {
    fs::create_dir_all(bench.path(folder)).unwrap();
    for number in numbers {
        let value = move |x: u32, y: u32| ((x * 5 + y * 3 + number * 11) % 200 + 30) as u8;
        let path = bench.path(folder).join(format!("{number}.png"));
        match is_deep {
            true => image::ImageBuffer::from_fn(64, 64, |x, y| image::Luma([u16::from(value(x, y)) * 16]))
                .save(path)
                .unwrap(),
            false => image::GrayImage::from_fn(64, 64, |x, y| image::Luma([value(x, y)])).save(path).unwrap(),
        }
    }
}

#[test]
fn sixteen_bit_images_of_a_twelve_bit_camera_get_their_range() {
    let bench = Bench::new();
    for (name, is_deep) in [("deep", true), ("plain", false)] {
        camera_pictures(&bench, name, 0..6, is_deep);
        camera_pictures(&bench, &format!("new-{name}"), 7..8, is_deep);
    }
    bench.ok("fit plain --size 64x64 --folds 0 -o plain.blemish");
    let score = |model: &str, folder: &str| {
        let line = bench.ok(&format!("predict {model} new-{folder} --progress none"));
        json(line.trim())["score"].as_f64().unwrap()
    };
    let wanted = score("plain.blemish", "plain");
    for (option, said) in [("", "--value-range 0,4095"), ("--value-range auto", "value range: 0,4095")] {
        let fit = bench
            .command(&format!("fit deep --size 64x64 --folds 0 -o deep.blemish --progress plain {option}"))
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&fit.stderr).into_owned();
        assert!(fit.status.success() && words.contains(said), "{words}");
        let found = score("deep.blemish", "deep");
        assert!(option.is_empty() || (found / wanted - 1.0).abs() < 0.02, "{found} instead of {wanted}");
    }
}

#[test]
fn limits_on_images_are_options_of_every_command_that_reads_them() {
    let bench = Bench::with_model();
    for line in [
        "predict model.blemish set/test/good",
        "eval model.blemish set",
        "fit set --size 64x64 -o other.blemish",
    ] {
        let words = bench.fails(&format!("{line} --max-pixels 60x60"));
        assert!(words.contains("at most 3600 pixels") && words.contains("--max-pixels N"), "{words}");
    }
    let words = bench.fails("predict model.blemish set/test/good --memory-limit 10kB");
    assert!(words.contains("--memory-limit SIZE"), "{words}");
    let check = bench.command("data check set --max-pixels 60x60").output().unwrap();
    let words = String::from_utf8_lossy(&check.stdout);
    assert!(words.contains("at most 3600 pixels"), "{words}");
}

#[test]
fn fit_says_what_it_took_of_each_folder_and_refuses_what_contradicts_itself() {
    let bench = Bench::new();
    bench.ok("data synth set --train 8 --test-good 2 --test-per-defect 1 --size 64x64");
    fs::rename(bench.path("set/train/good"), bench.path("set/train/OK")).unwrap();
    fs::rename(bench.path("set/test/good"), bench.path("set/test/Normal")).unwrap();
    let told = bench.ok("fit set --size 64x64 --folds 0 -o model.blemish");
    assert!(
        told.lines()
            .any(|line| line.starts_with("train/OK ") && line.contains("8 images  good, to learn from")),
        "{told}"
    );
    assert!(
        told.lines()
            .any(|line| line.starts_with("test/Normal ") && line.contains("2 images  good, to test with")),
        "{told}"
    );
    let told = json(&bench.ok("fit set --size 64x64 --folds 0 -o model.blemish --json"));
    assert!(
        told["taken"]["folders"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["taken_as"] == "learnt" && one["images"] == 8),
        "{told}"
    );
    assert!(bench.ok("eval model.blemish set").contains("good images: 2"));

    fs::create_dir_all(bench.path("mixed/defects")).unwrap();
    for (number, entry) in fs::read_dir(bench.path("set/train/OK")).unwrap().enumerate() {
        let folder = if number < 2 { "mixed/defects" } else { "mixed" };
        fs::copy(entry.unwrap().path(), bench.path(&format!("{folder}/{number}.png"))).unwrap();
    }
    let refused = bench.fails("fit mixed --size 64x64");
    assert!(
        refused.contains("`defects` (2 images) speaks of defects") && refused.contains("--trust-folders"),
        "{refused}"
    );
    bench.ok("fit mixed --size 64x64 --folds 0 --trust-folders -o trusted.blemish");
    assert!(bench.ok("data layouts").contains("ground_truth/"));
}

#[cfg(unix)]
#[test]
fn links_to_nowhere_and_empty_masks_are_named_or_left_out() {
    let bench = Bench::with_model();
    std::os::unix::fs::symlink("/nonexistent/7.png", bench.path("set/test/good/7.png")).unwrap();
    for line in ["predict model.blemish set/test", "eval model.blemish set"] {
        let error = bench.fails(line);
        // Long lines are broken where a name has a slash.
        assert!(
            error.contains("link to nowhere: it points to `/") && error.contains("nonexistent/7.png`"),
            "{error}"
        );
        assert!(error.contains("--skip-bad"), "{error}");
        let output = bench.command(&format!("{line} --skip-bad")).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/nonexistent/7.png")
        );
    }
    fs::remove_file(bench.path("set/test/good/7.png")).unwrap();
    let masks = bench.path("set/ground_truth");
    let kind = fs::read_dir(&masks).unwrap().next().unwrap().unwrap().path();
    let mask = fs::read_dir(&kind).unwrap().next().unwrap().unwrap().path();
    image::GrayImage::new(64, 64).save(&mask).unwrap();
    let error = bench.fails("eval model.blemish set");
    assert!(error.contains("000_mask.png` of image") && error.contains("marks nothing"), "{error}");
    let output = bench.command("eval model.blemish set --skip-bad").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("000_mask.png"));
}

use super::*;
use crate::reader::Pixels;
use std::path::Path;

fn bytes(frame: &TrafficFrame) -> &[u8] {
    match &frame.image.pixels {
        Pixels::U8(bytes) => bytes,
        _ => &[],
    }
}

fn clip(traffic: &Traffic, odd: Option<OddMotion>) -> Vec<TrafficFrame> {
    traffic.clip(1, odd).collect()
}

/// The centre column of what is marked, where anything is.
fn place(frame: &TrafficFrame) -> Option<(f32, f32)> {
    let marked: Vec<usize> = (0..frame.mask.marked.len()).filter(|&at| frame.mask.marked[at]).collect();
    let mean = |of: &dyn Fn(usize) -> usize| {
        marked.iter().map(|&at| of(at) as f32).sum::<f32>() / marked.len() as f32
    };
    let width = frame.mask.width;
    (!marked.is_empty()).then(|| (mean(&|at| at / width), mean(&|at| at % width)))
}

#[test]
fn the_same_numbers_give_the_same_bytes_and_clips_share_their_street() {
    let traffic = Traffic::new(3, (64, 96), 24);
    let once = clip(&traffic, Some(OddMotion::Stop));
    assert_eq!(once, clip(&Traffic::new(3, (64, 96), 24), Some(OddMotion::Stop)));
    assert_eq!(once.len(), 24);
    assert_ne!(once, clip(&Traffic::new(4, (64, 96), 24), Some(OddMotion::Stop)));
    // The grass at the top is the same in every clip but for light and noise.
    let other = clip(&traffic, None);
    let top = 3 * 96 * 8;
    let off = |one: &[u8], other: &[u8]| {
        one[..top].iter().zip(&other[..top]).map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / top as f32
    };
    assert!(off(bytes(&once[0]), bytes(&other[20])) < 10.0);
}

#[test]
fn good_clips_mark_nothing_and_odd_ones_only_while_it_is_seen() {
    let traffic = Traffic::new(0, (128, 128), 50);
    assert!(clip(&traffic, None).iter().all(|frame| place(frame).is_none()));
    for odd in OddMotion::ALL {
        let frames = clip(&traffic, Some(odd));
        let marked = frames.iter().filter(|frame| place(frame).is_some()).count();
        assert!((8..=45).contains(&marked), "{odd}: {marked}");
        assert!(place(&frames[0]).is_none(), "{odd}");
    }
}

#[test]
fn motions_are_what_they_are_called() {
    let traffic = Traffic::new(0, (128, 128), 50);
    let steps = |odd| -> Vec<(f32, f32)> {
        let places: Vec<Option<(f32, f32)>> = clip(&traffic, Some(odd)).iter().map(place).collect();
        let step = |pair: &[Option<(f32, f32)>]| Some((pair[1]?.0 - pair[0]?.0, pair[1]?.1 - pair[0]?.1));
        let steps: Vec<(f32, f32)> = places.windows(2).filter_map(step).collect();
        // In the middle it is seen as a whole.
        steps[steps.len() / 3..2 * steps.len() / 3].to_vec()
    };
    assert!(steps(OddMotion::WrongWay).iter().all(|(_, x)| (-5.0..-2.0).contains(x)));
    assert!(steps(OddMotion::Speeding).iter().all(|(_, x)| *x > 6.0));
    assert!(steps(OddMotion::Stop).iter().all(|(y, x)| y.abs() < 1e-3 && x.abs() < 1e-3));
    assert!(steps(OddMotion::OddObject).iter().all(|(y, _)| (1.5..3.0).contains(&y.abs())));
}

#[test]
fn a_set_is_written_whole_and_replaced_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("traffic");
    let options = TrafficOptions {
        train: 2,
        test_good: 1,
        test_per_motion: 1,
        frames: 20,
        height: 32,
        width: 40,
        ..TrafficOptions::default()
    };
    let write = |options: &TrafficOptions| write_traffic_set(&out, options, &|_, _| ());
    let report = write(&options).unwrap();
    assert_eq!((report.train, report.test_good, report.motions.len()), (2, 1, 4));
    let has = |path: &str| out.join(path).is_file();
    assert!(has("Train/Train002/020.png") && has("Test/wrong_way_001/001.png"));
    assert!(has("Test/normal_001_gt/001.png") && !Path::new(&out.join("Train/Train001_gt")).exists());
    assert!(write(&options).unwrap_err().to_string().contains("ask to overwrite"));
    let again = TrafficOptions { overwrite: true, train: 1, ..options.clone() };
    write(&again).unwrap();
    assert!(!has("Train/Train002/020.png"));
    std::fs::write(out.join("Test/notes.txt"), b"mine").unwrap();
    assert!(write(&again).unwrap_err().to_string().contains("notes.txt"));
    let short = TrafficOptions { frames: 10, ..options };
    assert!(write(&short).unwrap_err().to_string().contains("20 frames"));
}

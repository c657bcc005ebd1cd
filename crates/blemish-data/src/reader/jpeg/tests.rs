use crate::error::ImageFault;
use crate::reader::{ReadOptions, RgbImage, decode_image, image_size};
use std::path::Path;

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scans");
    std::fs::read(folder.join(name)).unwrap()
}

fn read(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    decode_image(bytes, &ReadOptions::default())
}

/// Where the last scan's header begins.
fn last_scan(bytes: &[u8]) -> usize {
    bytes.windows(2).rposition(|mark| mark == [0xFF, 0xDA]).unwrap()
}

#[test]
fn scans_of_single_colours_hold_the_same_picture_as_one_of_all() {
    let one = read(&golden("one.jpg")).unwrap();
    for name in ["apart.jpg", "backwards.jpg", "two_one_restart.jpg", "progressive.jpg"] {
        assert_eq!(read(&golden(name)).unwrap(), one, "{name}");
    }
}

#[test]
fn picture_data_cut_short_is_told_though_the_end_mark_is_there() {
    let all = [0, 1, 5, 9];
    // Of small last scans little may be missing without a block being so.
    for (name, shares) in [("one.jpg", &all[..]), ("apart.jpg", &all[..1]), ("progressive.jpg", &all[..1])] {
        let bytes = golden(name);
        let start = last_scan(&bytes) + 14;
        for &share in shares {
            let cut = [&bytes[..start + (bytes.len() - start) * share / 10], &[0xFF, 0xD9]].concat();
            let Err(fault) = read(&cut) else { panic!("{name} at {share} is read") };
            assert!(matches!(fault, ImageFault::Truncated { .. }), "{name} at {share}: {fault}");
        }
    }
    // A colour that never comes.
    let bytes = golden("apart.jpg");
    let cut = [&bytes[..last_scan(&bytes)], &[0xFF, 0xD9]].concat();
    let fault = read(&cut).unwrap_err();
    assert!(fault.to_string().contains("colour 3 of 3"), "{fault}");
}

#[test]
fn kinds_that_are_not_read_are_named() {
    let named = |bytes: &[u8], kind: &str| {
        let fault = read(bytes).unwrap_err();
        assert!(
            matches!(fault, ImageFault::Unsupported { .. }) && fault.to_string().contains(kind),
            "{fault}"
        );
    };
    named(&golden("arithmetic.jpg"), "arithmetic coding");
    let frame = |bytes: &[u8]| bytes.windows(2).position(|mark| mark == [0xFF, 0xC0]).unwrap();
    let mut deep = golden("one.jpg");
    let at = frame(&deep);
    deep[at + 4] = 12;
    named(&deep, "12 bits");
    let mut lossless = golden("one.jpg");
    lossless[at + 1] = 0xC3;
    named(&lossless, "lossless");
}

#[test]
fn many_scans_of_a_large_picture_are_refused_at_once() {
    let mut bytes = golden("progressive.jpg");
    let frame = bytes.windows(2).position(|mark| mark == [0xFF, 0xC2]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x1F, 0x40, 0x1F, 0x40]);
    let scan = bytes[last_scan(&bytes)..bytes.len() - 2].to_vec();
    let end = bytes.len() - 2;
    bytes.truncate(end);
    (0..150).for_each(|_| bytes.extend_from_slice(&scan));
    bytes.extend([0xFF, 0xD9]);
    let started = std::time::Instant::now();
    let fault = read(&bytes).unwrap_err();
    assert!(fault.to_string().contains("scans of 64,000,000 pixels"), "{fault}");
    assert!(started.elapsed().as_secs() < 2);
    assert_eq!(image_size(&bytes, &ReadOptions::default()), Ok((8000, 8000)));
}

#[test]
fn coefficients_count_against_the_memory_limit() {
    // 53 x 37 pixels: 3 bytes each for the result, 6 for coefficients where they must be held.
    let limit = ReadOptions { memory_limit: 53 * 37 * 8, ..ReadOptions::default() };
    assert!(decode_image(&golden("one.jpg"), &limit).is_ok());
    for name in ["apart.jpg", "progressive.jpg"] {
        let fault = decode_image(&golden(name), &limit).unwrap_err();
        assert!(matches!(fault, ImageFault::TooLarge { .. }), "{name}: {fault}");
    }
}

#[test]
fn a_code_that_no_table_has_is_damage() {
    let mut bytes = golden("one.jpg");
    let at = last_scan(&bytes) + 20;
    // A stuffed FF is sixteen ones with its neighbour, which no table gives a meaning.
    bytes.splice(at..at + 4, [0xFF, 0, 0xFF, 0, 0xFF, 0]);
    let fault = read(&bytes).unwrap_err();
    assert!(matches!(fault, ImageFault::Damaged { .. }), "{fault}");
}

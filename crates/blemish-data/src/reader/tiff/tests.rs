use crate::error::ImageFault;
use crate::reader::{Pixels, ReadOptions, RgbImage, decode_image, read_image};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiles").join(name)
}

fn read(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    decode_image(bytes, &ReadOptions::default())
}

/// A little-endian TIFF of one strip: 8 x 8 pixels, with further tags.
fn tiff(data: &[u8], bits: u32, photometric: u32, more: &[(u16, u32)], colours: &[u16]) -> Vec<u8> {
    let mut tags: Vec<(u16, u16, u32, u32)> = vec![
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, 1, bits),
        (262, 3, 1, photometric),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 3, 1, 8),
        (279, 4, 1, data.len() as u32),
    ];
    tags.extend(more.iter().map(|&(tag, value)| (tag, 3, 1, value)));
    let count = tags.len() + usize::from(!colours.is_empty());
    let directory = 8 + data.len();
    if !colours.is_empty() {
        tags.push((320, 3, colours.len() as u32, (directory + 2 + 12 * count + 4) as u32));
    }
    tags.sort_unstable();
    let mut bytes = b"II\x2a\0".to_vec();
    bytes.extend((directory as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes.extend((count as u16).to_le_bytes());
    for (tag, kind, count, value) in tags {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(colours.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn reds(image: &RgbImage) -> Vec<u32> {
    match &image.pixels {
        Pixels::U8(values) => values.chunks_exact(3).map(|rgb| rgb[0].into()).collect(),
        Pixels::U16(values) => values.chunks_exact(3).map(|rgb| rgb[0].into()).collect(),
        Pixels::F32(_) => panic!("measured"),
    }
}

#[test]
fn tiles_of_every_packing_and_plane_hold_the_picture_that_libtiff_wrote() {
    let options = ReadOptions::default();
    let expected = read_image(&golden("expected.png"), &options).unwrap();
    for name in ["lzw.tif", "lzw_differences.tif", "planar.tif"] {
        assert_eq!(read_image(&golden(name), &options).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_palette_of_8_bit_values_is_not_black() {
    let indices: Vec<u8> = (0..64).collect();
    let colours = |scale: u16| -> Vec<u16> { (0..768_u16).map(|at| at % 256 * scale).collect() };
    for scale in [1, 257] {
        let image = read(&tiff(&indices, 8, 3, &[], &colours(scale))).unwrap();
        assert_eq!(reds(&image), (0..64).collect::<Vec<_>>(), "{scale}");
    }
    // Fewer colours than 256.
    let packed: Vec<u8> = vec![0x1B; 16];
    let colours: Vec<u16> = [9, 8, 7, 6].repeat(3).iter().map(|value| value * 257).collect();
    let image = read(&tiff(&packed, 2, 3, &[], &colours)).unwrap();
    assert_eq!(reds(&image), [9, 8, 7, 6].repeat(16));
}

#[test]
fn bits_stored_lowest_first_are_turned() {
    let rows: Vec<u8> = (0..8).map(|row| 0b1101_0000 >> (row % 3)).collect();
    let turned: Vec<u8> = rows.iter().map(|row: &u8| row.reverse_bits()).collect();
    let plain = read(&tiff(&rows, 1, 1, &[], &[])).unwrap();
    assert_eq!(read(&tiff(&turned, 1, 1, &[(266, 2)], &[])).unwrap(), plain);
    assert_eq!(reds(&plain)[..4], [255, 255, 0, 255]);
}

#[test]
fn odd_depths_are_spread_over_the_next_whole_one() {
    // Twelve bits: 0xFFF, 0x000, ... in threes of bytes.
    let data = [0xFF, 0xF0, 0x00].repeat(32);
    let image = read(&tiff(&data, 12, 1, &[], &[])).unwrap();
    assert_eq!(reds(&image), [65_535, 0].repeat(32));
    let image = read(&tiff(&data, 12, 0, &[], &[])).unwrap();
    assert_eq!(reds(&image), [0, 65_535].repeat(32));
}

#[test]
fn a_piece_that_is_too_short_is_named() {
    let mut bytes = std::fs::read(golden("lzw.tif")).unwrap();
    // The end of what the first tile holds.
    bytes[40..60].fill(0x80);
    let fault = read(&bytes).unwrap_err();
    assert!(matches!(&fault, ImageFault::Damaged { .. }), "{fault}");
    let short = tiff(&[7; 10], 8, 1, &[(259, 32_773)], &[]);
    let fault = read(&short).unwrap_err().to_string();
    assert!(fault.contains("strip 1: it holds") && fault.contains("of 64 bytes"), "{fault}");
}

#[test]
fn kinds_that_are_not_read_are_named() {
    for (tag, value, words) in
        [(259, 34_925, "LZMA"), (259, 50_000, "Zstandard"), (259, 6, "old style"), (339, 5, "complex")]
    {
        let fault = read(&tiff(&[0; 64], 8, 1, &[(tag, value)], &[])).unwrap_err();
        assert!(
            matches!(fault, ImageFault::Unsupported { .. }) && fault.to_string().contains(words),
            "{fault}"
        );
    }
    let fault = read(&tiff(&[0; 64], 8, 5, &[], &[])).unwrap_err();
    assert!(fault.to_string().contains("CMYK"), "{fault}");
}

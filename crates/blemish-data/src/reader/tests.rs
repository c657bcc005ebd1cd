use super::*;
use ::tiff::encoder::{TiffEncoder, colortype};
use ::tiff::tags::Tag;
use image::{DynamicImage, ImageFormat};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io::Cursor;
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats").join(name)
}

/// 9 x 11 RGB of all kinds of values.
fn sample() -> image::RgbImage {
    image::RgbImage::from_fn(11, 9, |x, y| image::Rgb([(x * 23) as u8, (y * 28) as u8, (x * y * 2) as u8]))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn tiff_of<C: colortype::ColorType>(width: u32, height: u32, samples: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: ::tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    TiffEncoder::new(&mut bytes).unwrap().write_image::<C>(width, height, samples).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    decode_image(bytes, &ReadOptions::default())
}

fn u8_pixels(image: RgbImage) -> Vec<u8> {
    let Pixels::U8(values) = image.pixels else { panic!("not 8 bit") };
    values
}

#[test]
fn lossless_formats_give_back_what_was_written() {
    let picture = DynamicImage::ImageRgb8(sample());
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let image = read(&encoded(&picture, format)).unwrap();
        assert_eq!((image.height, image.width), (9, 11));
        assert_eq!(u8_pixels(image), sample().into_raw(), "{format:?}");
    }
}

#[test]
fn sixteen_bits_are_kept() {
    let wide: Vec<u16> = (0..9 * 11 * 3).map(|value| value * 220 + 3).collect();
    let picture = DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(11, 9, wide.clone()).unwrap());
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        assert_eq!(read(&encoded(&picture, format)).unwrap().pixels, Pixels::U16(wide.clone()), "{format:?}");
    }
    let grey: Vec<u16> = wide[..99].to_vec();
    let repeated = Pixels::U16(grey.iter().flat_map(|&value| [value; 3]).collect());
    let picture = DynamicImage::ImageLuma16(image::ImageBuffer::from_raw(11, 9, grey.clone()).unwrap());
    assert_eq!(read(&encoded(&picture, ImageFormat::Png)).unwrap().pixels, repeated);
    assert_eq!(read(&tiff_of::<colortype::Gray16>(11, 9, &grey)).unwrap().pixels, repeated);
}

#[test]
fn float_tiffs_within_the_unit_range_are_used_as_they_are() {
    let values: Vec<f32> = (0..99).map(|value| value as f32 / 98.0).collect();
    let doubles: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    let expected = Pixels::F32(values.iter().flat_map(|&value| [value; 3]).collect());
    assert_eq!(read(&tiff_of::<colortype::Gray32Float>(11, 9, &values)).unwrap().pixels, expected);
    assert_eq!(read(&tiff_of::<colortype::Gray64Float>(11, 9, &doubles)).unwrap().pixels, expected);
    let rgb: Vec<f32> = (0..297).map(|value| value as f32 / 296.0).collect();
    assert_eq!(read(&tiff_of::<colortype::RGB32Float>(11, 9, &rgb)).unwrap().pixels, Pixels::F32(rgb));
}

#[test]
fn measured_values_outside_the_unit_range_need_a_value_range() {
    let mut values: Vec<f32> = (0..99).map(|value| value as f32 - 20.0).collect();
    let bytes = tiff_of::<colortype::Gray32Float>(11, 9, &values);
    assert_eq!(read(&bytes), Err(ImageFault::OutOfRange { lowest: -20.0, highest: 78.0 }));
    let options = ReadOptions { value_range: Some((-10.0, 30.0)), ..ReadOptions::default() };
    let Pixels::F32(scaled) = decode_image(&bytes, &options).unwrap().pixels else { panic!("not float") };
    // -20 is clamped to black, 10 is halfway, 78 is clamped to white.
    assert_eq!([scaled[0], scaled[3 * 30], scaled[3 * 98]], [0.0, 0.5, 1.0]);
    values[5] = f32::NAN;
    values[6] = f32::INFINITY;
    let bytes = tiff_of::<colortype::Gray32Float>(11, 9, &values);
    assert_eq!(decode_image(&bytes, &options), Err(ImageFault::NotFinite { count: 2 * 3 }));
    let signed: Vec<i16> = (0..99).map(|value| value - 50).collect();
    let bytes = tiff_of::<colortype::GrayI16>(11, 9, &signed);
    assert_eq!(read(&bytes), Err(ImageFault::OutOfRange { lowest: -50.0, highest: 48.0 }));
}

#[test]
fn planar_tiffs_are_interleaved() {
    // By hand, little-endian: 8x8 RGB stored as three planes of constant 10, 20 and 30.
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 3, 1, 8),
        (257, 3, 1, 8),
        (258, 3, 3, 122),
        (262, 3, 1, 2),
        (273, 4, 3, 128),
        (277, 3, 1, 3),
        (278, 3, 1, 8),
        (279, 4, 3, 140),
        (284, 3, 1, 2),
    ];
    let mut bytes = b"II\x2a\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    assert_eq!(bytes.len(), 122);
    bytes.extend([8_u16; 3].iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend([152_u32, 216, 280].iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend([64_u32; 3].iter().flat_map(|value| value.to_le_bytes()));
    bytes.extend([10, 20, 30].iter().flat_map(|&value| [value; 64]));
    assert_eq!(u8_pixels(read(&bytes).unwrap()), [10, 20, 30].repeat(64));
}

#[test]
fn a_file_with_a_wrong_extension_is_read_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    std::fs::write(&path, encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Png)).unwrap();
    assert_eq!(u8_pixels(read_image(&path, &ReadOptions::default()).unwrap()), sample().into_raw());
}

#[test]
fn all_formats_and_orientations_look_as_pillow_shows_them() {
    let folder = std::fs::read_dir(golden("")).unwrap();
    let mut count = 0;
    for path in folder.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if name.ends_with(".expected.png") {
            continue;
        }
        let image = read_image(&path, &ReadOptions::default()).unwrap();
        let expected = read_image(&golden(&format!("{name}.expected.png")), &ReadOptions::default()).unwrap();
        assert_eq!((image.height, image.width), (expected.height, expected.width), "{name}");
        assert_eq!(read_size(&path, &ReadOptions::default()).unwrap(), (image.height, image.width), "{name}");
        // JPEG decoders may round their cosine transform differently.
        let tolerance = if name.ends_with(".jpg") { 3 } else { 0 };
        let (found, expected) = (u8_pixels(image), u8_pixels(expected));
        let worst = found.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(worst <= Some(tolerance), "{name}: off by {worst:?}");
        count += 1;
    }
    assert_eq!(count, 27);
}

#[test]
fn orientations_move_the_corner_where_exif_says() {
    // A 2 x 3 picture with values 0 to 5 in reading order.
    let stored = || RgbImage {
        height: 2,
        width: 3,
        pixels: Pixels::U8((0..6).flat_map(|value| [value; 3]).collect()),
    };
    let expected: [(u8, [usize; 2], [u8; 6]); 8] = [
        (1, [2, 3], [0, 1, 2, 3, 4, 5]),
        (2, [2, 3], [2, 1, 0, 5, 4, 3]),
        (3, [2, 3], [5, 4, 3, 2, 1, 0]),
        (4, [2, 3], [3, 4, 5, 0, 1, 2]),
        (5, [3, 2], [0, 3, 1, 4, 2, 5]),
        (6, [3, 2], [3, 0, 4, 1, 5, 2]),
        (7, [3, 2], [5, 2, 4, 1, 3, 0]),
        (8, [3, 2], [2, 5, 1, 4, 0, 3]),
    ];
    for (orientation, size, values) in expected {
        let image = orient::upright(stored(), orientation);
        assert_eq!([image.height, image.width], size, "{orientation}");
        let red: Vec<u8> = u8_pixels(image).chunks_exact(3).map(|rgb| rgb[0]).collect();
        assert_eq!(red, values, "{orientation}");
    }
}

#[test]
fn masks_mark_what_is_not_zero_in_any_channel() {
    let mut picture = image::RgbaImage::from_pixel(4, 2, image::Rgba([0, 0, 0, 255]));
    picture.put_pixel(1, 0, image::Rgba([0, 0, 1, 255]));
    picture.put_pixel(3, 1, image::Rgba([255, 255, 255, 0]));
    let bytes = encoded(&DynamicImage::ImageRgba8(picture), ImageFormat::Png);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    std::fs::write(&path, bytes).unwrap();
    let mask = read_mask(&path).unwrap();
    let marked: Vec<usize> = (0..8).filter(|&at| mask.marked[at]).collect();
    assert_eq!((mask.height, mask.width, marked), (2, 4, vec![1, 7]));
}

#[test]
fn every_unusable_file_says_why() {
    let picture = DynamicImage::ImageRgb8(sample());
    let tiny = DynamicImage::new_rgb8(20, 7);
    let foreign = |found: &str| ImageFault::Foreign { found: found.into() };
    assert_eq!(read(b""), Err(ImageFault::Empty));
    assert_eq!(read(b"%PDF-1.7 ..."), Err(foreign("a PDF document")));
    assert_eq!(read(b"just a note, with more words"), Err(foreign("text")));
    assert_eq!(read(b"BMW is a car, not a bitmap file"), Err(foreign("text")));
    assert_eq!(read(&[0, 1, 2, 250, 251]), Err(foreign("an unknown binary file")));
    assert_eq!(
        read(&encoded(&tiny, ImageFormat::Png)),
        Err(ImageFault::TooSmall { width: 20, height: 7, minimum: 8 })
    );
    let small = ReadOptions { memory_limit: 200, ..ReadOptions::default() };
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP]
    {
        let bytes = encoded(&picture, format);
        let fault = decode_image(&bytes, &small).unwrap_err();
        assert!(matches!(fault, ImageFault::TooLarge { .. }), "{format:?}: {fault}");
    }
    let mut damaged = encoded(&picture, ImageFormat::Png);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    assert!(matches!(read(&damaged), Err(ImageFault::Damaged { format: "PNG", .. })));
}

#[test]
fn a_size_that_no_memory_holds_is_refused_by_the_head() {
    // Files of a few bytes that claim 60,000 x 60,000 pixels; nothing follows, so a look beyond the head would call them cut short.
    let mut png = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut bmp = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xEA, 0, 0, 0x60, 0xEA, 0, 0]);
    let mut jpeg = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|mark| mark == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xEA, 0x60, 0xEA, 0x60]);
    let mut tiff = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Tiff);
    // Width, height and rows a strip: entries of one value each, of 2 or 4 bytes.
    for tag in [256_u16, 257, 278] {
        let is_entry = |bytes: &[u8]| {
            bytes[..2] == tag.to_le_bytes() && matches!(bytes[2], 3 | 4) && bytes[3..8] == [0, 1, 0, 0, 0]
        };
        let at = tiff.windows(12).position(is_entry).unwrap();
        tiff[at + 8..at + 12].copy_from_slice(&60_000_u32.to_le_bytes());
    }
    for (name, bytes) in [("png", png), ("bmp", bmp), ("jpeg", jpeg), ("tiff", tiff)] {
        let expected = ImageFault::TooLarge { needed_mib: Some(10_300), limit_mib: 1024 };
        let options = ReadOptions::default();
        assert_eq!(decode_image(&bytes, &options).unwrap_err(), expected, "{name}");
        assert_eq!(decode_mask(&bytes, &options).unwrap_err(), expected, "{name}");
        assert_eq!(image_size(&bytes, &options).unwrap_err(), expected, "{name}");
        // With memory for it, a limit of pixels says so as well.
        let roomy = ReadOptions { memory_limit: u64::MAX, maximum_pixels: Some(100_000_000), ..options };
        let many = ImageFault::TooManyPixels { width: 60_000, height: 60_000, maximum: 100_000_000 };
        assert_eq!(decode_image(&bytes, &roomy).unwrap_err(), many, "{name}");
        assert_eq!(image_size(&bytes, &roomy).unwrap_err(), many, "{name}");
    }
}

/// The checksum of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |state, &byte| {
        (0..8).fold(state ^ u32::from(byte), |state, _| (state >> 1) ^ (0xEDB8_8320 * (state & 1)))
    })
}

#[test]
fn bytes_and_files_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default();
    let good = encoded(&DynamicImage::ImageRgb8(sample()), ImageFormat::Png);
    let grey = encoded(&DynamicImage::ImageLuma8(image::GrayImage::new(9, 12)), ImageFormat::Jpeg);
    for (number, bytes) in [&good[..], &grey, &good[..60], &grey[..90], b"text", b""].iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, bytes).unwrap();
        let fault = |error| match error {
            DataError::Image { fault, .. } => fault,
            other => panic!("{other}"),
        };
        assert_eq!(read_image(&path, &options).map_err(fault), decode_image(bytes, &options), "{number}");
        assert_eq!(read_size(&path, &options).map_err(fault), image_size(bytes, &options), "{number}");
        assert_eq!(read_mask(&path).map_err(fault), decode_mask(bytes, &options), "{number}");
    }
    assert_eq!(image_size(&good, &options), Ok((9, 11)));
}

#[test]
fn a_file_cut_short_is_called_so_in_every_format() {
    let picture = DynamicImage::ImageRgb8(image::RgbImage::from_fn(64, 64, |x, y| {
        image::Rgb([(x * y) as u8, (x * 7 + y * 13) as u8, (x ^ y) as u8])
    }));
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP]
    {
        let bytes = encoded(&picture, format);
        for keep in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 20] {
            let fault = read(&bytes[..keep]).unwrap_err();
            assert!(matches!(fault, ImageFault::Truncated { .. }), "{format:?} at {keep}: {fault}");
        }
    }
}

#[test]
fn paths_without_a_readable_file_are_errors_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_image(folder.path(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::Image { fault: ImageFault::NotAFile, .. }), "{error}");
    let error = read_image(&folder.path().join("none.png"), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("none.png"), "{error}");
}

/// Flips, cuts, insertions and repeats, as broken disks and transfers make them.
pub(crate) fn mutated(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.next_u32() % 4 {
        let at = random.next_u32() as usize % bytes.len().max(1);
        match random.next_u32() % 5 {
            _ if bytes.is_empty() => bytes.push(random.next_u32() as u8),
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next_u32() as u8),
            2 => bytes[at] ^= 1 << (random.next_u32() % 8),
            3 => bytes[at] = [0, 0xFF, 0x7F, 0x80][random.next_u32() as usize % 4],
            _ => bytes[at] = random.next_u32() as u8,
        }
    }
    bytes
}

#[test]
fn ten_thousand_mutations_of_each_format_never_panic() {
    let picture = DynamicImage::ImageRgb8(sample());
    let floats: Vec<f32> = (0..99).map(|value| value as f32 / 98.0).collect();
    let file = |name: &str| std::fs::read(golden(name)).unwrap();
    let seeds = [
        ("png", encoded(&picture, ImageFormat::Png)),
        ("palette png", file("palette.png")),
        ("jpeg", encoded(&picture, ImageFormat::Jpeg)),
        ("progressive jpeg with orientation", file("orientation_6.jpg")),
        ("bmp", encoded(&picture, ImageFormat::Bmp)),
        ("palette bmp", file("palette.bmp")),
        ("tiff", encoded(&picture, ImageFormat::Tiff)),
        ("float tiff", tiff_of::<colortype::Gray32Float>(11, 9, &floats)),
        ("palette tiff", file("palette_lzw.tif")),
        ("deflate tiff", file("grey_deflate.tif")),
        ("webp", encoded(&picture, ImageFormat::WebP)),
        ("gif", encoded(&picture, ImageFormat::Gif)),
        ("pnm", encoded(&picture, ImageFormat::Pnm)),
        ("jpeg of several scans", file("../scans/two_one_restart.jpg")),
        ("tiff of LZW tiles", file("../tiles/lzw_differences.tif")),
        ("tiff of planar tiles", file("../tiles/planar.tif")),
    ];
    // Decoding gigabytes of nothing that a flipped size asks for would only cost time.
    let options = ReadOptions { memory_limit: 1 << 20, ..ReadOptions::default() };
    for (number, (name, bytes)) in seeds.iter().enumerate() {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let (mut fine, mut refused) = (0, 0);
        for _ in 0..10_000 {
            match decode_image(&mutated(bytes, &mut random), &options) {
                Ok(image) => {
                    let length = match &image.pixels {
                        Pixels::U8(values) => values.len(),
                        Pixels::U16(values) => values.len(),
                        Pixels::F32(values) => values.len(),
                    };
                    assert_eq!(length, 3 * image.height * image.width, "{name}");
                    fine += 1;
                }
                Err(ImageFault::Reader { detail, .. }) if detail.contains("unexpectedly") => {
                    panic!("{name}: the decoder panicked, though it was caught")
                }
                Err(_) => refused += 1,
            }
        }
        assert!(fine > 0 && refused > 1000, "{name}: {fine} read, {refused} refused");
    }
}

#[test]
fn an_orientation_tag_in_a_float_tiff_turns_it() {
    let values: Vec<f32> = (0..8 * 10).map(|value| value as f32 / 100.0).collect();
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder.new_image::<colortype::Gray32Float>(10, 8).unwrap();
    image.encoder().write_tag(Tag::Orientation, 6_u16).unwrap();
    image.write_data(&values).unwrap();
    let image = read(&bytes.into_inner()).unwrap();
    assert_eq!((image.height, image.width), (10, 8));
    let Pixels::F32(turned) = image.pixels else { panic!("not float") };
    // Turned clockwise, the bottom left value comes to the top left.
    assert_eq!(turned[0], values[70]);
}

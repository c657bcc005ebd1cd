use super::*;
use crate::layout::{Layout, open_dataset};
use crate::reader::{ReadOptions, read_image};
use image::codecs::gif::GifEncoder;
use std::io::Cursor;

fn grey(value: u8) -> image::RgbaImage {
    image::RgbaImage::from_pixel(10, 8, image::Rgba([value, value, value, 255]))
}

fn write_gif(path: &Path, frames: &[u8]) {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.encode_frames(frames.iter().map(|&value| image::Frame::new(grey(value)))).unwrap();
    drop(encoder);
    std::fs::write(path, bytes).unwrap();
}

fn write_tiff(path: &Path, frames: &[u16]) {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    for &value in frames {
        encoder.write_image::<tiff::encoder::colortype::Gray16>(10, 8, &[value; 80]).unwrap();
    }
    std::fs::write(path, bytes.into_inner()).unwrap();
}

/// The first red values of the frames in a folder.
fn reds(folder: &Path) -> Vec<u32> {
    let mut frames: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    frames.sort();
    let red = |path: &PathBuf| {
        let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
        match read_image(path, &options).unwrap().pixels {
            Pixels::U8(values) => u32::from(values[0]),
            Pixels::U16(values) => u32::from(values[0]),
            Pixels::F32(_) => 0,
        }
    };
    frames.iter().map(red).collect()
}

#[test]
fn animations_and_pages_become_frames_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (gif, tiff) = (folder.path().join("a.gif"), folder.path().join("b.tif"));
    write_gif(&gif, &[0, 85, 170, 255]);
    write_tiff(&tiff, &[100, 20_000, 65_535]);
    let mut unpacked = Unpacked::new(Some(folder.path())).unwrap();
    let frames = unpacked.stand_in(&gif).unwrap();
    assert_eq!(reds(&frames), [0, 85, 170, 255]);
    assert_eq!(unpacked.shown(&frames.join("000003.png")), gif.join("000003.png"));
    assert_eq!(reds(&unpacked.stand_in(&tiff).unwrap()), [100, 20_000, 65_535]);
    // A picture alone is no clip.
    write_gif(&gif, &[7]);
    write_tiff(&tiff, &[7]);
    assert!(!is_clip(&gif) && !is_clip(&tiff));
    assert_eq!(unpacked.stand_in(&tiff).unwrap(), tiff);
    let place = frames.parent().unwrap().parent().unwrap().to_path_buf();
    drop(unpacked);
    assert!(!place.exists());
}

#[test]
fn a_folder_with_clips_is_read_with_their_frames_in_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    for split in ["Train", "Test"] {
        std::fs::create_dir_all(root.join(split)).unwrap();
        write_gif(&root.join(split).join(format!("{split}001.gif")), &[1, 100]);
    }
    write_gif(&root.join("Test/Test001_gt.gif"), &[0, 255]);
    let mut unpacked = Unpacked::new(Some(folder.path())).unwrap();
    let set = open_dataset(&unpacked.stand_in(&root).unwrap(), &Default::default()).unwrap();
    assert_eq!((set.layout, set.train.len(), set.test.len()), (Layout::Videos, 2, 2));
    assert_eq!(set.test.iter().filter(|sample| !sample.masks.is_empty()).count(), 1);
    assert_eq!(set.category, "set");
}

#[test]
fn a_film_without_a_program_to_read_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("walk.mp4");
    std::fs::write(&film, b"film").unwrap();
    let mut unpacked = Unpacked::new(Some(folder.path())).unwrap();
    unpacked.ffmpeg = folder.path().join("no such program");
    let error = unpacked.stand_in(&film).unwrap_err().to_string();
    assert!(error.contains("walk.mp4") && error.contains("install ffmpeg"), "{error}");
}

#[cfg(unix)]
#[test]
fn frames_of_a_film_come_through_a_pipe_and_its_readers_words_are_passed_on() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("walk.avi");
    std::fs::write(&film, b"film").unwrap();
    let program = folder.path().join("reader");
    let read = |script: &str| {
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut frames = Vec::new();
        let outcome = ffmpeg::film(&program, &film, &mut |frame| {
            frames.push(frame.clone());
            Ok(())
        });
        outcome.map(|()| frames).map_err(|error| error.to_string())
    };
    let frames = read("printf 'P6\\n2 1\\n255\\nabcdefP6\\n2 1\\n255\\nuvwxyz'").unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[1].height, frames[1].width), (1, 2));
    assert_eq!(frames[1].pixels, Pixels::U8(b"uvwxyz".to_vec()));
    let said = read("echo 'moov atom not found' >&2; exit 1").unwrap_err();
    assert!(said.contains("moov atom not found"), "{said}");
    assert!(read("printf 'P6\\n2 1\\n255\\nabc'").unwrap_err().contains("ends too early"));
    assert!(read("printf 'P5\\n2 1\\n255\\nab'").unwrap_err().contains("no picture"));
}

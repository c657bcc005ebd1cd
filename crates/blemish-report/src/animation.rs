//! Animated pictures: the frames of a clip one after another, as GIF.

use crate::error::ReportError;
use crate::picture::Picture;
use blemish_data::files::{Unfinished, unfinished};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Milliseconds that a frame is shown.
const SHOWN: u32 = 100;

/// How hard the encoder looks for good colours, 1 (hardest) to 30.
const SPEED: i32 = 20;

/// An endless GIF that is being written; it appears by [`Self::finish`], whole, or never.
pub struct Animation {
    path: PathBuf,
    encoder: GifEncoder<File>,
    unfinished: Unfinished,
}

impl Animation {
    /// Begins a file.
    ///
    /// # Errors
    /// [`ReportError::Io`] if the folder cannot be written.
    pub fn new(path: &Path) -> Result<Self, ReportError> {
        let io = ReportError::io("write", path);
        let begun = unfinished(path).and_then(|unfinished| {
            let file = unfinished.file().try_clone()?;
            Ok((unfinished, GifEncoder::new_with_speed(file, SPEED)))
        });
        let (unfinished, mut encoder) = begun.map_err(io)?;
        let path = path.to_path_buf();
        let fail =
            |error: image::ImageError| ReportError::Encode { path: path.clone(), detail: error.to_string() };
        encoder.set_repeat(Repeat::Infinite).map_err(fail)?;
        Ok(Self { path, encoder, unfinished })
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if it cannot be encoded or written.
    pub fn add(&mut self, picture: &Picture) -> Result<(), ReportError> {
        ReportError::check_size("picture", picture.rgb.len(), picture.size(), 3)?;
        let fail = |detail: String| ReportError::Encode { path: self.path.clone(), detail };
        let rgba = picture.rgb.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect();
        let buffer = RgbaImage::from_raw(picture.width as u32, picture.height as u32, rgba);
        let buffer = buffer.ok_or_else(|| fail("a picture is too large".into()))?;
        let frame = Frame::from_parts(buffer, 0, 0, Delay::from_numer_denom_ms(SHOWN, 1));
        self.encoder.encode_frame(frame).map_err(|error| fail(error.to_string()))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn finish(self) -> Result<(), ReportError> {
        let Self { path, encoder, unfinished } = self;
        // The end of the file is written here.
        drop(encoder);
        unfinished.complete().map_err(ReportError::io("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;

    #[test]
    fn frames_come_back_in_their_order_and_nothing_is_left_of_what_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let mut animation = Animation::new(&path).unwrap();
        for grey in [0u8, 100, 255] {
            animation.add(&Picture::new(vec![grey; 4 * 6 * 3], (4, 6)).unwrap()).unwrap();
        }
        assert!(!path.exists());
        animation.finish().unwrap();
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let frames = GifDecoder::new(file).unwrap().into_frames().collect_frames().unwrap();
        let reds: Vec<u8> = frames.iter().map(|frame| frame.buffer().get_pixel(0, 0).0[0]).collect();
        assert_eq!((reds, frames[0].buffer().dimensions()), (vec![0, 100, 255], (6, 4)));
        drop(Animation::new(&folder.path().join("b.gif")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

//! Cuts what a program writes into pictures: JPEG and PNG files one after another, with whatever lies between.

use axum::body::Bytes;

/// What a stream of bytes holds, found as it comes.
pub struct Frames {
    buffer: Vec<u8>,
    /// Bytes at its beginning that are done with; they are removed many at a time.
    done: usize,
    limit: usize,
    at: Place,
    /// Bytes that belong to no picture since the last one.
    pub rubbish: u64,
    /// Pictures that were longer than is allowed.
    pub too_long: u64,
}

/// Where in the buffer the search goes on; the buffer begins with the picture, if there is one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// No picture has begun.
    Between,
    /// In a JPEG, at the beginning of a segment.
    Segment(usize),
    /// In a JPEG, in the data of a scan.
    Scan(usize),
    /// In a PNG, at the beginning of a chunk.
    Chunk(usize),
}

/// What looking on has found.
enum Found {
    /// More bytes are needed.
    Nothing,
    /// The picture ends here.
    End(usize),
    /// It is none.
    Broken,
}

const PNG: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

impl Frames {
    /// Pictures of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), done: 0, limit, at: Place::Between, rubbish: 0, too_long: 0 }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// What is held of the stream.
    fn held(&self) -> &[u8] {
        &self.buffer[self.done..]
    }

    /// The next whole picture, if there is one.
    pub fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.at == Place::Between && !self.begin() {
                return None;
            }
            let found = match self.at {
                Place::Chunk(at) => self.chunks(at),
                Place::Segment(at) => self.segments(at),
                Place::Scan(at) => self.scan(at),
                Place::Between => Found::Nothing,
            };
            match found {
                Found::End(end) => {
                    self.at = Place::Between;
                    self.rubbish = 0;
                    let picture = Bytes::copy_from_slice(&self.held()[..end]);
                    self.done += end;
                    return Some(picture);
                }
                Found::Broken => self.skip(),
                Found::Nothing if self.held().len() > self.limit => {
                    self.too_long += 1;
                    self.skip();
                }
                Found::Nothing => return None,
            }
        }
    }

    /// What began here is no picture: the search goes on behind its first byte.
    fn skip(&mut self) {
        self.done += 1;
        self.rubbish += 1;
        self.at = Place::Between;
    }

    /// Finds the beginning of a picture and drops what lies before.
    fn begin(&mut self) -> bool {
        let bytes = self.held();
        let starts = |at: usize| {
            let rest = &bytes[at..];
            let is_png = rest.len() >= 8 && rest[..8] == PNG;
            let is_jpeg = rest.len() >= 3 && rest[..3] == [0xff, 0xd8, 0xff];
            // The beginning of a beginning stays, more may come.
            let may_be = PNG.starts_with(rest) || [0xff, 0xd8, 0xff].starts_with(rest);
            if is_png {
                Some(Place::Chunk(8))
            } else if is_jpeg {
                Some(Place::Segment(2))
            } else {
                may_be.then_some(Place::Between)
            }
        };
        let found = (0..bytes.len()).find_map(|at| Some((at, starts(at)?)));
        let (before, place) = found.unwrap_or((bytes.len(), Place::Between));
        self.rubbish += before as u64;
        self.done += before;
        self.at = place;
        place != Place::Between
    }

    /// Walks over the chunks of a PNG.
    fn chunks(&mut self, mut at: usize) -> Found {
        loop {
            self.at = Place::Chunk(at);
            let Some(head) = self.held().get(at..at + 8) else { return Found::Nothing };
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if length > self.limit || !head[4..8].iter().all(u8::is_ascii_alphabetic) {
                return Found::Broken;
            }
            let end = at + 12 + length;
            if self.held().len() < end {
                return Found::Nothing;
            }
            if head[4..8] == *b"IEND" {
                return Found::End(end);
            }
            at = end;
        }
    }

    /// Walks over the segments of a JPEG; a thumbnail inside one of them is passed over whole.
    fn segments(&mut self, mut at: usize) -> Found {
        loop {
            self.at = Place::Segment(at);
            let Some(&[first, marker]) = self.held().get(at..at + 2) else { return Found::Nothing };
            match (first, marker) {
                (0xff, 0xd9) => return Found::End(at + 2),
                // Fill bytes, and markers without a length.
                (0xff, 0xff) => at += 1,
                (0xff, 0x01 | 0xd0..=0xd7) => at += 2,
                (0xff, 0xc0..=0xfe) if marker != 0xd8 => {
                    let Some(&[high, low]) = self.held().get(at + 2..at + 4) else { return Found::Nothing };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < 2 {
                        return Found::Broken;
                    }
                    at += 2 + length;
                    if marker == 0xda {
                        return self.scan(at);
                    }
                }
                _ => return Found::Broken,
            }
        }
    }

    /// Walks over the data of a scan to the next marker.
    fn scan(&mut self, mut at: usize) -> Found {
        loop {
            let Some(rest) = self.held().get(at..) else {
                self.at = Place::Scan(at);
                return Found::Nothing;
            };
            match rest.iter().position(|&byte| byte == 0xff) {
                None => {
                    self.at = Place::Scan(self.held().len());
                    return Found::Nothing;
                }
                Some(before) => {
                    at += before;
                    match self.held().get(at + 1) {
                        None => {
                            self.at = Place::Scan(at);
                            return Found::Nothing;
                        }
                        // A value of 255, or a restart.
                        Some(0x00 | 0xd0..=0xd7) => at += 2,
                        Some(_) => return self.segments(at),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(seed: u8) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * seed, y as u8, seed]));
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).unwrap();
        // As cameras have it: a small JPEG inside a segment of the large one.
        let mut thumbnail = b"Exif\0\0".to_vec();
        thumbnail.extend([0xff, 0xd8, 0xff, 0xda, 0, 2, 7, 0xff, 0xd9]);
        let mut whole = vec![0xff, 0xd8, 0xff, 0xe1];
        whole.extend((thumbnail.len() as u16 + 2).to_be_bytes());
        whole.extend(thumbnail);
        whole.extend(&bytes[2..]);
        whole
    }

    fn png(seed: u8) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8, y as u8 * seed, seed]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn cut(stream: &[u8], chunk: usize, limit: usize) -> (Vec<Vec<u8>>, u64, u64) {
        let mut frames = Frames::new(limit);
        let mut found = Vec::new();
        for part in stream.chunks(chunk) {
            frames.push(part);
            while let Some(frame) = frames.next() {
                found.push(frame.to_vec());
            }
        }
        (found, frames.rubbish, frames.too_long)
    }

    #[test]
    fn pictures_come_out_whole_however_the_stream_is_cut() {
        let parts = [jpeg(3), png(5), jpeg(9), jpeg(200), png(1)];
        let stream =
            [&parts[0][..], b"noise \xff\xff", &parts[1], &parts[2], b"\x89PN", &parts[3], &parts[4]]
                .concat();
        for chunk in [1, 2, 3, 7, 64, 100_000] {
            let (found, rubbish, _) = cut(&stream, chunk, 1 << 20);
            assert_eq!(found, parts, "chunks of {chunk}");
            assert_eq!(rubbish, 0, "counted since the last picture");
        }
    }

    #[test]
    fn rubbish_is_dropped_and_what_is_too_long_is_passed_over() {
        let rubbish: Vec<u8> = (0..100_000u32).map(|at| (at * 7 % 251) as u8).collect();
        let (found, dropped, _) = cut(&rubbish, 4096, 1 << 20);
        assert!(found.is_empty() && dropped > 99_990);
        let mut frames = Frames::new(10_000);
        // A JPEG whose scan never ends: what is held stays under the limit.
        frames.push(&[0xff, 0xd8, 0xff, 0xda, 0, 2]);
        for _ in 0..100 {
            frames.push(&[7; 1000]);
            assert!(frames.next().is_none());
            assert!(frames.buffer.len() <= 11_000);
        }
        assert!(frames.too_long >= 1);
        frames.push(&png(4));
        assert_eq!(frames.next().unwrap()[..], png(4)[..]);
    }

    /// Whatever comes, nothing panics, nothing is held beyond the limit, and no picture is invented.
    #[test]
    fn any_bytes_are_taken() {
        let mut state = 7u32;
        let mut draw = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for _ in 0..3000 {
            let mut stream = Vec::new();
            for _ in 0..draw(40) {
                match draw(5) {
                    0 => stream.extend((0..draw(50)).map(|_| draw(256) as u8).collect::<Vec<_>>()),
                    1 => stream.extend([0xff, 0xd8, 0xff]),
                    2 => stream.extend([0xff, 0xda, 0, 2]),
                    3 => stream.extend(PNG),
                    _ => stream.extend([0xff, 0xd9]),
                }
            }
            let (found, _, _) = cut(&stream, 1 + draw(20) as usize, 300);
            assert!(found.iter().map(Vec::len).sum::<usize>() <= stream.len());
        }
    }
}

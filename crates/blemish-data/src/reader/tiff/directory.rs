//! What the first directory of a TIFF file says about its picture.

use super::fault::{FORMAT, damaged, fault_of, unsupported};
use crate::error::ImageFault;
use crate::reader::options::ReadOptions;
use std::io::{Read, Seek};
use tiff::decoder::Decoder;
use tiff::tags::{ByteOrder, Tag};

/// How the samples are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// CCITT group 3, coded line by line.
    Fax3,
    /// CCITT group 4.
    Fax4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// What the samples of a pixel mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Grey, then samples that are not read; white may be 0.
    Grey { white_is_zero: bool },
    /// Red, green and blue, then samples that are not read.
    Rgb,
    /// Brightness and two colour differences, in JPEG only.
    Ycbcr,
    /// An index into colours: all reds, then greens, then blues, of 16 bit each.
    Palette(Vec<u16>),
}

/// The picture as it is stored.
pub(super) struct Picture {
    pub(super) height: usize,
    pub(super) width: usize,
    /// Bits of a sample.
    pub(super) bits: usize,
    /// Samples of a pixel, those that are not read included.
    pub(super) samples: usize,
    pub(super) kind: Kind,
    pub(super) meaning: Meaning,
    pub(super) compression: Compression,
    /// 1 for none, 2 for differences of neighbours, 3 for differences of bytes of floats.
    pub(super) predictor: u16,
    /// Whether each sample of a pixel has pieces of its own.
    pub(super) is_planar: bool,
    /// Whether the bits of a byte are stored lowest first.
    pub(super) is_reversed: bool,
    pub(super) order: ByteOrder,
    /// Height and width of the strips or tiles; strips are as wide as the picture.
    pub(super) piece: (usize, usize),
    pub(super) is_tiled: bool,
    pub(super) offsets: Vec<u64>,
    pub(super) lengths: Vec<u64>,
    pub(super) jpeg_tables: Option<Vec<u8>>,
    pub(super) orientation: u8,
}

impl Picture {
    /// The picture of the first directory, of a kind that is read and within the limits; `whole` is all of the file for messages, if known.
    ///
    /// # Errors
    /// [`ImageFault`]: unsupported, too large, cut short, damaged.
    pub(super) fn of(
        decoder: &mut Decoder<impl Read + Seek>,
        whole: &[u8],
        options: &ReadOptions,
    ) -> Result<Self, ImageFault> {
        let fault = |error| fault_of(whole, options, error);
        let (width, height) = decoder.dimensions().map_err(fault)?;
        let mut number = |tag: Tag, default: u16| -> Result<u16, ImageFault> {
            Ok(decoder.find_tag_unsigned::<u16>(tag).map_err(fault)?.unwrap_or(default))
        };
        let samples = usize::from(number(Tag::SamplesPerPixel, 1)?);
        let photometric = number(Tag::PhotometricInterpretation, 1)?;
        let compression = compression_of(number(Tag::Compression, 1)?)?;
        let predictor = number(Tag::Predictor, 1)?;
        let is_planar = number(Tag::PlanarConfiguration, 1)? == 2 && samples > 1;
        let is_reversed = number(Tag::FillOrder, 1)? == 2;
        let orientation = number(Tag::Orientation, 1).unwrap_or(1);
        if compression == Compression::Fax3 {
            let options = decoder.find_tag_unsigned::<u32>(Tag::Unknown(292)).map_err(fault)?.unwrap_or(0);
            if options & 3 != 0 {
                return Err(unsupported("group 3 fax in two dimensions"));
            }
        }
        let mut first = |tag: Tag, default: u16| -> Result<u16, ImageFault> {
            let values = decoder.find_tag_unsigned_vec::<u16>(tag).map_err(fault)?.unwrap_or_default();
            let first = values.first().copied().unwrap_or(default);
            match values.iter().all(|&value| value == first) {
                true => Ok(first),
                false => Err(unsupported("samples of different kinds")),
            }
        };
        let bits = usize::from(first(Tag::BitsPerSample, 1)?);
        let kind = match first(Tag::SampleFormat, 1)? {
            // 4 is "undefined", which readers take for unsigned.
            1 | 4 => Kind::Unsigned,
            2 => Kind::Signed,
            3 => Kind::Float,
            _ => return Err(unsupported("complex samples")),
        };
        let meaning = match photometric {
            0 | 1 if samples <= 2 => Meaning::Grey { white_is_zero: photometric == 0 },
            2 if samples >= 3 => Meaning::Rgb,
            3 => Meaning::Palette(decoder.get_tag_u16_vec(Tag::ColorMap).map_err(fault)?),
            4 => return Err(unsupported("a transparency mask")),
            5 => return Err(unsupported("CMYK colours")),
            6 if samples == 3 && compression == Compression::Jpeg && !is_planar => Meaning::Ycbcr,
            6 => return Err(unsupported("YCbCr colours")),
            8..=10 => return Err(unsupported("CIE L*a*b* colours")),
            other => {
                return Err(unsupported(&format!("{samples} samples of photometric interpretation {other}")));
            }
        };
        let is_tiled = decoder.find_tag(Tag::TileWidth).map_err(fault)?.is_some();
        let side = |decoder: &mut Decoder<_>, tag, default| -> Result<usize, ImageFault> {
            let value = decoder.find_tag_unsigned::<u32>(tag).map_err(fault)?.unwrap_or(default);
            Ok(value as usize)
        };
        let piece = match is_tiled {
            true => (side(decoder, Tag::TileLength, 0)?, side(decoder, Tag::TileWidth, 0)?),
            false => (side(decoder, Tag::RowsPerStrip, height)?.min(height as usize), width as usize),
        };
        if piece.0 == 0 || piece.1 == 0 {
            return Err(damaged("its strips or tiles have no size"));
        }
        let (offsets, lengths) = match is_tiled {
            true => (Tag::TileOffsets, Tag::TileByteCounts),
            false => (Tag::StripOffsets, Tag::StripByteCounts),
        };
        let mut list = |tag| decoder.get_tag_u64_vec(tag).map_err(fault);
        let (offsets, lengths) = (list(offsets)?, list(lengths)?);
        let jpeg_tables = match compression {
            Compression::Jpeg if decoder.find_tag(Tag::JPEGTables).map_err(fault)?.is_some() => {
                Some(decoder.get_tag_u8_vec(Tag::JPEGTables).map_err(fault)?)
            }
            _ => None,
        };
        let picture = Self {
            height: height as usize,
            width: width as usize,
            bits,
            samples,
            kind,
            meaning,
            compression,
            predictor,
            is_planar,
            is_reversed,
            order: decoder.byte_order(),
            piece,
            is_tiled,
            offsets,
            lengths,
            jpeg_tables,
            orientation: u8::try_from(orientation).unwrap_or(1),
        };
        picture.check(options)?;
        Ok(picture)
    }

    /// Bytes of a sample of the result: 8 bit, 16 bit, or measured values as floats.
    pub(super) fn bytes_of_result(&self) -> usize {
        match (self.kind, self.bits) {
            (Kind::Unsigned, ..=8) => 1,
            (Kind::Unsigned, 9..=16) => 2,
            _ => 4,
        }
    }

    /// Samples of a pixel in one piece.
    pub(super) fn samples_in_piece(&self) -> usize {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Bytes of a row of a piece; each row begins with a byte of its own.
    pub(super) fn row_bytes(&self) -> usize {
        (self.piece.1 * self.samples_in_piece() * self.bits).div_ceil(8)
    }

    /// Pieces across and down.
    pub(super) fn pieces(&self) -> (usize, usize) {
        (self.width.div_ceil(self.piece.1), self.height.div_ceil(self.piece.0))
    }

    /// "strip" or "tile", for messages.
    pub(super) fn name_of_piece(&self) -> &'static str {
        if self.is_tiled { "tile" } else { "strip" }
    }

    fn check(&self, options: &ReadOptions) -> Result<(), ImageFault> {
        let is_known = match self.kind {
            Kind::Unsigned => matches!(self.bits, 1..=16 | 32 | 64),
            Kind::Signed => matches!(self.bits, 8 | 16 | 32 | 64),
            Kind::Float => matches!(self.bits, 16 | 32 | 64),
        };
        let is_whole = matches!(self.bits, 8 | 16 | 32 | 64);
        if !is_known {
            return Err(unsupported(&format!("samples of {} bits", self.bits)));
        }
        match &self.meaning {
            Meaning::Palette(_) if self.kind != Kind::Unsigned || self.bits > 8 => {
                return Err(unsupported("a palette of other than 2 to 256 colours"));
            }
            Meaning::Palette(colours) if colours.len() != 3 << self.bits => {
                return Err(damaged(&format!(
                    "its palette has {} values instead of {}",
                    colours.len(),
                    3 << self.bits
                )));
            }
            Meaning::Grey { white_is_zero: true } if self.kind == Kind::Signed || self.samples > 1 => {
                return Err(unsupported("signed samples or several samples with white as zero"));
            }
            _ => {}
        }
        let fits = match self.compression {
            Compression::Fax3 | Compression::Fax4 => self.bits == 1 && self.samples == 1,
            Compression::Jpeg => {
                self.bits == 8 && self.kind == Kind::Unsigned && matches!(self.samples, 1 | 3)
            }
            _ => true,
        };
        if !fits {
            return Err(unsupported(&format!(
                "{:?} with {} samples of {} bits",
                self.compression, self.samples, self.bits
            )));
        }
        let differences = matches!(self.compression, Compression::Lzw | Compression::Deflate);
        match self.predictor {
            _ if !differences => {}
            1 => {}
            2 if is_whole => {}
            3 if self.kind == Kind::Float => {}
            other => {
                return Err(unsupported(&format!("predictor {other} for samples of {} bits", self.bits)));
            }
        }
        let pixel = self.bytes_of_result().max((self.samples * self.bits).div_ceil(8) / 3);
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        options.check_head((side(self.width), side(self.height)), 3 * pixel as u64)?;
        let whole = [self.piece.0, self.piece.1, self.samples_in_piece(), self.bits];
        let piece_bits = whole.iter().try_fold(1_u64, |product, &factor| product.checked_mul(factor as u64));
        if piece_bits.is_none_or(|bits| bits / 8 > options.memory_limit) {
            return Err(options.too_large());
        }
        let (across, down) = self.pieces();
        let planes = if self.is_planar { self.samples } else { 1 };
        let needed = across * down * planes;
        if self.offsets.len() < needed || self.lengths.len() < needed {
            let (name, found) = (self.name_of_piece(), self.offsets.len().min(self.lengths.len()));
            return Err(damaged(&format!("it lists {found} of {needed} {name}s")));
        }
        Ok(())
    }
}

fn compression_of(number: u16) -> Result<Compression, ImageFault> {
    let name = match number {
        1 => return Ok(Compression::None),
        3 => return Ok(Compression::Fax3),
        4 => return Ok(Compression::Fax4),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg),
        8 | 32_946 => return Ok(Compression::Deflate),
        32_773 => return Ok(Compression::PackBits),
        2 => "modified Huffman (CCITT RLE) compression".to_owned(),
        6 => "JPEG compression of the old style".to_owned(),
        34_712 => "JPEG 2000 compression".to_owned(),
        34_887 => "LERC compression".to_owned(),
        34_925 => "LZMA compression".to_owned(),
        50_000 => "Zstandard compression".to_owned(),
        50_001 => "WebP compression".to_owned(),
        other => format!("compression {other}"),
    };
    Err(ImageFault::Unsupported { format: FORMAT, detail: name })
}

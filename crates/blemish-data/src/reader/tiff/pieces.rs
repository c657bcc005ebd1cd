//! One strip or tile of a TIFF file, decompressed.

use super::directory::{Compression, Picture};
use super::fault::{FORMAT, damaged};
use super::{jpeg, predictor};
use crate::error::ImageFault;
use crate::reader::container::grouped;
use crate::reader::options::ReadOptions;
use fax::decoder::{DecodeStatus, Group3Decoder, Group4Decoder};
use flate2::{Decompress, FlushDecompress};
use std::borrow::Cow;
use std::convert::Infallible;
use weezl::{BitOrder, LzwStatus};

/// Decompresses piece `number` into `rows` rows of [`Picture::row_bytes`] bytes, differences undone.
///
/// # Errors
/// [`ImageFault::Damaged`] naming the piece.
pub(super) fn read(
    file: &[u8],
    picture: &Picture,
    number: usize,
    rows: usize,
    options: &ReadOptions,
) -> Result<Vec<u8>, ImageFault> {
    let (row_bytes, at) = (picture.row_bytes(), picture.offsets[number]);
    let mut out = vec![0; rows * row_bytes];
    let wrong = |what: String| damaged(&format!("{} {}: {what}", picture.name_of_piece(), number + 1));
    // Uncompressed pieces are as long as they must be, whatever their stated length.
    let length = match picture.compression {
        Compression::None => out.len() as u64,
        _ => picture.lengths[number],
    };
    let place = |position: u64| usize::try_from(position).ok();
    let stored = place(at)
        .zip(at.checked_add(length).and_then(place))
        .and_then(|(start, end)| file.get(start..end))
        .ok_or_else(|| {
            let (length, end) = (grouped(file.len() as u64), grouped(at.saturating_add(length)));
            ImageFault::Truncated {
                format: FORMAT,
                ends: format!("ends after {length} of at least {end} bytes"),
            }
        })?;
    let stored = match picture.is_reversed && picture.compression != Compression::Jpeg {
        true => Cow::Owned(stored.iter().map(|byte| byte.reverse_bits()).collect::<Vec<_>>()),
        false => Cow::Borrowed(stored),
    };
    let filled = match picture.compression {
        Compression::None => {
            out.copy_from_slice(&stored);
            Ok(out.len())
        }
        Compression::Lzw => unpack_lzw(&stored, &mut out),
        Compression::Deflate => inflate(&stored, &mut out),
        Compression::PackBits => Ok(unpack_bits(&stored, &mut out)),
        Compression::Fax3 => Ok(unpack_fax3(&stored, picture.piece.1, &mut out)),
        Compression::Fax4 => unpack_fax4(&stored, picture.piece.1, &mut out),
        Compression::Jpeg => {
            jpeg::read(&stored, picture, rows, &mut out, options)?;
            Ok(out.len())
        }
    };
    match filled {
        Err(reason) => return Err(wrong(reason)),
        Ok(filled) if filled < out.len() => {
            let (filled, needed) = (grouped(filled as u64), grouped(out.len() as u64));
            return Err(wrong(format!("it holds {filled} of {needed} bytes")));
        }
        Ok(_) => {}
    }
    if matches!(picture.compression, Compression::Lzw | Compression::Deflate) {
        predictor::undo(picture, &mut out);
    }
    Ok(out)
}

/// How many bytes of `out` were filled.
type Filled = Result<usize, String>;

fn unpack_lzw(stored: &[u8], out: &mut [u8]) -> Filled {
    // Writers before 1992 wrote the codes' bits lowest first, and grew codes later; their first code shows it.
    let is_old = matches!(stored, [0, second, ..] if second & 1 == 1);
    let configuration = match is_old {
        true => weezl::decode::Configuration::new(BitOrder::Lsb, 8),
        false => weezl::decode::Configuration::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    // What follows the last sample, an end code or padding, need not make sense.
    let mut decoder = configuration.with_yield_on_full_buffer(true).build();
    let (mut taken, mut filled) = (0, 0);
    while filled < out.len() {
        let step = decoder.decode_bytes(&stored[taken..], &mut out[filled..]);
        (taken, filled) = (taken + step.consumed_in, filled + step.consumed_out);
        match step.status {
            Ok(LzwStatus::Done) => break,
            Ok(_) if step.consumed_in == 0 && step.consumed_out == 0 => break,
            Ok(_) => {}
            Err(_) => return Err("its LZW codes make no sense".into()),
        }
    }
    Ok(filled)
}

fn inflate(stored: &[u8], out: &mut [u8]) -> Filled {
    let mut state = Decompress::new(true);
    loop {
        let (taken, filled) = (state.total_in(), state.total_out());
        let (input, target) = (&stored[taken as usize..], &mut out[filled as usize..]);
        if target.is_empty() {
            break;
        }
        let status = state.decompress(input, target, FlushDecompress::None);
        let status = status.map_err(|error| format!("its deflated data makes no sense ({error})"))?;
        if status == flate2::Status::StreamEnd || (state.total_in(), state.total_out()) == (taken, filled) {
            break;
        }
    }
    Ok(state.total_out() as usize)
}

/// PackBits: runs of literal bytes and of one byte repeated (TIFF 6.0, section 9).
fn unpack_bits(mut stored: &[u8], out: &mut [u8]) -> usize {
    let mut filled = 0;
    while let Some((&head, rest)) = stored.split_first()
        && filled < out.len()
    {
        stored = rest;
        let room = out.len() - filled;
        match head {
            0..=127 => {
                let run = usize::from(head) + 1;
                let count = run.min(room).min(stored.len());
                out[filled..filled + count].copy_from_slice(&stored[..count]);
                (filled, stored) = (filled + count, &stored[run.min(stored.len())..]);
            }
            128 => {}
            129..=255 => {
                let Some((&value, rest)) = stored.split_first() else { break };
                let count = (257 - usize::from(head)).min(room);
                out[filled..filled + count].fill(value);
                (filled, stored) = (filled + count, rest);
            }
        }
    }
    filled
}

fn unpack_fax3(stored: &[u8], width: usize, out: &mut [u8]) -> usize {
    let row_bytes = width.div_ceil(8);
    let mut filled = 0;
    // Lines begin with an end-of-line code; the decoder wants one behind the last line as well.
    let stored = stored.iter().chain(&[0x00, 0x10, 0x01]);
    let Ok(mut decoder) = Group3Decoder::new(stored.map(|&byte| Ok::<_, Infallible>(byte))) else {
        return 0;
    };
    for row in out.chunks_exact_mut(row_bytes) {
        let Ok(status) = decoder.advance() else { break };
        paint(row, decoder.transitions(), width);
        filled += row_bytes;
        if status == DecodeStatus::End {
            break;
        }
    }
    filled
}

fn unpack_fax4(stored: &[u8], width: usize, out: &mut [u8]) -> Filled {
    let row_bytes = width.div_ceil(8);
    let mut filled = 0;
    let columns = u16::try_from(width).map_err(|_| format!("{width} pixels are too wide for a fax"))?;
    let bytes = stored.iter().map(|&byte| Ok::<_, Infallible>(byte));
    let Ok(mut decoder) = Group4Decoder::new(bytes, columns);
    for row in out.chunks_exact_mut(row_bytes) {
        match decoder.advance() {
            Ok(DecodeStatus::Incomplete) => {}
            Ok(DecodeStatus::End) => break,
            Err(_) => return Err("its fax codes make no sense".into()),
        }
        paint(row, decoder.transition(), width);
        filled += row_bytes;
    }
    Ok(filled)
}

/// Sets the bits of a row between every other change of colour and the next: the black ones.
fn paint(row: &mut [u8], changes: &[u16], width: usize) {
    for run in changes.chunks(2) {
        let start = usize::from(run[0]).min(width);
        let end = run.get(1).map_or(width, |&end| usize::from(end).min(width));
        for x in start..end {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
}

//! Undoes the differences that make samples compress better (TIFF 6.0, section 14, and Adobe's technical note 3 for floats).

use super::directory::Picture;
use tiff::tags::ByteOrder;

/// Turns the rows of a piece from differences into samples, in the file's byte order.
pub(super) fn undo(picture: &Picture, piece: &mut [u8]) {
    let step = picture.samples_in_piece();
    let is_little = picture.order == ByteOrder::LittleEndian;
    for row in piece.chunks_exact_mut(picture.row_bytes().max(1)) {
        match (picture.predictor, picture.bits) {
            (2, 8) => {
                for at in step..row.len() {
                    row[at] = row[at].wrapping_add(row[at - step]);
                }
            }
            (2, 16) => sum::<2>(row, step, is_little),
            (2, 32) => sum::<4>(row, step, is_little),
            (2, 64) => sum::<8>(row, step, is_little),
            (3, bits) => join_bytes(row, step, bits / 8, is_little),
            _ => {}
        }
    }
}

/// Adds to each sample of N bytes the one `step` samples before.
fn sum<const N: usize>(row: &mut [u8], step: usize, is_little: bool) {
    let (samples, _) = row.as_chunks_mut::<N>();
    for at in step..samples.len() {
        let (mut carry, before) = (0, samples[at - step]);
        for digit in 0..N {
            let place = if is_little { digit } else { N - 1 - digit };
            carry += u16::from(samples[at][place]) + u16::from(before[place]);
            samples[at][place] = carry as u8;
            carry >>= 8;
        }
    }
}

/// Sums the bytes up, then joins the bytes of each sample: a row holds all highest bytes first, then the next ones.
fn join_bytes(row: &mut [u8], step: usize, size: usize, is_little: bool) {
    for at in step..row.len() {
        row[at] = row[at].wrapping_add(row[at - step]);
    }
    let planes = row.to_vec();
    let count = row.len() / size;
    for (number, sample) in row.chunks_exact_mut(size).enumerate() {
        for (rank, byte) in sample.iter_mut().enumerate() {
            let from_top = if is_little { size - 1 - rank } else { rank };
            *byte = planes[from_top * count + number];
        }
    }
}

//! The part of a map that some rows of windows see, its border filled with the byte of 0.

use super::ByteMap;
use crate::conv::Windows;
use std::borrow::Cow;
use std::ops::Range;

/// Rows of bytes, and how many bytes lie between the starts of two of them.
pub(super) struct Strip<'a> {
    pub values: Cow<'a, [u8]>,
    pub row_step: usize,
}

/// What the windows of the output's `rows` see, with `pitch` bytes a pixel (at least the map's). The map itself, where windows do not
/// reach beyond it: the copy of a strip stays in the second-level cache, but no copy is cheaper still.
pub(super) fn strip<'a>(
    input: &'a ByteMap,
    windows: Windows,
    [kernel, stride]: [usize; 2],
    rows: Range<usize>,
    pitch: usize,
) -> Strip<'a> {
    let height = (rows.len() - 1) * stride + kernel;
    let width = (windows.width - 1) * stride + kernel;
    let first = rows.start * stride;
    let fits = first >= windows.top
        && first + height <= windows.top + input.height
        && windows.left == 0
        && width <= input.width;
    if fits && pitch == input.pitch {
        let start = (first - windows.top) * input.row_length();
        return Strip { values: Cow::Borrowed(&input.values[start..]), row_step: input.row_length() };
    }
    let row_step = width * pitch;
    let mut values = vec![input.zero; height * row_step];
    let columns = input.width.min(width.saturating_sub(windows.left));
    let above = windows.top.saturating_sub(first).min(height);
    let skipped = (first + above).saturating_sub(windows.top);
    let lines = input.values.chunks_exact(input.row_length().max(1)).skip(skipped);
    for (to, from) in values.chunks_exact_mut(row_step).skip(above).zip(lines) {
        let to = &mut to[windows.left.min(width) * pitch..];
        if pitch == input.pitch {
            to[..columns * pitch].copy_from_slice(&from[..columns * pitch]);
        } else {
            let pixels = to.chunks_exact_mut(pitch).zip(from.chunks_exact(input.pitch));
            pixels.take(columns).for_each(|(to, from)| to[..input.pitch].copy_from_slice(from));
        }
    }
    Strip { values: Cow::Owned(values), row_step }
}

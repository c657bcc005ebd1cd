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
    let mut values = Vec::with_capacity(height * row_step);
    let left = windows.left.min(width);
    let columns = input.width.min(width - left);
    for y in first..first + height {
        let line = y.checked_sub(windows.top).filter(|&y| y < input.height);
        let Some(line) = line.map(|y| &input.values[y * input.row_length()..][..columns * input.pitch])
        else {
            values.resize(values.len() + row_step, input.zero);
            continue;
        };
        let end = values.len() + row_step;
        values.resize(values.len() + left * pitch, input.zero);
        if pitch == input.pitch {
            values.extend_from_slice(line);
        } else {
            let start = values.len();
            values.resize(start + columns * pitch, input.zero);
            let pixels = values[start..].chunks_exact_mut(pitch).zip(line.chunks_exact(input.pitch));
            pixels.for_each(|(to, from)| to[..input.pitch].copy_from_slice(from));
        }
        values.resize(end, input.zero);
    }
    Strip { values: Cow::Owned(values), row_step }
}

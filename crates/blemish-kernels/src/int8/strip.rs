//! The part of a map that some rows of windows see, its border filled with the byte of 0.

use super::ByteMap;
use crate::conv::Windows;
use crate::lines::Lines;
use std::cell::Cell;
use std::ops::{Deref, Range};

/// Rows of bytes, and how many bytes lie between the starts of two of them.
pub(super) struct Strip<'a> {
    pub values: Rows<'a>,
    pub row_step: usize,
}

/// Bytes of a strip. The space of a copy goes to the next.
pub(super) enum Rows<'a> {
    OfMap(&'a [u8]),
    Copied(Lines<u8>),
}

impl Deref for Rows<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::OfMap(values) => values,
            Self::Copied(values) => values,
        }
    }
}

thread_local! {
    /// Space for copies, kept between convolutions: what it holds is always overwritten before it is read.
    static SPACE: Cell<Lines<u8>> = const { Cell::new(Lines::new()) };
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if let Self::Copied(values) = self {
            SPACE.set(std::mem::take(values));
        }
    }
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
        return Strip { values: Rows::OfMap(&input.values[start..]), row_step: input.row_length() };
    }
    let row_step = width * pitch;
    let mut values = SPACE.take();
    values.resize(height * row_step);
    let left = windows.left.min(width);
    let columns = input.width.min(width - left);
    for (row, y) in values.chunks_exact_mut(row_step.max(1)).zip(first..) {
        let Some(y) = y.checked_sub(windows.top).filter(|&y| y < input.height) else {
            row.fill(input.zero);
            continue;
        };
        let line = &input.values[y * input.row_length()..][..columns * input.pitch];
        let (before, row) = row.split_at_mut(left * pitch);
        let (inside, after) = row.split_at_mut(columns * pitch);
        before.fill(input.zero);
        after.fill(input.zero);
        if pitch == input.pitch {
            inside.copy_from_slice(line);
        } else {
            let pixels = inside.chunks_exact_mut(pitch).zip(line.chunks_exact(input.pitch));
            pixels.for_each(|(to, from)| to[..input.pitch].copy_from_slice(from));
        }
    }
    Strip { values: Rows::Copied(values), row_step }
}

//! Memory that begins at a cache line. Vectors of 64 bytes that lie across two lines take two reads each: kernels whose weights and maps
//! begin anywhere lose a fifth to a half of their speed, one way one day and another the next.

use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A cache line of most processors, and the widest vector.
const BYTES: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; BYTES]);

// SAFETY: bytes without gaps, of any content.
unsafe impl Zeroable for Line {}
// SAFETY: as above.
unsafe impl Pod for Line {}

/// A vector of plain numbers whose first lies at the beginning of a cache line.
#[derive(Clone)]
pub struct Lines<T> {
    /// At least as many as the numbers take: what a cut leaves behind is not cleared again.
    lines: Vec<Line>,
    length: usize,
    numbers: PhantomData<T>,
}

impl<T> Lines<T> {
    /// No numbers.
    pub const fn new() -> Self {
        Self { lines: Vec::new(), length: 0, numbers: PhantomData }
    }
}

impl<T: Pod> Lines<T> {
    /// No numbers, and room for so many.
    pub fn with_capacity(length: usize) -> Self {
        Self { lines: Vec::with_capacity(lines_of::<T>(length)), length: 0, numbers: PhantomData }
    }

    /// So many zeros.
    pub fn zeros(length: usize) -> Self {
        let mut zeros = Self::new();
        zeros.resize(length);
        zeros
    }

    /// How many numbers there is room for.
    pub fn capacity(&self) -> usize {
        self.lines.capacity() * BYTES / size_of::<T>().max(1)
    }

    /// Cuts numbers off, or adds some: zeros, or what was there before a cut.
    pub fn resize(&mut self, length: usize) {
        let lines = lines_of::<T>(length);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; BYTES]));
        }
        self.length = length;
    }

    /// Adds a number.
    pub fn push(&mut self, number: T) {
        let at = self.length;
        self.resize(at + 1);
        self[at] = number;
    }
}

/// Whole lines that hold so many numbers.
fn lines_of<T>(length: usize) -> usize {
    (length * size_of::<T>()).div_ceil(BYTES)
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Pod> Deref for Lines<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..self.length]
    }
}

impl<T: Pod> DerefMut for Lines<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.length]
    }
}

impl<T: Pod> Extend<T> for Lines<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, numbers: I) {
        let (mut numbers, start) = (numbers.into_iter(), self.length);
        self.resize(start + numbers.size_hint().0);
        let mut added = 0;
        for (place, number) in self[start..].iter_mut().zip(&mut numbers) {
            *place = number;
            added += 1;
        }
        self.length = start + added;
        numbers.for_each(|number| self.push(number));
    }
}

impl<T: Pod> FromIterator<T> for Lines<T> {
    fn from_iter<I: IntoIterator<Item = T>>(numbers: I) -> Self {
        let mut lines = Self::new();
        lines.extend(numbers);
        lines
    }
}

impl<T: Pod> From<&[T]> for Lines<T> {
    fn from(numbers: &[T]) -> Self {
        let mut lines = Self::zeros(numbers.len());
        lines.copy_from_slice(numbers);
        lines
    }
}

impl<T: Pod + PartialEq> PartialEq for Lines<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod + std::fmt::Debug> std::fmt::Debug for Lines<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.deref().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_line_however_many_they_are() {
        for length in [1, 15, 16, 17, 1000, 40_000] {
            let counted: Lines<f32> = (0..length).map(|number| number as f32).collect();
            let cleared = Lines::<[i8; BYTES]>::zeros(length);
            assert!((counted.as_ptr() as usize).is_multiple_of(BYTES));
            assert!((cleared.as_ptr() as usize).is_multiple_of(BYTES) && cleared.len() == length);
            assert!(counted.iter().enumerate().all(|(at, &number)| number == at as f32));
            assert_eq!((counted.len(), &Lines::from(&*counted)), (length, &counted));
        }
        assert!(Lines::<f32>::default().is_empty());
    }

    #[test]
    fn memory_is_kept_where_there_is_enough() {
        let mut bytes = Lines::<u8>::with_capacity(100);
        assert!(bytes.capacity() >= 100);
        bytes.resize(100);
        let (place, capacity) = (bytes.as_ptr(), bytes.capacity());
        bytes.resize(3);
        bytes.resize(90);
        assert_eq!((bytes.len(), bytes.as_ptr(), bytes.capacity()), (90, place, capacity));
    }
}

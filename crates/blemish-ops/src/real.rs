//! The number types that the kernels work in: single precision for training, double precision for numeric checks.

use blemish_kernels::simd::functions;
use burn::backend::Element;
use std::any::TypeId;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A floating-point number with its matrix product.
pub(crate) trait Real:
    bytemuck::Pod
    + Element
    + Default
    + PartialOrd
    + AddAssign
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    const ONE: Self;
    fn of(value: f64) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn atan(self) -> Self;
    fn sqrt(self) -> Self;
    fn size(self) -> Self;
    fn larger(self, other: Self) -> Self;
    fn wide(self) -> f64;
}

impl Real for f32 {
    const ONE: Self = 1.0;
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn exp(self) -> Self {
        functions::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f32::ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        functions::tanh(self)
    }
    #[inline(always)]
    fn atan(self) -> Self {
        functions::atan(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn size(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        self.max(other)
    }
    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
}

impl Real for f64 {
    const ONE: Self = 1.0;
    fn of(value: f64) -> Self {
        value
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    fn atan(self) -> Self {
        f64::atan(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    fn size(self) -> Self {
        self.abs()
    }
    fn larger(self, other: Self) -> Self {
        self.max(other)
    }
    fn wide(self) -> f64 {
        self
    }
}

/// Slices as what they are, if that is single precision.
pub(crate) fn single<T: Real, const N: usize>(slices: [&[T]; N]) -> Option<[&[f32]; N]> {
    (TypeId::of::<T>() == TypeId::of::<f32>()).then(|| slices.map(bytemuck::cast_slice))
}

/// The way back for what was made of slices that [`single`] has given.
pub(crate) fn single_out<T: Real>(values: Vec<f32>) -> Vec<T> {
    bytemuck::cast_vec(values)
}

/// A matrix inside a slice: element (row, column) at `start + row * row_stride + column * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) start: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<T> Matrix<'_, T> {
    /// Whether all of `rows` x `columns` elements lie in the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || self.start + (rows - 1) * self.row_stride + (columns - 1) * self.column_stride
                < self.data.len()
    }
}

/// Whether a product adds to what is there or replaces it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    Zero,
    Sum,
}

/// Threads inside each of the products of so many tasks: those that a single one would leave idle.
pub(crate) fn inside(tasks: usize) -> gemm::Parallelism {
    if tasks == 1 { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None }
}

/// `out (+)= left * right` with left rows x inner, right inner x columns; rows of `out` begin every `stride` elements.
///
/// # Panics
/// If a matrix reaches beyond its slice, which is a fault of the caller.
pub(crate) fn multiply<T: Real>(
    [rows, inner, columns]: [usize; 3],
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
    (out, stride): (&mut [T], usize),
    onto: Onto,
    threads: gemm::Parallelism,
) {
    assert!(left.holds(rows, inner) && right.holds(inner, columns));
    assert!(rows == 0 || (rows - 1) * stride + columns <= out.len());
    // SAFETY: every element that the strides reach lies in its slice, as asserted, and `out` is borrowed for writing alone.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            stride as isize,
            onto == Onto::Sum,
            left.data.as_ptr().add(left.start),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr().add(right.start),
            right.column_stride as isize,
            right.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            threads,
        );
    }
}

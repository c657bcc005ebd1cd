//! What can go wrong in a kernel.

use thiserror::Error;

/// The error of every kernel of this crate; each message says what is wrong, where, and how to mend it.
#[derive(Debug, Error, Clone, PartialEq)]
pub enum KernelError {
    /// A slice whose length does not fit the stated shape.
    #[error(
        "{what} holds {found} values, but {expected} are needed ({shape}); pass whole rows of that length"
    )]
    Shape {
        /// The argument, in words.
        what: &'static str,
        /// The shape that was asked for, such as `rows x 384`.
        shape: String,
        /// Values that the shape needs.
        expected: usize,
        /// Values that came.
        found: usize,
    },
    /// An argument that has nothing in it.
    #[error("{what} is empty; at least one row is needed")]
    Empty {
        /// The argument, in words.
        what: &'static str,
    },
    /// NaN, an infinity, or a value so large that squared distances overflow.
    #[error(
        "{what} has a value that is not finite or too large to square, in row {row}; \
         check the images and weights that it was made from"
    )]
    NotFinite {
        /// The argument, in words.
        what: &'static str,
        /// The first row (position, sample) that has such a value.
        row: usize,
    },
    /// A setting outside its range.
    #[error("{setting} is {value}, but {range}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed, as the rest of the sentence: `it must be at least 1`.
        range: String,
    },
    /// The limit on memory cannot be met.
    #[error(
        "{what} needs at least {needed} bytes, but the memory limit is {limit}; \
         raise the limit or use fewer points or dimensions"
    )]
    MemoryLimit {
        /// The computation, in words.
        what: &'static str,
        /// Bytes that the leanest way needs.
        needed: u64,
        /// Bytes that were allowed.
        limit: u64,
    },
}

//! Convolutional networks in whole numbers: bytes between layers, sums of 32 bits, one rounding a layer.
//!
//! A [`ByteMap`] holds unsigned bytes q that stand for scale x (q - zero), channels last. After ReLU the byte for nothing is 0;
//! signed maps (a linear bottleneck, the normalised image) have another. Weights are signed bytes with a scale a channel
//! and no zero of their own, so that the zero of the input is taken back by one number a channel, known beforehand.
//!
//! | step | done as |
//! |---|---|
//! | 1x1, 3x3, 7x7, any stride | register tiles of pixels x 64 channels straight from the map, four products a lane |
//! | depthwise | four rows of the kernel interleaved, so that a lane's four products belong to one channel |
//! | bias, requantisation, residual, ReLU | one sum of 64 bits, rounded once, clamped to bytes |
//! | pooling | bytes |
//! | linear maps of tokens | bytes for the products alone, rows in single precision on both sides: [`ByteLinear`] |
//!
//! A layer's bytes are
//!
//! ```text
//! clamp(zero + floor(1/2 + ratio x (bias + sum of (q - input zero) x weight) + residual ratio x (r - residual zero)), least, most)
//! ```
//!
//! with ratios as whole numbers of 2^-32 and 2^-24 ([`Ratio`]): exact in integers, hence the same bits for all instructions
//! (AMX, AVX-512 and AVX2 with VNNI, AVX2 with products of 16 bits, ARM's dot product, plain code), tiles and numbers of
//! threads. A multiply-add of bytes costs a quarter of one of `f32`: 128 a cycle with AVX-512.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod convolution;
mod dense;
mod depthwise;
mod finish;
mod instructions;
mod lanes;
mod linear;
#[cfg(test)]
mod linear_tests;
mod map;
#[cfg(target_arch = "x86_64")]
mod matrices;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pool;
mod strip;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use convolution::{ByteConvolution, Residual};
pub use finish::{ByteRatio, Ratio, Requantisation, SumRatio};
pub(crate) use instructions::{Instructions, Task};
pub(crate) use lanes::{BYTES, Dots, QUADS};
pub use linear::ByteLinear;
pub use map::{ByteMap, Quantisation};
pub use pool::{add, global_mean, max_pool};

/// The instructions that convolutions of bytes use on this machine: `amx`, `avx512`, `avxvnni`, `avx2`, `neon` or `portable`.
pub fn instructions() -> &'static str {
    Instructions::detect().name()
}

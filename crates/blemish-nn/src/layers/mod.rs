//! Layers, one a file, each with its equation. Maps are batch x channels x height x width; a vector is a map of one position; tokens are
//! batch x tokens x features.
//!
//! | layer | of |
//! |---|---|
//! | [`Dense`] | vectors, rows |
//! | [`Conv`], [`TransposedConv`] | maps; of any kernel, stride and padding |
//! | [`ConvUnit`] | convolution, normalisation, activation: what encoders, decoders and U-Nets are made of |
//! | [`Strided`] | the blocks of DCGAN's encoders and decoders, which halve and double maps |
//! | [`ResidualBlock`] | two convolutions beside a shortcut |
//! | [`TimedResidual`], [`TimeEmbedding`] | the block of diffusion networks and the vectors of times that it takes |
//! | [`MapAttention`] | maps: each position looks at all others |
//! | [`CoordinateAttention`] | maps: weights of rows and of columns |
//! | [`BatchNorm`], [`BatchNorm2d`] | rows, maps; by the batch in training, by stored moments in scoring |
//! | [`GroupNorm`], [`MapNorm`], [`LayerNorm`] | maps by groups of channels, whole maps, tokens |
//! | [`Norm`] | maps, by the batch or by groups of channels |
//! | [`ActNorm`], [`Gain`] | a scale and shift that the first batch sets; a factor |
//! | [`resize`], [`upsample`] | maps to another size: bilinear with or without aligned corners, nearest |
//! | [`max_pool`], [`average_pool`], [`adaptive_average_pool`] | maps to smaller ones |
//! | [`Sspcab`] | maps, each value predicted from around; has a loss of its own |
//! | [`MultiHeadAttention`] | tokens |
//! | [`Embedding`], [`GridEmbedding`], [`sinusoid`] | numbers, positions and times to vectors |
//! | [`Dropout`] | any; from a random source that the caller seeds |
//! | [`Relu`], [`Activation`] | any, value by value |
//! | [`Subnet`] | the small networks inside coupling blocks |

mod act_norm;
mod activation;
pub(crate) mod along;
mod attention;
mod batch_norm;
mod conv;
mod conv_unit;
mod coordinate_attention;
mod dense;
mod dropout;
mod embedding;
mod gain;
mod group_norm;
mod layer_norm;
pub(crate) mod linear_maps;
mod map_attention;
mod map_norm;
mod norm;
mod phase;
mod pooling;
mod residual;
mod resize;
mod row_norm;
mod running;
mod sspcab;
mod standardise;
mod strided;
mod subnet;
mod time_embedding;
mod timed_residual;
mod transposed_conv;

pub use act_norm::ActNorm;
pub use activation::{Activation, Relu};
pub use attention::MultiHeadAttention;
pub use batch_norm::BatchNorm2d;
pub use conv::Conv;
pub use conv_unit::{ConvUnit, Convolution};
pub use coordinate_attention::CoordinateAttention;
pub use dense::Dense;
pub use dropout::Dropout;
pub use embedding::{Embedding, GridEmbedding, sinusoid};
pub use gain::Gain;
pub use group_norm::GroupNorm;
pub use layer_norm::LayerNorm;
pub use map_attention::MapAttention;
pub use map_norm::MapNorm;
pub use norm::Norm;
pub use phase::Phase;
pub use pooling::{Window, adaptive_average_pool, average_pool, max_pool};
pub use residual::ResidualBlock;
pub use resize::{Interpolation, resize, upsample};
pub use row_norm::BatchNorm;
pub use running::Running;
pub use sspcab::{CornerActivation, CornerPadding, Sspcab, SspcabOptions};
pub use strided::{NormKind, Start, Strided};
pub use subnet::{Layer, Subnet};
pub use time_embedding::TimeEmbedding;
pub use timed_residual::{Scaling, TimedResidual};
pub use transposed_conv::TransposedConv;

//! The choice of instructions, once for each piece of work.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::lanes::{Dots, Portable};
#[cfg(target_arch = "aarch64")]
use super::neon::NeonDot;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx512, Halves};
use crate::simd::{Limit, limit};

/// A piece of work that [`Instructions::run`] compiles once for each set of instructions; `run` and everything hot that it calls must be
/// `#[inline(always)]`, as with [`crate::simd::Kernel`].
pub(crate) trait Task {
    /// Does the work.
    fn run<D: Dots>(self);
}

/// Instructions that a machine may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    Portable,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// Tiles for products of matrices, the rest as [`Self::Avx512Vnni`].
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Instructions {
    /// All that this machine has and `BLEMISH_SIMD` allows, the fastest last.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let all = [
            Self::Portable,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni,
            #[cfg(target_arch = "x86_64")]
            Self::Amx,
        ];
        all.into_iter().filter(|instructions| instructions.is_available()).collect()
    }

    /// The fastest of this machine.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        for instructions in [Self::Amx, Self::Avx512Vnni, Self::AvxVnni, Self::Avx2] {
            if instructions.is_available() {
                return instructions;
            }
        }
        #[cfg(target_arch = "aarch64")]
        if Self::NeonDot.is_available() {
            return Self::NeonDot;
        }
        Self::Portable
    }

    /// The standard library remembers what it has asked the processor.
    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => limit() > Limit::Portable && std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                limit() >= Limit::Avx2 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => {
                limit() >= Limit::AvxVnni
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("avxvnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                limit() >= Limit::Avx512
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => limit() >= Limit::Amx && Self::Avx512Vnni.is_available() && amx::is_available(),
        }
    }

    /// How many products of bytes are added up in a cycle, where they are more than those of single precision.
    pub(crate) fn products_a_cycle(self) -> Option<f64> {
        match self {
            Self::Portable => None,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => None,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => Some(64.0),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni | Self::Avx512Vnni => Some(64.0),
            // Half of what the tiles could do: they are loaded, too.
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Some(512.0),
        }
    }

    /// Whether matrices are multiplied tile by tile.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_tiles(self) -> bool {
        self == Self::Amx && self.is_available()
    }

    /// Its name as `BLEMISH_SIMD` would have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => "neon",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Amx => "amx",
        }
    }

    /// Does the work with these instructions, or with plain ones where the machine lacks them.
    pub(crate) fn run<T: Task>(self, task: T) {
        if !self.is_available() {
            return task.run::<Portable>();
        }
        match self {
            Self::Portable => task.run::<Portable>(),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => {
                #[target_feature(enable = "neon,dotprod")]
                fn neon<T: Task>(task: T) {
                    task.run::<NeonDot>();
                }
                // SAFETY: the features were detected on this very machine.
                unsafe { neon(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                #[target_feature(enable = "avx2,fma")]
                fn avx2<T: Task>(task: T) {
                    task.run::<Halves<false>>();
                }
                // SAFETY: as above.
                unsafe { avx2(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => {
                #[target_feature(enable = "avx2,fma,avxvnni")]
                fn avx_vnni<T: Task>(task: T) {
                    task.run::<Halves<true>>();
                }
                // SAFETY: as above.
                unsafe { avx_vnni(task) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni | Self::Amx => {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
                fn avx512<T: Task>(task: T) {
                    task.run::<Avx512>();
                }
                // SAFETY: as above.
                unsafe { avx512(task) }
            }
        }
    }
}

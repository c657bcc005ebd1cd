//! Products of matrices of bytes on processors with AMX: tiles of sixteen rows x sixteen sums, up to 64 bytes of a row at a time.
//!
//! Sums wrap in 32 bits, so that they are those of every other set of instructions. The compiler knows nothing of tile registers: it
//! neither uses nor saves them, and what is kept in them between two blocks of assembly stays.
//!
//! SAFETY of every block here: a [`Tiler`] exists only where the system has granted the registers; its methods check that what the
//! instructions read and write lies in the slices that they are given.

use super::lanes::{BYTES, LANES, QUADS, VECTORS};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Rows of a tile.
pub(crate) const ROWS: usize = 16;

/// Sums of two tiles' rows with up to four vectors of columns.
#[repr(align(64))]
pub(crate) struct Sums(pub [[[i32; LANES]; VECTORS]; 2 * ROWS]);

/// Whether the processor has tiles and the system lets this process use them. Asked once.
pub(super) fn is_available() -> bool {
    static IS_AVAILABLE: OnceLock<bool> = OnceLock::new();
    *IS_AVAILABLE.get_or_init(|| {
        // Leaf 7 says what there is: tiles and their products of bytes.
        const NEEDED: u32 = 1 << 24 | 1 << 25;
        __cpuid_count(7, 0).edx & NEEDED == NEEDED && is_granted()
    })
}

/// Asks for the registers, which take 8 KiB of every thread's state.
#[cfg(target_os = "linux")]
fn is_granted() -> bool {
    const REQUEST_PERMISSION: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: the call changes what this process may use, and no memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// How other systems grant them was not tried.
#[cfg(not(target_os = "linux"))]
fn is_granted() -> bool {
    false
}

/// What the registers' shapes are loaded from.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes a row, one a register.
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// The left side of a product: rows of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    /// Where the first row of each of two tiles lies.
    pub starts: [&'a [u8]; 2],
    /// Bytes from a row to the next.
    pub row_step: usize,
    /// Where bytes that follow each other begin in a row, ascending: as many as a row of a tile has.
    pub terms: &'a [usize],
}

/// The tile registers of this thread, shaped for one product; given back when dropped. One at a time a thread.
pub(crate) struct Tiler {
    rows: usize,
    quads: usize,
    /// The registers are those of the thread that has shaped them.
    thread: PhantomData<*const ()>,
}

impl Tiler {
    /// Shapes for tiles of `rows` rows and `quads` fours of bytes.
    ///
    /// # Panics
    /// If the machine has none, or a shape is not of one to sixteen.
    pub fn new(rows: usize, quads: usize) -> Self {
        assert!(
            is_available() && (1..=ROWS).contains(&rows) && (1..=QUADS).contains(&quads),
            "a tile's shape"
        );
        let mut shapes =
            Shapes { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        // Sums, left sides and right sides.
        shapes.bytes[..8].copy_from_slice(&[64, 64, 64, 64, 4 * quads as u16, 4 * quads as u16, 64, 64]);
        let [rows_byte, quads_byte] = [rows as u8, quads as u8];
        shapes.rows[..4].fill(rows_byte);
        shapes.rows[4..8].copy_from_slice(&[rows_byte, rows_byte, quads_byte, quads_byte]);
        // SAFETY: see the module.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly)) };
        Self { rows, quads, thread: PhantomData }
    }

    /// For both starts on the left, each row r of the tile and each vector v of the two from `first` on (one, if `COUNT` is 1):
    ///
    /// `sums[r][v] = start[v] + sum over terms t and bytes k of left[r x row_step + terms[t] + k] x right[t x quads + k / 4][v][..]`
    ///
    /// The sums of the second start begin at row sixteen. `right` has `V` vectors for every four bytes.
    ///
    /// # Panics
    /// If the sides do not reach so far.
    #[inline(always)]
    pub fn products<const V: usize, const COUNT: usize>(
        &self,
        left: Left<'_>,
        right: &[[[i8; BYTES]; V]],
        first: usize,
        start: [&[i32; LANES]; COUNT],
        sums: &mut Sums,
    ) {
        let Left { starts: left, row_step, terms } = left;
        const { assert!(COUNT == 1 || COUNT == 2, "one vector or two") };
        let last = terms.last().map_or(0, |last| last + 4 * self.quads);
        let reached = (self.rows - 1) * row_step + last;
        assert!(left.iter().all(|left| left.len() >= reached), "rows lie in the left side");
        assert!(terms.is_sorted() && right.len() == terms.len() * self.quads, "a right side for every term");
        assert!(first + COUNT <= V && V <= VECTORS, "vectors lie in the right side");
        if terms.is_empty() {
            return;
        }
        let [one, two] = left.map(<[u8]>::as_ptr);
        let right = right.as_ptr().cast::<[i8; BYTES]>().wrapping_add(first);
        let sums = sums.0.as_mut_ptr().cast::<[i32; LANES]>().wrapping_add(first);
        let right_step = V * BYTES;
        // What one vector and two have in common.
        macro_rules! products {
            ([$($start:literal),*], [$($product:literal),*], [$($first:literal),*], [$($second:literal),*], $($operands:tt)*) => {
                asm!(
                    $($start,)*
                    "2:",
                    "mov {at}, [{terms}]",
                    "add {at}, {one}",
                    $($product,)*
                    "add {right}, {advance}",
                    "add {terms}, 8",
                    "dec {count}",
                    "jnz 2b",
                    "mov {right_step}, {sum_step}",
                    $($first,)*
                    "add {sums}, {below}",
                    $($second,)*
                    at = inout(reg) 0usize => _,
                    one = in(reg) one,
                    apart = in(reg) (two as usize).wrapping_sub(one as usize),
                    row_step = in(reg) row_step,
                    terms = inout(reg) terms.as_ptr() => _,
                    count = inout(reg) terms.len() => _,
                    right = inout(reg) right => _,
                    right_step = inout(reg) right_step => _,
                    advance = in(reg) self.quads * right_step,
                    sums = inout(reg) sums => _,
                    sum_step = const VECTORS * BYTES,
                    below = const ROWS * VECTORS * BYTES,
                    $($operands)*
                    out("tmm0") _, out("tmm2") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                    options(nostack),
                )
            };
        }
        // A start with a step of nothing gives all rows the same.
        // SAFETY: see the module.
        unsafe {
            if COUNT == 2 {
                products!(
                    [
                        "tileloadd tmm0, [{start} + {at} * 1]",
                        "tileloadd tmm2, [{start} + {at} * 1]",
                        "tileloadd tmm1, [{other} + {at} * 1]",
                        "tileloadd tmm3, [{other} + {at} * 1]"
                    ],
                    [
                        "tileloadd tmm4, [{at} + {row_step} * 1]",
                        "tileloadd tmm6, [{right} + {right_step} * 1]",
                        "tdpbusd tmm0, tmm4, tmm6",
                        "tileloadd tmm7, [{right} + {right_step} * 1 + 64]",
                        "tdpbusd tmm1, tmm4, tmm7",
                        "add {at}, {apart}",
                        "tileloadd tmm5, [{at} + {row_step} * 1]",
                        "tdpbusd tmm2, tmm5, tmm6",
                        "tdpbusd tmm3, tmm5, tmm7"
                    ],
                    [
                        "tilestored [{sums} + {right_step} * 1], tmm0",
                        "tilestored [{sums} + {right_step} * 1 + 64], tmm1"
                    ],
                    [
                        "tilestored [{sums} + {right_step} * 1], tmm2",
                        "tilestored [{sums} + {right_step} * 1 + 64], tmm3"
                    ],
                    start = in(reg) start[0].as_ptr(),
                    other = in(reg) start[COUNT - 1].as_ptr(),
                    out("tmm1") _, out("tmm3") _, out("tmm7") _,
                );
            } else {
                products!(
                    ["tileloadd tmm0, [{start} + {at} * 1]", "tileloadd tmm2, [{start} + {at} * 1]"],
                    [
                        "tileloadd tmm4, [{at} + {row_step} * 1]",
                        "tileloadd tmm6, [{right} + {right_step} * 1]",
                        "tdpbusd tmm0, tmm4, tmm6",
                        "add {at}, {apart}",
                        "tileloadd tmm5, [{at} + {row_step} * 1]",
                        "tdpbusd tmm2, tmm5, tmm6"
                    ],
                    ["tilestored [{sums} + {right_step} * 1], tmm0"],
                    ["tilestored [{sums} + {right_step} * 1], tmm2"],
                    start = in(reg) start[0].as_ptr(),
                );
            }
        }
    }
}

impl Drop for Tiler {
    fn drop(&mut self) {
        // SAFETY: see the module.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

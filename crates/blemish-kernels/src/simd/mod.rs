//! Loops over rows of `f32`, run with the widest vectors of the machine, to the same bits on all of them.
//!
//! A squared distance is accumulated in [`LANES`] partial sums with fused multiply-add, folded in halves at the
//! end. Sixteen lanes are one AVX-512 register, two of AVX2 or four of NEON, so every width does the very same
//! operations in the very same order and only the speed differs. Exactness elsewhere rests on this: the greedy
//! k-centre selection makes the same picks on every machine because all of its distances come from here.
//!
//! How it works: bodies are `#[inline(always)]` functions over any [`Lanes`]; [`widest`] calls them inside a
//! function whose target features are set, so that one source is compiled once for each width.

pub mod functions;
mod lanes;
mod limit;

#[cfg(target_arch = "x86_64")]
pub(crate) use lanes::{Avx2, Avx512};
pub use lanes::{LANES, Lanes, Portable};
pub use limit::VARIABLE;
pub(crate) use limit::{Limit, limit};

/// A piece of work that [`widest`] compiles once for each vector width.
///
/// `run` must be `#[inline(always)]`, and so must everything hot that it calls: what is not inlined is compiled for
/// the baseline instructions, and calls there and back are slow.
pub trait Kernel {
    /// What the work yields.
    type Output;
    /// Does the work.
    fn run<V: Lanes>(self) -> Self::Output;
}

/// Runs a kernel with the widest vectors that this machine has: AVX-512, AVX2 with FMA, or what any machine has. The
/// environment variable [`VARIABLE`] may bound them.
pub fn widest<K: Kernel>(kernel: K) -> K::Output {
    Width::detect().run(kernel)
}

/// Vectors that a machine may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Width {
    /// The widest of this machine that the environment allows. The standard library remembers what it has asked the processor.
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if limit() >= Limit::Avx2 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let wide = limit() >= Limit::Avx512
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            return if wide { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Portable
    }

    /// Runs a kernel with vectors of this width, or with the widest there is if that is less.
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<Avx512>()
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<Avx2>()
            }
            match self.min(Self::detect()) {
                // SAFETY: the features were detected on this very machine.
                Self::Avx512 => return unsafe { avx512(kernel) },
                // SAFETY: as above.
                Self::Avx2 => return unsafe { avx2(kernel) },
                Self::Portable => {}
            }
        }
        kernel.run::<Portable>()
    }
}

/// Runs a kernel at every width of this machine; all must agree.
#[cfg(test)]
pub(crate) fn at_every_width<K: Kernel>(make: impl Fn() -> K) -> Vec<K::Output> {
    let mut widths = vec![Width::Portable];
    #[cfg(target_arch = "x86_64")]
    widths.extend([Width::Avx2, Width::Avx512]);
    widths.into_iter().map(|width| width.run(make())).collect()
}

/// The last, short chunk of a row, filled up with zeros (which add nothing).
#[inline(always)]
pub(crate) fn padded(tail: &[f32]) -> [f32; LANES] {
    let mut chunk = [0.0; LANES];
    chunk[..tail.len()].copy_from_slice(tail);
    chunk
}

/// Squared distances of `point` to `R` rows of the same length, side by side to hide latency.
#[inline(always)]
pub(crate) fn distances_body<V: Lanes, const R: usize>(point: &[f32], rows: [&[f32]; R]) -> [f32; R] {
    let mut sums = [V::splat(0.0); R];
    let (chunks, tail) = point.as_chunks::<LANES>();
    let rows = rows.map(|row| &row[..point.len()]);
    for (index, chunk) in chunks.iter().enumerate() {
        let chunk = V::load(chunk);
        for row in 0..R {
            let difference = chunk.sub(V::load(&rows[row].as_chunks::<LANES>().0[index]));
            sums[row] = difference.mul_add(difference, sums[row]);
        }
    }
    if !tail.is_empty() {
        let tail = V::load(&padded(tail));
        for row in 0..R {
            let difference = tail.sub(V::load(&padded(rows[row].as_chunks::<LANES>().1)));
            sums[row] = difference.mul_add(difference, sums[row]);
        }
    }
    // No `map`: what it calls would be compiled for the baseline.
    let mut distances = [0.0; R];
    for row in 0..R {
        distances[row] = sums[row].sum();
    }
    distances
}

/// Squared Euclidean distance of two rows of the same length (body for use inside kernels).
#[inline(always)]
pub(crate) fn distance_body<V: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    distances_body::<V, 1>(a, [b])[0]
}

struct Distance<'a>(&'a [f32], &'a [f32]);

impl Kernel for Distance<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<V: Lanes>(self) -> f32 {
        distance_body::<V>(self.0, self.1)
    }
}

/// Squared Euclidean distance of two rows: sum over i of (a_i - b_i)^2.
///
/// The relative error is at most about (length / 16 + 8) x 2^-24. The bits do not depend on the machine.
///
/// # Panics
/// If the lengths differ.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of one length are compared");
    widest(Distance(a, b))
}

struct ManyDistances<'a> {
    point: &'a [f32],
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for ManyDistances<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        each_distance::<V>(self.point, self.rows, self.out.len(), |row, distance| self.out[row] = distance);
    }
}

/// Calls `take(row, squared distance)` for rows 0..count of `rows`, in order.
#[inline(always)]
fn each_distance<V: Lanes>(point: &[f32], rows: &[f32], count: usize, mut take: impl FnMut(usize, f32)) {
    let length = point.len();
    let row = |index: usize| &rows[index * length..(index + 1) * length];
    let mut index = 0;
    while index + 4 <= count {
        let four =
            distances_body::<V, 4>(point, [row(index), row(index + 1), row(index + 2), row(index + 3)]);
        for (offset, distance) in four.into_iter().enumerate() {
            take(index + offset, distance);
        }
        index += 4;
    }
    while index < count {
        take(index, distance_body::<V>(point, row(index)));
        index += 1;
    }
}

/// Squared distances of `point` to every row of `rows` (`out.len()` rows of `point.len()` values).
///
/// The same values as [`squared_distance`], to the bit.
///
/// # Panics
/// If `rows` is not `out.len()` x `point.len()` long.
pub fn squared_distances(point: &[f32], rows: &[f32], out: &mut [f32]) {
    assert_eq!(rows.len(), out.len() * point.len(), "rows are as long as the point");
    widest(ManyDistances { point, rows, out });
}

struct Relax<'a> {
    centre: &'a [f32],
    rows: &'a [f32],
    keys: &'a mut [f32],
}

impl Kernel for Relax<'_> {
    type Output = (usize, f32);
    #[inline(always)]
    fn run<V: Lanes>(self) -> (usize, f32) {
        let Self { centre, rows, keys } = self;
        let mut best = (0, f32::NEG_INFINITY);
        each_distance::<V>(centre, rows, keys.len(), |row, distance| {
            let key = keys[row].min(distance);
            keys[row] = key;
            if key > best.1 {
                best = (row, key);
            }
        });
        best
    }
}

/// Lowers every key to the row's squared distance to `centre` where that is less; the place (lowest first) and
/// value of the greatest key afterwards, or (0, -infinity) for no rows.
///
/// # Panics
/// If `rows` is not `keys.len()` x `centre.len()` long.
pub fn relax_keys(centre: &[f32], rows: &[f32], keys: &mut [f32]) -> (usize, f32) {
    assert_eq!(rows.len(), keys.len() * centre.len(), "one key a row");
    widest(Relax { centre, rows, keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, length: usize) -> Vec<f32> {
        (0..count * length).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * 0.01).collect()
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        for length in [1, 3, 15, 16, 17, 64, 150] {
            let values = rows(9, length);
            let mut many = vec![0.0; 8];
            squared_distances(&values[..length], &values[length..], &mut many);
            for (row, &distance) in many.iter().enumerate() {
                let other = &values[(row + 1) * length..(row + 2) * length];
                for at_width in at_every_width(|| Distance(&values[..length], other)) {
                    assert_eq!(distance.to_bits(), at_width.to_bits());
                }
                assert_eq!(distance.to_bits(), squared_distance(&values[..length], other).to_bits());
                let exact: f64 = values[..length]
                    .iter()
                    .zip(other)
                    .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                    .sum();
                assert!((f64::from(distance) - exact).abs() <= 1e-6 * exact);
            }
        }
    }

    /// Sixteen sums at once, each on its own, and signed bytes as numbers.
    struct Folds<'a>(&'a [[f32; LANES]; LANES], [u8; LANES]);

    impl Kernel for Folds<'_> {
        type Output = [[f32; LANES]; 3];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [[f32; LANES]; 3] {
            let together = V::sums(self.0.map(|values| V::load(&values))).store();
            [together, self.0.map(|values| V::load(&values).sum()), V::load_bytes(&self.1).store()]
        }
    }

    #[test]
    fn sums_of_sixteen_are_the_sums_of_each_and_bytes_keep_their_signs() {
        let values = rows(LANES, LANES);
        let values: &[[f32; LANES]; LANES] = values.as_chunks().0.first_chunk().unwrap();
        let bytes = std::array::from_fn(|lane| [0u8, 1, 127, 128, 129, 255][lane % 6]);
        let numbers = std::array::from_fn(|lane| [0.0, 1.0, 127.0, -128.0, -127.0, -1.0][lane % 6]);
        for [together, each, found] in at_every_width(|| Folds(values, bytes)) {
            assert_eq!(together, each);
            assert_eq!(together, values.map(|values| Portable::load(&values).sum()));
            assert_eq!(found, numbers);
        }
    }

    #[test]
    fn relaxing_keeps_the_lesser_key_and_finds_the_first_greatest() {
        let points = [0.0, 1.0, 2.0, 3.0, 10.0];
        let mut keys = [9.0, 9.0, 9.0, 0.5, 9.0];
        assert_eq!(relax_keys(&[0.0], &points, &mut keys), (4, 9.0));
        assert_eq!(keys, [0.0, 1.0, 4.0, 0.5, 9.0]);
        let mut ties = [5.0, 7.0, 7.0, 7.0, 1.0];
        assert_eq!(relax_keys(&[100.0], &points, &mut ties), (1, 7.0));
        assert_eq!(relax_keys(&[0.0], &[], &mut []), (0, f32::NEG_INFINITY));
    }
}

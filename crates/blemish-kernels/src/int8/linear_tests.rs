//! Linear maps in bytes against double precision, on all instructions.

use super::ByteLinear;
use super::instructions::Instructions;
use crate::conv::{Activation, ChannelsLast, Epilogue};
use crate::lines::Lines;

/// Values without pattern, from -1 to 1.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

struct Case {
    inputs: usize,
    weights: Vec<i8>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    rows: Vec<f32>,
    residual: Vec<f32>,
}

impl Case {
    fn new([inputs, outputs, count]: [usize; 3], seed: u64) -> Self {
        let mut rows = values(count * inputs, seed);
        // Rows of very different sizes, one of zeros, one of next to nothing, and ones with positive values alone.
        for (index, row) in rows.chunks_exact_mut(inputs).enumerate() {
            row.iter_mut().for_each(|value| match index % 7 {
                3 => *value = 0.0,
                4 => *value *= 1e-41,
                5 => *value = value.abs() * 300.0,
                size => *value = (*value - 0.1) * 10f32.powi(size as i32),
            });
        }
        Self {
            inputs,
            weights: values(inputs * outputs, seed + 1).iter().map(|value| (value * 127.5) as i8).collect(),
            scales: values(outputs, seed + 2).iter().map(|value| 1e-3 * (value.abs() + 0.1)).collect(),
            bias: values(outputs, seed + 3),
            residual: values(count * outputs, seed + 4),
            rows,
        }
    }

    fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// A map of one column.
    fn column(&self, rows: &[f32], width: usize) -> ChannelsLast {
        ChannelsLast::from_rows(rows, rows.len() / width, 1).filled().into_owned()
    }

    fn packed(&self) -> ByteLinear {
        ByteLinear::new(self.inputs, &self.weights, &self.scales, &self.bias)
    }

    fn apply(&self, instructions: Instructions, is_parallel: bool) -> Vec<f32> {
        let residual = self.column(&self.residual, self.outputs());
        let epilogue = Epilogue::new(Some(&residual), Activation::Gelu);
        let rows = self.column(&self.rows, self.inputs);
        self.packed()
            .apply_with(instructions, &rows, epilogue, Lines::from(&[7.0; 99][..]), is_parallel)
            .into_rows()
    }
}

const SHAPES: [[usize; 3]; 7] =
    [[384, 1152, 33], [64, 64, 1], [1536, 384, 70], [100, 17, 40], [3, 5, 9], [200, 48, 16], [65, 130, 325]];

/// The bytes of a row by the definition, then everything in double precision.
#[test]
fn sums_are_those_of_the_rounded_rows() {
    for shape in SHAPES {
        let case = Case::new(shape, 3);
        let rows = case.column(&case.rows, case.inputs);
        let found = case.packed().apply(&rows, Epilogue::default(), Lines::new(), false).into_rows();
        for (row, found) in case.rows.chunks_exact(case.inputs).zip(found.chunks_exact(case.outputs())) {
            let [least, most] = row.iter().fold([0.0f32; 2], |[a, b], &value| [a.min(value), b.max(value)]);
            let scale = if most - least > 1e-30 { (most / 255.0 - least / 255.0) as f64 } else { 1.0 };
            let zero = (-f64::from(least) / scale).round();
            let bytes = row.iter().map(|&value| (f64::from(value) / scale + zero).round().clamp(0.0, 255.0));
            let bytes: Vec<f64> = bytes.collect();
            for (output, found) in found.iter().enumerate() {
                let weights = &case.weights[output * case.inputs..][..case.inputs];
                let terms =
                    bytes.iter().zip(weights).map(|(byte, &weight)| (byte - zero) * f64::from(weight));
                let step = scale * f64::from(case.scales[output]);
                let exact = f64::from(case.bias[output]) + step * terms.sum::<f64>();
                // A value in the middle between two bytes may go either way: at most a step of two weights.
                let allowed = 1e-5 * exact.abs().max(1.0) + step * 254.0;
                assert!((f64::from(*found) - exact).abs() <= allowed, "{shape:?} {output}: {found} {exact}");
            }
        }
    }
}

/// Rounding costs what half a step of every input can.
#[test]
fn errors_stay_within_half_a_step_of_every_input() {
    let case = Case::new([384, 96, 60], 11);
    let rows = case.column(&case.rows, case.inputs);
    let found = case.packed().apply(&rows, Epilogue::default(), Lines::new(), false).into_rows();
    for (row, found) in case.rows.chunks_exact(case.inputs).zip(found.chunks_exact(case.outputs())) {
        let [least, most] = row.iter().fold([0.0f32; 2], |[a, b], &value| [a.min(value), b.max(value)]);
        let half = f64::from(most - least) / 510.0;
        for (output, found) in found.iter().enumerate() {
            let scale = f64::from(case.scales[output]);
            let weights = &case.weights[output * case.inputs..][..case.inputs];
            let products = row.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b));
            let exact = f64::from(case.bias[output]) + scale * products.sum::<f64>();
            // The zero is rounded, too, and with it both ends.
            let size: f64 = weights.iter().map(|&weight| f64::from(weight).abs()).sum();
            let allowed = 2.0 * half * scale * size + 1e-5 * exact.abs().max(1.0);
            assert!((f64::from(*found) - exact).abs() <= allowed, "{output}: {found} {exact}");
        }
    }
}

#[test]
fn instructions_threads_and_other_rows_do_not_matter() {
    for shape in SHAPES {
        let case = Case::new(shape, 5);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let plain = bits(&case.apply(Instructions::Portable, false));
        for instructions in Instructions::available() {
            assert!(bits(&case.apply(instructions, false)) == plain, "{instructions:?}, {shape:?}");
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let parallel = pool.install(|| bits(&case.apply(instructions, true)));
                assert!(parallel == plain, "{instructions:?}, {shape:?}, {threads} threads");
            }
        }
        let last = case.rows.len() - case.inputs;
        let alone = Case {
            rows: case.rows[last..].to_vec(),
            residual: case.residual[case.residual.len() - case.outputs()..].to_vec(),
            ..Case::new(shape, 5)
        };
        let alone = bits(&alone.apply(Instructions::detect(), false));
        assert!(plain.ends_with(&alone), "{shape:?}: a row alone");
    }
}

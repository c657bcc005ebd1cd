//! Every kernel against its plain form in double precision, and against itself on other threads and widths.

use super::*;

fn values(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| (((i + seed * 131) * 7919 % 1013) as f32 - 500.0) * 0.002).collect()
}

fn assert_near(ours: &[f32], exact: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), exact.len());
    for (index, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        assert!((f64::from(*ours) - exact).abs() <= tolerance, "{index}: {ours} {exact}");
    }
}

fn plain_linear(rows: &[f32], weights: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
    let outputs = bias.len();
    let mut out = Vec::new();
    for row in rows.chunks(inputs) {
        for output in 0..outputs {
            let products = row.iter().zip(&weights[output * inputs..]);
            let sum: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            out.push(sum + f64::from(bias[output]));
        }
    }
    out
}

/// Runs on pools of one and three threads and expects the same bits.
fn on_any_threads(work: impl Fn(bool) -> Vec<f32> + Sync) -> Vec<f32> {
    let serial = work(false);
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let parallel = pool.install(|| work(true));
        assert!(serial.iter().zip(&parallel).all(|(a, b)| a.to_bits() == b.to_bits()), "{threads} threads");
    }
    serial
}

#[test]
fn linear_maps_equal_the_plain_sum() {
    // Rows that leave a tile part empty, outputs that leave a vector or panel so, terms beyond a stretch, blocks beyond one.
    for (rows, inputs, outputs) in [(1, 3, 5), (7, 20, 16), (9, 40, 33), (17, 1100, 48), (300, 16, 40)] {
        let (x, w, b) = (values(rows * inputs, 1), values(outputs * inputs, 2), values(outputs, 3));
        let linear = Linear::new(outputs, inputs, &w, Some(&b));
        assert_eq!([linear.inputs(), linear.outputs()], [inputs, outputs]);
        let exact = plain_linear(&x, &w, &b, inputs);
        let ours = on_any_threads(|parallel| linear.forward(&x, Activation::None, parallel));
        assert_near(&ours, &exact, 2e-6 * inputs as f64);

        let bare = Linear::new(outputs, inputs, &w, None);
        let exact_bare = plain_linear(&x, &w, &vec![0.0; outputs], inputs);
        assert_near(&bare.forward(&x, Activation::None, false), &exact_bare, 2e-6 * inputs as f64);

        let relu = on_any_threads(|parallel| linear.forward(&x, Activation::Relu, parallel));
        let exact_relu: Vec<f64> = exact.iter().map(|v| v.max(0.0)).collect();
        assert_near(&relu, &exact_relu, 2e-6 * inputs as f64);

        let before = values(rows * outputs, 4);
        let added = on_any_threads(|parallel| {
            let mut out = before.clone();
            linear.add_to(&x, &mut out, parallel);
            out
        });
        let exact_added: Vec<f64> = exact.iter().zip(&before).map(|(a, &b)| a + f64::from(b)).collect();
        assert_near(&added, &exact_added, 3e-6 * inputs as f64);
    }
    let none = Linear::new(3, 2, &[0.0; 6], None);
    assert!(none.forward(&[], Activation::None, true).is_empty());
}

#[test]
fn a_row_has_the_same_bits_among_any_others() {
    let (x, w) = (values(150 * 24, 1), values(40 * 24, 2));
    let linear = Linear::new(40, 24, &w, None);
    let all = linear.forward(&x, Activation::Gelu, false);
    for row in [0, 5, 149] {
        let alone = linear.forward(&x[row * 24..][..24], Activation::Gelu, false);
        assert_eq!(alone, all[row * 40..][..40]);
    }
}

#[test]
fn layer_norm_gives_mean_zero_and_variance_one() {
    for width in [1, 7, 16, 40, 100] {
        let (x, gain, bias) = (values(9 * width, 1), values(width, 2), values(width, 3));
        let mut exact = Vec::new();
        for row in x.chunks(width) {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
            let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
            for ((&v, &g), &b) in row.iter().zip(&gain).zip(&bias) {
                exact.push(f64::from(g) * (f64::from(v) - mean) / (variance + 1e-6).sqrt() + f64::from(b));
            }
        }
        let ours = on_any_threads(|parallel| {
            let mut out = vec![f32::NAN; x.len()];
            layer_norm(&x, &gain, &bias, 1e-6, &mut out, parallel);
            out
        });
        assert_near(&ours, &exact, 2e-5);
    }
}

#[test]
fn gates_multiply_one_half_by_the_other() {
    let mut out = [0.0; 4];
    gate(&[1.0, -2.0, 10.0, 20.0, 3.0, 4.0, 0.5, 0.25], 2, Activation::Relu, &mut out, true);
    assert_eq!(out, [10.0, 0.0, 1.5, 1.0]);
}

struct Case {
    heads: Heads,
    sequences: usize,
    qkv: [Vec<f32>; 3],
}

impl Case {
    fn new(count: usize, width: usize, queries: usize, keys: usize, sequences: usize) -> Self {
        let heads = Heads::cross(count, width, queries, keys);
        let total = heads.total();
        let sizes = [queries, keys, keys].map(|tokens| sequences * tokens * total);
        let scaled = |i: usize, size: usize| values(size, i + 7).into_iter().map(|v| v * 3.0).collect();
        Self { heads, sequences, qkv: [0, 1, 2].map(|i| scaled(i, sizes[i])) }
    }

    fn run<'m>(&self, mask: impl Fn(usize) -> Mask<'m> + Sync) -> Vec<f32> {
        let total = self.heads.total();
        on_any_threads(|parallel| {
            let mut out = vec![f32::NAN; self.qkv[0].len()];
            let [q, k, v] = &self.qkv;
            attention(self.heads, [q, k, v].map(|x| Tokens::new(x, total)), &mask, &mut out, parallel);
            out
        })
    }

    /// The textbook's way, with `bias(sequence, head, query, key)` added to scores.
    fn exact(&self, bias: impl Fn(usize, usize, usize, usize) -> f64) -> Vec<f64> {
        let Heads { count, width, queries, keys, scale } = self.heads;
        let total = self.heads.total();
        let [q, k, v] = &self.qkv;
        let mut out = vec![0.0; q.len()];
        for sequence in 0..self.sequences {
            for head in 0..count {
                for query in 0..queries {
                    let at = (sequence * queries + query) * total + head * width;
                    let from = |key: usize| (sequence * keys + key) * total + head * width;
                    let weights: Vec<f64> = (0..keys)
                        .map(|key| {
                            let products = q[at..at + width].iter().zip(&k[from(key)..]);
                            let dot: f64 = products.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                            (dot * f64::from(scale) + bias(sequence, head, query, key)).exp()
                        })
                        .collect();
                    let sum: f64 = weights.iter().sum();
                    for (key, weight) in weights.iter().enumerate().filter(|_| sum > 0.0) {
                        for i in 0..width {
                            out[at + i] += weight / sum * f64::from(v[from(key) + i]);
                        }
                    }
                }
            }
        }
        out
    }
}

#[test]
fn attention_equals_the_textbook() {
    // Heads that fill no vector, one and two; sequences short and longer than a block; cross attention.
    for (count, width, queries, keys, sequences) in
        [(1, 1, 1, 1, 1), (2, 8, 5, 5, 7), (3, 16, 49, 49, 2), (2, 40, 70, 37, 1), (2, 32, 3, 600, 1)]
    {
        let case = Case::new(count, width, queries, keys, sequences);
        assert_near(&case.run(|_| Mask::None), &case.exact(|_, _, _, _| 0.0), 2e-5);
    }
}

#[test]
fn every_mask_does_what_it_says() {
    let case = Case::new(2, 8, 12, 12, 2);
    let hidden = |hide: bool| if hide { f64::NEG_INFINITY } else { 0.0 };
    assert_near(&case.run(|_| Mask::Causal), &case.exact(|_, _, query, key| hidden(key > query)), 2e-5);

    let seen: Vec<bool> = (0..12).map(|key| key % 3 != 1).collect();
    assert_near(&case.run(|_| Mask::Keys(&seen)), &case.exact(|_, _, _, key| hidden(!seen[key])), 2e-5);
    assert!(case.run(|_| Mask::Keys(&[false; 12])).iter().all(|&value| value == 0.0));

    // Another bias for each sequence, one of them the same for all heads.
    let (own, shared) = (values(2 * 144, 5), values(144, 6));
    let mask = |sequence| if sequence == 0 { Mask::Bias(&own) } else { Mask::Bias(&shared) };
    let exact = case.exact(|sequence, head, query, key| {
        f64::from(if sequence == 0 { own[(head * 12 + query) * 12 + key] } else { shared[query * 12 + key] })
    });
    assert_near(&case.run(mask), &exact, 2e-5);

    let (rows, columns) = (values(2 * 12 * 3, 8), values(2 * 12 * 4, 9));
    let exact = case.exact(|_, head, query, key| {
        let at = head * 12 + query;
        f64::from(rows[at * 3 + key / 4]) + f64::from(columns[at * 4 + key % 4])
    });
    assert_near(&case.run(|_| Mask::Grid { rows: &rows, columns: &columns }), &exact, 2e-5);
}

#[test]
fn queries_keys_and_values_may_lie_side_by_side() {
    let case = Case::new(2, 8, 10, 10, 3);
    let [q, k, v] = &case.qkv;
    let side_by_side: Vec<f32> =
        (0..30).flat_map(|token| [q, k, v].map(|x| x[token * 16..][..16].to_vec()).concat()).collect();
    let mut out = vec![0.0; q.len()];
    attention(case.heads, Tokens::split(&side_by_side, 16), |_| Mask::None, &mut out, true);
    assert_eq!(out, case.run(|_| Mask::None));
}

#[test]
fn great_scores_neither_overflow_nor_lose_their_order() {
    let heads = Heads { scale: 1.0, ..Heads::cross(1, 1, 1, 3) };
    let tokens = |values| Tokens { values, pitch: 1 };
    let mut out = [0.0];
    let (key, value) = ([1.0, 3.0, 2.0], [5.0, 7.0, 11.0]);
    attention(heads, [tokens(&[1e30]), tokens(&key), tokens(&value)], |_| Mask::None, &mut out, false);
    assert_eq!(out, [7.0]);
}

mod widths {
    use super::*;
    use crate::conv::dense::Panels;
    use crate::simd::{Kernel, Lanes, at_every_width};

    /// A product that brings its own space.
    struct Whole<'a>(&'a Panels, &'a [f32], usize);

    impl Kernel for Whole<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn run<V: Lanes>(self) -> Vec<f32> {
            let Self(panels, input, outputs) = self;
            let rows = input.len() / panels.terms();
            let mut out = vec![0.5; rows * outputs];
            crate::product::at_width::<V>(panels, input, rows, outputs, Activation::Gelu, &mut out);
            out
        }
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        let (w, x) = (values(50 * 700, 1), values(11 * 700, 2));
        let panels = Panels::new(50, 700, |output, term| w[output * 700 + term]);
        let all = at_every_width(|| Whole(&panels, &x, 50));
        assert!(all.iter().all(|out| *out == all[0]));
    }
}

mod on_maps {
    use super::super::maps;
    use super::*;
    use crate::conv::ChannelsLast;
    use crate::lines::Lines;

    fn map(channels: usize, height: usize, width: usize) -> ChannelsLast {
        let planes = ChannelsLast::from_planes(
            &values(channels * height * width, 1),
            [channels, height, width],
            Lines::new(),
        );
        crate::conv::concatenate(&[&planes])
    }

    fn planes(map: &ChannelsLast) -> Vec<f32> {
        let mut planes = vec![0.0; map.channels * map.height * map.width];
        map.write_planes(&mut planes);
        planes
    }

    #[test]
    fn tokens_carry_positions_and_come_back_as_a_map() {
        for channels in [16, 5] {
            let image = map(channels, 2, 3);
            let (prefix, positions) = (values(2 * channels, 2), values(6 * channels, 3));
            let column = maps::tokens(&image, &prefix, &positions, Lines::from(&[f32::NAN; 7][..]));
            assert_eq!([column.height, column.width, column.channels], [8, 1, channels]);
            let found = planes(&maps::grid(&column, 2, [2, 3], Lines::new()));
            for (i, (found, value)) in found.iter().zip(planes(&image)).enumerate() {
                assert_eq!(*found, value + positions[i % 6 * channels + i / 6]);
            }
            let second = planes(&maps::grid(&column, 1, [1, 1], Lines::new()));
            assert_eq!(second, prefix[channels..]);
        }
    }

    #[test]
    fn maps_whose_pixels_are_filled_up_give_what_rows_give() {
        for channels in [16, 6] {
            let qkv = map(3 * channels, 5, 2);
            let rows: Vec<f32> = {
                let planes = planes(&qkv);
                (0..10 * 3 * channels).map(|i| planes[i % (3 * channels) * 10 + i / (3 * channels)]).collect()
            };
            let heads = Heads::new(2, channels / 2, 10);
            let mut expected = vec![0.0; 10 * channels];
            attention(heads, Tokens::split(&rows, channels), |_| Mask::None, &mut expected, false);
            let found = planes(&maps::attend(&qkv, 2, Lines::from(&[f32::NAN; 3][..]), true));
            assert!((0..found.len()).all(|i| found[i] == expected[i % 10 * channels + i / 10]));

            let (gain, bias) = (values(3 * channels, 4), values(3 * channels, 5));
            let mut expected = vec![0.0; rows.len()];
            layer_norm(&rows, &gain, &bias, 1e-5, &mut expected, false);
            let found = planes(&maps::normalize(&qkv, &gain, &bias, 1e-5, Lines::new(), true));
            assert!((0..found.len()).all(|i| found[i] == expected[i % 10 * 3 * channels + i / 10]));
        }
        let pairs = map(4, 1, 1);
        let v = planes(&pairs);
        let gated = planes(&maps::gate_channels(&pairs, Activation::None, Lines::new()));
        assert_eq!(gated, [v[0] * v[2], v[1] * v[3]]);
    }
}

use crate::{
    AdamKind, AdamStep, Clamp, Coupling, LinearMap, adam_step, attend, attention, batch_norm_relu, channels,
    convolve, couple, dense, group_norm_silu, inverse_order, map_linearly, max_pairs, permute_channels,
    row_distances, scalars, scale_and_shift, square_sum, with_products_in,
};
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{batch_norm_train, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Distribution, Gradients, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Values between -1 and 1 in double precision, with gradients.
fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut random = StdRng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| f64::from(random.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0)
        .collect();
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::new(values, shape), (&device, DType::F64)).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

fn close(ours: &[f64], exact: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), exact.len());
    for (ours, exact) in ours.iter().zip(exact) {
        assert!((ours - exact).abs() <= tolerance * (1.0 + exact.abs()), "{ours} instead of {exact}");
    }
}

/// The gradients of a weighted sum of the values.
fn weighted<const D: usize>(out: Tensor<D>) -> Gradients {
    let weights = random(out.dims(), 99).detach();
    (out * weights).sum().backward()
}

/// What it makes of the gradients of others.
fn gradients<const N: usize>(out: Tensor<4>, inputs: [Tensor<4>; N]) -> Vec<Vec<f64>> {
    let gradients = weighted(out);
    inputs.map(|input| values(input.grad(&gradients).unwrap())).to_vec()
}

/// Two ways to compute the same of the same: values and gradients of a layer's input, weights and bias.
fn layers_agree<const D: usize, const W: usize>(
    [ours, theirs]: [Tensor<D>; 2],
    (x, weight, bias): (Tensor<D>, Tensor<W>, Tensor<1>),
    case: &[usize],
) {
    assert_eq!(ours.dims(), theirs.dims(), "{case:?}");
    close(&values(ours.clone()), &values(theirs.clone()), 1e-12);
    let (ours, theirs) = (weighted(ours), weighted(theirs));
    close(&values(x.grad(&ours).unwrap()), &values(x.grad(&theirs).unwrap()), 1e-12);
    close(&values(weight.grad(&ours).unwrap()), &values(weight.grad(&theirs).unwrap()), 1e-12);
    close(&values(bias.grad(&ours).unwrap()), &values(bias.grad(&theirs).unwrap()), 1e-12);
}

#[test]
fn attention_and_its_gradients_equal_what_burn_composes() {
    // Batch, heads, queries, keys, features of a head: one image, rows of less than a vector and with a rest.
    for (number, [batch, heads, n, m, d]) in
        [[2, 2, 3, 5, 4], [1, 1, 4, 4, 3], [3, 4, 18, 35, 8], [2, 3, 1, 4, 5]].into_iter().enumerate()
    {
        let tokens = |count, seed| random([batch, count, heads * d], seed);
        let inputs = [tokens(n, 1), tokens(m, 2), tokens(m, 3)];
        // Every third pair is hidden, but the last of a row is always seen.
        let hidden =
            |at: usize| if at.is_multiple_of(3) && at % m != m - 1 { f64::NEG_INFINITY } else { 0.25 };
        let data = TensorData::new((0..n * m).map(hidden).collect::<Vec<_>>(), [n, m]);
        let mask = Tensor::<2>::from_data(data, (&inputs[0].device(), DType::F64));
        let kept = (random([batch, heads, n, m], 4).detach() + 1.0) * 0.7;
        for (mask, kept) in [(None, None), (Some(mask.clone()), None), (Some(mask), Some(kept))] {
            let ours = attend(inputs.clone(), heads, mask.clone(), kept.clone());
            let theirs = attention::composed(inputs.clone(), heads, mask, kept);
            close(&values(ours.clone()), &values(theirs.clone()), 1e-12);
            let (ours, theirs) = (weighted(ours), weighted(theirs));
            for input in &inputs {
                let [ours, theirs] = [&ours, &theirs].map(|found| values(input.grad(found).unwrap()));
                close(&ours, &theirs, 1e-12);
                assert!(ours.iter().any(|slope| slope.abs() > 1e-6), "case {number} has nothing to compare");
            }
        }
    }
}

#[test]
fn a_hidden_token_counts_for_nothing_in_single_precision_too() {
    let inputs = [1, 2, 3].map(|seed| random([1, 20, 8], seed).cast(DType::F32).detach().require_grad());
    let mask = (0..400).map(|at| if at % 20 < 7 { f32::NEG_INFINITY } else { 0.0 }).collect::<Vec<_>>();
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [20, 20]), &inputs[0].device());
    let y = attend(inputs.clone(), 2, Some(mask), None);
    let slopes = values(inputs[2].grad(&y.sum().backward()).unwrap());
    assert!(slopes[..56].iter().all(|slope| *slope == 0.0) && slopes[56..].iter().all(|slope| *slope != 0.0));
}

#[test]
fn convolutions_and_their_gradients_equal_burns_own() {
    // Batch, inputs, outputs, height, width, kernel, stride, padding; more images than a task takes, odd sizes, strides that leave rest.
    let cases = [
        [2, 3, 4, 5, 7, 3, 1, 1],
        [1, 2, 5, 6, 6, 1, 1, 0],
        [3, 4, 2, 8, 8, 3, 2, 1],
        [2, 3, 3, 9, 7, 5, 2, 2],
        [2, 3, 3, 4, 4, 5, 1, 2],
        [2, 2, 2, 7, 8, 2, 3, 0],
        [40, 2, 3, 11, 6, 3, 1, 1],
        [2, 70, 67, 4, 4, 3, 1, 1],
        [2, 3, 4, 1, 1, 3, 1, 1],
        [2, 3, 4, 1, 2, 5, 2, 2],
    ];
    for case @ [batch, inputs, outputs, height, width, kernel, stride, padding] in cases {
        let x = random([batch, inputs, height, width], 1);
        let weight = random([outputs, inputs, kernel, kernel], 2);
        let bias = random([outputs], 3);
        let ours = convolve(x.clone(), weight.clone(), bias.clone(), stride, padding);
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
        let theirs = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
        layers_agree([ours, theirs], (x, weight, bias), &case);
    }
}

#[test]
fn convolution_of_one_value_is_a_product() {
    let device = Device::flex();
    let one = |value: f32| Tensor::<4>::from_data([[[[value]]]], &device);
    let out = convolve(one(3.0), one(2.0), Tensor::from_data([0.5], &device), 1, 0);
    assert_eq!(out.into_data().try_into_vec::<f32>().unwrap(), [6.5]);
}

#[test]
fn linear_layers_and_their_gradients_equal_burns_own() {
    for case @ [count, inputs, outputs] in [[3, 4, 5], [1, 7, 1], [40, 33, 70]] {
        let (x, weight, bias) =
            (random([count, inputs], 1), random([inputs, outputs], 2), random([outputs], 3));
        let ours = dense(x.clone(), weight.clone(), bias.clone());
        let theirs = x.clone().matmul(weight.clone()) + bias.clone().unsqueeze();
        layers_agree([ours, theirs], (x, weight, bias), &case);
    }
}

#[test]
fn channels_and_their_gradient_equal_burns_slices() {
    for shape in [[2, 5, 3, 4], [3, 6, 1, 1]] {
        let x = random(shape, 1);
        for (first, count) in [(0, 2), (2, 3), (1, 4), (0, shape[1])] {
            let (ours, theirs) = (channels(x.clone(), first, count), x.clone().narrow(1, first, count));
            assert_eq!(values(ours.clone()), values(theirs.clone()));
            assert_eq!(gradients(ours, [x.clone()]), gradients(theirs, [x.clone()]));
        }
    }
}

#[test]
fn products_in_fewer_bits_are_near_and_their_gradients_are_of_the_full_kind() {
    let (x, weight, bias) = (random([2, 8, 6, 5], 1), random([4, 8, 3, 3], 2), random([4], 3));
    let (rows, matrix) = (random([7, 20], 1), random([20, 4], 2));
    let run = || {
        let map = convolve(x.clone(), weight.clone(), bias.clone(), 1, 1);
        let gradients = weighted(map.clone());
        let product = dense(rows.clone(), matrix.clone(), bias.clone());
        let of_product = weighted(product.clone());
        assert_eq!(map.dtype(), DType::F64);
        [
            values(map),
            values(x.grad(&gradients).unwrap()),
            values(weight.grad(&gradients).unwrap()),
            values(product),
            values(rows.grad(&of_product).unwrap()),
            values(matrix.grad(&of_product).unwrap()),
        ]
    };
    let (exact, rounded) = (run(), with_products_in(Some(DType::BF16), run));
    for (exact, rounded) in exact.iter().zip(&rounded) {
        assert_ne!(exact, rounded);
        // bfloat16 has 8 bits; the sums here have up to 72 terms of either sign below 1.
        close(rounded, exact, 0.1);
    }
    // It ends with the work.
    assert_eq!(run(), exact);
}

fn couplings() -> [Coupling; 5] {
    [
        Coupling { clamp: Clamp::Tanh { limit: 2.0, rate: 0.1 }, gain: 0.1, shift_first: false },
        Coupling { clamp: Clamp::Tanh { limit: 1.9, rate: 1.0 }, gain: 1.0, shift_first: true },
        Coupling {
            clamp: Clamp::Atan { limit: 0.636 * 3.0, rate: 1.0 / 3.0 },
            gain: 1.0,
            shift_first: false,
        },
        Coupling { clamp: Clamp::Sigmoid { floor: 0.01 }, gain: 1.0, shift_first: true },
        Coupling { clamp: Clamp::None, gain: 1.0, shift_first: false },
    ]
}

#[test]
fn couplings_and_their_gradients_equal_the_composition_of_burns_operations() {
    for coupling in couplings() {
        for shape @ [batch, channels, height, width] in [[2, 3, 4, 5], [7, 4, 1, 1]] {
            let x = random(shape, 1);
            let raw = random([batch, 2 * channels, height, width], 2) * 3.0;
            let (y, log_det) = couple(x.clone(), raw.clone(), coupling);
            assert_eq!(log_det.dims(), [batch, 1, height, width]);
            let ours = Tensor::cat(vec![y, log_det], 1);
            let (scale, shift) = scale_and_shift(raw.clone(), coupling);
            let y = match coupling.shift_first {
                true => (x.clone() + shift) * scale.clone().exp(),
                false => x.clone() * scale.clone().exp() + shift,
            };
            let theirs = Tensor::cat(vec![y, scale.sum_dim(1)], 1);
            close(&values(ours.clone()), &values(theirs.clone()), 1e-12);
            let raw_leaf = random([batch, 2 * channels, height, width], 2);
            let composed = |ours: bool| {
                let raw = raw_leaf.clone() * 3.0;
                let out = if ours {
                    let (y, log_det) = couple(x.clone(), raw, coupling);
                    Tensor::cat(vec![y, log_det], 1)
                } else {
                    let (scale, shift) = scale_and_shift(raw, coupling);
                    let y = match coupling.shift_first {
                        true => (x.clone() + shift) * scale.clone().exp(),
                        false => x.clone() * scale.clone().exp() + shift,
                    };
                    Tensor::cat(vec![y, scale.sum_dim(1)], 1)
                };
                gradients(out, [x.clone(), raw_leaf.clone()])
            };
            for (ours, theirs) in composed(true).iter().zip(composed(false)) {
                close(ours, &theirs, 1e-11);
            }
        }
    }
}

#[test]
fn single_precision_follows_double_precision() {
    for coupling in couplings() {
        let (x, raw) = (random([2, 3, 5, 7], 1).detach(), random([2, 6, 5, 7], 2).detach() * 5.0);
        let exact = couple(x.clone(), raw.clone(), coupling).0;
        let ours = couple(x.cast(DType::F32), raw.cast(DType::F32), coupling).0;
        close(&values(ours), &values(exact), 1e-6);
    }
}

#[test]
fn permuting_back_restores_and_the_gradient_follows_the_values() {
    let order = [2, 0, 3, 1];
    let x = random([3, 4, 2, 3], 5);
    let permuted = permute_channels(x.clone(), &order);
    let first = |tensor: &Tensor<4>, channel| values(tensor.clone().narrow(1, channel, 1));
    assert_eq!(first(&permuted, 0), first(&x, 2));
    let back = permute_channels(permuted.clone(), &inverse_order(&order));
    assert_eq!(values(back), values(x.clone()));
    let weights = random(permuted.dims(), 99).detach();
    let expected = values(permute_channels(weights, &inverse_order(&order)));
    assert_eq!(gradients(permuted, [x])[0], expected);
}

#[test]
fn threads_do_not_change_a_bit() {
    // The plain way and Winograd's.
    for inputs in [20, 32] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let single = |tensor: Tensor<4>| tensor.detach().cast(DType::F32).detach().require_grad();
                let x = single(random([9, inputs, 17, 19], 1));
                let weight = single(random([70, inputs, 3, 3], 2));
                let bias = Tensor::<1>::zeros([70], &x.device());
                let out = convolve(x.clone(), weight.clone(), bias, 1, 1);
                let gradients = out.clone().powf_scalar(2.0).sum().backward();
                [values(out), values(x.grad(&gradients).unwrap()), values(weight.grad(&gradients).unwrap())]
            })
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_kernel_larger_than_the_padded_map_is_refused() {
    let device = Device::flex();
    let normal = Distribution::Normal(0.0, 1.0);
    let x = Tensor::<4>::random([1, 1, 2, 2], normal, &device);
    let _ = convolve(x, Tensor::random([1, 1, 5, 5], normal, &device), Tensor::zeros([1], &device), 1, 1);
}

#[test]
fn adam_follows_its_formulas_and_the_composition_of_burns_operations() {
    let step = AdamStep {
        kind: AdamKind::Adam,
        rate: 0.1,
        betas: [0.9, 0.99],
        epsilon: 1e-8,
        decay: 0.01,
        is_decoupled: false,
        gradient_scale: 0.5,
        number: 3,
    };
    let vector = |seed| random([5000], seed).detach();
    for (kind, is_decoupled) in [
        (AdamKind::Adam, false),
        (AdamKind::Adamax, false),
        (AdamKind::AmsGrad, false),
        (AdamKind::AmsGrad, true),
        (AdamKind::Adam, true),
    ] {
        let step = AdamStep { kind, is_decoupled, ..step };
        let inputs = || {
            let mut second = vec![vector(4).abs()];
            second.extend((kind == AdamKind::AmsGrad).then(|| vector(5).abs()));
            [vector(1), vector(2), vector(3), Tensor::cat(second, 0)]
        };
        let ours = adam_step(inputs(), step).map(values);
        let [value, gradient, first, second] = inputs().map(values);
        for i in 0..value.len() {
            let (coupled, stays) = if is_decoupled { (0.0, 1.0 - 0.1 * 0.01) } else { (0.01, 1.0) };
            let g = 0.5 * gradient[i] + coupled * value[i];
            let m = 0.9 * first[i] + 0.1 * g;
            let squares = 0.99 * second[i] + 0.01 * g * g;
            let root = |v: f64| (v / (1.0 - 0.99f64.powi(3))).sqrt() + 1e-8;
            let (v, size) = match kind {
                AdamKind::Adam => (squares, root(squares)),
                AdamKind::AmsGrad => {
                    let largest = squares.max(second[5000 + i]);
                    close(&[ours[2][5000 + i]], &[largest], 1e-12);
                    (squares, root(largest))
                }
                AdamKind::Adamax => {
                    let v = (0.99 * second[i]).max(g.abs() + 1e-8);
                    (v, v)
                }
            };
            let updated = stays * value[i] - 0.1 * m / (1.0 - 0.9f64.powi(3)) / size;
            close(&[ours[0][i], ours[1][i], ours[2][i]], &[updated, m, v], 1e-12);
        }
        let composed = crate::adam::composed(inputs(), step).map(values);
        ours.iter().zip(&composed).for_each(|(ours, theirs)| close(ours, theirs, 1e-12));
    }
    let x = vector(1);
    let sum: f64 = values(x.clone()).iter().map(|x| x * x).sum();
    assert!((scalars(vec![square_sum(x)])[0] - sum).abs() < 1e-9 * sum);
}

#[test]
fn distances_to_rows_and_their_gradient_equal_the_composition_of_burns_operations() {
    // More values than are summed at once and a rest, more rows than a task has; a row that is near twice counts twice.
    for (count, all, dimensions, k) in [(3, 4, 2, 2), (150, 40, 37, 6), (5, 1, 16, 1)] {
        let (x, rows) = (random([count, dimensions], 1), random([all, dimensions], 2).detach());
        let indices: Vec<usize> = (0..count * k).map(|at| at * at % all).collect();
        let ours = row_distances(x.clone(), rows.clone(), &indices);
        let theirs = crate::distance::composed(x.clone(), rows, &indices);
        assert_eq!(ours.dims(), [count, k]);
        close(&values(ours.clone()), &values(theirs.clone()), 1e-13);
        let weights = random([count, k], 99).detach();
        let gradient = |out: Tensor<2>| values(x.grad(&(out * weights.clone()).sum().backward()).unwrap());
        close(&gradient(ours), &gradient(theirs), 1e-13);
    }
}

#[test]
fn normalised_maps_and_their_gradients_equal_burns_own() {
    // Positions that fill no run and more than one.
    for (shape, slope) in [([3, 4, 5, 7], 0.0), ([2, 3, 50, 45], 0.2), ([5, 2, 1, 1], 1.0)] {
        // Far from zero, where sums of squares would lose digits.
        let x = Tensor::from_inner(random(shape, 1).inner() * 2.0 + 100.0).require_grad();
        let (gain, shift) = (random([shape[1]], 2), random([shape[1]], 3));
        let (ours, mean, variance) = batch_norm_relu(x.clone(), gain.clone(), shift.clone(), 1e-5, slope);
        let theirs = batch_norm_train(x.clone(), gain.clone(), shift.clone(), 1e-5);
        close(&values(mean), &values(theirs.mean), 1e-12);
        close(&values(variance), &values(theirs.variance), 1e-9);
        let theirs = if slope == 1.0 { theirs.output } else { leaky_relu(theirs.output, slope) };
        close(&values(ours.clone()), &values(theirs.clone()), 1e-9);
        let (ours, theirs) = (weighted(ours), weighted(theirs));
        close(&values(x.grad(&ours).unwrap()), &values(x.grad(&theirs).unwrap()), 1e-8);
        close(&values(gain.grad(&ours).unwrap()), &values(gain.grad(&theirs).unwrap()), 1e-8);
        close(&values(shift.grad(&ours).unwrap()), &values(shift.grad(&theirs).unwrap()), 1e-8);
    }
}

#[test]
fn normalised_groups_and_their_gradients_equal_burns_own() {
    for (shape, groups) in [([3, 4, 5, 7], 2), ([2, 6, 50, 45], 3), ([2, 4, 1, 1], 1), ([1, 3, 4, 4], 3)] {
        let [batch, channels, height, width] = shape;
        let x = Tensor::from_inner(random(shape, 1).inner() * 2.0 + 100.0).require_grad();
        let (gain, shift) = (random([channels], 2), random([channels], 3));
        let ours = group_norm_silu(x.clone(), gain.clone(), shift.clone(), groups, 1e-5);
        let rows = x.clone().reshape([batch * groups, channels / groups * height * width]);
        let off = rows.clone() - rows.mean_dim(1);
        let normed = off.clone() / ((off.clone() * off).mean_dim(1) + 1e-5).sqrt();
        let along = |line: Tensor<1>| line.reshape([1, channels, 1, 1]);
        let z = normed.reshape(shape) * along(gain.clone()) + along(shift.clone());
        let theirs = z.clone() / ((-z).exp() + 1.0);
        close(&values(ours.clone()), &values(theirs.clone()), 1e-9);
        let (ours, theirs) = (weighted(ours), weighted(theirs));
        close(&values(x.grad(&ours).unwrap()), &values(x.grad(&theirs).unwrap()), 1e-8);
        close(&values(gain.grad(&ours).unwrap()), &values(gain.grad(&theirs).unwrap()), 1e-8);
        close(&values(shift.grad(&ours).unwrap()), &values(shift.grad(&theirs).unwrap()), 1e-8);
        // In single precision, whose exponential is another.
        let single = |tensor: Tensor<4>| tensor.inner().cast(DType::F32);
        let line = |tensor: Tensor<1>| tensor.inner().cast(DType::F32);
        let found = group_norm_silu(single(x.clone()), line(gain.clone()), line(shift.clone()), groups, 1e-5);
        let exact = group_norm_silu(x.inner(), gain.inner(), shift.inner(), groups, 1e-5);
        close(&values(found.cast(DType::F64)), &values(exact), 2e-5);
    }
}

#[test]
fn moments_in_single_precision_keep_their_digits() {
    let x = random([4, 1, 60, 70], 1).inner();
    let (_, mean, variance) = batch_norm_relu(
        (x.clone() + 1000.0).cast(DType::F32),
        Tensor::ones([1], &Device::flex()),
        Tensor::zeros([1], &Device::flex()),
        1e-5,
        0.0,
    );
    let far = (x + 1000.0).cast(DType::F32).cast(DType::F64);
    let exact = far.clone().mean();
    let off = far - exact.clone().reshape([1, 1, 1, 1]);
    close(&values(mean), &values(exact), 1e-7);
    close(&values(variance), &values((off.clone() * off).mean()), 1e-6);
}

#[test]
fn largest_of_four_and_its_gradient_equal_burns_own() {
    for shape in [[2, 3, 4, 6], [2, 2, 5, 7], [1, 1, 64, 66]] {
        // Few values, so that there are equals.
        let x = Tensor::from_inner((random(shape, 1).inner() * 3.0).round()).require_grad();
        let theirs = max_pool2d(x.clone(), MaxPoolOptions::new([2; 2]).with_stride([2; 2]));
        let ours = max_pairs(x.clone());
        assert_eq!(values(ours.clone()), values(theirs.clone()));
        assert_eq!(gradients(ours, [x.clone()]), gradients(theirs, [x.clone()]));
    }
}

#[test]
fn narrow_maps_equal_products_with_their_matrices() {
    // A window that slides, one that jumps, and taps in no order.
    let slides: Vec<Vec<(usize, f64)>> = (0..40)
        .map(|at: usize| {
            (at.saturating_sub(2)..(at + 3).min(40)).map(|from| (from, 0.1 + from as f64)).collect()
        })
        .collect();
    let jumps: Vec<Vec<(usize, f64)>> =
        (0..9).map(|at| vec![(2 * at + 1, 0.5), (2 * at, 0.25), (2 * at, 1.0)]).collect();
    let (slides, jumps) = (LinearMap::new(40, &slides), LinearMap::new(18, &jumps));
    for (rows, columns) in [(&slides, &jumps), (&jumps, &slides)] {
        let x = random([2, 3, rows.inputs(), columns.inputs()], 1);
        let ours = map_linearly(x.clone(), rows, columns);
        let matrix = |map: &LinearMap| {
            let data = TensorData::new(map.matrix(), [1, 1, map.inputs(), map.outputs()]);
            Tensor::<4>::from_data(data, (&Device::flex().autodiff(), DType::F64))
        };
        let theirs = matrix(rows).swap_dims(2, 3).repeat_dim(0, 2).repeat_dim(1, 3);
        let theirs = theirs.matmul(x.clone()).matmul(matrix(columns).repeat_dim(0, 2).repeat_dim(1, 3));
        close(&values(ours.clone()), &values(theirs.clone()), 1e-12);
        close(&gradients(ours, [x.clone()])[0], &gradients(theirs, [x.clone()])[0], 1e-12);
    }
}

//! Single pieces, on numbers that can be checked by hand.

use super::*;
use crate::flow::cross_scale::double;
use crate::layers::{Dense, Layer, MapNorm};
use blemish_ops::scale_and_shift;

#[test]
fn actnorm_starts_with_mean_0_and_variance_1() {
    let init = single().double();
    let x = tensor(&[1.0, 3.0, 5.0, 7.0], [2, 1, 1, 2]);
    let mut norm = ActNorm::new(1, &init);
    norm.start(&x);
    close(&values(&norm.bias.val()), &[-4.0], 1e-12);
    close(&values(&norm.log_scale.val()), &[-0.268_239_801], 1e-6);
    let (z, log_det) = norm.forward(x);
    let scale = 5f64.sqrt().recip();
    close(&values(&z), &[-3.0 * scale, -scale, scale, 3.0 * scale], 1e-5);
    close(&values(&log_det), &[-0.804_719_403], 1e-6);
}

#[test]
fn actnorm_survives_a_channel_that_never_varies() {
    let mut norm = ActNorm::new(1, &single().double());
    norm.start(&tensor(&[3.0; 4], [1, 1, 2, 2]));
    close(&values(&norm.forward(tensor(&[3.0, 3.001], [1, 1, 1, 2])).0), &[0.0, 1.0], 1e-9);
}

/// A subnet that says the same of everything.
fn constant(raw: [f32; 2], init: &Init) -> Subnet {
    let layer = Dense { weight: init.constant(0.0, [1, 2]), bias: init.of(raw.to_vec(), [2]) };
    Subnet { layers: vec![Layer::Dense(layer)] }
}

#[test]
fn coupling_blocks_give_the_values_of_the_formulas() {
    let init = single().double();
    let step = |changes, raw| HalfStep { changes, subnet: constant(raw, &init) };
    let block = CouplingBlock { first: 1, steps: vec![step(Part::Second, [5.0, -3.0])], coupling: TANH };
    let (z, log_det) = block.forward(tensor(&[1.0, 2.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[1.0, 4.739_876_083], 1e-8);
    close(&values(&log_det), &[0.924_234_314], 1e-9);

    let steps = vec![step(Part::First, [1.0, 0.5]), step(Part::Second, [-2.0, -1.0])];
    let block = CouplingBlock { first: 1, steps, coupling: ATAN };
    let (z, log_det) = block.forward(tensor(&[2.0, 3.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[4.195_246_405, -0.023_027_406], 1e-8);
    close(&values(&log_det), &[-0.508_008_910], 1e-8);

    let step = couple_second(2, SIGMOID, |[inputs, outputs]| {
        Subnet::glow([inputs, 4, outputs], &mut single().double())
    });
    let (z, log_det) = step.forward(tensor(&[0.7, 2.0], [1, 2, 1, 1]), None);
    close(&values(&z), &[0.7, 2.0 * 0.880_797_078], 1e-8);
    close(&values(&log_det.unwrap()), &[-0.126_928_011], 1e-9);
}

#[test]
fn soft_clamps_give_the_values_of_the_formulas() {
    let scale = |coupling, r: &[f64]| {
        let raw = tensor(&[r, r].concat(), [1, 2, 1, r.len()]);
        values(&scale_and_shift(raw, coupling).0)
    };
    let atan = [0.315_103_677, 0.613_900_058, 1.498_539_696, 2.440_979_828, 2.939_856_554];
    close(&scale(ATAN, &[0.5, 1.0, 3.0, 10.0, 100.0]), &atan, 1e-8);
    close(&scale(ATAN, &[-0.5, -1.0, -3.0, -10.0, -100.0]), &atan.map(|s| -s), 1e-8);
    close(&scale(TANH, &[0.5, 1.0, 10.0]), &[0.099_916_750, 0.199_335_989, 1.523_188_312], 1e-8);
    close(&scale(SIGMOID, &[-2.0, 0.0, 3.0]), &[0.5f64.ln(), -0.126_928_011, -0.006_715_348], 1e-8);
    assert_eq!(scale(ADDITIVE, &[-2.0, 3.0]), [0.0, 0.0]);
}

#[test]
fn mixing_is_its_matrix() {
    let mut init = single().double();
    let random: Vec<f64> = values(&init.normal(1.0, [36]).val());
    // The last needs all rows exchanged; determinants by hand, or by elimination.
    let cases = [
        (vec![2.0, 1.0, 0.5, 3.0], 2, 5.5f64.ln()),
        (vec![0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 1.0], 3, 24f64.ln()),
        (random.clone(), 6, log_det(&random, 6)),
    ];
    for (matrix, channels, expected) in cases {
        let mixing = Mixing::of(&matrix, channels, &init);
        let x = init.normal(1.0, [2, channels, 2, 3]).val().detach();
        let (z, log_det) = Chain { pieces: vec![Piece::Mixing(mixing)] }.forward(x.clone(), None);
        let given = values(&x);
        let dense = |at: usize| -> f64 {
            let (image, row, position) = (at / (channels * 6), at / 6 % channels, at % 6);
            (0..channels)
                .map(|c| matrix[row * channels + c] * given[(image * channels + c) * 6 + position])
                .sum()
        };
        close(&values(&z), &(0..given.len()).map(dense).collect::<Vec<_>>(), 1e-5);
        let sums: Vec<f64> = values(&log_det).chunks(6).map(|image| image.iter().sum()).collect();
        close(&sums, &[6.0 * expected; 2], 1e-5);
    }
    close(&[6.0 * 5.5f64.ln()], &[10.228_488_553], 1e-9);
}

/// By expansion along the first row.
fn determinant(matrix: &[f64], size: usize) -> f64 {
    if size == 1 {
        return matrix[0];
    }
    let minor = |column: usize| -> Vec<f64> {
        (size..size * size).filter(|at| at % size != column).map(|at| matrix[at]).collect()
    };
    let sign = |column: usize| if column.is_multiple_of(2) { 1.0 } else { -1.0 };
    (0..size).map(|column| sign(column) * matrix[column] * determinant(&minor(column), size - 1)).sum()
}

#[test]
fn rotations_keep_lengths_and_orientation() {
    let mut init = single();
    for size in [1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4, 3, 2] {
        let matrix = init.rotation(size);
        let product = |at: usize| -> f64 {
            (0..size).map(|k| matrix[at / size * size + k] * matrix[at % size * size + k]).sum()
        };
        let eye: Vec<f64> = (0..size * size).map(|at| f64::from(u8::from(at / size == at % size))).collect();
        close(&(0..size * size).map(product).collect::<Vec<_>>(), &eye, 1e-12);
        close(&[determinant(&matrix, size)], &[1.0], 1e-12);
    }
}

#[test]
fn squeezing_moves_blocks_into_channels() {
    let x = tensor(&[1.0, 2.0, 3.0, 4.0], [1, 1, 2, 2]);
    let z = squeeze(x.clone());
    assert_eq!((z.dims(), values(&z)), ([1, 4, 1, 1], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(values(&unsqueeze(z)), values(&x));
    let x = single().double().normal(1.0, [2, 3, 4, 6]).val().detach();
    let z = squeeze(x.clone());
    let pixel = |z: &Tensor<4>, at: [usize; 4]| values(&z.clone().slice(at.map(|at| at..at + 1)))[0];
    // Channel 4 c + 2 dy + dx of (y, x) is channel c at (2 y + dy, 2 x + dx).
    assert_eq!(pixel(&z, [1, 9, 1, 2]), pixel(&x, [1, 2, 2, 5]));
    assert_eq!(values(&unsqueeze(z)), values(&x));
    let one = vec![x.narrow(0, 0, 1)];
    let numeric = numeric_log_det(&one, &[[3, 4, 6]], |x| vec![squeeze(x[0].clone())]);
    assert!(numeric.abs() < 1e-6, "a squeeze changes volumes by exp({numeric})");
}

#[test]
fn doubling_interpolates_between_centres() {
    let row = [0.0, 0.25, 0.75, 1.0];
    let doubled = double(tensor(&[0.0, 1.0], [1, 1, 1, 2]));
    assert_eq!(values(&doubled), [row, row].concat());
    let doubled = double(tensor(&[0.0, 1.0], [1, 1, 2, 1]));
    assert_eq!(values(&doubled), row.map(|value| [value; 2]).concat());
    assert_eq!(values(&double(tensor(&[3.0], [1, 1, 1, 1]))), [3.0; 4]);
}

#[test]
fn channel_affines_start_as_the_identity() {
    let affine = ChannelAffine::new(3, &single().double());
    let x = tensor(&[1.0, -2.0, 3.0], [1, 3, 1, 1]);
    let (z, log_det) = affine.forward(x.clone());
    close(&values(&z), &values(&x), 1e-6);
    close(&values(&log_det), &[0.0], 1e-6);
}

#[test]
fn a_cross_scale_block_without_gamma_permutes_and_can_still_learn() {
    let mut init = single().double();
    let mut case = cross_scale(1, CROSS_SCALE, [4, 2, 1], &mut init);
    let x = case.input(2, &mut init);
    let Flow::Scales(blocks) = &mut case.flow else { unreachable!() };
    blocks[0].set_gamma(0.0);
    let permuted: Maps =
        x.iter().zip(&blocks[0].permutations).map(|(x, order)| order.forward(x.clone())).collect();
    let (z, log_det) = case.forward(&x);
    assert_eq!(rows(&z), rows(&permuted));
    assert!(rows(&log_det).iter().all(|&value| value == 0.0));
    let gradients = gradients_of(&case.flow, &case.loss(&x).backward());
    let gammas: Vec<_> = gradients.iter().filter(|(name, _)| name.ends_with("gamma")).collect();
    assert_eq!(gammas.len(), 2);
    for (name, gradient) in gammas {
        assert!(gradient.iter().all(|value| value.abs() > 1e-6), "{name} cannot leave zero: {gradient:?}");
    }
}

#[test]
fn scales_hear_of_their_neighbours_with_each_subnet() {
    let mut init = single().double();
    let mut block = CrossScaleBlock::new(&CROSS_SCALE, &mut init);
    block.set_gamma(0.2);
    block.permutations.iter_mut().for_each(|permutation| permutation.order = vec![0, 1, 2, 3]);
    let x = [4, 2, 1].map(|side| init.normal(1.0, [1, 4, side, side]).val().detach());
    let mut other = x.clone();
    // The second half of the smallest map.
    other[2] = other[2].clone() + tensor(&[0.0, 0.0, 1.0, 1.0], [1, 4, 1, 1]);
    let (z, other) = (block.forward(x).0, block.forward(other).0);
    let changes = |scale: usize, first: usize| {
        let part = |z: &[Tensor<4>; 3]| values(&z[scale].clone().narrow(1, first, 2));
        part(&z) != part(&other)
    };
    assert_eq!([0, 1, 2].map(|scale| changes(scale, 0)), [false, true, true]);
    assert_eq!([0, 1, 2].map(|scale| changes(scale, 2)), [true, true, true]);
}

#[test]
fn layer_normalisation_is_of_the_whole_map_of_an_image() {
    let norm = MapNorm::new([2, 1, 2], true, &single().double());
    let x = tensor(&[1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0], [2, 2, 1, 2]);
    let scale = 5f64.sqrt().recip();
    let expected = [-3.0 * scale, -scale, scale, 3.0 * scale, 0.0, 0.0, 0.0, 0.0];
    close(&values(&norm.forward(x)), &expected, 1e-5);
}

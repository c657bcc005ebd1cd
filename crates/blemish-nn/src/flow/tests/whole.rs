//! What holds for every piece and every method's chain.

use super::*;
use crate::layers::Layer;

#[test]
fn inverses_restore_the_input_over_the_whole_depth_of_a_method() {
    for (mut init, tolerance) in [(single(), 1e-4f64), (single().double(), 1e-10)] {
        let mut cases = deep_flows(&mut init);
        if tolerance < 1e-5 {
            cases.extend(small_flows());
        }
        for case in cases {
            let x = case.input(3, &mut init);
            let z = case.forward(&x).0;
            // A rotation is stored in single precision: its transpose is its inverse no better than that.
            let tolerance = if case.has_rotations() { tolerance.max(1e-6) } else { tolerance };
            let (given, restored) = (rows(&x), rows(&case.inverse(&z)));
            let is_close = given.iter().zip(&restored).all(|(x, restored)| (x - restored).abs() <= tolerance);
            assert!(restored.len() == given.len() && is_close, "{} is not inverted", case.name);
            let moved = rows(&z).iter().zip(given).any(|(z, x)| (z - x).abs() > 0.1);
            assert!(moved, "{} is the identity", case.name);
        }
    }
}

#[test]
fn log_determinants_are_those_of_the_numeric_jacobian() {
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(1, &mut init);
        let ours: f64 = rows(&case.forward(&x).1).iter().sum();
        let exact = numeric_log_det(&x, &case.shapes, |x| case.forward(x).0);
        assert!((ours - exact).abs() < 1e-6, "{}: {ours} instead of {exact}", case.name);
    }
}

#[test]
fn log_determinants_are_one_a_position() {
    let mut init = single().double();
    for case in small_flows() {
        let log_det = case.forward(&case.input(2, &mut init)).1;
        let expected: Vec<[usize; 4]> = case.shapes.iter().map(|&[_, h, w]| [2, 1, h, w]).collect();
        assert_eq!(log_det.iter().map(Tensor::dims).collect::<Vec<_>>(), expected, "{}", case.name);
    }
}

#[test]
fn gradients_of_the_loss_equal_its_finite_differences() {
    const STEP: f64 = 1e-5;
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(2, &mut init);
        if trained_values(&case.flow) == 0 {
            continue;
        }
        let exact = gradients_of(&case.flow, &case.loss(&x).backward());
        // One value of each weight, another one each time.
        for (number, (name, gradient)) in exact.into_iter().enumerate() {
            let at = (7 * number + 3) % gradient.len();
            let at_step = |step: f64| {
                let flow = changed(case.flow.clone(), |other, weights| {
                    if other == number {
                        weights[at] += step;
                    }
                });
                let moved = Case { flow, shapes: Vec::new(), condition: case.condition.clone(), ..case };
                values(&moved.loss(&x))[0]
            };
            let numeric = (at_step(STEP) - at_step(-STEP)) / (2.0 * STEP);
            let exact = gradient[at];
            let is_close = (numeric - exact).abs() <= 1e-4 * exact.abs() + 1e-7;
            assert!(is_close, "{} {name}[{at}]: {exact} instead of {numeric}", case.name);
        }
    }
}

#[test]
fn an_image_comes_out_the_same_alone_and_among_others() {
    let mut init = single().double();
    for case in small_flows() {
        let x = case.input(4, &mut init);
        let all = case.forward(&x);
        let alone: Maps = x.iter().map(|x| x.clone().narrow(0, 2, 1)).collect();
        let alone = case.forward(&alone);
        for (all, alone) in [(all.0, alone.0), (all.1, alone.1)] {
            let (all, alone) = (rows(&all), rows(&alone));
            close(&alone, &all[2 * alone.len()..3 * alone.len()], 1e-12);
        }
    }
}

/// Mean and population variance of every channel.
fn moments(x: &Tensor<4>) -> Vec<[f64; 2]> {
    let of = |channel| {
        let values = values(&x.clone().narrow(1, channel, 1));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        [mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64]
    };
    (0..x.dims()[1]).map(of).collect()
}

#[test]
fn starting_a_chain_sets_every_actnorm_by_what_reaches_it() {
    let mut init = single().double();
    let mut chain = shaken(glow(3, 4, &mut init), 0.1, &mut init);
    let x = init.normal(3.0, [5, 4, 4, 6]).val().detach() + 2.0;
    let z = chain.start(x.clone(), None);
    close(&values(&z), &values(&chain.forward(x.clone(), None).0), 1e-12);
    let check = |x: &Tensor<4>| moments(x).iter().for_each(|moments| close(moments, &[0.0, 1.0], 1e-4));
    let mut reached = x;
    let mut norms = 0;
    for piece in &chain.pieces {
        if let Piece::Coupling(block) = piece {
            let layers = &block.steps[0].subnet.layers;
            let first = reached.clone().narrow(1, 0, block.first);
            for end in (1..=layers.len()).filter(|&end| matches!(layers[end - 1], Layer::ActNorm(_))) {
                check(&Subnet { layers: layers[..end].to_vec() }.forward(first.clone()));
                norms += 1;
            }
        }
        reached = piece.forward(reached, None).0;
        if let Piece::ActNorm(_) = piece {
            check(&reached);
            norms += 1;
        }
    }
    assert_eq!(norms, 9);
    assert_eq!(trained_values(&chain), trained_values(&glow(3, 4, &mut init)), "a start froze weights");
}

#[test]
fn a_condition_changes_what_a_flow_says() {
    let mut init = single().double();
    let chain = c_flow(2, 4, 3, &mut init);
    let x = init.normal(1.0, [2, 4, 1, 1]).val().detach();
    let condition = init.normal(1.0, [2, 3, 1, 1]).val().detach();
    let z = values(&chain.forward(x.clone(), Some(&condition)).0);
    let swapped = condition.flip([0]);
    let other = values(&chain.forward(x, Some(&swapped)).0);
    assert!(z.iter().zip(other).any(|(z, other)| (z - other).abs() > 1e-3));
}

#[test]
fn a_step_of_3x3_convolutions_sees_two_positions_in_every_direction() {
    let mut init = single().double();
    for steps in [1, 2] {
        let chain = fast_flow(steps, 4, TANH, &mut init);
        let x = tensor(&[0.3; 4 * 121], [1, 4, 11, 11]);
        let mut moved = [0.3; 4 * 121];
        (0..4).for_each(|channel| moved[channel * 121 + 60] = 5.0);
        let z = values(&chain.forward(x, None).0);
        let moved = values(&chain.forward(tensor(&moved, [1, 4, 11, 11]), None).0);
        let seen = (0..4 * 121).filter(|&at| (z[at] - moved[at]).abs() > 1e-12);
        let distance = |at: usize| (at % 121 / 11).abs_diff(5).max((at % 121 % 11).abs_diff(5));
        assert_eq!(seen.map(distance).max(), Some(2 * steps));
    }
}

#[test]
fn trained_weights_are_as_many_as_the_formulas_say() {
    let mut init = single();
    // Convolutions 2 -> 2 -> 4 with biases, a scale and an offset of 4 channels; orders are not trained.
    assert_eq!(trained_values(&fast_flow(1, 4, TANH, &mut init)), (2 * 2 + 2 * 4) * 9 + 2 + 4 + 8);
    // Dense 3 + 3 -> 10 -> 4, a scale and an offset of 5 channels; rotations are not trained.
    assert_eq!(trained_values(&c_flow(1, 5, 3, &mut init)), 6 * 10 + 10 + 10 * 4 + 4 + 10);
    // Of a matrix the triangles' unused halves are counted too.
    assert_eq!(trained_values(&Mixing::new(4, &mut init)), 16 + 16 + 4);
    // Biases before an actnorm are not trained.
    let expected = (2 * 8 * 9 + 16) + (8 * 8 + 16) + (8 * 6 * 9 + 6) + 6;
    assert_eq!(trained_values(&Subnet::glow([2, 8, 6], &mut init)), expected);
    // A subnet has 3 convolutions to the hidden channels and 7 from them.
    let block = |channels: usize, hidden: usize, kernel: usize| {
        let inner = channels / 2 * hidden * kernel * kernel + hidden;
        let outer = hidden * channels * kernel * kernel + channels;
        2 * (3 * inner + 7 * outer + 3)
    };
    for (channels, hidden, kernel) in [(4, 8, 3), (6, 3, 5)] {
        let config = CrossScaleConfig { channels, hidden, kernel, coupling: ATAN };
        assert_eq!(
            trained_values(&CrossScaleBlock::new(&config, &mut init)),
            block(channels, hidden, kernel)
        );
    }
    // CS-Flow as published.
    assert_eq!(3 * block(304, 1024, 3) + block(304, 1024, 5), 275_227_288);
}

use crate::convolution;
use crate::geometry::Geometry;
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| f64::from(random.random_range(-1.0f32..1.0))).collect()
}

fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn close(what: &str, g: Geometry, ours: &[f32], exact: &[f64]) {
    assert_eq!(ours.len(), exact.len(), "{what} of {g:?}");
    let largest = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let off = ours.iter().zip(exact).fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - b).abs()));
    assert!(off < 2e-6 * largest, "{what} of {g:?}: off by {} of the largest", off / largest);
}

/// Double precision goes the plain way.
#[test]
fn it_gives_what_plain_sums_give() {
    // Batch, inputs, outputs, height, width, kernel, stride, padding: bands, several images a task, channels that fill no block, strides
    // that leave rest, kernels smaller than the stride, padding of more than a phase, maps of one row.
    let cases = [
        [2, 3, 4, 5, 7, 3, 1, 1],
        [1, 16, 16, 100, 90, 3, 1, 1],
        [3, 33, 9, 70, 61, 3, 1, 1],
        [9, 40, 13, 8, 8, 3, 1, 1],
        [7, 50, 20, 8, 8, 4, 2, 1],
        [7, 50, 20, 10, 6, 4, 2, 1],
        [7, 50, 20, 7, 7, 3, 2, 1],
        [70, 5, 3, 4, 4, 3, 1, 1],
        [2, 3, 33, 64, 64, 4, 2, 1],
        [3, 20, 10, 130, 120, 4, 2, 1],
        [2, 3, 3, 9, 7, 5, 2, 2],
        [2, 3, 3, 10, 8, 5, 2, 3],
        [2, 3, 3, 4, 4, 5, 1, 2],
        [2, 3, 3, 4, 4, 5, 1, 4],
        [2, 2, 2, 7, 8, 2, 3, 0],
        [2, 2, 2, 11, 9, 7, 3, 5],
        [2, 16, 2, 6, 6, 1, 1, 0],
        [2, 3, 4, 6, 6, 3, 1, 0],
        [2, 60, 4, 70, 70, 3, 1, 0],
        [2, 60, 4, 70, 70, 3, 1, 2],
        [2, 3, 4, 1, 1, 3, 1, 1],
        [2, 3, 4, 1, 2, 5, 2, 2],
        [2, 12, 7, 130, 120, 3, 2, 1],
    ];
    for [batch, inputs, outputs, height, width, kernel, stride, padding] in cases {
        let g = Geometry { batch, inputs, outputs, height, width, kernel, stride, padding };
        let x = random(batch * g.input_values(), 1);
        let (weights, bias) = (random(outputs * inputs * kernel * kernel, 2), random(outputs, 3));
        let exact = convolution::forward(g, &x, &weights, &bias);
        let gradient = random(exact.len(), 4);
        let [x32, weights32, bias32, gradient32] = [&x, &weights, &bias, &gradient].map(|it| rounded(it));
        close("output", g, &super::forward(g, &x32, &weights32, &bias32), &exact);
        let bias = random(inputs, 5);
        let exact = convolution::transposed(g, &gradient, &weights, &bias);
        close("input", g, &super::input_gradient(g, &weights32, &gradient32, &rounded(&bias)), &exact);
        let exact = convolution::weight_gradient(g, &x, &gradient);
        close("weights", g, &super::weight_gradient(g, &x32, &gradient32), &exact);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let g = Geometry {
        batch: 3,
        inputs: 20,
        outputs: 17,
        height: 90,
        width: 70,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    let x = rounded(&random(3 * g.input_values(), 1));
    let weights = rounded(&random(17 * 20 * 9, 2));
    let gradient = rounded(&random(3 * g.output_values(), 3));
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let input = super::input_gradient(g, &weights, &gradient, &[0.0; 20]);
            (super::forward(g, &x, &weights, &[0.5; 17]), input, super::weight_gradient(g, &x, &gradient))
        })
    };
    assert!(run(1) == run(3), "the number of threads changes bits");
}

use crate::convolution::{forward, input_gradient, weight_gradient};
use crate::geometry::Geometry;
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn random(count: usize, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| f64::from(random.random_range(-1.0f32..1.0))).collect()
}

fn rounded(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

fn close(what: &str, ours: &[f32], exact: &[f64]) {
    assert_eq!(ours.len(), exact.len());
    let largest = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let off = ours.iter().zip(exact).fold(0.0f64, |most, (a, b)| most.max((f64::from(*a) - b).abs()));
    assert!(off < 2e-5 * largest, "{what}: off by {} of the largest", off / largest);
}

/// Double precision goes the plain way.
#[test]
fn it_gives_what_plain_sums_give() {
    // Batch, inputs, outputs, height, width, padding; tiles that are not full, several tasks, channels that fill no register.
    for [batch, inputs, outputs, height, width, padding] in
        [[1, 32, 32, 16, 16, 1], [3, 33, 40, 17, 23, 1], [9, 32, 35, 32, 30, 0], [2, 36, 32, 20, 16, 2]]
    {
        let geometry = Geometry { batch, inputs, outputs, height, width, kernel: 3, stride: 1, padding };
        assert!(geometry.is_winograd(), "{geometry:?}");
        let x = random(batch * inputs * height * width, 1);
        let (weights, bias) = (random(outputs * inputs * 9, 2), random(outputs, 3));
        let exact = forward(geometry, &x, &weights, &bias);
        let gradient = random(exact.len(), 4);
        let [x32, weights32, bias32, gradient32] = [&x, &weights, &bias, &gradient].map(|it| rounded(it));
        close("output", &forward(geometry, &x32, &weights32, &bias32), &exact);
        let exact = input_gradient(geometry, &weights, &gradient);
        close("input", &input_gradient(geometry, &weights32, &gradient32), &exact);
        let exact = weight_gradient(geometry, &x, &gradient);
        close("weights", &weight_gradient(geometry, &x32, &gradient32), &exact);
    }
}

#[test]
fn small_maps_and_few_channels_go_the_plain_way() {
    let square = Geometry {
        batch: 8,
        inputs: 64,
        outputs: 64,
        height: 32,
        width: 32,
        kernel: 3,
        stride: 1,
        padding: 1,
    };
    assert!(square.is_winograd());
    for other in [
        Geometry { inputs: 8, ..square },
        Geometry { height: 4, width: 4, ..square },
        Geometry { height: 64, width: 1, ..square },
        Geometry { padding: 3, ..square },
    ] {
        assert!(!other.is_winograd(), "{other:?}");
    }
}

use super::*;
use crate::contract::Small;

/// Small models for the contract suite.
pub(crate) const SMALL: &[Small] = &[Small::new(
    "cflow",
    &[("blocks", "2"), ("condition", "16"), ("epochs", "5"), ("batch", "3"), ("rate", "0.002")],
)];

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .for_each(|(found, expected)| assert!((found - expected).abs() < 2e-6, "{found} {expected}"));
}

#[test]
fn the_position_code_is_that_of_the_specification() {
    close(&position_code(0, 1, 8), &[0.841_471, 0.540_302, 0.010_000, 0.999_950, 0.0, 1.0, 0.0, 1.0]);
    let other = [0.909_297, -0.416_147, 0.019_999, 0.999_800, 0.841_471, 0.540_302, 0.010_000, 0.999_950];
    close(&position_code(1, 2, 8), &other);
}

#[test]
fn likelihood_and_loss_of_a_known_latent() {
    // An empty chain: z is x, the log-determinant 0, to which 0.3 is added by hand.
    let x = Tensor::from_data(TensorData::new(vec![1.0f32, -2.0, 0.5, 0.0], [1, 4, 1, 1]), &Device::flex());
    let l = likelihood(&Chain { pieces: Vec::new() }, x, None) + 0.3 / 4.0;
    let loss = softplus(-l.clone(), 1.0).mean();
    close(&values_of(l).unwrap(), &[-1.500_188_5]);
    close(&values_of(loss).unwrap(), &[1.701_567_4]);
}

#[test]
fn fibers_are_the_vectors_of_their_positions_with_their_codes() {
    let size = MapSize { channels: 2, height: 2, width: 3 };
    let maps: Vec<f32> = (0..24).map(|value| value as f32).collect();
    let codes = position_codes(size, 4);
    let (x, condition) = fibers(&maps, &codes, size, &[0, 5, 8], &Device::flex());
    assert_eq!(values_of(x).unwrap(), [0.0, 6.0, 5.0, 11.0, 14.0, 20.0]);
    let expected = [position_code(0, 0, 4), position_code(1, 2, 4), position_code(0, 2, 4)].concat();
    assert_eq!(values_of(condition.unwrap()).unwrap(), expected);
}

/// 5 images in batches of 2 with 6 positions and 4 fibers an update: 3 + 3 + 2 updates a pass.
#[test]
fn a_pass_leaves_no_image_and_no_position_out() {
    let config = CFlowConfig { batch: 2, fibers: 4, ..CFlowConfig::default() };
    let passes = Passes::new(5, 6, &config);
    assert_eq!(passes.updates(), 8);
    let at = |step| {
        let Update { batch, images, update } = passes.at(step);
        (batch, images, update)
    };
    assert_eq!(
        [0, 2, 3, 5, 6, 7, 8].map(at),
        [(0, 2, 0), (0, 2, 2), (1, 2, 0), (1, 2, 2), (2, 1, 0), (2, 1, 1), (3, 2, 0)]
    );
    for pass in 0..2 {
        let batches =
            [(0, 2), (1, 2), (2, 1)].map(|(number, count)| passes.images(3 * pass + number, count, 7));
        let mut seen = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
    // A single batch that holds everything has no rest.
    let whole = Passes::new(2, 6, &config);
    assert_eq!((whole.updates(), whole.at(3).batch), (3, 1));
}

use super::*;

fn plan(tiling: Tiling, height: usize, width: usize) -> TilePlan {
    tiling.check().unwrap();
    tiling.plan(height, width).unwrap()
}

fn square(side: usize, overlap: usize) -> Tiling {
    Tiling { height: side, width: side, overlap }
}

/// The map that results if every tile's map holds `value(y, x)` of the image (beyond it: of the last pixel).
fn merged(plan: &TilePlan, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let mut merger = MapMerger::new(plan);
    for index in 0..plan.count() {
        let (rows, columns) = plan.window(index);
        let map: Vec<f32> =
            rows.flat_map(|y| columns.clone().map(move |x| (y, x))).map(|(y, x)| value(y, x)).collect();
        merger.add(index, &map);
    }
    merger.finish()
}

#[test]
fn tiles_reach_from_border_to_border_and_share_the_overlap() {
    for (length, tile, overlap) in
        [(1024, 256, 64), (1025, 256, 64), (1000, 256, 0), (300, 256, 255), (257, 256, 16)]
    {
        let axis = Axis::new(length, tile, overlap);
        assert_eq!(axis.starts.first(), Some(&0));
        assert_eq!(axis.starts.last().unwrap() + tile, length);
        for pair in axis.starts.windows(2) {
            assert!(pair[1] > pair[0] && pair[0] + tile >= pair[1] + overlap, "{length} {tile} {overlap}");
        }
    }
    // (1024 - 256) / (256 - 64) = 4 steps of 192.
    assert_eq!(Axis::new(1024, 256, 64).starts, [0, 192, 384, 576, 768]);
    let whole = plan(square(64, 16), 64, 160);
    assert_eq!((whole.count(), whole.tile_size(), whole.image_size()), (3, (64, 64), (64, 160)));
    assert_eq!(whole.window(2), (0..64, 96..160));
}

#[test]
fn weights_are_the_products_of_sines_squared() {
    // Two tiles of 16 with overlap 8 over 24 pixels: at pixel 8 + i both count, with sin^2 at 8 + i and i.
    let axis = Axis::new(24, 16, 8);
    let shares = axis.shares();
    assert_eq!(axis.starts, [0, 8]);
    assert_eq!(shares[0], [1.0; 16]);
    for i in 0..8 {
        let sine = |at: usize| ((at as f64 + 0.5) / 16.0 * std::f64::consts::PI).sin().powi(2);
        // With half overlap the two weights sum to 1 already: sin^2 + cos^2.
        assert!((sine(8 + i) + sine(i) - 1.0).abs() < 1e-12);
        assert!((f64::from(shares[1][i]) - sine(i)).abs() < 1e-6);
    }
    assert_eq!(shares[1][8..], [1.0; 8]);
}

#[test]
fn a_constant_stays_exactly_what_it_is() {
    for value in [1.0_f32, 0.1, 1.0 / 3.0, -7.3e-9, 3.1e19] {
        for (tiling, size) in [
            (square(16, 5), (37, 53)),
            (square(16, 15), (33, 20)),
            (square(32, 8), (20, 90)),
            (square(32, 8), (9, 10)),
        ] {
            let plan = plan(tiling, size.0, size.1);
            assert!(merged(&plan, |_, _| value).iter().all(|&found| found == value), "{value} {size:?}");
        }
    }
}

#[test]
fn a_map_that_depends_on_the_pixel_alone_is_found_again() {
    let value = |y: usize, x: usize| ((y * 31 + x * 17) % 101) as f32 - 50.0;
    let plan = plan(Tiling { height: 24, width: 40, overlap: 20 }, 70, 131);
    let found = merged(&plan, value);
    let worst = found
        .iter()
        .enumerate()
        .fold(0.0_f32, |worst, (at, found)| worst.max((found - value(at / 131, at % 131)).abs()));
    assert!(worst < 1e-4, "off by {worst}");
}

/// A network sees zeros beyond a tile, so its map errs near the edges of tiles. Here the "network" is a mean over 17 pixels.
#[test]
fn edges_of_tiles_do_not_show_as_steps() {
    const LENGTH: usize = 400;
    let signal = |x: usize| 1.0 + (x as f32 * 0.02).sin();
    let mean = |x: usize, seen: Range<usize>| {
        let values = (x.saturating_sub(8)..=x + 8).filter(|near| seen.contains(near)).map(signal);
        values.sum::<f32>() / 17.0
    };
    let plan = plan(square(64, 24), 64, LENGTH);
    let mut merger = MapMerger::new(&plan);
    let mut cut = vec![0.0; LENGTH];
    for index in 0..plan.count() {
        let (_, columns) = plan.window(index);
        let line: Vec<f32> = columns.clone().map(|x| mean(x, columns.clone())).collect();
        cut[columns].copy_from_slice(&line);
        merger.add(index, &line.repeat(64));
    }
    let merged = &merger.finish()[..LENGTH];
    let steepest = |map: &[f32]| {
        let error: Vec<f32> = (0..LENGTH).map(|x| map[x] - mean(x, 0..LENGTH)).collect();
        error.windows(2).fold(0.0_f32, |most, pair| most.max((pair[1] - pair[0]).abs()))
    };
    // Laid side by side the tiles jump by up to 8 of 17 parts of the signal; merged, the error never moves by more than a fraction.
    let (side_by_side, merged) = (steepest(&cut), steepest(merged));
    assert!(side_by_side > 0.4 && merged < 0.05, "{side_by_side} and {merged}");
}

#[test]
fn tiles_left_out_count_as_zero() {
    let plan = plan(square(16, 8), 16, 24);
    let mut merger = MapMerger::new(&plan);
    merger.add(1, &[1.0; 256]);
    let map = merger.finish();
    assert_eq!(map[..8], [0.0; 8]);
    assert_eq!(map[16..24], [1.0; 8]);
    assert!(map[8..16].windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn impossible_tiles_are_refused_with_what_would_do() {
    let refused = |tiling: Tiling| tiling.check().unwrap_err().to_string();
    assert!(refused(square(8, 0)).contains("16 to 4096"));
    assert!(refused(square(5000, 0)).contains("16 to 4096"));
    assert!(refused(square(64, 64)).contains("such as 16"));
    assert!(refused(Tiling { height: 64, width: 128, overlap: 70 }).contains("cannot overlap by 70"));
    assert_eq!(Tiling::new(256, 128).overlap, 32);
    let fault = square(256, 255).plan(12_000, 8_000).unwrap_err().to_string();
    assert!(fault.contains("overlap smaller"), "{fault}");
    assert!(square(16, 0).plan(usize::MAX, usize::MAX).is_err());
}

//! From planes to features: one function a filter.

use super::bank::Filter;
use super::config::ClassicalConfig;
use super::planes::Planes;
use super::tables::{CONTRASTS, LEVELS, TEXTON_RESPONSES, TILE, Tables};
use blemish_core::error::Error;
use blemish_kernels::image::Size;
use blemish_kernels::image::binary_patterns::{codes, uniform_patterns};
use blemish_kernels::image::convolve::{blur, horizontal, separable, vertical};
use blemish_kernels::image::edges::{canny, laplacian_of_gaussian, magnitude, sobel, sobel_magnitude};
use blemish_kernels::image::fourier::{Plan, Tiles, phase_only, spectral_residual, tapered};
use blemish_kernels::image::morphology::{Element, close, open};
use blemish_kernels::image::wavelet::Wavelet;
use blemish_kernels::image::windows::{Windows, equal_bins, quantise};
use blemish_kernels::image::{cooccurrence, gabor};
use blemish_kernels::knn::MemoryBank;

/// Features of one image on a grid.
pub(super) struct Features {
    /// Rows and columns of the grid.
    pub(super) grid: Size,
    /// Pixels from one cell to the next.
    pub(super) step: usize,
    /// Values a cell.
    pub(super) channels: usize,
    /// Cells x channels.
    pub(super) rows: Vec<f32>,
}

/// Circles of the binary patterns: samples and radius.
const CIRCLES: [(usize, f32); 3] = [(8, 1.0), (16, 2.0), (24, 3.0)];

/// What a neighbour must exceed its centre by, to not read noise on flat material as a pattern.
const PATTERN_THRESHOLD: f32 = 0.999 / 255.0;

/// Distances of the co-occurrence matrices, in pixels.
const DISTANCES: [usize; 3] = [1, 2, 4];

/// Openings of the granulometry: discs of radius 1 to this.
const RADII: usize = 6;

/// Wavelength of the finest Gabor filters, in pixels.
const FINEST_WAVE: f32 = 4.0;

/// What is added to wavelet energies before their logarithm.
const ENERGY_FLOOR: f32 = 1e-6;

/// Blur before Canny's gradient at a scale.
pub(super) fn canny_sigma(scale: usize) -> f32 {
    1.4 * (1 << scale) as f32
}

/// The features of an image.
///
/// # Errors
/// [`Error::Score`] if textons of another number of planes were learnt.
pub(super) fn features(
    filter: Filter,
    config: &ClassicalConfig,
    windows: Windows,
    tables: &Tables,
    planes: &Planes,
) -> Result<Features, Error> {
    let size = planes.size;
    let channels = || planes.planes.iter().zip(tables.iter());
    let every = |work: &dyn Fn(&[f32]) -> Vec<Vec<f32>>| -> Vec<Vec<f32>> {
        planes.planes.iter().flat_map(|plane| work(plane)).collect()
    };
    let statistics = |responses: Vec<Vec<f32>>| interleave(&responses, windows.grid(size), windows.step());
    let per_pixel = |maps: Vec<Vec<f32>>| interleave(&maps, size, 1);
    let scales = 0..config.scales;
    Ok(match filter {
        Filter::Histogram => {
            let labels = channels().map(|(plane, range)| {
                let scale = 1.0 / (range[1] - range[0]);
                let unit: Vec<f32> = plane.iter().map(|value| (value - range[0]) * scale).collect();
                (equal_bins(&unit, config.bins), config.bins)
            });
            histograms(labels.collect(), windows, size)
        }
        Filter::Lbp => histograms(
            channels().flat_map(|(plane, edges)| patterns(plane, edges, size)).collect(),
            windows,
            size,
        ),
        Filter::Textons => textons(planes, tables, windows)?,
        Filter::Glcm => {
            let width = cooccurrence::FEATURES * DISTANCES.len();
            let all: Vec<Vec<f32>> = channels()
                .map(|(plane, edges)| {
                    cooccurrence::features(&quantise(plane, edges), size, LEVELS, &DISTANCES, windows)
                })
                .collect();
            side_by_side(&all, width, windows.grid(size), windows.step())
        }
        Filter::Pixel => per_pixel(planes.planes.clone()),
        Filter::Template => per_pixel(every(&|plane| {
            let soft = blur(plane, size, 1.0);
            let edges = sobel_magnitude(&soft, size).iter().map(|value| 0.25 * value).collect();
            vec![soft, edges]
        })),
        Filter::Tophat => statistics(every(&|plane| {
            scales
                .clone()
                .flat_map(|scale| {
                    let disc = Element::disc(1 << scale);
                    let details = hats(plane, size, &[disc]);
                    details.into_iter().flat_map(|details| mean_and_most(windows, &details, size))
                })
                .collect()
        })),
        Filter::Lines => statistics(every(&|plane| {
            scales
                .clone()
                .flat_map(|scale| {
                    let lines = lines(config.orientations, (8 << scale) + 1);
                    let details = hats(plane, size, &lines);
                    details.into_iter().flat_map(|details| mean_and_most(windows, &details, size))
                })
                .collect()
        })),
        Filter::Granulometry => statistics(every(&|plane| granulometry(plane, windows, size))),
        Filter::Patches => patches(planes, config),
        Filter::Sobel => statistics(every(&|plane| spread_of(windows, &sobel_magnitude(plane, size), size))),
        Filter::Laplacian => statistics(every(&|plane| {
            scales
                .clone()
                .flat_map(|scale| {
                    let mut response = laplacian_of_gaussian(plane, size, (1 << scale) as f32);
                    response.iter_mut().for_each(|value| *value = value.abs());
                    mean_and_most(windows, &response, size)
                })
                .collect()
        })),
        Filter::Canny => {
            let count = planes.planes.len();
            statistics(
                tables
                    .iter()
                    .enumerate()
                    .map(|(index, threshold)| {
                        let soft = blur(&planes.planes[index % count], size, canny_sigma(index / count));
                        let (dy, dx) = sobel(&soft, size);
                        let edges = canny(&dy, &dx, size, 0.4 * threshold[0], threshold[0]);
                        let edges: Vec<f32> =
                            edges.into_iter().map(|is_edge| if is_edge { 1.0 } else { 0.0 }).collect();
                        windows.means(&edges, size)
                    })
                    .collect(),
            )
        }
        Filter::Gabor => statistics(every(&|plane| {
            scales
                .clone()
                .flat_map(|scale| {
                    let wave = FINEST_WAVE * (1 << scale) as f32;
                    let energies = gabor::magnitudes(plane, size, wave, config.orientations);
                    energies.into_iter().map(|energy| windows.means(&energy, size)).collect::<Vec<_>>()
                })
                .collect()
        })),
        Filter::Wavelet => statistics(every(&|plane| energies(plane, Wavelet::Haar, config, windows, size))),
        Filter::Daubechies => {
            statistics(every(&|plane| energies(plane, Wavelet::Daubechies, config, windows, size)))
        }
        Filter::WaveletResidual => {
            let left = channels().map(|(plane, kept)| wavelet_residual(plane, kept, config.scales, size));
            statistics(left.flat_map(|left| spread_of(windows, &left, size)).collect())
        }
        Filter::Spectral => per_pixel(every(&|plane| vec![whole(plane, size, spectral_residual)])),
        Filter::Phase => per_pixel(every(&|plane| {
            vec![whole(plane, size, phase_only).into_iter().map(f32::abs).collect()]
        })),
        Filter::Notch | Filter::Whiten => {
            let tiles = Tiles::new(TILE);
            let filtered = channels().map(|(plane, weights)| {
                let left: Vec<f32> = tiles.filter(plane, size, weights).into_iter().map(f32::abs).collect();
                spread_of(windows, &left, size)
            });
            statistics(filtered.flatten().collect())
        }
    })
}

/// Maps of a grid's size as cells x maps.
fn interleave(maps: &[Vec<f32>], grid: Size, step: usize) -> Features {
    let channels = maps.len();
    let rows = match maps {
        [one] => one.clone(),
        several => {
            let mut rows = vec![0.0; grid.0 * grid.1 * channels];
            for (channel, map) in several.iter().enumerate() {
                let targets = rows[channel..].iter_mut().step_by(channels);
                targets.zip(map).for_each(|(target, &value)| *target = value);
            }
            rows
        }
    };
    Features { grid, step, channels, rows }
}

/// Blocks of cells x width as cells x (blocks x width).
fn side_by_side(blocks: &[Vec<f32>], width: usize, grid: Size, step: usize) -> Features {
    let rows = (0..grid.0 * grid.1)
        .flat_map(|cell| blocks.iter().flat_map(move |block| &block[cell * width..][..width]))
        .copied()
        .collect();
    Features { grid, step, channels: width * blocks.len(), rows }
}

/// Histograms of several planes of labels side by side, all together with sum 1 a window.
fn histograms(labels: Vec<(Vec<u8>, usize)>, windows: Windows, size: Size) -> Features {
    let grid = windows.grid(size);
    let channels: usize = labels.iter().map(|(_, bins)| bins).sum();
    let counts = windows.counts(size);
    let mut rows = vec![0.0f32; counts.len() * channels];
    let (mut first, share) = (0, 1.0 / labels.len() as f32);
    for (labels, bins) in &labels {
        let found = windows.histograms(labels, size, *bins);
        let targets = rows.chunks_exact_mut(channels).zip(found.chunks_exact(*bins)).zip(&counts);
        for ((target, found), count) in targets {
            let scale = share / count;
            for (target, found) in target[first..first + bins].iter_mut().zip(found) {
                *target = scale * found;
            }
        }
        first += bins;
    }
    Features { grid, step: windows.step(), channels, rows }
}

/// Pattern labels of every circle, and the local contrast in learnt steps.
fn patterns(plane: &[f32], edges: &[f32], size: Size) -> Vec<(Vec<u8>, usize)> {
    let circle = |&(points, radius): &(usize, f32)| {
        (uniform_patterns(plane, size, points, radius, PATTERN_THRESHOLD), codes(points))
    };
    let mut labels: Vec<(Vec<u8>, usize)> = CIRCLES.iter().map(circle).collect();
    labels.push((quantise(&local_deviation(plane, size), edges), CONTRASTS));
    labels
}

/// Standard deviation over 3 x 3 pixels.
pub(super) fn local_deviation(plane: &[f32], size: Size) -> Vec<f32> {
    let third = [1.0 / 3.0; 3];
    let mean = separable(plane, size, &third, &third);
    let squares: Vec<f32> = plane.iter().map(|value| value * value).collect();
    let second = separable(&squares, size, &third, &third);
    second.iter().zip(&mean).map(|(second, mean)| (second - mean * mean).max(0.0).sqrt()).collect()
}

/// Rotation-invariant responses of each plane, pixels x (8 x planes): gradient and greatest curvature at three scales, a Gaussian and its
/// Laplacian.
///
/// The maximum over all directions of the first two Gaussian derivatives is known in closed form, so nothing is sampled in six
/// directions as MR8 does (Varma and Zisserman 2005).
pub(super) fn texton_responses(planes: &Planes) -> Vec<f32> {
    let size = planes.size;
    let maps: Vec<Vec<f32>> = planes
        .planes
        .iter()
        .flat_map(|plane| {
            let mut maps = Vec::with_capacity(TEXTON_RESPONSES);
            for sigma in [1.0f32, 2.0, 4.0] {
                let soft = blur(plane, size, sigma);
                let slope = [-0.5, 0.0, 0.5];
                let (dy, dx) = (vertical(&soft, size, &slope), horizontal(&soft, size, &slope));
                let curve = [1.0, -2.0, 1.0];
                let (yy, xx) = (vertical(&soft, size, &curve), horizontal(&soft, size, &curve));
                let xy = horizontal(&dy, size, &slope);
                let curvature = yy.iter().zip(&xx).zip(&xy).map(|((yy, xx), xy)| {
                    let half = 0.5 * (yy + xx);
                    let root = (0.25 * (yy - xx) * (yy - xx) + xy * xy).sqrt();
                    sigma * sigma * if half < 0.0 { half - root } else { half + root }
                });
                let curvature = curvature.collect();
                maps.push(magnitude(&dy, &dx).into_iter().map(|value| sigma * value).collect());
                maps.push(curvature);
            }
            maps.push(blur(plane, size, 4.0));
            maps.push(laplacian_of_gaussian(plane, size, 4.0));
            maps
        })
        .collect();
    interleave(&maps, size, 1).rows
}

fn textons(planes: &Planes, tables: &Tables, windows: Windows) -> Result<Features, Error> {
    let width = TEXTON_RESPONSES * planes.planes.len();
    let failed = |error: blemish_kernels::KernelError| Error::Score { reason: error.to_string() };
    let bank = MemoryBank::new(tables[0].as_slice(), width).map_err(failed)?;
    let found = bank.search(&texton_responses(planes), 1).map_err(failed)?;
    let labels = found.indices.into_iter().map(|index| index as u8).collect();
    Ok(histograms(vec![(labels, bank.len())], windows, planes.size))
}

/// Bright and dark details: what the best of the openings, and of the closings, by these elements changes.
fn hats(plane: &[f32], size: Size, elements: &[Element]) -> [Vec<f32>; 2] {
    let envelope = |of: fn(&[f32], Size, &Element) -> Vec<f32>, keep: fn(f32, f32) -> f32| {
        let each = elements.iter().map(|element| of(plane, size, element));
        each.reduce(|mut best, next| {
            best.iter_mut().zip(next).for_each(|(best, next)| *best = keep(*best, next));
            best
        })
        .unwrap_or_default()
    };
    let (opened, closed) = (envelope(open, f32::max), envelope(close, f32::min));
    [
        plane.iter().zip(&opened).map(|(value, opened)| value - opened).collect(),
        closed.iter().zip(plane).map(|(closed, value)| closed - value).collect(),
    ]
}

fn lines(orientations: usize, length: usize) -> Vec<Element> {
    let angle = |index: usize| std::f64::consts::PI * index as f64 / orientations as f64;
    (0..orientations).map(|index| Element::line(length, angle(index))).collect()
}

fn mean_and_most(windows: Windows, response: &[f32], size: Size) -> [Vec<f32>; 2] {
    [windows.means(response, size), windows.maxima(response, size)]
}

/// Mean, root of the mean square, and maximum of every window.
fn spread_of(windows: Windows, response: &[f32], size: Size) -> Vec<Vec<f32>> {
    let squares: Vec<f32> = response.iter().map(|value| value * value).collect();
    let roots = windows.means(&squares, size).into_iter().map(f32::sqrt).collect();
    vec![windows.means(response, size), roots, windows.maxima(response, size)]
}

/// Grey mass that openings by growing discs, and closings, take away in every window.
fn granulometry(plane: &[f32], windows: Windows, size: Size) -> Vec<Vec<f32>> {
    let mut found = Vec::with_capacity(2 * RADII);
    for of in [open, close] {
        let mut before = windows.means(plane, size);
        for radius in 1..=RADII {
            let after = windows.means(&of(plane, size, &Element::disc(radius)), size);
            found.push(before.iter().zip(&after).map(|(before, after)| (before - after).abs()).collect());
            before = after;
        }
    }
    found
}

/// Logarithms of the mean squares of every band.
fn energies(
    plane: &[f32],
    wavelet: Wavelet,
    config: &ClassicalConfig,
    windows: Windows,
    size: Size,
) -> Vec<Vec<f32>> {
    let (details, _) = wavelet.transform(plane, size, config.scales);
    let energy = |band: &[f32]| {
        let squares: Vec<f32> = band.iter().map(|value| value * value).collect();
        windows.means(&squares, size).into_iter().map(|mean| (mean + ENERGY_FLOOR).ln()).collect()
    };
    details.iter().flat_map(|details| details.bands().map(energy)).collect()
}

/// Magnitude of what the bands that stay contribute.
fn wavelet_residual(plane: &[f32], kept: &[f32], scales: usize, size: Size) -> Vec<f32> {
    let mut left = vec![0.0f32; plane.len()];
    let bands = Wavelet::Daubechies.contributions(plane, size, scales);
    for (band, _) in bands.iter().zip(kept).filter(|(_, kept)| **kept > 0.0) {
        left.iter_mut().zip(band).for_each(|(left, value)| *left += value);
    }
    left.into_iter().map(f32::abs).collect()
}

/// A transform of the whole image, its border faded out and cut off again.
fn whole(plane: &[f32], size: Size, of: fn(&[f32], &Plan) -> Vec<f32>) -> Vec<f32> {
    let (faded, padded) = tapered(plane, size);
    let map = of(&faded, &Plan::new(padded));
    map.chunks_exact(padded.1).take(size.0).flat_map(|row| &row[..size.1]).copied().collect()
}

/// Patches of `patch` x `patch` cells around every cell; a cell is the mean of `cell` x `cell` softened pixels.
fn patches(planes: &Planes, config: &ClassicalConfig) -> Features {
    let (cell, side) = (config.cell, config.patch);
    let (height, width) = planes.size;
    let single = Windows::new(cell, cell).map_err(drop);
    let grid = (height.div_ceil(cell), width.div_ceil(cell));
    let channels = side * side * planes.planes.len();
    let mut rows = Vec::with_capacity(grid.0 * grid.1 * channels);
    let cells: Vec<Vec<f32>> = planes
        .planes
        .iter()
        .map(|plane| {
            let soft = blur(plane, planes.size, 0.5 * cell as f32);
            let means = single.map_or(soft.clone(), |single| single.means(&soft, planes.size));
            mirrored(&means, grid, side)
        })
        .collect();
    let stride = grid.1 + side - 1;
    for y in 0..grid.0 {
        for x in 0..grid.1 {
            for cells in &cells {
                for row in 0..side {
                    rows.extend_from_slice(&cells[(y + row) * stride + x..][..side]);
                }
            }
        }
    }
    Features { grid, step: cell, channels, rows }
}

/// Cells with a mirrored margin: side / 2 before and the rest of side - 1 after.
fn mirrored(cells: &[f32], (height, width): Size, side: usize) -> Vec<f32> {
    let fold = |at: usize, length: usize| {
        let at = at as isize - (side / 2) as isize;
        let period = (2 * length) as isize;
        let at = at.rem_euclid(period);
        (if at < length as isize { at } else { period - 1 - at }) as usize
    };
    (0..height + side - 1)
        .flat_map(|y| (0..width + side - 1).map(move |x| (fold(y, height), fold(x, width))))
        .map(|(y, x)| cells[y * width + x])
        .collect()
}

//! The classical filters on an image of 256 x 256 pixels, one thread. Throughput counts pixels.

use blemish_kernels::image::binary_patterns::uniform_patterns;
use blemish_kernels::image::convolve::blur;
use blemish_kernels::image::cooccurrence;
use blemish_kernels::image::edges::{canny, laplacian, laplacian_of_gaussian, sobel, sobel_magnitude};
use blemish_kernels::image::fourier::{Plan, phase_only, spectral_residual};
use blemish_kernels::image::gabor::magnitudes;
use blemish_kernels::image::morphology::{Element, open};
use blemish_kernels::image::registration::{Motion, register};
use blemish_kernels::image::wavelet::Wavelet;
use blemish_kernels::image::windows::{Windows, equal_bins};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const SIZE: (usize, usize) = (256, 256);

fn picture() -> Vec<f32> {
    (0..SIZE.0 * SIZE.1).map(|i| ((i * 7919 + i * i % 613) % 251) as f32 / 251.0).collect()
}

fn image(criterion: &mut Criterion) {
    let picture = picture();
    let labels = equal_bins(&picture, 64);
    let levels = equal_bins(&picture, 16);
    let Ok(windows) = Windows::new(24, 8) else { return };
    let plan = Plan::new(SIZE);
    let mut group = criterion.benchmark_group("image_256x256");
    group.throughput(Throughput::Elements((SIZE.0 * SIZE.1) as u64));
    let mut time = |name: &str, work: &dyn Fn(&[f32])| {
        group.bench_function(name, |bencher| bencher.iter(|| work(black_box(&picture))));
    };
    let run = |value: Vec<f32>| drop(black_box(value));
    time("blur, sigma 2", &|image| run(blur(image, SIZE, 2.0)));
    time("sobel", &|image| run(sobel_magnitude(image, SIZE)));
    time("laplacian", &|image| run(laplacian(image, SIZE)));
    time("laplacian of gaussian, sigma 2", &|image| run(laplacian_of_gaussian(image, SIZE, 2.0)));
    time("canny", &|image| {
        let (dy, dx) = sobel(&blur(image, SIZE, 1.4), SIZE);
        drop(black_box(canny(&dy, &dx, SIZE, 0.4, 1.0)));
    });
    time("gabor, 8 directions of 8 pixels", &|image| drop(black_box(magnitudes(image, SIZE, 8.0, 8))));
    time("wavelet, haar, 3 levels", &|image| drop(black_box(Wavelet::Haar.transform(image, SIZE, 3))));
    time("opening, disc 5", &|image| run(open(image, SIZE, &Element::disc(5))));
    time("binary patterns, 8 and 1", &|image| drop(black_box(uniform_patterns(image, SIZE, 8, 1.0, 0.0))));
    time("binary patterns, 24 and 3", &|image| drop(black_box(uniform_patterns(image, SIZE, 24, 3.0, 0.0))));
    time("histograms of 64 bins", &|_| run(windows.histograms(&labels, SIZE, 64)));
    time("co-occurrence, 3 distances", &|_| {
        run(cooccurrence::features(&levels, SIZE, 16, &[1, 2, 4], windows));
    });
    time("spectral residual", &|image| run(spectral_residual(image, &plan)));
    time("phase only", &|image| run(phase_only(image, &plan)));
    time("registration, affine", &|image| {
        black_box(register(image, image, SIZE, Motion::Affine));
    });
    group.finish();
}

criterion_group!(benches, image);
criterion_main!(benches);

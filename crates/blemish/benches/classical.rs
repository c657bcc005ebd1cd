//! Whole classical detectors, from pixels in memory to the finished map and image score: images of 256 x 256 on one thread.

use blemish::data::Files;
use blemish::data::synth::{Look, SynthOptions, write_synthetic_set};
use blemish::data::{ImageBatch, open_dataset};
use blemish::{Detector, DetectorConfig, FitOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::error::Error;

const BANKS: [(&str, &str); 21] = [
    ("statistical", "histogram"),
    ("statistical", "lbp"),
    ("statistical", "glcm"),
    ("statistical", "pixel"),
    ("structural", "tophat"),
    ("structural", "lines"),
    ("structural", "granulometry"),
    ("structural", "textons"),
    ("structural", "patches"),
    ("structural", "template"),
    ("filter", "sobel"),
    ("filter", "laplacian"),
    ("filter", "canny"),
    ("filter", "gabor"),
    ("filter", "wavelet"),
    ("filter", "daubechies"),
    ("filter", "wavelet_residual"),
    ("filter", "spectral"),
    ("filter", "phase"),
    ("filter", "notch"),
    ("filter", "whiten"),
];

fn detectors(criterion: &mut Criterion) {
    if let Err(error) = run(criterion) {
        eprintln!("nothing is measured: {error}");
    }
}

fn run(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let set = folder.path().join("set");
    let options =
        SynthOptions { train: 6, test_good: 1, test_per_defect: 1, ..SynthOptions::new(Look::Fabric) };
    write_synthetic_set(&set, &options, &|_, _| {})?;
    let dataset = open_dataset(&set, &Default::default())?;
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut group = criterion.benchmark_group("classical_256x256");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for (method, bank) in BANKS {
        let mut settings = blemish::settings::Settings::new();
        settings.insert("bank".into(), bank.into());
        settings.insert("colour".into(), "grey".into());
        let config = DetectorConfig { method: method.into(), settings, ..DetectorConfig::default() };
        let detector = Detector::fit(&config, &Files::training(&dataset), &FitOptions::default())?;
        let batch: ImageBatch = detector.transform().load(&dataset.test[0].path)?;
        group.bench_function(bank, |bencher| {
            bencher.iter(|| one_thread.install(|| detector.score(&batch)));
        });
    }
    group.finish();
    Ok(())
}

criterion_group!(benches, detectors);
criterion_main!(benches);

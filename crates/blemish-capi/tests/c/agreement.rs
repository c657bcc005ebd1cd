//! The C library says what the Rust library says, to the last bit.

use crate::support::{Models, Program, compilers, own, text};
use blemish::data::names::text_of;
use blemish::data::{Files, Sample};
use blemish::metrics::Region;
use blemish::{Detector, Error, ScoreOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The lines of `blemish predict`: images read ahead, scored in batches, judged, written as JSON.
fn predicted(model: &Path, images: &[PathBuf]) -> (Vec<String>, Vec<Region>) {
    let detector = Detector::load(model, &Default::default()).unwrap();
    let samples: Vec<Sample> = images.iter().map(|path| Sample::unlabelled(path)).collect();
    let (mut lines, mut regions) = (Vec::new(), Vec::new());
    let each = |one: blemish::ScoredImage| -> Result<(), Error> {
        let name = text_of(&images[one.index]);
        let verdict = detector.verdict(&name, &one.scored, one.size, 0.0)?;
        lines.push(serde_json::to_string(&verdict).unwrap());
        regions.extend(verdict.decision.into_iter().flat_map(|decision| decision.regions));
        Ok(())
    };
    detector.score_source(&Files::new(samples, ""), &ScoreOptions::default(), each).unwrap();
    (lines, regions)
}

#[test]
fn files_bytes_and_models_in_memory_agree_with_predict_to_the_last_bit() {
    let models = Models::get();
    let images = models.pictures();
    assert!(images.len() >= 20, "{}", images.len());
    for compiler in compilers() {
        let program = Program::new("agree", compiler, &[]);
        for model in [models.patchcore(), models.quick(), models.tiled()] {
            let (lines, regions) = predicted(&model, &images);
            let mut command = program.command(&[]);
            let output = command.arg(&model).args(&images).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), lines, "{}", model.display());
            let told: Vec<Vec<f64>> = text(&output.stderr)
                .lines()
                .filter_map(|line| line.strip_prefix("region "))
                .map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect())
                .collect();
            let numbers = |region: &Region| {
                let (bounds, centroid, peak) = (region.bounds, region.centroid, region.peak);
                let whole = [bounds.x, bounds.y, bounds.width, bounds.height].map(|number| number as f64);
                let rest = [centroid.x, centroid.y, peak.x as f64, peak.y as f64, f64::from(peak.score)];
                [&whole[..], &rest, &[region.area, region.mean_score]].concat()
            };
            let wanted: Vec<Vec<f64>> = regions.iter().map(numbers).collect();
            // The peak's score is a float, printed with nine digits.
            let rounded = |mut all: Vec<Vec<f64>>| {
                all.iter_mut().for_each(|one| one[8] = f64::from(one[8] as f32));
                all
            };
            assert_eq!(rounded(told), rounded(wanted));
            assert!(model != models.patchcore() || !regions.is_empty());
        }
    }
}

#[test]
fn a_picture_has_the_same_score_in_every_format() {
    let models = Models::get();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (width, height) = (53_u32, 47_u32);
    let samples: Vec<u16> =
        (0..width * height).map(|at| (at.wrapping_mul(2_654_435_761) >> 16) as u16 / 3 + 9000).collect();
    let eight: Vec<u8> = samples.iter().map(|&sample| (sample >> 8) as u8).collect();
    image::GrayImage::from_raw(width, height, eight).unwrap().save(path("8.png")).unwrap();
    let sixteen =
        image::ImageBuffer::<image::Luma<u16>, _>::from_raw(width, height, samples.clone()).unwrap();
    sixteen.save(path("16.png")).unwrap();
    let reals: Vec<f32> = samples.iter().flat_map(|&sample| [f32::from(sample) / 65_535.0; 3]).collect();
    image::Rgb32FImage::from_raw(width, height, reals).unwrap().save(path("32.tiff")).unwrap();
    let raw: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    std::fs::write(path("raw"), raw).unwrap();
    let program = Program::new("formats", "cc", &[]);
    let said = program.run(&[
        &models.patchcore(),
        &path("8.png"),
        &path("16.png"),
        &path("32.tiff"),
        &width.to_string(),
        &height.to_string(),
        &path("raw"),
    ]);
    assert_eq!(said, "done\n");
}

#[test]
fn the_header_is_c99_and_cxx17_for_every_compiler() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("include.c");
    std::fs::write(
        &source,
        "#include \"blemish.h\"\nint main(void) { return (int)blemish_abi_version(); }\n",
    )
    .unwrap();
    for compiler in compilers() {
        for (language, standard) in [("c", "c99"), ("c", "c11"), ("c++", "c++17")] {
            let mut command = Command::new(compiler);
            command.args(["-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror", "-x", language]);
            command.arg(format!("-std={standard}")).arg("-I").arg(own("include")).arg(&source);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{compiler} {standard}: {}", text(&output.stderr));
        }
    }
}

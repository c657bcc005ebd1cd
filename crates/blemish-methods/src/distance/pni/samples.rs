//! What the refinement learns from: good images, most with a made-up defect, with the method's own map of each.

use super::config::{NAME, PniConfig};
use super::fit::Surroundings;
use super::model::{PatchModel, maps_of};
use crate::shared::defects::{DefectSample, Defects, Maker};
use crate::shared::kept::{Keeper, Kept, Planes};
use crate::shared::map_size::MapSize;
use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::method::Pass;
use blemish_data::ImageBatch;
use blemish_data::synth::kit::Kind;
use blemish_kernels::map::resize_bilinear;

/// Planes of a sample: red, green, blue, map, mask.
pub(super) const PLANES: usize = 5;

/// One sample in so many stays good.
const GOOD: usize = 5;

/// Images that are scored at once.
const SCORED_AT_ONCE: usize = 8;

/// The samples that a refinement learns from.
pub(super) struct Samples {
    /// 5 x side x side each.
    pub(super) kept: Kept,
    /// Mean scores of good and of made-up defective pixels.
    pub(super) levels: [f32; 2],
}

/// Planes of height x width resized to `side` x `side`.
pub(super) fn resized(planes: &[f32], size: (usize, usize), side: usize) -> Vec<f32> {
    planes
        .chunks_exact(size.0 * size.1)
        .flat_map(|plane| resize_bilinear(plane, size, (side, side)))
        .collect()
}

/// All kinds by turns, in another order after each good one.
fn defects(seed: u64) -> Defects {
    let count = Kind::ALL.len();
    let kind = |number: usize| {
        let turn = number / GOOD + number;
        (!number.is_multiple_of(GOOD)).then(|| Kind::ALL[turn % count])
    };
    Defects { cycle: (0..GOOD * count).map(kind).collect(), ..Defects::new(&Kind::ALL, GOOD, seed) }
}

impl Samples {
    /// Lays defects over the good images, in as many shuffled passes as it takes, and scores them.
    pub(super) fn make(
        config: &PniConfig,
        model: &PatchModel,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, Error> {
        let Surroundings { backbone, images: train, context } = surroundings;
        let (side, count, defects) = (config.refine_side, config.refine_samples, defects(context.seed));
        let mut keeper = Keeper::new(NAME, "laying defects over good images", count, context);
        let mut levels = Levels::default();
        let mut done = 0;
        while done < count {
            let before = done;
            let pass = Pass::IMAGES.shuffled(context.seed.wrapping_add(done as u64));
            train.for_each(pass, &mut |input| {
                let batch = input.images()?;
                let length = batch.count.min(count - done);
                let size = (batch.height, batch.width);
                let lay = |image| defects.lay(batch.image(image), size, (done + image) as u64);
                let samples: Vec<DefectSample> = (0..length).map(lay).collect();
                for samples in samples.chunks(SCORED_AT_ONCE) {
                    let pixels = samples.iter().flat_map(|sample| &sample.image).copied().collect();
                    let region = batch.region_of_interest.clone();
                    let images = ImageBatch::new(samples.len(), size.0, size.1, pixels, region);
                    let maps = maps_of(config, model, &FeatureBatch::extract(backbone, &images)?)?;
                    for (DefectSample { image, mask, .. }, (map, _)) in samples.iter().zip(&maps) {
                        levels.add(map, mask);
                        let values = resized(&[image.as_slice(), map, mask].concat(), size, side).into();
                        let size = MapSize { channels: PLANES, height: side, width: side };
                        keeper.push(1, &[Planes { size, values }])?;
                    }
                }
                done += length;
                Ok(())
            })?;
            if done == before {
                break;
            }
        }
        Ok(Self { kept: keeper.finish()?, levels: levels.finish() })
    }
}

/// Mean scores of pixels outside and inside masks.
#[derive(Default)]
struct Levels {
    /// Sum and number of both.
    sums: [[f64; 2]; 2],
}

impl Levels {
    fn add(&mut self, map: &[f32], mask: &[f32]) {
        for (&score, &marked) in map.iter().zip(mask) {
            let [sum, count] = &mut self.sums[usize::from(marked > 0.0)];
            *sum += f64::from(score);
            *count += 1.0;
        }
    }

    fn finish(self) -> [f32; 2] {
        let [good, defective] = self.sums;
        let mean = |[sum, count]: [f64; 2]| (sum / count.max(1.0)) as f32;
        let low = mean(good);
        // Where no defect could be made or seen, a unit is the good pixels' level itself.
        let high = match defective[1] > 0.0 {
            true => mean(defective).max(low + 1e-3 * low.abs() + 1e-6),
            false => 2.0 * low + 1.0,
        };
        [low, high]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_goes_on_like_its_formula() {
        let defects = defects(3);
        for number in 0..100u64 {
            let kind = Kind::ALL[((number / 5 + number) % 4) as usize];
            assert_eq!(defects.kind(number), (number % 5 > 0).then_some(kind), "{number}");
        }
    }

    #[test]
    fn levels_are_the_means_outside_and_inside_of_masks() {
        let mut levels = Levels::default();
        levels.add(&[1.0, 3.0, 8.0], &[0.0, 0.0, 1.0]);
        levels.add(&[5.0, 10.0, 12.0], &[0.0, 1.0, 1.0]);
        assert_eq!(levels.finish(), [3.0, 10.0]);
        let mut good = Levels::default();
        good.add(&[2.0], &[0.0]);
        assert_eq!(good.finish(), [2.0, 5.0]);
    }
}

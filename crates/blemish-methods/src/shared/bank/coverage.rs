//! What a bank stands for: how many patches, how closely, and picks in reserve; updates and merges go on from it.
//!
//! # Composable coresets
//! Greedy k-centre selection is composable (Malkomes et al. 2015): select on each part, then once more among the picks of all parts. A
//! patch lies within r_i of a pick of its part i, and that pick within the distance it has to the final bank, so
//!
//! > R <= max over i of (r_i + distance of part i's picks from the bank),
//!
//! which is measured and stored. If every part kept as many picks as the final bank (setting `shards`), R <= 4 OPT_k, where OPT_k is
//! the smallest covering radius that k centres can have at all; one selection on everything promises 2 OPT_k. R also bounds how much
//! a bank can add to the distance of a patch over the full set of patches (before re-weighting). Radii are measured on the features
//! themselves, never on projections.

use super::options::BankOptions;
use blemish_core::error::Error;
use blemish_core::state::{Shared, State};
use blemish_kernels::{KernelError, k_centre};

/// The patches behind a bank.
#[derive(Clone)]
pub(crate) struct Coverage {
    /// Patches seen.
    pub(super) patches: u64,
    /// Largest distance of any of them to the bank; `None` if it was not measured.
    pub(super) radius: Option<f32>,
    /// Largest distance of any of them to the bank or the reserve.
    pub(super) reserve_radius: Option<f32>,
    /// Picks after those of the bank, in the order of picking; entries x dimensions.
    pub(super) reserve: Shared<f32>,
}

impl Coverage {
    pub(super) fn store(&self, state: &mut State, dimensions: usize) {
        let optional = |value: Option<f32>| value.into_iter().collect::<Vec<_>>();
        state.set_count("coverage.patches", self.patches);
        for (name, radius) in
            [("coverage.radius", self.radius), ("coverage.reserve_radius", self.reserve_radius)]
        {
            let values = optional(radius);
            state.set_f32(name, &[values.len()], values);
        }
        state.set_f32(
            "coverage.reserve",
            &[self.reserve.len() / dimensions, dimensions],
            self.reserve.clone(),
        );
    }

    /// `None` in files of older programs.
    pub(super) fn restore(state: &State, dimensions: usize) -> Result<Option<Self>, Error> {
        if !state.has("coverage.patches") {
            return Ok(None);
        }
        let radius = |name: &str| Ok::<_, Error>(state.f32(name, 1)?.1.first().copied());
        let (shape, reserve) = state.f32("coverage.reserve", 2)?;
        if shape[1] != dimensions {
            let reason = format!("has rows of {} values, the bank of {dimensions}", shape[1]);
            return Err(blemish_core::state::StateError { name: "coverage.reserve".into(), reason }.into());
        }
        Ok(Some(Self {
            patches: state.count("coverage.patches")?,
            radius: radius("coverage.radius")?,
            reserve_radius: radius("coverage.reserve_radius")?,
            reserve,
        }))
    }
}

/// How many picks make the bank, and how many are kept with the reserve, of `available` rows that stand for `patches` patches.
pub(super) fn picks(options: &BankOptions, patches: u64, available: usize) -> (usize, usize) {
    let share =
        |factor: f64| ((patches as f64 * options.ratio * factor) as usize).max(options.min).min(options.max);
    let bank = share(1.0).min(available);
    (bank, share(options.shards as f64).clamp(bank, available.max(bank)))
}

/// Rows that stand for patches within a known distance of them.
pub(super) struct Part {
    /// How many rows.
    pub(super) rows: usize,
    /// 0 for patches themselves; `None` where it is unknown.
    pub(super) radius: Option<f32>,
}

/// Largest distance of any patch behind `parts` (whose rows follow each other in `rows`) to `centres`; `None` if a part's is unknown.
pub(super) fn measured_radius(
    parts: &[Part],
    rows: &[f32],
    centres: &[f32],
    dimensions: usize,
) -> Result<Option<f32>, KernelError> {
    let known: Option<Vec<f32>> = parts.iter().map(|part| part.radius).collect();
    let Some(known) = known else { return Ok(None) };
    let (mut radius, mut start) = (0.0f32, 0);
    for (part, own) in parts.iter().zip(known).filter(|(part, _)| part.rows > 0) {
        let rows = &rows[start * dimensions..][..part.rows * dimensions];
        radius = radius.max(own + k_centre::covering_radius(rows, centres, dimensions)?);
        start += part.rows;
    }
    Ok(Some(radius))
}

#[cfg(test)]
mod tests {
    use super::super::options::{FirstPick, Projected, Search};
    use super::*;

    /// Points {0, 1, 2, 10, 11, 20}, k = 3: shards {0, 1, 2} and {10, 11, 20} pick {0, 2} and {10, 20}; the greedy choice of three
    /// among these from 0 is {0, 20, 10}, whose covering radius is 2 (4 OPT = 4).
    #[test]
    fn two_shards_on_a_line_are_covered_within_the_bound() {
        let parts = [Part { rows: 2, radius: Some(1.0) }, Part { rows: 2, radius: Some(1.0) }];
        let rows = [0.0, 2.0, 10.0, 20.0];
        let options = k_centre::KCentreOptions::new(3);
        let picked =
            k_centre::select(&rows, 1, &options, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        let centres: Vec<f32> = picked.indices.iter().map(|&index| rows[index]).collect();
        assert_eq!(centres, [0.0, 20.0, 10.0]);
        let true_radius = k_centre::covering_radius(&[0.0, 1.0, 2.0, 10.0, 11.0, 20.0], &centres, 1).unwrap();
        assert_eq!(true_radius, 2.0);
        let certified = measured_radius(&parts, &rows, &centres, 1).unwrap().unwrap();
        assert!(true_radius <= certified && certified == 3.0 && certified <= 4.0);
        let unknown = [Part { rows: 2, radius: None }, Part { rows: 2, radius: Some(1.0) }];
        assert_eq!(measured_radius(&unknown, &rows, &centres, 1).unwrap(), None);
    }

    #[test]
    fn picks_follow_the_global_number_of_patches() {
        let options = BankOptions {
            method: "made up",
            ratio: 0.01,
            min: 0,
            max: 100,
            shards: 1,
            is_updatable: false,
            projection: Projected::No,
            start: FirstPick::Random,
            search: Search::Exact,
        };
        // Three shards of 199 patches truncate to one pick each; together they are worth int(5.97) = 5.
        assert_eq!(picks(&options, 199, 199), (1, 1));
        assert_eq!(picks(&options, 597, 597), (5, 5));
        assert_eq!(picks(&options, 597, 3), (3, 3));
        assert_eq!(picks(&options, 1_000_000, 1_000_000), (100, 100));
        let least = BankOptions { min: 4, ..options.clone() };
        assert_eq!((picks(&least, 199, 199), picks(&least, 3, 3)), ((4, 4), (3, 3)));
        let shards = BankOptions { shards: 3, ..options };
        assert_eq!(picks(&shards, 2_000, 2_000), (20, 60));
        assert_eq!(picks(&shards, 5_000, 5_000), (50, 100));
        assert_eq!(picks(&shards, 2_000, 30), (20, 30));
    }
}

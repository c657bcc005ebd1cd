//! A bank of entries: searched, stored, and what it stands for in words.

use super::coverage::Coverage;
use super::index::Index;
use crate::shared::tensors::scoring_device;
use blemish_core::error::Error;
use blemish_core::state::{Shared, State};
use blemish_features::Device;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::Neighbours;
use blemish_kernels::simd::squared_distance;

/// A coreset of patch features with its search.
pub(crate) struct Bank {
    pub(super) index: Index,
    pub(super) covering_radius: Option<f32>,
    /// `None` in files of older programs.
    pub(super) coverage: Option<Coverage>,
}

impl Bank {
    /// A bank of entries x `dimensions` values.
    ///
    /// # Errors
    /// [`Error::Fit`] if the values are not finite or not whole rows.
    pub(crate) fn new(
        method: &'static str,
        entries: Shared<f32>,
        dimensions: usize,
        covering_radius: Option<f32>,
    ) -> Result<Self, Error> {
        let index = Index::exact(entries, dimensions)
            .map_err(|error| Error::Fit { method, reason: error.to_string() })?;
        Ok(Self { index, covering_radius, coverage: None })
    }

    /// The same bank with what it stands for.
    pub(super) fn with_coverage(self, coverage: Coverage) -> Self {
        Self { coverage: Some(coverage), ..self }
    }

    /// The same, searched on a device: on a GPU if it is one.
    ///
    /// # Errors
    /// [`Error::Features`] if the device cannot be opened or gives up.
    pub(crate) fn on(self, device: Device) -> Result<Self, Error> {
        if device.is_cpu() {
            return Ok(self);
        }
        Ok(Self { index: self.index.on(&scoring_device(device)?)?, ..self })
    }

    /// What [`Self::state`] has kept.
    ///
    /// # Errors
    /// [`Error::State`] naming the tensor that is missing or misshapen.
    pub(crate) fn restore(method: &'static str, state: &State) -> Result<Self, Error> {
        let (shape, entries) = state.f32("bank", 2)?;
        let (_, radius) = state.f32("covering_radius", 1)?;
        let bank = match Index::restore(&entries, shape[1], state)? {
            Some(index) => Self { index, covering_radius: radius.first().copied(), coverage: None },
            None => Self::new(method, entries, shape[1], radius.first().copied())?,
        };
        let coverage = Coverage::restore(state, bank.dimensions())?;
        Ok(Self { coverage, ..bank })
    }

    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        state.set_f32("bank", &[self.len(), self.dimensions()], self.index.rows().clone());
        self.index.store(&mut state);
        let radius: Vec<f32> = self.covering_radius.into_iter().collect();
        state.set_f32("covering_radius", &[radius.len()], radius);
        if let Some(coverage) = &self.coverage {
            coverage.store(&mut state, self.dimensions());
        }
        state
    }

    /// The same with its reserve among its entries.
    ///
    /// # Errors
    /// [`Error::Fit`] if the values are not finite.
    pub(crate) fn with_reserve(self, method: &'static str) -> Result<Self, Error> {
        let Some(coverage) = self.coverage.as_ref().filter(|coverage| !coverage.reserve.is_empty()) else {
            return Ok(self);
        };
        let entries = [self.entries(), &coverage.reserve].concat();
        let radius = coverage.reserve_radius;
        let coverage = Coverage { radius, reserve: Vec::new().into(), ..coverage.clone() };
        Ok(Self::new(method, entries.into(), self.dimensions(), radius)?.with_coverage(coverage))
    }

    /// The same without its reserve.
    pub(crate) fn without_reserve(self) -> Self {
        let coverage = self.coverage.map(|coverage| Coverage {
            reserve_radius: coverage.radius,
            reserve: Vec::new().into(),
            ..coverage
        });
        Self { coverage, ..self }
    }

    /// What it stands for, for updates and merges.
    ///
    /// # Errors
    /// [`Error::Living`] if the model was written before this was kept.
    pub(super) fn living(&self, action: &'static str) -> Result<&Coverage, Error> {
        self.coverage.as_ref().ok_or_else(|| Error::Living {
            action,
            reason: "the model does not say how many patches it stands for, an older program wrote it; fit it again".into(),
        })
    }

    /// How many patches it stands for and how closely, in words.
    pub(crate) fn describe_coverage(&self) -> String {
        let Some(coverage) = &self.coverage else {
            return "not updatable (written by an older program)".into();
        };
        let within = match coverage.radius {
            Some(radius) => format!("each at most {radius:.4} away"),
            None => "how far away at most was not measured (fit with the setting `updatable`)".into(),
        };
        let recall = match self.index.recall() {
            Some(recall) => {
                format!("; approximate search finds the nearest {:.1} % of the time", 100.0 * recall)
            }
            None => String::new(),
        };
        format!("{} entries for {} patches, {within}{recall}", self.len(), coverage.patches)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.index.rows().len() / self.dimensions()
    }

    /// Length of an entry.
    pub(crate) fn dimensions(&self) -> usize {
        self.index.dimensions()
    }

    /// All entries, in the order of picking.
    pub(crate) fn entries(&self) -> &[f32] {
        self.index.rows()
    }

    /// One entry.
    pub(crate) fn entry(&self, index: usize) -> &[f32] {
        &self.entries()[index * self.dimensions()..][..self.dimensions()]
    }

    /// Largest distance of a patch to its nearest entry, on what the choice was made on; `None` where it is unknown.
    pub(crate) fn covering_radius(&self) -> Option<f32> {
        self.covering_radius
    }

    /// The `k` nearest entries of rows, or all where there are fewer.
    ///
    /// # Errors
    /// [`Error::Score`] if the rows have another length than the entries.
    pub(crate) fn nearest(&self, rows: &[f32], k: usize) -> Result<Neighbours, Error> {
        self.index.search(rows, k).map_err(|reason| Error::Score { reason })
    }

    /// Whether [`Self::nearest_allowed`] can be asked: where entries are searched exactly and on the CPU.
    pub(crate) fn has_rules(&self) -> bool {
        matches!(self.index, Index::Exact(_))
    }

    /// The nearest entry that `rule` (rows x entries) allows each row, the farthest of all where it allows none.
    ///
    /// # Errors
    /// [`Error::Score`] if the rows or the rule have another length, or without [`Self::has_rules`].
    pub(crate) fn nearest_allowed(&self, rows: &[f32], rule: &BitRows) -> Result<Neighbours, Error> {
        let none = || Err("a graph or a GPU searches all entries".into());
        let found = self.index.search_allowed(rows, rule).unwrap_or_else(none);
        found.map_err(|reason| Error::Score { reason })
    }

    /// Whether [`Self::nearest`] compares with all entries, on whatever device.
    pub(crate) fn is_exact(&self) -> bool {
        self.index.recall().is_none()
    }

    /// Checks that features have the entries' length.
    ///
    /// # Errors
    /// [`Error::Score`].
    pub(crate) fn check_length(&self, length: usize) -> Result<(), Error> {
        let own = self.dimensions();
        if length == own {
            return Ok(());
        }
        let reason = format!("the backbone gives {length} values a patch, the bank holds {own}");
        Err(Error::Score { reason })
    }

    /// The score of the worst patch of an image, weighted by how isolated the entry nearest to it is (PatchCore, equation 7).
    ///
    /// `row` is the patch's feature, `nearest` its nearest entry and `neighbours` the number b of entries around that one.
    ///
    /// # Errors
    /// As [`Self::nearest`].
    pub(crate) fn reweighted(
        &self,
        patch_score: f32,
        row: &[f32],
        nearest: usize,
        neighbours: usize,
    ) -> Result<f32, Error> {
        let around: Vec<f32> = self
            .nearest(self.entry(nearest), neighbours)?
            .indices
            .iter()
            .map(|&index| distance(row, self.entry(index)))
            .collect();
        Ok(reweighted(patch_score, distance(row, self.entry(nearest)), &around))
    }
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    squared_distance(a, b).sqrt()
}

/// Equation 7 of PatchCore: a patch score, weighted by how isolated the patch's nearest bank entry is.
///
/// `nearest` is s* = ||m_test - m*||; `around` holds the distances of the same patch to the b bank entries nearest to m*, m* among
/// them. Returns (1 - exp(s*) / sum exp(around)) times `score`, with the exponents shifted so that nothing overflows.
pub(crate) fn reweighted(score: f32, nearest: f32, around: &[f32]) -> f32 {
    let largest = around.iter().copied().fold(nearest, f32::max);
    let sum: f64 = around.iter().map(|&other| f64::from(other - largest).exp()).sum();
    let own = f64::from(nearest - largest).exp();
    ((1.0 - own / sum) * f64::from(score)) as f32
}

//! What finds the entries nearest to a row.

#[cfg(feature = "ann")]
use super::approximate::ApproximateIndex;
use super::device::DeviceIndex;
use blemish_core::error::Error;
use blemish_core::method::FitContext;
use blemish_core::state::{Shared, State, StateError};
use blemish_kernels::KernelError;
use blemish_kernels::bits::BitRows;
use blemish_kernels::knn::{MemoryBank, Neighbours};
use blemish_nn::Device;

/// Entries with what makes their search fast.
pub(super) enum Index {
    /// Blocked comparison with all.
    Exact(MemoryBank<Shared<f32>>),
    /// The same on a GPU.
    Device(Box<DeviceIndex>),
    /// A graph that proposes some.
    #[cfg(feature = "ann")]
    Approximate(ApproximateIndex),
}

impl Index {
    pub(super) fn exact(rows: Shared<f32>, dimensions: usize) -> Result<Self, KernelError> {
        Ok(Self::Exact(MemoryBank::new(rows, dimensions)?))
    }

    /// The same entries, searched on a device of Burn's; a graph stays where it is.
    ///
    /// # Errors
    /// [`Error::Features`] if the device gives up.
    pub(super) fn on(self, device: &Device) -> Result<Self, Error> {
        match self {
            Self::Exact(bank) => {
                let rows = bank.source().clone();
                Ok(Self::Device(Box::new(DeviceIndex::new(rows, bank.dimensions(), device)?)))
            }
            other => Ok(other),
        }
    }

    /// A graph over entries, whose recall is measured on `probes`.
    ///
    /// # Errors
    /// [`Error::Setting`] in a build without it, [`Error::Fit`] if it cannot be built, [`Error::Interrupted`] on the way.
    #[cfg_attr(not(feature = "ann"), allow(unused_variables, reason = "it always fails then"))]
    pub(super) fn approximate(
        method: &'static str,
        rows: Shared<f32>,
        dimensions: usize,
        probes: &[f32],
        context: &FitContext<'_>,
    ) -> Result<Self, Error> {
        #[cfg(not(feature = "ann"))]
        return Err(Error::Setting {
            key: "search".into(),
            reason: "this build has no approximate index".into(),
            help: "set search=exact, or use a build with the feature `ann`".into(),
        });
        #[cfg(feature = "ann")]
        {
            context.observer.stage("building the approximate index", Some((rows.len() / dimensions) as u64));
            let advance = || {
                context.observer.advance(1);
                context.check_cancelled()
            };
            let fail = |reason| Error::Fit { method, reason };
            let index = ApproximateIndex::new(rows, dimensions, probes, &advance, &fail)?;
            let share = 100.0 * index.recall;
            context.observer.warn(&format!(
                "approximate search finds the nearest entry for {share:.1} % of the good patches tried"
            ));
            Ok(Self::Approximate(index))
        }
    }

    /// The graph that a model file holds, if any.
    ///
    /// # Errors
    /// [`StateError`] if it is damaged, or in a build without it.
    pub(super) fn restore(
        rows: &Shared<f32>,
        dimensions: usize,
        state: &State,
    ) -> Result<Option<Self>, StateError> {
        if !state.has("index") {
            return Ok(None);
        }
        #[cfg(feature = "ann")]
        return ApproximateIndex::restore(rows.clone(), dimensions, state)
            .map(|index| Some(Self::Approximate(index)));
        #[cfg(not(feature = "ann"))]
        {
            let _ = (rows, dimensions);
            let reason =
                "is an approximate index, which this build cannot read; use a build with the feature `ann`"
                    .into();
            Err(StateError { name: "index".into(), reason })
        }
    }

    /// What makes the search fast, if it is worth keeping; the entries are the bank's to keep.
    #[cfg_attr(not(feature = "ann"), allow(unused_variables, reason = "only a graph is kept"))]
    pub(super) fn store(&self, state: &mut State) {
        #[cfg(feature = "ann")]
        if let Self::Approximate(index) = self {
            index.store(state);
        }
    }

    pub(super) fn rows(&self) -> &Shared<f32> {
        match self {
            Self::Exact(bank) => bank.source(),
            Self::Device(index) => &index.rows,
            #[cfg(feature = "ann")]
            Self::Approximate(index) => &index.rows,
        }
    }

    pub(super) fn dimensions(&self) -> usize {
        match self {
            Self::Exact(bank) => bank.dimensions(),
            Self::Device(index) => index.dimensions,
            #[cfg(feature = "ann")]
            Self::Approximate(index) => index.dimensions,
        }
    }

    /// Share of probes whose nearest entry is found; `None` where all are.
    pub(super) fn recall(&self) -> Option<f32> {
        match self {
            Self::Exact(_) | Self::Device(_) => None,
            #[cfg(feature = "ann")]
            Self::Approximate(index) => Some(index.recall),
        }
    }

    /// The nearest entry that `rule` allows each row; `None` where entries are not searched by blocks on this machine.
    pub(super) fn search_allowed(&self, rows: &[f32], rule: &BitRows) -> Option<Result<Neighbours, String>> {
        let Self::Exact(bank) = self else { return None };
        let found = bank.search_allowed(rows, &[rule]).map_err(|error| error.to_string());
        Some(found.and_then(|mut found| found.pop().ok_or_else(|| "nothing was searched".into())))
    }

    pub(super) fn search(&self, rows: &[f32], k: usize) -> Result<Neighbours, String> {
        match self {
            Self::Exact(bank) => bank.search(rows, k).map_err(|error| error.to_string()),
            Self::Device(index) => index.search(rows, k),
            #[cfg(feature = "ann")]
            Self::Approximate(index) => index.search(rows, k),
        }
    }
}

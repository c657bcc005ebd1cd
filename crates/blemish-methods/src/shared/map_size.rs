//! Sizes of maps: of a batch, of a fit, in a model's state.

use blemish_core::error::Error;
use blemish_core::feature_batch::FeatureBatch;
use blemish_core::state::{State, StateError};
use blemish_features::FeatureMap;

/// Channels, height and width of a layer's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSize {
    /// C.
    pub channels: usize,
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

impl MapSize {
    /// That of a layer's maps.
    pub fn of(map: &FeatureMap) -> Self {
        Self { channels: map.channels, height: map.height, width: map.width }
    }

    /// H and W, in cells.
    pub fn grid(self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// Number of cells of a map, H W.
    pub fn cells(self) -> usize {
        self.height * self.width
    }

    /// Number of values of a map, C H W.
    pub fn values(self) -> usize {
        self.channels * self.cells()
    }
}

/// Sizes of a batch's maps, one a layer.
pub fn sizes_of(batch: &FeatureBatch) -> Vec<MapSize> {
    batch.maps.iter().map(MapSize::of).collect()
}

/// Checks that maps have the channels that a network was made for.
///
/// # Errors
/// [`Error::Score`] with both lists of channels.
pub fn check_channels(batch: &FeatureBatch, sizes: &[MapSize]) -> Result<(), Error> {
    let channels = |sizes: &[MapSize]| sizes.iter().map(|size| size.channels).collect::<Vec<_>>();
    let (found, expected) = (channels(&sizes_of(batch)), channels(sizes));
    if found != expected {
        let reason = format!("the backbone gives maps of {found:?} channels, the model is for {expected:?}");
        return Err(Error::Score { reason });
    }
    Ok(())
}

/// Keeps the sizes of the maps that a model is for.
pub fn store_sizes(sizes: &[MapSize], state: &mut State) {
    let values: Vec<u32> = sizes
        .iter()
        .flat_map(|size| [size.channels, size.height, size.width])
        .map(|side| side as u32)
        .collect();
    state.set_u32("sizes", &[sizes.len(), 3], values);
}

/// The sizes that [`store_sizes`] kept, at least one.
///
/// # Errors
/// [`Error::State`] if they are missing or out of range.
pub fn load_sizes(state: &State) -> Result<Vec<MapSize>, Error> {
    let (shape, values) = state.u32("sizes", 2)?;
    // Weights of such a size could not be in a file; only a corrupt one has them.
    let is_sound = |&value: &u32| (1..=1 << 16).contains(&value);
    if shape[1] != 3 || !values.iter().all(is_sound) || !(1..=64).contains(&shape[0]) {
        return Err(StateError { name: "sizes".into(), reason: "does not hold sizes of maps".into() }.into());
    }
    let size = |sides: &[u32]| MapSize {
        channels: sides[0] as usize,
        height: sides[1] as usize,
        width: sides[2] as usize,
    };
    Ok(values.chunks_exact(3).map(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_sizes_come_back_and_broken_ones_are_named() {
        let sizes =
            [MapSize { channels: 64, height: 7, width: 9 }, MapSize { channels: 1, height: 1, width: 1 }];
        let mut state = State::default();
        store_sizes(&sizes, &mut state);
        assert_eq!(load_sizes(&state).unwrap(), sizes);
        assert_eq!(sizes[0].values(), 64 * 63);
        for (shape, values) in
            [([0, 3], vec![]), ([1, 3], vec![64, 0, 9]), ([1, 3], vec![1 << 17, 7, 9]), ([1, 2], vec![7, 9])]
        {
            state.set_u32("sizes", &shape, values);
            assert!(load_sizes(&state).unwrap_err().to_string().contains("`sizes`"));
        }
    }
}

//! A trained network on maps of known sizes, as a model keeps it.

use super::map_size::{MapSize, load_sizes, store_sizes};
use super::network_state;
use super::tensors::scoring_device;
use blemish_core::error::Error;
use blemish_core::state::State;
use blemish_features::Device;
use blemish_nn::init::Init;
use blemish_nn::train::Curve;
use blemish_nn::weights::Network;

/// A trained network with the sizes of the maps that it was made for and the curve of its loss.
#[derive(Debug)]
pub struct MapNetwork<N> {
    /// One a layer of maps, at least one.
    pub sizes: Vec<MapSize>,
    /// Without gradients.
    pub network: N,
    /// What the loss did.
    pub curve: Curve,
}

impl<N: Network> MapNetwork<N> {
    /// Puts sizes, weights and curve into a model's state.
    pub fn store(&self, state: &mut State) {
        store_sizes(&self.sizes, state);
        network_state::store(&self.network, "", &self.curve, state);
    }

    /// What [`Self::store`] has kept; `blank` makes a network for maps of the stored sizes, whose weights count for nothing.
    ///
    /// # Errors
    /// [`Error::State`] naming the tensor that is missing, misshapen or not finite; [`Error::Features`] if there is no such device.
    pub fn restore(
        state: &State,
        device: Device,
        blank: impl FnOnce(&[MapSize], &mut Init) -> N,
    ) -> Result<Self, Error> {
        let sizes = load_sizes(state)?;
        let blank = blank(&sizes, &mut Init::blank(&scoring_device(device)?));
        let (network, curve) = network_state::load(blank, "", state)?;
        Ok(Self { sizes, network, curve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_nn::flow::{Chain, ChannelAffine, Permutation, Piece};
    use blemish_nn::weights::{collect, orders};

    fn network(sizes: &[MapSize], init: &mut Init) -> Chain {
        let channels = sizes[0].channels;
        let affine = Piece::Affine(ChannelAffine::new(channels, init));
        Chain { pieces: vec![affine, Piece::Permutation(Permutation::new(channels, init))] }
    }

    #[test]
    fn weights_orders_sizes_and_curve_come_back() {
        let device = blemish_nn::Device::flex();
        let sizes = vec![MapSize { channels: 6, height: 2, width: 3 }];
        let network_of = |seed| network(&sizes, &mut Init::new(seed, &device));
        let curve = Curve::of(3, vec![2.0, 1.0]);
        let kept = MapNetwork { sizes: sizes.clone(), network: network_of(5), curve };
        let mut state = State::default();
        kept.store(&mut state);
        let restored = MapNetwork::restore(&state, Device::Cpu, network).unwrap();
        assert_eq!(restored.sizes, kept.sizes);
        assert_eq!((restored.curve.part, &restored.curve.losses), (3, &vec![2.0, 1.0]));
        assert_eq!(collect(&restored.network), collect(&kept.network));
        assert_eq!(orders(&restored.network), orders(&kept.network));
        assert_ne!(orders(&restored.network)[0], (0..6).collect::<Vec<_>>(), "an order of its own");
        state.set_u32("order.0", &[6], vec![0, 1, 2, 3, 4, 4]);
        let error = MapNetwork::restore(&state, Device::Cpu, network).unwrap_err().to_string();
        assert!(error.contains("`order.0` is not an order of 6 channels"), "{error}");
    }
}

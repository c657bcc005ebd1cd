//! Trained networks in a model's state: weights, fixed orders of channels, loss curves.

use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_nn::train::Curve;
use blemish_nn::weights::{self, Network, Values, WeightError};

/// Puts a network's weights, its fixed orders of channels and the loss curve of its training into a model's state, each under a name
/// that begins with `prefix` (the curve's after `loss_curve.`).
pub fn store<N: Network>(network: &N, prefix: &str, curve: &Curve, state: &mut State) {
    for (name, (shape, values)) in weights::collect(network) {
        state.set_f32(&format!("{prefix}{name}"), &shape, values);
    }
    for (number, order) in weights::orders(network).into_iter().enumerate() {
        let values: Vec<u32> = order.into_iter().map(|channel| channel as u32).collect();
        state.set_u32(&format!("{prefix}order.{number}"), &[values.len()], values);
    }
    store_curve(prefix, curve, state);
}

/// Puts a loss curve alone into a model's state, for a network that no score needs.
pub fn store_curve(prefix: &str, curve: &Curve, state: &mut State) {
    let losses: Vec<f32> = curve.losses.iter().map(|&loss| loss as f32).collect();
    state.set_f32(&format!("loss_curve.{prefix}values"), &[losses.len()], losses);
    state.set_count(&format!("loss_curve.{prefix}part"), curve.part);
}

/// A loss curve as [`store`] and [`store_curve`] keep it: mean losses, and the steps of each.
///
/// # Errors
/// [`StateError`] naming what is missing or misshapen.
pub fn load_curve(prefix: &str, state: &State) -> Result<Curve, StateError> {
    let (_, losses) = state.f32(&format!("loss_curve.{prefix}values"), 1)?;
    let part = state.count(&format!("loss_curve.{prefix}part"))?;
    Ok(Curve::of(part, losses.iter().map(|&loss| f64::from(loss)).collect()))
}

/// All loss curves in a model's state, each with the name of its network ("" for an only one).
pub fn loss_curves(state: &State) -> Vec<(String, Curve)> {
    let name_of = |name: &String| Some(name.strip_prefix("loss_curve.")?.strip_suffix("values")?.to_owned());
    let prefixes = state.tensors().keys().filter_map(name_of);
    prefixes
        .filter_map(|prefix| {
            let curve = load_curve(&prefix, state).ok()?;
            Some((prefix.trim_end_matches('.').replace('.', " "), curve))
        })
        .collect()
}

/// A network with what [`store`] has kept of it, and its loss curve; `blank` has the shapes.
///
/// # Errors
/// [`Error::State`] naming the tensor that is missing, misshapen or not finite.
pub fn load<N: Network>(blank: N, prefix: &str, state: &State) -> Result<(N, Curve), Error> {
    let whole = |name: &str| format!("{prefix}{name}");
    let weight = |name: &str| -> Result<Values, LoadError> {
        let name = whole(name);
        let rank = state.tensors().get(&name).map_or(1, |tensor| tensor.shape.len());
        let (shape, values) = state.f32(&name, rank)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(StateError { name, reason: "holds values that are not finite".into() }.into());
        }
        Ok((shape.to_vec(), values.to_vec()))
    };
    let order = |number: usize| -> Result<Vec<usize>, LoadError> {
        let (_, values) = state.u32(&whole(&format!("order.{number}")), 1)?;
        Ok(values.iter().map(|&channel| channel as usize).collect())
    };
    let loaded = weights::load(blank, weight).and_then(|mut network| {
        weights::load_orders(&mut network, order)?;
        Ok(network)
    });
    let network = loaded.map_err(|error| match error {
        LoadError::State(error) => error,
        LoadError::Weight(WeightError { name, reason }) => StateError { name: whole(&name), reason },
    })?;
    Ok((network, load_curve(prefix, state)?))
}

/// What a state lacks, or what does not fit the network, which knows nothing of prefixes.
enum LoadError {
    State(StateError),
    Weight(WeightError),
}

impl From<StateError> for LoadError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<WeightError> for LoadError {
    fn from(error: WeightError) -> Self {
        Self::Weight(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_nn::Device;
    use blemish_nn::init::Init;
    use blemish_nn::layers::Dense;

    #[test]
    fn a_weight_that_does_not_fit_is_named_as_in_the_file() {
        let dense = |outputs| Dense::new(2, outputs, &mut Init::new(1, &Device::flex()));
        let mut state = State::default();
        store(&dense(3), "layer.1.", &Curve::of(1, vec![1.0]), &mut state);
        let error = load(dense(4), "layer.1.", &state).unwrap_err().to_string();
        assert!(error.contains("`layer.1.bias`") || error.contains("`layer.1.weight`"), "{error}");
        assert!(load(dense(3), "layer.2.", &state).unwrap_err().to_string().contains("`layer.2."));
    }
}

//! Trained networks in a model's state: weights, fixed orders of channels, loss curves.

use blemish_core::error::Error;
use blemish_core::state::{State, StateError};
use blemish_nn::Module;
use blemish_nn::flow::Ordered;
use blemish_nn::train::Curve;
use blemish_nn::weights::{self, Values, WeightError};

/// Puts a network's weights, its fixed orders of channels and the loss curve of its training into a model's state, each under a name
/// that begins with `prefix` (the curve's after `loss_curve.`).
pub fn store<M: Module + Ordered>(network: &M, prefix: &str, curve: &Curve, state: &mut State) {
    for (name, (shape, values)) in weights::collect(network) {
        state.set_f32(&format!("{prefix}{name}"), &shape, values);
    }
    for (number, order) in network.clone().orders().into_iter().enumerate() {
        let values: Vec<u32> = order.iter().map(|&channel| channel as u32).collect();
        state.set_u32(&format!("{prefix}order.{number}"), &[values.len()], values);
    }
    let losses: Vec<f32> = curve.losses.iter().map(|&loss| loss as f32).collect();
    state.set_f32(&format!("loss_curve.{prefix}values"), &[losses.len()], losses);
    state.set_count(&format!("loss_curve.{prefix}part"), curve.part);
}

/// A loss curve as [`store`] keeps it: mean losses, and the steps of each.
fn load_curve(prefix: &str, state: &State) -> Result<Curve, StateError> {
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
pub fn load<M: Module + Ordered>(blank: M, prefix: &str, state: &State) -> Result<(M, Curve), Error> {
    let mut network = weights::load(blank, |name: &str| -> Result<Values, LoadError> {
        let name = format!("{prefix}{name}");
        let rank = state.tensors().get(&name).map_or(1, |tensor| tensor.shape.len());
        let (shape, values) = state.f32(&name, rank).map_err(LoadError)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(LoadError(StateError { name, reason: "holds values that are not finite".into() }));
        }
        Ok((shape.to_vec(), values.to_vec()))
    })
    .map_err(|LoadError(error)| Error::State(error))?;
    for (number, order) in network.orders().into_iter().enumerate() {
        let name = format!("{prefix}order.{number}");
        let values: Vec<usize> = state.u32(&name, 1)?.1.iter().map(|&channel| channel as usize).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        if values.len() != order.len() || !sorted.into_iter().eq(0..order.len()) {
            let reason = format!("is not an order of {} channels", order.len());
            return Err(StateError { name, reason }.into());
        }
        *order = values;
    }
    Ok((network, load_curve(prefix, state)?))
}

struct LoadError(StateError);

impl From<WeightError> for LoadError {
    fn from(error: WeightError) -> Self {
        Self(StateError { name: error.name, reason: error.reason })
    }
}

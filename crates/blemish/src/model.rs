//! What a fit has made: a method's models, the views that they look through, and the backbones.

use crate::config::ScoreOptions;
use crate::file::backbone;
use crate::view::{View, Work, score_image};
use blemish_core::entry::MethodEntry;
use blemish_core::error::Error;
use blemish_core::map::Scored;
use blemish_core::state::State;
use blemish_data::{Facts, RgbImage, Transform};
use blemish_features::{Backbone, Engine, EngineOptions};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What scores images.
pub(crate) struct Model {
    pub(crate) entry: &'static dyn MethodEntry,
    /// At least one, the largest input first.
    pub(crate) views: Vec<View>,
    /// Those that the views look through; none for a method without any.
    pub(crate) backbones: Vec<Arc<Backbone>>,
}

impl Model {
    /// How images become input; of several input sizes the largest, whose size maps have.
    pub(crate) fn transform(&self) -> &Arc<Transform> {
        // A fit makes a view at least, and a file without any is read as one.
        self.views[0].transform()
    }

    /// The view of a model with one view of whole images: what its transform makes of images is all it needs, batch by batch.
    pub(crate) fn single(&self) -> Option<&View> {
        match self.views.as_slice() {
            [view] if view.header().tiles.is_none() => Some(view),
            _ => None,
        }
    }

    /// Scores one decoded image.
    ///
    /// # Errors
    /// [`Error::Score`], [`Error::Features`], [`Error::Interrupted`].
    pub(crate) fn score_image(&self, image: &RgbImage, options: &ScoreOptions<'_>) -> Result<Scored, Error> {
        self.score_known(image, None, options)
    }

    /// The same with what is known of the image, and the names of categories.
    ///
    /// # Errors
    /// As [`Self::score_image`].
    pub(crate) fn score_known(
        &self,
        image: &RgbImage,
        facts: Option<(&Facts, &[String])>,
        options: &ScoreOptions<'_>,
    ) -> Result<Scored, Error> {
        let work = Work { batch_size: options.batch_size, observer: options.observer };
        score_image(&self.views, image, facts, work)
    }

    /// What its methods have learnt.
    pub(crate) fn tensors(&self) -> State {
        let mut state = State::default();
        for (number, view) in self.views.iter().enumerate() {
            state.absorb(&prefix(number, self.views.len()), view.state());
        }
        state
    }

    /// Whether nothing but our own deterministic kernels makes the scores.
    pub(crate) fn is_native(&self, engine: &EngineOptions) -> bool {
        let is_onnx = self.backbones.iter().any(|backbone| backbone.name() == backbone::ONNX);
        !is_onnx && matches!(engine.engine, Engine::Auto | Engine::Native) && engine.device.is_cpu()
    }

    /// SHA-256 of what makes this model: method, backbones, transform, and the method's tensors.
    ///
    /// Settings are left out, since later programs add some; what they do shows in the scores.
    pub(crate) fn content(&self) -> [u8; 32] {
        let mut backbones = self.backbones.iter().map(|backbone| backbone.digest());
        let backbone = backbones.next().unwrap_or_default();
        // Transforms and views are plain values, which always serialise.
        let input = match self.single() {
            Some(view) => serde_json::to_string(&**view.transform()),
            None => serde_json::to_string(&self.views.iter().map(View::header).collect::<Vec<_>>()),
        };
        let input = input.unwrap_or_default();
        let mut digest = Sha256::new();
        for text in [self.entry.info().name, backbone, &input].into_iter().chain(backbones) {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
        for (name, tensor) in self.tensors().tensors() {
            digest.update(format!("{name} {:?}", tensor.shape).as_bytes());
            digest.update(tensor.values.bytes());
        }
        digest.finalize().into()
    }
}

/// What the names of a view's tensors begin with.
pub(crate) fn prefix(view: usize, views: usize) -> String {
    if views > 1 { format!("view.{view}.") } else { String::new() }
}

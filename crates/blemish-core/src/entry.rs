//! Methods with their types erased: what detectors, lists and documentation see.

use crate::error::Error;
use crate::feature_batch::FeatureBatch;
use crate::map::{MapStage, PatchScores};
use crate::method::{FitContext, LeaveOneOut, Method, MethodInfo, TrainingSet};
use crate::settings::{self, SettingInfo, Settings};
use crate::state::State;
use crate::update::Living;
use blemish_data::{ImageBatch, Transform};
use blemish_features::Backbone;
use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

/// A method, fitted: what everything else sees.
pub trait Fitted: Any + Send + Sync {
    /// Name, citation, needs.
    fn info(&self) -> &'static MethodInfo;
    /// See [`Method::score`].
    ///
    /// # Errors
    /// As there.
    fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error>;
    /// See [`Method::score_features`].
    ///
    /// # Errors
    /// As there.
    fn score_features(&self, features: &FeatureBatch) -> Result<Option<Vec<PatchScores>>, Error>;
    /// See [`Method::leave_one_out`].
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut>;
    /// See [`Method::map_stage`].
    fn map_stage(&self) -> MapStage;
    /// See [`Method::state`].
    fn state(&self) -> State;
    /// The settings it was fitted with, every choice filled in.
    fn settings(&self) -> Settings;
}

impl<M: Method> Fitted for M {
    fn info(&self) -> &'static MethodInfo {
        &M::INFO
    }
    fn score(&self, batch: &ImageBatch) -> Result<Vec<PatchScores>, Error> {
        Method::score(self, batch)
    }
    fn score_features(&self, features: &FeatureBatch) -> Result<Option<Vec<PatchScores>>, Error> {
        Method::score_features(self, features)
    }
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        Method::leave_one_out(self)
    }
    fn map_stage(&self) -> MapStage {
        Method::map_stage(self)
    }
    fn state(&self) -> State {
        Method::state(self)
    }
    fn settings(&self) -> Settings {
        match serde_json::to_value(self.config()) {
            Ok(serde_json::Value::Object(map)) => map,
            // A configuration is a struct of plain values, which always serialises to an object.
            _ => Settings::new(),
        }
    }
}

/// A line of the registry: what can be known and done before a method is fitted.
pub trait MethodEntry: Send + Sync {
    /// Name, citation, needs.
    fn info(&self) -> &'static MethodInfo;
    /// Its settings with defaults, ranges and meanings.
    fn settings(&self) -> Vec<SettingInfo>;
    /// Reads `key=value` pairs.
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn parse(&self, pairs: &[(String, String)]) -> Result<Settings, Error>;
    /// How its models learn on and are joined, if they can.
    fn living(&self) -> Option<&dyn LivingEntry>;
    /// See [`Method::default_transform`].
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn default_transform(&self, settings: &Settings) -> Result<Transform, Error>;
    /// See [`Method::fit`].
    ///
    /// # Errors
    /// As there, and [`Error::Setting`].
    fn fit(
        &self,
        settings: &Settings,
        train: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error>;
    /// See [`Method::restore`].
    ///
    /// # Errors
    /// As there, and [`Error::Setting`].
    fn restore(
        &self,
        settings: &Settings,
        state: State,
        backbone: Option<Arc<Backbone>>,
    ) -> Result<Box<dyn Fitted>, Error>;
}

/// The registry's entry for a method type.
pub struct Entry<M> {
    living: Option<&'static dyn LivingEntry>,
    method: PhantomData<fn() -> M>,
}

impl<M: Method> Entry<M> {
    /// The entry of a method whose models stay as they were fitted.
    pub const fn new() -> Self {
        Self { living: None, method: PhantomData }
    }
}

impl<M: Living> Entry<M> {
    /// The entry of a method whose models can be updated and merged.
    pub const fn living(self) -> Self {
        Self { living: Some(&LivingModels::<M>::NEW), ..self }
    }
}

impl<M: Method> MethodEntry for Entry<M> {
    fn info(&self) -> &'static MethodInfo {
        &M::INFO
    }
    fn settings(&self) -> Vec<SettingInfo> {
        settings::describe::<M::Config>()
    }
    fn living(&self) -> Option<&dyn LivingEntry> {
        self.living
    }
    fn parse(&self, pairs: &[(String, String)]) -> Result<Settings, Error> {
        settings::parse::<M::Config>(pairs)
    }
    fn default_transform(&self, settings: &Settings) -> Result<Transform, Error> {
        Ok(M::default_transform(&settings::typed(settings)?))
    }
    fn fit(
        &self,
        settings: &Settings,
        train: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error> {
        Ok(Box::new(M::fit(&settings::typed(settings)?, train, context)?))
    }
    fn restore(
        &self,
        settings: &Settings,
        state: State,
        backbone: Option<Arc<Backbone>>,
    ) -> Result<Box<dyn Fitted>, Error> {
        Ok(Box::new(M::restore(settings::typed(settings)?, state, backbone)?))
    }
}

/// [`Living`], for any fitted method.
pub trait LivingEntry: Send + Sync {
    /// See [`Living::update`].
    ///
    /// # Errors
    /// As there.
    fn update(
        &self,
        model: &dyn Fitted,
        train: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error>;
    /// See [`Living::merge`].
    ///
    /// # Errors
    /// As there.
    fn merge(&self, parts: &[&dyn Fitted], context: &FitContext<'_>) -> Result<Box<dyn Fitted>, Error>;
    /// See [`Living::coverage`].
    fn coverage(&self, model: &dyn Fitted) -> String;
}

/// The registry's [`LivingEntry`] of a method type.
pub struct LivingModels<M>(PhantomData<fn() -> M>);

impl<M> LivingModels<M> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

/// The method behind a fitted model; the registry entry that leads here is that of the model's own method.
fn typed<M: Method>(model: &dyn Fitted) -> Result<&M, Error> {
    let model: &dyn Any = model;
    model
        .downcast_ref()
        .ok_or(Error::Living { action: "merge", reason: "the models are of different methods".into() })
}

impl<M: Living> LivingEntry for LivingModels<M> {
    fn update(
        &self,
        model: &dyn Fitted,
        train: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error> {
        Ok(Box::new(typed::<M>(model)?.update(train, context)?))
    }
    fn merge(&self, parts: &[&dyn Fitted], context: &FitContext<'_>) -> Result<Box<dyn Fitted>, Error> {
        let parts = parts.iter().map(|model| typed(*model)).collect::<Result<Vec<&M>, _>>()?;
        Ok(Box::new(M::merge(&parts, context)?))
    }
    fn coverage(&self, model: &dyn Fitted) -> String {
        typed::<M>(model).map(Living::coverage).unwrap_or_default()
    }
}

//! Methods with their types erased: what detectors, lists and documentation see.

use crate::error::Error;
use crate::export::{Export, GraphInput, GraphScores, cannot as cannot_export};
use crate::input::Input;
use crate::map::{MapStage, PatchScores};
use crate::method::{FitContext, LeaveOneOut, Method, MethodInfo, Session, Stored, TrainingSet};
use crate::needs::Needs;
use crate::preset::Preset;
use crate::settings::{self, SettingInfo, Settings};
use crate::state::State;
use blemish_data::Transform;
use blemish_features::onnx::GraphWriter;
use serde_json::{Value, json};
use std::any::Any;
use std::marker::PhantomData;

/// A method, fitted: what everything above it sees.
pub trait Fitted: Any + Send + Sync {
    /// Name, citation, advice.
    fn info(&self) -> &'static MethodInfo;
    /// See [`Method::needs`], of the settings it was fitted with.
    fn needs(&self) -> Needs;
    /// See [`Method::score`].
    ///
    /// # Errors
    /// As there.
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error>;
    /// See [`Method::leave_one_out`].
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut>;
    /// See [`Method::session`].
    fn session(&self) -> Option<Box<dyn Session + '_>>;
    /// See [`Method::map_stage`].
    fn map_stage(&self) -> MapStage;
    /// Adds it to a graph, see [`Method::EXPORT`].
    ///
    /// # Errors
    /// [`Error::Export`] if its method or its settings cannot be written.
    fn write(&self, writer: &mut GraphWriter, input: &GraphInput<'_>) -> Result<GraphScores, Error>;
    /// See [`Method::state`].
    fn state(&self) -> State;
    /// The settings it was fitted with, every choice filled in.
    fn settings(&self) -> Settings;
}

impl<M: Method> Fitted for M {
    fn info(&self) -> &'static MethodInfo {
        &M::INFO
    }
    fn needs(&self) -> Needs {
        M::needs(self.config())
    }
    fn score(&self, input: &Input<'_>) -> Result<Vec<PatchScores>, Error> {
        Method::score(self, input)
    }
    fn leave_one_out(&self) -> Option<&dyn LeaveOneOut> {
        Method::leave_one_out(self)
    }
    fn session(&self) -> Option<Box<dyn Session + '_>> {
        Method::session(self)
    }
    fn map_stage(&self) -> MapStage {
        Method::map_stage(self)
    }
    fn write(&self, writer: &mut GraphWriter, input: &GraphInput<'_>) -> Result<GraphScores, Error> {
        match M::EXPORT {
            Export::Written(write) => write(self, writer, input),
            Export::Missing(reason) => {
                Err(cannot_export(format!("models of {} have no graph; {reason}", M::INFO.name)))
            }
        }
    }
    fn state(&self) -> State {
        Method::state(self)
    }
    fn settings(&self) -> Settings {
        settings::all_of(self.config())
    }
}

/// A line of the list of methods: what can be known and done before a method is fitted.
pub trait MethodEntry: Send + Sync {
    /// Name, citation, advice.
    fn info(&self) -> &'static MethodInfo;
    /// Its settings with defaults, ranges and meanings.
    fn settings(&self) -> Vec<SettingInfo>;
    /// All settings of a preset; `None` for a method that has none.
    fn preset(&self, preset: Preset) -> Option<Settings>;
    /// Reads `key=value` pairs.
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn parse(&self, pairs: &[(String, String)]) -> Result<Settings, Error>;
    /// See [`Method::needs`].
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn needs(&self, settings: &Settings) -> Result<Needs, Error>;
    /// How its models learn on and are joined, if they can.
    fn updates(&self) -> Option<&dyn UpdateEntry>;
    /// Whether its models can be written as a graph; if not, the reason in a sentence without its subject and full stop.
    ///
    /// # Errors
    /// The reason.
    fn exports(&self) -> Result<(), &'static str>;
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
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error>;
    /// See [`Method::restore`].
    ///
    /// # Errors
    /// As there, and [`Error::Setting`].
    fn restore(&self, stored: Stored<&Settings>) -> Result<Box<dyn Fitted>, Error>;
}

/// What only some methods' models can do after the fit, as verbs.
pub fn abilities(entry: &dyn MethodEntry) -> Vec<&'static str> {
    let mut abilities = if entry.updates().is_some() { vec!["update", "merge"] } else { Vec::new() };
    if entry.exports().is_ok() {
        abilities.push("export");
    }
    abilities
}

/// All that is known of a method before it is fitted, for machines: `name`, `family`, `summary`, `advice`, `citation`, `abilities`, `no_export`
/// (why not, if not), `settings` (each with `name`, `default`, `allowed`, `meaning`) and `presets` (all settings of each, by name).
pub fn described(entry: &dyn MethodEntry) -> Value {
    let info = entry.info();
    let setting = |setting: SettingInfo| json!({"name": setting.name, "default": setting.default, "allowed": setting.allowed, "meaning": setting.meaning});
    let preset = |preset: Preset| Some((preset.name().to_owned(), Value::Object(entry.preset(preset)?)));
    json!({
        "name": info.name, "family": info.family.to_string(), "summary": info.summary, "advice": info.advice, "citation": info.citation,
        "abilities": abilities(entry), "no_export": entry.exports().err(),
        "settings": entry.settings().into_iter().map(setting).collect::<Vec<_>>(),
        "presets": Value::Object([Preset::Cpu, Preset::Paper].into_iter().filter_map(preset).collect()),
    })
}

/// [`Updates`](crate::method::Updates), for any fitted method.
pub trait UpdateEntry: Send + Sync {
    /// The model after learning from more images.
    ///
    /// # Errors
    /// [`Error::Living`] if the model was not made for it; else as [`Method::fit`].
    fn update(
        &self,
        model: &dyn Fitted,
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error>;
    /// One model of several.
    ///
    /// # Errors
    /// [`Error::Living`] if the models do not go together.
    fn merge(&self, parts: &[&dyn Fitted], context: &FitContext<'_>) -> Result<Box<dyn Fitted>, Error>;
    /// What the model stands for and how well, in a few words.
    fn coverage(&self, model: &dyn Fitted) -> String;
}

/// The entry of a method type.
pub struct Entry<M>(PhantomData<fn() -> M>);

impl<M: Method> Entry<M> {
    /// The only value.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<M: Method> Default for Entry<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Method> MethodEntry for Entry<M> {
    fn info(&self) -> &'static MethodInfo {
        &M::INFO
    }
    fn settings(&self) -> Vec<SettingInfo> {
        settings::describe::<M::Config>()
    }
    fn preset(&self, preset: Preset) -> Option<Settings> {
        M::preset(preset).map(|config| settings::all_of(&config))
    }
    fn parse(&self, pairs: &[(String, String)]) -> Result<Settings, Error> {
        settings::parse::<M::Config>(pairs)
    }
    fn needs(&self, settings: &Settings) -> Result<Needs, Error> {
        Ok(M::needs(&config_of::<M>(settings)?))
    }
    fn updates(&self) -> Option<&dyn UpdateEntry> {
        M::UPDATES.is_some().then_some(self)
    }
    fn exports(&self) -> Result<(), &'static str> {
        match M::EXPORT {
            Export::Written(_) => Ok(()),
            Export::Missing(reason) => Err(reason),
        }
    }
    fn default_transform(&self, settings: &Settings) -> Result<Transform, Error> {
        Ok(M::default_transform(&config_of::<M>(settings)?))
    }
    fn fit(
        &self,
        settings: &Settings,
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error> {
        Ok(Box::new(M::fit(&config_of::<M>(settings)?, good, context)?))
    }
    fn restore(&self, stored: Stored<&Settings>) -> Result<Box<dyn Fitted>, Error> {
        let Stored { config, state, backbone, device } = stored;
        let config = config_of::<M>(config)?;
        Ok(Box::new(M::restore(Stored { config, state, backbone, device })?))
    }
}

impl<M: Method> UpdateEntry for Entry<M> {
    fn update(
        &self,
        model: &dyn Fitted,
        good: &dyn TrainingSet,
        context: &FitContext<'_>,
    ) -> Result<Box<dyn Fitted>, Error> {
        let updates = M::UPDATES.ok_or_else(|| cannot::<M>("update"))?;
        Ok(Box::new((updates.update)(typed::<M>("update", model)?, good, context)?))
    }
    fn merge(&self, parts: &[&dyn Fitted], context: &FitContext<'_>) -> Result<Box<dyn Fitted>, Error> {
        let updates = M::UPDATES.ok_or_else(|| cannot::<M>("merge"))?;
        let parts = parts.iter().map(|model| typed("merge", *model)).collect::<Result<Vec<&M>, _>>()?;
        Ok(Box::new((updates.merge)(&parts, context)?))
    }
    fn coverage(&self, model: &dyn Fitted) -> String {
        match (M::UPDATES, typed::<M>("update", model)) {
            (Some(updates), Ok(model)) => (updates.coverage)(model),
            _ => String::new(),
        }
    }
}

/// The typed configuration: what the preset says, and over it what is set.
fn config_of<M: Method>(settings: &Settings) -> Result<M::Config, Error> {
    let named =
        settings.get(Preset::KEY).map(|name| serde_json::from_value(name.clone()).unwrap_or_default());
    match named.and_then(M::preset) {
        Some(base) => settings::typed_over(base, settings),
        None => settings::typed(settings),
    }
}

fn cannot<M: Method>(action: &'static str) -> Error {
    Error::Living { action, reason: format!("models of {} stay as they were fitted", M::INFO.name) }
}

/// The method behind a fitted model.
fn typed<'a, M: Method>(action: &'static str, model: &'a dyn Fitted) -> Result<&'a M, Error> {
    let model: &dyn Any = model;
    model.downcast_ref().ok_or(Error::Living { action, reason: "the models are of different methods".into() })
}

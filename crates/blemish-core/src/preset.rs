//! How much a method that trains a network spends on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Two sizes of the same method: settings that are not set take the preset's values. Older models of PNI have other names for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Trains in minutes on a CPU and scores several images a second there.
    #[default]
    #[serde(alias = "compact")]
    Cpu,
    /// Width, input size and steps as published: hours on a GPU.
    #[serde(alias = "published")]
    Paper,
}

impl Preset {
    /// The setting that names it.
    pub const KEY: &str = "preset";

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Paper => "paper",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Cpu => Self::Paper,
            Self::Paper => Self::Cpu,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

//! The tensors that a model answers with.

/// An output tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Image scores.
    Score,
    /// P-values.
    PValue,
    /// Decisions.
    Anomalous,
    /// Regions, JSON an image.
    Regions,
    /// Anomaly maps.
    Map,
}

/// Which outputs a model has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calibrated {
    /// Whether there are p-values.
    pub has_p_values: bool,
    /// Whether there is a threshold, and so decisions.
    pub decides: bool,
}

impl Output {
    /// All, in the order in which they are listed and answered.
    pub const ALL: [Self; 5] = [Self::Score, Self::PValue, Self::Anomalous, Self::Regions, Self::Map];

    /// Its name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::PValue => "p_value",
            Self::Anomalous => "anomalous",
            Self::Regions => "regions",
            Self::Map => "map",
        }
    }

    /// The output of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|output| output.name() == name)
    }

    /// The type of its elements.
    pub fn datatype(self) -> &'static str {
        match self {
            Self::Score | Self::Map => "FP32",
            Self::PValue => "FP64",
            Self::Anomalous => "BOOL",
            Self::Regions => "BYTES",
        }
    }

    /// Its shape in metadata; -1 is whatever comes.
    pub fn shape(self) -> &'static [i64] {
        match self {
            Self::Map => &[-1, -1, -1],
            _ => &[-1],
        }
    }

    /// Whether a model has it.
    pub fn is_there(self, model: Calibrated) -> bool {
        match self {
            Self::PValue => model.has_p_values,
            Self::Anomalous => model.decides,
            Self::Score | Self::Regions | Self::Map => true,
        }
    }
}

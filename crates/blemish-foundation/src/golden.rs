//! Weights, inputs and outputs of independent implementations, as the scripts in `tests/golden` write them.

use blemish_features::weights::read_state_dict;
use blemish_features::{StateDict, Tensor};
use std::path::{Path, PathBuf};

pub(crate) struct Golden {
    weights: StateDict,
    values: StateDict,
}

impl Golden {
    /// Those of `tests/golden/NAME.safetensors`.
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        Self::of(&folder.join(format!("{name}.safetensors")))
    }

    /// Those of the published width, which `make_NAME.py --published FOLDER` makes, where BLEMISH_GOLDEN_PUBLISHED names that folder.
    pub fn published(name: &str) -> Option<Self> {
        let Some(folder) = std::env::var_os("BLEMISH_GOLDEN_PUBLISHED") else {
            println!("skipped: BLEMISH_GOLDEN_PUBLISHED names no folder with {name}.safetensors");
            return None;
        };
        Some(Self::of(&PathBuf::from(folder).join(format!("{name}.safetensors"))))
    }

    fn of(path: &Path) -> Self {
        let mut values = read_state_dict(path).unwrap();
        let names: Vec<String> = values.keys().filter(|name| name.starts_with("weights.")).cloned().collect();
        let take = |name: String| {
            let tensor = values.remove(&name).unwrap();
            (name["weights.".len()..].to_owned(), tensor)
        };
        let weights = names.into_iter().map(take).collect();
        Self { weights, values }
    }

    /// The weights by the names of the independent implementation.
    pub fn weights(&self) -> StateDict {
        self.weights.clone()
    }

    /// The same, for networks too large to be in memory twice.
    pub fn take_weights(&mut self) -> StateDict {
        std::mem::take(&mut self.weights)
    }

    pub fn tensor(&self, name: &str) -> &Tensor {
        self.values.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    pub fn values(&self, name: &str) -> &[f32] {
        &self.tensor(name).data
    }

    /// Height and width of planes.
    pub fn size(&self, name: &str) -> (usize, usize) {
        let shape = &self.tensor(name).shape;
        (shape[shape.len() - 2], shape[shape.len() - 1])
    }

    /// Compares with stored values: within `tolerance` of the largest of them.
    pub fn close_to(&self, ours: &[f32], name: &str, tolerance: f32) {
        let theirs = self.values(name);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let off = ours.iter().zip(theirs).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        println!("{name} within {off:.1e}");
        assert!(off <= tolerance, "{name}: {off:.1e} off");
    }

    /// The same within 1e-4.
    pub fn close(&self, ours: &[f32], name: &str) {
        self.close_to(ours, name, 1e-4);
    }
}

//! Networks that embed images and texts in one space: their names and where their weights are.
//!
//! They are more than backbones and give no feature maps here; `blemish-foundation` runs them.

use crate::FeatureError;
use crate::weights::{self, WeightStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A network of images and texts that is known by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The variants are the names of the networks.
pub enum ImageText {
    #[default]
    ClipVitB16Plus240,
    ClipVitB32,
    ClipVitB16,
    ClipVitL14,
}

use ImageText::*;

/// Every network, its name, the side of its images, the values of its image tokens and the side of its patches.
const TABLE: [(ImageText, &str, usize, usize, usize); 4] = [
    (ClipVitB16Plus240, "clip_vit_b_16_plus_240", 240, 896, 16),
    (ClipVitB32, "clip_vit_b_32", 224, 768, 32),
    (ClipVitB16, "clip_vit_b_16", 224, 768, 16),
    (ClipVitL14, "clip_vit_l_14", 224, 1024, 14),
];

impl ImageText {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|&(network, ..)| network)
    }

    /// All names.
    pub fn names() -> String {
        Self::all().map(Self::name).collect::<Vec<_>>().join(", ")
    }

    /// The name users write, such as `clip_vit_b_32`.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Height and width of the only images it takes, in pixels.
    pub fn size(self) -> usize {
        TABLE[self as usize].2
    }

    /// Shape of the tensor that makes tokens of patches: width x 3 x patch x patch.
    pub fn patches(self) -> [usize; 4] {
        let (.., width, patch) = TABLE[self as usize];
        [width, 3, patch, patch]
    }

    /// The file with its weights: the one given, else the weight store's.
    ///
    /// # Errors
    /// [`FeatureError::NoImageText`] saying which file to bring; [`FeatureError::Store`].
    pub fn weight_file(self, given: Option<&Path>) -> Result<PathBuf, FeatureError> {
        if let Some(path) = given {
            return Ok(path.to_owned());
        }
        let network = self.name();
        WeightStore::open()?.find(network)?.ok_or_else(|| match weights::published(network) {
            Some(known) => {
                FeatureError::NoImageText { network, file: known.file, repository: known.repository }
            }
            None => FeatureError::NoWeights { network },
        })
    }
}

impl fmt::Display for ImageText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Accepts [`ImageText::name`] in any case, with `-`, `.` and blanks for `_`, and without the leading `clip`.
impl FromStr for ImageText {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, FeatureError> {
        let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '.', ' ', '_', '/'], "");
        let wanted = plain(text);
        let fits = |network: &Self| {
            let name = plain(network.name());
            name == wanted || name.strip_prefix("clip") == Some(&wanted)
        };
        Self::all()
            .find(fits)
            .ok_or_else(|| FeatureError::UnknownNetwork { name: text.to_owned(), known: Self::names() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_table_and_of_open_clip() {
        for (number, network) in ImageText::all().enumerate() {
            assert_eq!(network as usize, number);
            assert_eq!(network.name().parse::<ImageText>().unwrap(), network);
        }
        assert_eq!("ViT-B-16-plus-240".parse::<ImageText>().unwrap(), ClipVitB16Plus240);
        assert_eq!("ViT-B/32".parse::<ImageText>().unwrap(), ClipVitB32);
        assert!("vit".parse::<ImageText>().unwrap_err().to_string().contains("clip_vit_l_14"));
    }

    #[test]
    fn without_weights_the_file_to_bring_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("a.pt");
        assert_eq!(ClipVitB32.weight_file(Some(&given)).unwrap(), given);
        for network in ImageText::all() {
            assert!(weights::published(network.name()).is_some());
        }
    }
}

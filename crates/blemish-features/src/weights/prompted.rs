//! Networks that are asked by phrases and boxes: their names, and how their files are known. `blemish-foundation` runs them.

use super::catalogue::published;
use crate::FeatureError;
use crate::graph::StateDict;

/// The tensors that patches of a Segment Anything are placed by, under either of its names.
const PLACES: &[&str] = &["vision_encoder.pos_embed", "image_encoder.pos_embed"];
/// The tensors that make rows of patches in a Grounding DINO, under any of its names.
const PATCHES: &[&str] = &[
    "model.backbone.conv_encoder.model.embeddings.patch_embeddings.projection.weight",
    "backbone.0.patch_embed.proj.weight",
    "module.backbone.0.patch_embed.proj.weight",
];

/// The first convolution of MobileSAM.
const STEM: &[&str] = &["image_encoder.patch_embed.seq.0.c.weight"];

/// Every network: its name, the names of a tensor and its shape.
const TABLE: [(&str, &[&str], &[usize]); 5] = [
    ("grounding_dino_tiny", PATCHES, &[96, 3, 4, 4]),
    ("sam_vit_b", PLACES, &[1, 64, 64, 768]),
    ("sam_vit_l", PLACES, &[1, 64, 64, 1024]),
    ("sam_vit_h", PLACES, &[1, 64, 64, 1280]),
    ("mobile_sam", STEM, &[32, 3, 3, 3]),
];

/// File and repository of the only one that no hub has under its authors' name: MobileSAM.
const UNLISTED: (&str, &str) = ("weights/mobile_sam.pt", "ChaoningZhang/MobileSAM");

/// Names of all networks that are asked by phrases and boxes.
pub fn prompted_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, ..)| *name)
}

/// The name of the network that weights belong to, if they are those of one.
pub fn recognize_prompted(state: &StateDict) -> Option<&'static str> {
    let has = |(_, names, shape): &&(&str, &[&str], &[usize])| {
        names.iter().any(|name| state.get(*name).is_some_and(|tensor| tensor.shape == *shape))
    };
    TABLE.iter().find(has).map(|(name, ..)| *name)
}

/// Such a network by name, with its public file and the repository of that.
///
/// # Errors
/// [`FeatureError::UnknownNetwork`].
pub(super) fn origin(name: &str) -> Result<[&'static str; 3], FeatureError> {
    let network =
        prompted_names().find(|known| *known == name).ok_or_else(|| FeatureError::UnknownNetwork {
            name: name.to_owned(),
            known: prompted_names().collect::<Vec<_>>().join(", "),
        })?;
    let (file, repository) =
        published(network).map_or(UNLISTED, |published| (published.file, published.repository));
    Ok([network, file, repository])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;

    #[test]
    fn files_are_known_by_a_tensor_under_any_of_its_names() {
        let holding = |name: &str, shape: &[usize]| {
            let tensor = Tensor { shape: shape.to_vec(), data: Vec::new() };
            recognize_prompted(&StateDict::from([(name.to_owned(), tensor)]))
        };
        assert_eq!(holding("image_encoder.pos_embed", &[1, 64, 64, 1280]), Some("sam_vit_h"));
        assert_eq!(holding("vision_encoder.pos_embed", &[1, 64, 64, 768]), Some("sam_vit_b"));
        assert_eq!(
            holding("module.backbone.0.patch_embed.proj.weight", &[96, 3, 4, 4]),
            Some("grounding_dino_tiny")
        );
        assert_eq!(holding("module.backbone.0.patch_embed.proj.weight", &[128, 3, 4, 4]), None);
    }

    #[test]
    fn every_network_but_one_is_on_the_hub() {
        let unlisted: Vec<&str> = prompted_names().filter(|name| published(name).is_none()).collect();
        assert_eq!(unlisted, ["mobile_sam"]);
        let message = origin("sam_vit_x").unwrap_err().to_string();
        assert!(message.contains("sam_vit_b"), "{message}");
    }
}

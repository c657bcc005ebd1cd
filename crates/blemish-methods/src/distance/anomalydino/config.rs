//! Settings of AnomalyDINO.

use blemish_core::error::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What models and errors call the method.
pub(super) const NAME: &str = "anomalydino";

/// Reference images of the mode `multilayer` where nothing else was set.
const MULTILAYER_IMAGES: usize = 16;

/// Which of the published systems to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// AnomalyDINO: one layer, cosine distance to the nearest patch of any good image.
    #[default]
    Dino,
    /// SuperAD: a bank a layer from a few images that differ most, the mean of the layers' distances.
    Multilayer,
    /// SuperADD: the image in overlapping tiles, Euclidean distances of unscaled features, a bank a layer thinned by density.
    Tiled,
    /// RAD: only patches near the same place of the most similar good images count.
    Retrieval,
    /// MuSc: without good images known; each image is compared with all others of a batch, most of which are good.
    Batch,
}

/// How a bank that is too large is thinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Thinning {
    /// Greedy selection of the farthest patch, as PatchCore.
    KCentre,
    /// Patches in crowded places are dropped by chance (SuperADD).
    Density,
}

/// Settings of AnomalyDINO. Those that are `null` follow from the mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnomalyDinoConfig {
    /// Which of the published systems to follow.
    pub mode: Mode,
    /// Angles at which every good image goes into the bank, evenly around the circle, what comes in from outside mirrored: for parts that turn.
    /// 1 is the image as it is; the published number is 8.
    #[schemars(range(min = 1, max = 16))]
    pub rotations: usize,
    /// Most good images that the bank is made of; those that differ most from each other are taken. null: 16 (multilayer), all (the others).
    pub images: Option<usize>,
    /// Most patches that a bank keeps: bounds model size and scoring time. The modes `retrieval` and `batch` keep all.
    #[schemars(range(min = 1))]
    pub bank_max: usize,
    /// How a bank that is too large is thinned. null: density (tiled), k_centre (the others).
    pub thinning: Option<Thinning>,
    /// Nearest bank entries whose distances are averaged into a patch score.
    #[schemars(range(min = 1, max = 9))]
    pub neighbours: usize,
    /// Share of the patches, those of the highest scores, whose mean is the image score.
    #[schemars(range(min = 0.0001, max = 1.0))]
    pub top_share: f64,
    /// Give patches of the background of an image that is scored 0: those whose first principal component is small.
    pub mask: bool,
    /// First principal component above which a patch is foreground; the published value is that of DINOv2's features.
    pub mask_threshold: f32,
    /// Most similar good images that a patch is compared with (retrieval).
    #[schemars(range(min = 1))]
    pub similar_images: usize,
    /// Patches from the place of a patch, along each side, within which it is compared (retrieval). null: everywhere.
    pub radius: Option<usize>,
    /// Share of the other images, those whose patches are nearest, whose mean distance is a patch's score; of one image at least (batch).
    #[schemars(range(min = 0.01, max = 1.0))]
    pub batch_share: f64,
    /// Side of a tile in pixels, a multiple of the patch (tiled).
    #[schemars(range(min = 16))]
    pub tile: usize,
    /// Pixels that neighbouring tiles share at least (tiled).
    pub tile_overlap: usize,
    /// Largest change of brightness of the good images, as a share (tiled).
    #[schemars(range(min = 0.0, max = 0.9))]
    pub brightness: f64,
    /// Standard deviation of the map's Gaussian blur, in input pixels; 0 blurs nothing.
    #[schemars(range(min = 0.0, max = 64.0))]
    pub sigma: f32,
}

impl Default for AnomalyDinoConfig {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            rotations: 1,
            images: None,
            bank_max: 100_000,
            thinning: None,
            neighbours: 1,
            top_share: 0.01,
            mask: false,
            mask_threshold: 10.0,
            similar_images: 150,
            radius: Some(1),
            batch_share: 0.3,
            tile: 640,
            tile_overlap: 128,
            brightness: 0.2,
            sigma: 4.0,
        }
    }
}

impl AnomalyDinoConfig {
    /// Most good images that the bank is made of.
    pub(super) fn most_images(&self) -> usize {
        let of_mode = if self.mode == Mode::Multilayer { MULTILAYER_IMAGES } else { usize::MAX };
        self.images.unwrap_or(of_mode)
    }

    /// Whether all patches of an image are kept, wherever the model is to look: images are compared one by one.
    pub(super) fn keeps_all(&self) -> bool {
        matches!(self.mode, Mode::Retrieval | Mode::Batch)
    }

    /// Whether a vector of each image is kept, to compare images with others to come.
    pub(super) fn keeps_wholes(&self) -> bool {
        self.mode == Mode::Retrieval || self.most_images() < usize::MAX
    }

    /// How a bank that is too large is thinned.
    pub(super) fn thinning(&self) -> Thinning {
        self.thinning.unwrap_or(match self.mode {
            Mode::Tiled => Thinning::Density,
            _ => Thinning::KCentre,
        })
    }

    /// Whether features are scaled to unit length.
    pub(super) fn has_unit_rows(&self) -> bool {
        self.mode != Mode::Tiled
    }

    /// # Errors
    /// [`Error::Setting`] for settings that do not go together.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |key: &str, reason: String, help: &str| {
            Err(Error::Setting { key: key.into(), reason, help: help.into() })
        };
        if self.mode == Mode::Tiled && self.tile_overlap >= self.tile {
            let reason = format!("{} leaves nothing of tiles of {}", self.tile_overlap, self.tile);
            return wrong("tile_overlap", reason, "the published values are 640 and 128");
        }
        if self.mode == Mode::Retrieval && self.rotations > 1 {
            let reason = "turned images have other patches at a place".to_owned();
            return wrong("rotations", reason, "use 1 with the mode retrieval");
        }
        if self.keeps_all() && self.neighbours > 1 {
            let reason = "the modes retrieval and batch look for the nearest alone".to_owned();
            return wrong("neighbours", reason, "use 1 with these modes");
        }
        if self.images == Some(0) {
            return wrong("images", "a bank needs an image".into(), "use at least 1");
        }
        Ok(())
    }
}

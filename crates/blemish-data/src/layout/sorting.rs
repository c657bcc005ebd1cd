//! What each image of a set is taken as, by what all folders of the set say together.

use super::account::Use;
use super::dataset::{Layout, OpenOptions};
use super::names::Split;
use super::place::Said;
use super::tree::Picture;
use std::path::Path;

/// What all images of a set say together, by which each is taken.
pub(super) struct Sorting<'a> {
    pub(super) root: &'a Path,
    pub(super) options: &'a OpenOptions,
    pub(super) has_train: bool,
    pub(super) has_test: bool,
    /// Whether some folder says that its images are good and to learn from.
    pub(super) has_good: bool,
    /// Whether folders outside train and test speak of defects.
    pub(super) has_defective: bool,
    pub(super) has_masks: bool,
    /// Whether masks label the images.
    pub(super) is_masked: bool,
    /// Whether images for validation are tested with, since there are no others.
    pub(super) tests_validation: bool,
}

impl<'a> Sorting<'a> {
    pub(super) fn new(
        root: &'a Path,
        options: &'a OpenOptions,
        pictures: &[Picture],
        has_masks: bool,
    ) -> Self {
        let any = |is: &dyn Fn(&Picture) -> bool| pictures.iter().any(is);
        let has = |split| any(&|one| one.place.split == Some(split));
        let is_defective = |one: &Picture| matches!(one.place.said, Said::Defective(_)) && !one.place.is_hint;
        let is_to_learn = |one: &Picture| !matches!(one.place.split, Some(Split::Test | Split::Validation));
        Self {
            root,
            options,
            has_train: has(Split::Train),
            has_test: has(Split::Test),
            has_good: any(&|one| is_to_learn(one) && one.place.said == Said::Good),
            has_defective: any(&|one| one.place.split.is_none() && is_defective(one)),
            has_masks,
            is_masked: any(&|one| one.is_defective_by_mask.is_some()),
            tests_validation: !has(Split::Test)
                && any(&|one| one.place.split == Some(Split::Validation) && is_defective(one)),
        }
    }

    /// The layout's name.
    pub(super) fn layout(&self) -> Layout {
        match () {
            () if self.is_masked => Layout::Masked,
            () if self.has_train || (self.has_test && self.options.test_dir.is_none()) => Layout::Mvtec,
            () if self.has_good && self.has_defective => Layout::Classes,
            () => Layout::Folder,
        }
    }

    /// What an image is taken as.
    pub(super) fn take(&self, picture: &Picture) -> Use {
        let place = &picture.place;
        let over = |reason: &str| Use::PassedOver(reason.into());
        if place.is_cloud {
            return over("point clouds");
        }
        let said = match (picture.is_defective_by_mask, &place.said) {
            (Some(true), _) => Some(false),
            (Some(false), _) | (None, Said::Good) => Some(true),
            // "cracked" is a kind of defect beside "good", and else may be the name of a texture.
            (None, Said::Defective(_)) if place.is_hint && !self.has_good && place.split.is_none() => None,
            (None, Said::Defective(_)) => Some(false),
            (None, Said::Nothing) => None,
        };
        let trusted = self.options.trust_folders;
        match (place.split, said) {
            (Some(Split::Test), Some(true)) => Use::TestGood,
            (Some(Split::Test), Some(false)) => Use::TestDefective,
            (Some(Split::Test), None) if place.is_private => over("test images without labels"),
            (Some(Split::Test), None) => over("test images without a label"),
            (Some(Split::Validation), Some(true)) if self.tests_validation => Use::TestGood,
            (Some(Split::Validation), Some(false)) if self.tests_validation => Use::TestDefective,
            (Some(Split::Validation), _) => over("kept for validation"),
            (_, Some(true)) => Use::Learnt,
            (Some(Split::Train), _) | (None, _) if trusted => Use::Learnt,
            (Some(Split::Train), Some(false)) => over("defective, in a folder to learn from"),
            (None, Some(false)) if self.options.test_dir.is_some() => {
                over("defective, and not in the test folder")
            }
            (None, Some(false)) => Use::TestDefective,
            (Some(Split::Train), None) if self.has_good => over("neither good nor defective by its name"),
            (Some(Split::Train), None) => Use::Learnt,
            (None, None) if self.has_good || (self.has_splits() && self.options.test_dir.is_none()) => {
                over("neither good nor defective by its name")
            }
            (None, None) => Use::Learnt,
        }
    }

    /// Whether folders part images to learn from and images to test with.
    pub(super) fn has_splits(&self) -> bool {
        self.has_train || self.has_test
    }
}

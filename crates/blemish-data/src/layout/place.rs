//! What the folders on the way to an image say of it: train or test, good or which defect, image or mask.

use super::names::{Class, Split, class_of, is_nameless, is_neutral, is_sure_kind, split_of};
use std::borrow::Cow;
use std::path::Path;

/// What folders say of the images in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Good,
    /// Defective, of this kind, as the folder spells it.
    Defective(String),
    Nothing,
}

/// A folder as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) split: Option<Split>,
    pub(super) said: Said,
    /// Whether a kind of defect is all that the name has, which outside a test folder is a hint only.
    pub(super) is_hint: bool,
    pub(super) is_mask: bool,
    /// Whether it holds point clouds beside the images.
    pub(super) is_cloud: bool,
    /// Whether its test images are kept from the public, so that they have no labels.
    pub(super) is_private: bool,
    /// The folder that decided, below the set's own; `.` for that itself.
    pub(super) decided_by: String,
    /// The folders that tell images of one name apart, in lower case: neither splits nor words for images or masks.
    pub(super) context: Vec<String>,
    /// Why it cannot be said what it is.
    pub(super) doubt: Option<String>,
}

impl Place {
    /// Reads the folders of a path below the set's own; `under` is a folder that they are read below.
    pub(super) fn below(path: &Path, under: Option<&str>) -> Self {
        let names: Vec<Cow<'_, str>> =
            path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        Self::read(&under.into_iter().chain(names.iter().map(AsRef::as_ref)).collect::<Vec<_>>())
    }

    /// Reads the folders between the set's own and an image.
    pub(super) fn read(parts: &[&str]) -> Self {
        let mut reading = Reading::new();
        for (at, part) in parts.iter().enumerate() {
            reading.step(at, part);
        }
        reading.finish(parts)
    }
}

/// A reading on its way down.
struct Reading {
    place: Place,
    /// How many folders it took to decide.
    depth: usize,
    /// Where the first folder of a test folder stands that may be the name of a kind of defect.
    unnamed: Option<usize>,
    /// Where the word stands that said good or defective.
    class_at: Option<usize>,
    /// Where the word for masks stands.
    mask_at: Option<usize>,
}

impl Reading {
    fn new() -> Self {
        let place = Place {
            split: None,
            said: Said::Nothing,
            is_hint: false,
            is_mask: false,
            is_cloud: false,
            is_private: false,
            decided_by: ".".into(),
            context: Vec::new(),
            doubt: None,
        };
        Self { place, depth: 0, unnamed: None, class_at: None, mask_at: None }
    }

    fn step(&mut self, at: usize, part: &str) {
        let (class, split) = (class_of(part), split_of(part));
        if let Some(split) = split.filter(|_| !self.place.is_mask || self.place.split.is_none()) {
            self.place.split = Some(split);
            self.place.is_private |= part.to_lowercase().contains("private");
            self.depth = at + 1;
        }
        if class == Class::Masks {
            self.place.is_mask = true;
            self.depth = at + 1;
        }
        if class != Class::Masks && split.is_none() && !is_neutral(part) {
            self.place.context.push(part.to_lowercase());
        }
        if self.place.is_mask {
            // What masks are of only tells them apart; the first folder of it is named.
            match (class, self.mask_at) {
                (Class::Masks, _) => self.mask_at = Some(at),
                (_, Some(mask_at)) if at == mask_at + 1 && split.is_none() => self.depth = at + 1,
                _ => {}
            }
            return;
        }
        self.place.is_cloud |=
            ["xyz", "pointcloud", "point_cloud", "pointclouds"].contains(&part.to_lowercase().as_str());
        match class {
            Class::Both => {
                self.doubt(format!("`{part}` speaks of good and of a defect"));
                self.unnamed(at, part, class);
            }
            Class::Good => self.good(at, part),
            Class::Defective => self.defective(at, part),
            Class::Kind | Class::Silent if split.is_none() && !is_neutral(part) && !self.place.is_cloud => {
                self.unnamed(at, part, class)
            }
            _ => {}
        }
    }

    fn good(&mut self, at: usize, part: &str) {
        match &self.place.said {
            Said::Defective(kind) if !self.place.is_hint => {
                let doubt = format!("`{kind}` speaks of a defect, but the folder `{part}` in it of good");
                self.doubt(doubt);
            }
            _ => {
                self.place.said = Said::Good;
                self.decide(at);
            }
        }
    }

    fn defective(&mut self, at: usize, part: &str) {
        match self.place.said {
            Said::Good => {
                self.doubt(format!("a folder of good images holds `{part}`, which speaks of a defect"))
            }
            Said::Defective(_) if !self.place.is_hint => {}
            _ => {
                self.place.said = Said::Defective(part.to_owned());
                self.decide(at);
            }
        }
        self.place.is_hint = false;
    }

    /// A folder whose name is no word for good or defective.
    fn unnamed(&mut self, at: usize, part: &str, class: Class) {
        let is_kind = class == Class::Kind;
        match &self.place.said {
            Said::Good if is_sure_kind(part) => {
                self.doubt(format!("a folder of good images holds `{part}`, which speaks of a defect"));
            }
            Said::Nothing if self.place.split == Some(Split::Test) => {
                self.unnamed.get_or_insert(at);
            }
            Said::Nothing if is_kind => {
                self.place.said = Said::Defective(part.to_owned());
                self.place.is_hint = true;
                self.decide(at);
            }
            _ => {}
        }
    }

    fn decide(&mut self, at: usize) {
        self.depth = at + 1;
        self.class_at = Some(at);
    }

    fn doubt(&mut self, doubt: String) {
        self.place.doubt.get_or_insert(doubt);
    }

    fn finish(mut self, parts: &[&str]) -> Place {
        if let Some(at) = self.unnamed.filter(|_| !self.place.is_mask) {
            let part = parts[at];
            match &self.place.said {
                Said::Nothing => {
                    // `test/scratch` is a kind of defect by its place, whatever its name.
                    if part.parse::<f64>() == Ok(0.0) {
                        self.doubt(format!(
                            "the test folder `{part}` may mean good or the first kind of defect"
                        ));
                    }
                    self.place.said = Said::Defective(part.to_owned());
                    self.depth = self.depth.max(at + 1);
                }
                Said::Good if is_sure_kind(part) => {
                    self.doubt(format!("`{part}` speaks of a defect, but a folder in it of good"));
                }
                Said::Defective(named) if is_nameless(named) && class_of(part) == Class::Kind => {
                    self.place.said = Said::Defective(part.to_owned());
                }
                _ => {}
            }
        }
        // Real-IAD: `NG/<kind>/S0001`.
        if let (Said::Defective(named), Some(at)) = (&self.place.said, self.class_at)
            && is_nameless(named)
            && let [kind, shot, ..] = &parts[at + 1..]
            && shot.len() > 3
            && shot.starts_with(['S', 's'])
            && shot[1..].bytes().all(|byte| byte.is_ascii_digit())
        {
            self.place.said = Said::Defective((*kind).to_owned());
            self.depth = self.depth.max(at + 2);
        }
        // Images that nothing is said of are told apart by the outermost folder.
        let depth = if self.depth == 0 { parts.len().min(1) } else { self.depth };
        if depth > 0 {
            self.place.decided_by = parts[..depth].join("/");
        }
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Place {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Place::read(&parts)
    }

    fn brief(path: &str) -> String {
        let place = read(path);
        let split = place.split.map_or("-".into(), |split| format!("{split:?}").to_lowercase());
        let said = match (&place.said, place.is_mask) {
            (_, true) => "masks".to_owned(),
            (Said::Good, _) => "good".into(),
            (Said::Defective(kind), _) => kind.clone(),
            (Said::Nothing, _) => "nothing".into(),
        };
        format!("{split} {said} by {}", place.decided_by)
    }

    #[test]
    fn the_folders_of_all_layouts_say_what_their_authors_mean() {
        for (path, expected) in [
            ("", "- nothing by ."),
            ("train/good", "train good by train/good"),
            ("Train/Good", "train good by Train/Good"),
            ("test/good/camera1", "test good by test/good"),
            ("test/camera1/OK", "test good by test/camera1/OK"),
            ("test/scratch_head", "test scratch_head by test/scratch_head"),
            ("test/color/camera1", "test color by test/color"),
            ("ground_truth/color/000", "- masks by ground_truth/color"),
            ("test_public/bad", "test bad by test_public/bad"),
            ("test_public/ground_truth/bad", "test masks by test_public/ground_truth/bad"),
            ("test/logical_anomalies", "test logical_anomalies by test/logical_anomalies"),
            ("test/hole/rgb", "test hole by test/hole"),
            ("test/hole/gt", "test masks by test/hole/gt"),
            ("Data/Images/Normal", "- good by Data/Images/Normal"),
            ("Data/Images/Anomaly", "- Anomaly by Data/Images/Anomaly"),
            ("Data/Masks/Anomaly", "- masks by Data/Masks/Anomaly"),
            ("train/ok", "train good by train/ok"),
            ("test/ko", "test ko by test/ko"),
            ("Train/Label", "train masks by Train/Label"),
            ("OK/S0001", "- good by OK"),
            ("NG/AK/S0001", "- AK by NG/AK"),
            ("train/def_front", "train def_front by train/def_front"),
            ("test_good", "test good by test_good"),
            ("test/mixed", "test mixed by test/mixed"),
            ("kos01", "- nothing by kos01"),
        ] {
            assert_eq!(brief(path), expected, "{path}");
            assert_eq!(read(path).doubt, None, "{path}");
        }
        assert!(read("test/hole/xyz").is_cloud && read("test_private").is_private);
        assert!(read("scratch").is_hint && !read("bad").is_hint);
    }

    #[test]
    fn folders_that_contradict_themselves_are_doubtful() {
        for path in [
            "train/good/bad",
            "test/bad/good",
            "test/scratch/good",
            "test/ok_scratch",
            "good/def_2",
            "test/0",
            "good/scratch",
        ] {
            assert!(read(path).doubt.is_some(), "{path}");
        }
    }
}

//! What a name says: the one reading of folder names, labels and file names for good, defective, masks, train and test.
//!
//! Only whole words count, in any case, with any separator: `OK_front` and `okFront` are good, `badge` and `goodyear` say nothing.
//! `not_good` is defective, `defect-free` is good, and a name that says both (`ok_scratch`) is [`Class::Both`], which nobody may guess.

use super::words::{
    ANNOTATIONS, DEFECTIVE, DENIALS, FILLERS, GOOD, KINDS, MASKS, NEUTRAL, SURE_KINDS, TEST, TRAIN,
    VALIDATION, Words, is_number, words,
};
use crate::reader::EXTENSIONS;

/// What a name says of the images that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Free of defects.
    Good,
    /// Defective, in a word that is used for nothing else ("bad", "NG", "anomaly").
    Defective,
    /// The name of a kind of defect ("scratch"), which may be something else in another place.
    Kind,
    /// Masks of defects.
    Masks,
    /// Good and defective at once.
    Both,
    /// Nothing.
    Silent,
}

/// The part of a set that a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Split {
    Train,
    Validation,
    Test,
}

/// What a folder name or a word says of its images.
pub(super) fn class_of(name: &str) -> Class {
    let words = words(name);
    let says = |list: &Words| words.iter().any(|word| list.has(word));
    let is_ground_truth = words.windows(2).any(|pair| pair[0] == "ground" && pair[1].starts_with("truth"));
    if says(&MASKS) || is_ground_truth || is_annotation(&words) {
        return Class::Masks;
    }
    let (mut good, mut defective, mut kind) = (false, false, false);
    for (at, word) in words.iter().enumerate() {
        let word = word.as_str();
        let follows = |list: &Words| at > 0 && list.has(&words[at - 1]);
        let precedes = |list: &Words| words.get(at + 1).is_some_and(|next| list.has(next));
        let is_denied = follows(&DENIALS);
        // A normal map is the picture of a surface's slopes, a high pass is a filter.
        let is_other = (word == "normal" && precedes(&Words("map maps")))
            || (word == "pass" && follows(&Words("high low band by")));
        if GOOD.has(word) && !is_other {
            if is_denied { defective = true } else { good = true }
        } else if DEFECTIVE.has(word) || KINDS.has(word) {
            let is_strong = DEFECTIVE.has(word);
            if is_denied
                || precedes(&Words("free"))
                || (at > 1 && words[at - 1] == "of" && words[at - 2] == "free")
            {
                good = true;
            } else if is_strong {
                defective = true;
            } else {
                kind = true;
            }
        }
    }
    match (good, defective, kind) {
        (true, false, false) => Class::Good,
        (true, _, _) => Class::Both,
        (false, true, _) => Class::Defective,
        (false, false, true) => Class::Kind,
        (false, false, false) => Class::Silent,
    }
}

/// What a file's name without its extension says: as [`class_of`], but without the kinds of defects and the annotations, and with
/// whole words only, since numbers and codes in file names spell anything.
pub(super) fn class_of_file(stem: &str) -> Class {
    let is_word = |part: &&str| {
        part.chars().any(char::is_alphabetic)
            && part.chars().count() <= 16
            && part.trim_end_matches(|c: char| c.is_ascii_digit()).chars().all(char::is_alphabetic)
    };
    let spelt: Vec<&str> = stem.split(|c: char| !c.is_alphanumeric()).filter(is_word).collect();
    match class_of(&spelt.join("_")) {
        Class::Kind => Class::Silent,
        Class::Both => {
            // "ok_1_spot" may well be a good part with a printed spot; only words that mean nothing else speak of defects.
            let strong = spelt.iter().any(|word| words(word).iter().any(|word| DEFECTIVE.has(word)));
            if strong { Class::Both } else { Class::Good }
        }
        class => class,
    }
}

/// The part of a set that a folder is for, if its name says so and nothing else but what its images are.
pub(super) fn split_of(name: &str) -> Option<Split> {
    let words = words(name);
    let of = |word: &String| {
        let word = word.as_str();
        match word {
            _ if TRAIN.has(word) => Some(Split::Train),
            _ if VALIDATION.has(word) => Some(Split::Validation),
            _ if TEST.has(word) => Some(Split::Test),
            _ => None,
        }
    };
    let is_known = |word: &String| {
        let word = word.as_str();
        of(&word.to_owned()).is_some()
            || is_filler(word)
            || [GOOD, DEFECTIVE, MASKS, ANNOTATIONS].iter().any(|list| list.has(word))
            || word == "ground"
    };
    let split = words.iter().find_map(of)?;
    words.iter().all(is_known).then_some(split)
}

/// Whether a folder's name only says that images are in it ("images", "Data", "rgb").
pub(super) fn is_neutral(name: &str) -> bool {
    let words = words(name);
    words.iter().any(|word| NEUTRAL.has(word))
        && words.iter().all(|word| NEUTRAL.has(word) || is_number(word))
}

/// Whether a word for defective names no kind of defect, so that the kind is to be found elsewhere.
pub(super) fn is_nameless(name: &str) -> bool {
    let is_plain =
        |word: &str| [DEFECTIVE, GOOD, DENIALS].iter().any(|list| list.has(word)) || is_filler(word);
    words(name).iter().all(|word| is_plain(word))
}

/// Whether a name has a word for a kind of defect that is used for nothing else.
pub(super) fn is_sure_kind(name: &str) -> bool {
    words(name).iter().any(|word| SURE_KINDS.has(word))
}

/// What a label in a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListLabel {
    Good,
    /// Defective, without a kind.
    Defective,
    /// Defective, of this kind.
    Kind(String),
    /// Nothing that one may rely on, and why.
    Doubtful(String),
}

/// What a label in a list says. 0, false and the names of good are good; other numbers above 0, true and the words for
/// defective are defective; any other word is a kind of defect.
pub(super) fn label_of(text: &str) -> ListLabel {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        return match number {
            0.0 => ListLabel::Good,
            number if number > 0.0 && number.is_finite() => ListLabel::Defective,
            _ => ListLabel::Doubtful(format!(
                "the label is {text}; write 0 or good, or 1 or the kind of defect"
            )),
        };
    }
    match text.to_lowercase().as_str() {
        "false" => return ListLabel::Good,
        "true" => return ListLabel::Defective,
        "none" | "null" | "na" | "n/a" | "unknown" | "unlabelled" | "unlabeled" | "?" | "-" | "yes"
        | "no" => {
            return ListLabel::Doubtful(format!(
                "the label is `{text}`, neither good nor a kind of defect; write which it is"
            ));
        }
        _ => {}
    }
    match class_of(text) {
        Class::Good => ListLabel::Good,
        Class::Both => ListLabel::Doubtful(format!(
            "the label `{text}` speaks of good and of a defect; write which it is"
        )),
        Class::Masks => ListLabel::Doubtful(format!(
            "the label `{text}` speaks of a mask; write good or the kind of defect"
        )),
        Class::Defective if is_nameless(text) => ListLabel::Defective,
        Class::Defective | Class::Kind | Class::Silent => ListLabel::Kind(text.to_owned()),
    }
}

/// The name of the image that a mask is for, and whether the mask's name says that it is one: `x_mask`, `x-gt2`, `mask_x` and
/// `x_label` are masks of `x`; any other name is that of its image.
pub(super) fn masked_stem(stem: &str) -> (&str, bool) {
    // Some programs keep the image's extension: `x.png_mask`.
    let bare = |name: &str| match name.rfind('.') {
        Some(dot) if EXTENSIONS.contains(&name[dot + 1..].to_ascii_lowercase().as_str()) => dot,
        _ => name.len(),
    };
    let is_separator = |c: char| !c.is_alphanumeric();
    let is_mask_word = |word: &str| {
        let word = word.trim_end_matches(|c: char| c.is_ascii_digit()).to_lowercase();
        MASKS.has(&word) || ANNOTATIONS.has(&word)
    };
    let mut rest = stem;
    // From the end: a number of several masks, then the word; "ground_truth" is two words.
    for allow_number in [true, false] {
        let Some(cut) = rest.rfind(is_separator) else { break };
        let last = &rest[cut..].trim_start_matches(is_separator);
        if is_mask_word(last) {
            let before = rest[..cut].trim_end_matches(is_separator);
            let ground = before
                .rfind(is_separator)
                .filter(|&at| before[at..].trim_start_matches(is_separator).eq_ignore_ascii_case("ground"));
            let name = ground.map_or(before, |at| before[..at].trim_end_matches(is_separator));
            return if name.is_empty() { (stem, true) } else { (&name[..bare(name)], true) };
        }
        if !(allow_number && is_number(last)) {
            break;
        }
        rest = rest[..cut].trim_end_matches(is_separator);
    }
    if let Some(cut) = stem.find(is_separator)
        && is_mask_word(&stem[..cut])
        && !stem[cut..].trim_start_matches(is_separator).is_empty()
    {
        let name = stem[cut..].trim_start_matches(is_separator);
        return (&name[..bare(name)], true);
    }
    (&stem[..bare(stem)], is_mask_word(stem))
}

fn is_filler(word: &str) -> bool {
    FILLERS.has(word) || NEUTRAL.has(word) || is_number(word)
}

/// Whether a name is one of annotations and nothing else ("labels", "test_label", "defect_annotations").
fn is_annotation(words: &[String]) -> bool {
    let is = |list: &Words, word: &String| list.has(word);
    words.iter().any(|word| is(&ANNOTATIONS, word))
        && words.iter().all(|word| {
            is(&ANNOTATIONS, word)
                || is(&DEFECTIVE, word)
                || is(&TRAIN, word)
                || is(&TEST, word)
                || is(&VALIDATION, word)
                || is_filler(word)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_defective_are_read_in_any_case_and_with_any_separator() {
        for name in [
            "good",
            "OK",
            "Good",
            "normal",
            "ok_front",
            "OK-front",
            "okFront",
            "Good 1",
            "good2",
            "PASS",
            "passed",
            "iO",
            "i.O.",
            "IO",
            "defect-free",
            "DefectFree",
            "no_defects",
            "without anomaly",
            "non-defective",
            "free of defects",
            "train_good",
            "GoodParts",
            "normal.images",
            "undamaged",
        ] {
            assert_eq!(class_of(name), Class::Good, "{name}");
        }
        for name in [
            "bad",
            "NG",
            "ng2",
            "KO",
            "def_front",
            "defective",
            "Defects",
            "Anomaly",
            "not_good",
            "no good",
            "NOK",
            "niO",
            "n.i.O.",
            "FAIL",
            "test_bad",
            "badParts",
            "NGParts",
            "Reject-3",
            "non_ok",
            "bad_scratch",
            "abnormal",
        ] {
            assert_eq!(class_of(name), Class::Defective, "{name}");
        }
        for name in ["ok_scratch", "good_bad", "pass_fail", "scratch_good"] {
            assert_eq!(class_of(name), Class::Both, "{name}");
        }
        for name in ["scratch", "scratch_head", "Thread_Side", "broken_large"] {
            assert_eq!(class_of(name), Class::Kind, "{name}");
        }
    }

    #[test]
    fn parts_of_words_and_words_for_other_things_say_nothing() {
        for name in [
            "badge",
            "goodyear",
            "GOODYEAR",
            "Goodyear",
            "okra",
            "ngk",
            "ngspice",
            "koala",
            "default",
            "definition",
            "failover",
            "bypass",
            "passport",
            "normal_map",
            "high_pass",
            "candle",
            "camera1",
            "kos01",
            "label_front",
            "screw",
            "abnorm",
            "maskara",
            "gtx",
            "testament",
        ] {
            assert_eq!(class_of(name), Class::Silent, "{name}");
        }
        for hash in [
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "4bad9def",
            "20210504_121212",
            "IMG_0001",
            "cast_1",
            "spot_12",
        ] {
            assert_eq!(class_of_file(hash), Class::Silent, "{hash}");
        }
        assert_eq!(class_of_file("cast_def_0_12"), Class::Defective);
        assert_eq!(class_of_file("ok_spot_3"), Class::Good);
    }

    #[test]
    fn masks_and_splits_are_read() {
        for name in [
            "mask",
            "Masks",
            "ground_truth",
            "GroundTruth",
            "ground-truth",
            "Ground Truth",
            "gt",
            "labels",
            "Label",
            "annotations",
            "defect_masks",
            "test_labels",
            "train_gt",
        ] {
            assert_eq!(class_of(name), Class::Masks, "{name}");
        }
        for (name, split) in [
            ("train", Some(Split::Train)),
            ("Train", Some(Split::Train)),
            ("TRAINING_SET", Some(Split::Train)),
            ("train_good", Some(Split::Train)),
            ("test_public", Some(Split::Test)),
            ("test_private_mixed", Some(Split::Test)),
            ("Test2", Some(Split::Test)),
            ("testImages", Some(Split::Test)),
            ("validation", Some(Split::Validation)),
            ("leak_test_parts", None),
            ("testament", None),
            ("trainer", None),
        ] {
            assert_eq!(split_of(name), split, "{name}");
        }
        assert!(
            is_neutral("Images")
                && is_neutral("rgb")
                && is_neutral("Data")
                && !is_neutral("camera1")
                && !is_neutral("mixed")
                && !is_neutral("1")
        );
        assert!(is_nameless("NG") && is_nameless("bad") && !is_nameless("bad_scratch"));
    }

    #[test]
    fn a_masks_name_leads_to_its_image() {
        for (stem, image) in [
            ("000_mask", "000"),
            ("000-mask", "000"),
            ("000_GT", "000"),
            ("Part0_label", "Part0"),
            ("0576_label", "0576"),
            ("0044_019_04_mask1", "0044_019_04"),
            ("x_mask_2", "x"),
            ("x_ground_truth", "x"),
            ("mask_7", "7"),
            ("000_regular_mask", "000_regular"),
            ("x.png_mask", "x"),
            ("gt-part-7", "part-7"),
        ] {
            assert_eq!(masked_stem(stem), (image, true), "{stem}");
        }
        for (stem, image) in
            [("000", "000"), ("x.png", "x"), ("masked", "masked"), ("part_12", "part_12"), ("a.b", "a.b")]
        {
            assert_eq!(masked_stem(stem), (image, false), "{stem}");
        }
    }

    #[test]
    fn labels_of_lists_are_good_defective_a_kind_or_doubtful() {
        for good in ["OK", "ok", "good", "Normal", "0", "0.0", "00", "-0", "False", "pass", "i.O."] {
            assert_eq!(label_of(good), ListLabel::Good, "{good}");
        }
        for bad in ["NG", "1", "1.0", "3", "TRUE", "anomaly", "Defective", "not ok", "bad"] {
            assert_eq!(label_of(bad), ListLabel::Defective, "{bad}");
        }
        for kind in ["scratch", "bad_scratch", "AK", "camera1"] {
            assert_eq!(label_of(kind), ListLabel::Kind(kind.into()), "{kind}");
        }
        for doubtful in ["-1", "nan", "inf", "ok_scratch", "unknown", "none", "mask"] {
            assert!(matches!(label_of(doubtful), ListLabel::Doubtful(_)), "{doubtful}");
        }
    }
}

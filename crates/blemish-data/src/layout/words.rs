//! The words that names of folders, files and labels are made of, and how a name falls into words.

/// Words of one meaning, in lower case.
pub(super) struct Words(pub(super) &'static str);

impl Words {
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.split_ascii_whitespace().any(|one| one == word)
    }
}

/// Words for good.
pub(super) const GOOD: Words = Words(
    "good ok okay normal pass passed io healthy intact flawless faultless undamaged unbroken nondefective \
     defectfree faultfree anomalyfree conforming conform accept accepted acceptable gut bon bonne bonnes bons \
     buono buoni bueno buenos 良品 正常 合格 正常品 合格品 양품 정상",
);
/// Words for defective that name no kind of defect.
pub(super) const DEFECTIVE: Words = Words(
    "bad defect defects defective defectives def defekt defekte ng nok ko nio nogood notok notgood anomaly \
     anomalies anomalous anomal abnormal abnormality abnormalities fail fails failed failure failures reject \
     rejects rejected rejection fault faults faulty flaw flaws flawed nonconforming nonconformity \
     nonconformities unacceptable damaged outlier outliers fehler fehlerhaft schlecht ausschuss mauvais \
     defaut defauts difetto difetti difettoso scarto scarti defecto defectos malo malos 不良 不良品 异常 異常 缺陷 不合格 \
     불량 불량품",
);
/// Words for kinds of defects; they say "defective" only in a place where kinds of defects are expected.
pub(super) const KINDS: Words = Words(
    "abrasion bend bent blister blisters blowhole blur break broken bubble bubbles bump burn burnt burr burrs \
     chip chipped chips color colour combined contaminated contamination corrosion crack cracks crease cut \
     cuts damage damages deformation deformed dent dents dirt dirty discoloration flip fold foreign fray glue \
     gouge hole holes imprint inclusion inclusions leak melt misaligned misalignment misplaced misprint \
     missing mixed oil pinhole pinholes pit pits poke pollution pore pores porosity rust scrap scratch \
     scratched scratches short smear spot spots spur stain stains tear thread torn uneven void voids wear \
     wrinkle wrinkles",
);
/// Those of the kinds that name nothing but a defect, wherever they stand.
pub(super) const SURE_KINDS: Words = Words(
    "abrasion blister blisters blowhole broken burr burrs contaminated contamination corrosion crack cracks \
     damage damages deformation deformed dent dents dirt dirty misaligned misalignment misplaced misprint \
     missing pinhole pinholes porosity rust scrap scratch scratched scratches stain stains torn",
);
/// Words that turn the next one round.
pub(super) const DENIALS: Words = Words("not no non un without nicht kein keine ohne zero");
/// Words for masks that a product never has for a name.
pub(super) const MASKS: Words =
    Words("mask masks gt gts groundtruth groundtruths maske masken masque masques");
/// Words for masks that may be a product's too ("label"); they count only where the whole name says nothing else.
pub(super) const ANNOTATIONS: Words = Words(
    "label labels annotation annotations anno annos annot segmentation segmentations seg segs truth labelled \
     labeled",
);
/// Words for images to learn from.
pub(super) const TRAIN: Words = Words("train training trainset");
/// Words for images to validate with.
pub(super) const VALIDATION: Words = Words("val validation valid valset");
/// Words for images to test with.
pub(super) const TEST: Words = Words("test testing testset tests eval evaluation");
/// Words for images, which say nothing of what is on them.
pub(super) const NEUTRAL: Words =
    Words("data dataset image images img imgs picture pictures photo photos rgb files bilder");
/// Further words beside train, test or labels that change nothing.
pub(super) const FILLERS: Words = Words("set sets public private mixed split sample samples part parts all");

/// The words of a name in lower case. Separators part words; so do capitals and numbers, where the whole is no word that is known.
pub(super) fn words(name: &str) -> Vec<String> {
    // `i.O.` and `n.i.O.` are one word each.
    let lower = name.to_lowercase();
    let dotless: String = lower.chars().filter(|c| *c != '.' && *c != ' ').collect();
    if lower.contains('.') && (dotless == "io" || dotless == "nio") {
        return vec![dotless];
    }
    let mut words = Vec::new();
    for part in name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
        let whole = part.to_lowercase();
        if is_known(&whole) {
            words.push(whole);
        } else {
            words.extend(pieces(part));
        }
    }
    words
}

fn is_known(word: &str) -> bool {
    [GOOD, DEFECTIVE, KINDS, MASKS, ANNOTATIONS, TRAIN, VALIDATION, TEST, NEUTRAL, FILLERS]
        .iter()
        .any(|list| list.has(word))
}

/// `okFront2` is ok, front and 2; `NGParts` is ng and parts; `BADGE` stays whole.
fn pieces(part: &str) -> Vec<String> {
    let characters: Vec<char> = part.chars().collect();
    let mut pieces: Vec<String> = Vec::new();
    for (at, &c) in characters.iter().enumerate() {
        let is_cut = at == 0 || {
            let before = characters[at - 1];
            let next_is_small = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
            before.is_numeric() != c.is_numeric()
                || (before.is_lowercase() && c.is_uppercase())
                || (before.is_uppercase() && c.is_uppercase() && next_is_small)
        };
        if is_cut {
            pieces.push(String::new());
        }
        if let Some(last) = pieces.last_mut() {
            last.extend(c.to_lowercase());
        }
    }
    pieces
}

pub(super) fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

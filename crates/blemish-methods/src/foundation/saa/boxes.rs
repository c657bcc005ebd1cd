//! Which boxes of the detector count: the object's own, and those of defects.

use super::config::{Matching, Properties};

/// A box of the detector with what it is said to show.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detection {
    /// Centre x, centre y, width, height, as shares of the image's sides.
    pub bounds: [f32; 4],
    /// The highest score of a token of the caption, in [0, 1].
    pub score: f32,
    /// Tokens of the caption that score above the text threshold, as text.
    pub phrase: String,
}

impl Detection {
    /// Left, top, right and lower border in an image of this height and width, in pixels.
    pub fn corners(&self, (height, width): (usize, usize)) -> [f32; 4] {
        let [x, y, across, down] = self.bounds;
        let (left, top) = ((x - across / 2.0) * width as f32, (y - down / 2.0) * height as f32);
        [left, top, left + across * width as f32, top + down * height as f32]
    }

    /// Its share of the image's area.
    pub fn area(&self) -> f32 {
        self.bounds[2] * self.bounds[3]
    }
}

/// The objects themselves, and the area of the largest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Objects {
    /// Boxes of objects, in the detector's order.
    pub boxes: Vec<Detection>,
    /// Area of the largest box, as a share of the image; 1 where there is none.
    pub area: f32,
}

/// Keeps the boxes that can be one of `properties.objects` objects: scored above the threshold, not empty, smaller than an equal share of
/// the image. A box that covers all of the image is no object.
pub(super) fn objects(found: Vec<Detection>, properties: &Properties, threshold: f32) -> Objects {
    let largest = 1.0 / properties.objects.max(1) as f32;
    let boxes: Vec<Detection> = found
        .into_iter()
        .filter(|found| found.score > threshold && found.area() > 0.0 && found.area() < largest)
        .collect();
    let area = boxes.iter().map(Detection::area).reduce(f32::max).unwrap_or(1.0);
    Objects { boxes, area }
}

/// The rule by which boxes of a caption are kept as defects.
#[derive(Clone, Copy, Debug)]
pub(super) struct DefectRule<'a> {
    /// Scores at or below it do not count.
    pub threshold: f32,
    /// Boxes of this area or more, as a share of the image, are no defect.
    pub area_limit: f32,
    /// Boxes that are said to show this are the object itself; empty for none.
    pub object: &'a str,
    /// How the words are compared.
    pub matching: Matching,
}

impl DefectRule<'_> {
    /// The boxes that are kept, in the detector's order.
    pub fn keep(&self, found: Vec<Detection>) -> Vec<Detection> {
        found
            .into_iter()
            .filter(|found| {
                found.score > self.threshold
                    && found.area() < self.area_limit
                    && !self.matching.contains(&found.phrase, self.object)
            })
            .collect()
    }
}

impl Matching {
    /// Whether a phrase names the object; an object without a name is named nowhere.
    pub(super) fn contains(self, phrase: &str, object: &str) -> bool {
        if object.trim().is_empty() {
            return false;
        }
        match self {
            Self::Substring => phrase.contains(object),
            Self::Words => {
                let words = |text: &str| -> Vec<String> {
                    let is_letter = |letter: char| letter.is_alphanumeric();
                    let parts = text.split(|letter| !is_letter(letter)).filter(|word| !word.is_empty());
                    parts.map(str::to_lowercase).collect()
                };
                let (phrase, object) = (words(phrase), words(object));
                !object.is_empty() && phrase.windows(object.len()).any(|window| window == object)
            }
        }
    }
}

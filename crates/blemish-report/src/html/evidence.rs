//! One image of a report: as the camera saw it, with the outline of its mask, with its heat map.

use crate::error::ReportError;
use crate::overlay::{check_region, overlay};
use crate::picture::Picture;
use crate::sheet::{fit, outline};
use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use std::ops::Range;

/// Longest side of a picture in a report, in pixels.
const SIDE: usize = 320;
/// JPEG quality: 320x320 pixels take 10 to 40 kB.
const QUALITY: u8 = 82;

/// What a finding is drawn from.
pub struct Evidence<'a> {
    /// The image's name as the report shows it.
    pub name: &'a str,
    /// Its kind of defect, or "good".
    pub defect: &'a str,
    /// Its image score.
    pub score: f64,
    /// The image.
    pub picture: &'a Picture,
    /// Rows and columns of it that map and mask cover.
    pub covered: (Range<usize>, Range<usize>),
    /// Height and width of map and mask.
    pub size: (usize, usize),
    /// The anomaly map.
    pub map: &'a [f32],
    /// The mask, if there is one.
    pub mask: Option<&'a [bool]>,
    /// Scores that show as nothing and at full strength.
    pub range: (f32, f32),
}

/// An image with its pictures, ready for the page.
#[derive(Clone, Debug)]
pub struct Finding {
    pub(super) name: String,
    pub(super) defect: String,
    pub(super) score: f64,
    pub(super) image: String,
    pub(super) marked: Option<String>,
    pub(super) heat: String,
}

impl Finding {
    /// Draws the pictures of an image.
    ///
    /// # Errors
    /// [`ReportError`] if map, mask and picture do not fit together.
    pub fn draw(evidence: &Evidence<'_>) -> Result<Self, ReportError> {
        let (height, width) = evidence.picture.size();
        let (rows, columns) = evidence.covered.clone();
        check_region(&rows, &columns, (height, width))?;
        let picture = fit(&evidence.picture.crop(rows, columns), (SIDE, SIDE))?;
        let heat = overlay(&picture, evidence.map, evidence.size, evidence.range)?;
        let marked = evidence.mask.map(|mask| {
            let mut drawn = picture.clone();
            outline(&mut drawn, mask, evidence.size)?;
            embed(&drawn)
        });
        Ok(Self {
            name: evidence.name.to_owned(),
            defect: evidence.defect.to_owned(),
            score: evidence.score,
            image: embed(&picture)?,
            marked: marked.transpose()?,
            heat: embed(&heat)?,
        })
    }

    /// Bytes that its pictures take in the page.
    pub(super) fn bytes(&self) -> usize {
        self.image.len() + self.heat.len() + self.marked.as_ref().map_or(0, String::len)
    }
}

/// A picture as the address of an image element.
fn embed(picture: &Picture) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    let side = |extent: usize| extent as u32; // At most SIDE.
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode(&picture.rgb, side(picture.width), side(picture.height), image::ExtendedColorType::Rgb8)
        .map_err(|error| ReportError::Encode { path: "the report".into(), detail: error.to_string() })?;
    Ok(format!("data:image/jpeg;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes)))
}

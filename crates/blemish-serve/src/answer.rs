//! What the server says of an image, in the one shape that answers, events, sinks and the history share.

use crate::options::Which;
use axum::body::Bytes;
use blemish::Look;
use blemish::data::RgbImage;
use blemish::map::AnomalyMap;
use blemish::metrics::Region;
use blemish_report::{Picture, ReportError, draw_over};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;
use utoipa::ToSchema;

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A request to our own interface or the Open Inference Protocol.
    Http,
    /// A watched folder.
    Folder,
    /// A program that delivers pictures.
    Command,
    /// The camera of a browser.
    Browser,
}

/// How long an image stood in each stage, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Milliseconds {
    /// From its place in the queue to the start of decoding, and from decoding to scoring.
    pub queue: f64,
    /// From encoded bytes to pixels.
    pub decode: f64,
    /// From pixels to score and map.
    pub score: f64,
}

/// The verdict on one image as JSON.
///
/// The names are those of a line of `scores.jsonl` ([`blemish::Verdict`]), with what a service knows beside. Without a calibration `p_value`,
/// `threshold` and `anomalous` are null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// Of the request, or of the image in a batch.
    pub id: String,
    /// The name under which the model is served.
    pub model: String,
    /// The first twelve digits of the model's identity.
    pub version: String,
    /// Raw image score, unbounded, higher is worse.
    pub score: f32,
    /// The share of good images that score like this or worse, at most.
    pub p_value: Option<f64>,
    /// An image with a score above this is anomalous.
    pub threshold: Option<f32>,
    /// Whether the image is.
    pub anomalous: Option<bool>,
    /// Where the map lies above the pixel threshold, in pixels of the original image.
    #[schema(value_type = Vec<Object>)]
    pub regions: Vec<Region>,
    /// Height and width of the upright image.
    pub size: [usize; 2],
    /// How long it took.
    pub milliseconds: Milliseconds,
}

/// An image that was answered, with what listeners may want of it.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What was said.
    pub verdict: Verdict,
    /// Where the image came from.
    pub origin: Origin,
    /// The name that came with it, a file name mostly; empty if none. Never a path to open: it is text from outside.
    pub name: String,
    /// When it was received.
    pub received: SystemTime,
    /// The encoded image as it came; empty where pixels came.
    pub bytes: Bytes,
    /// The anomaly map, on the model's grid of output.
    pub map: Arc<AnomalyMap>,
    /// Scores that pictures of this version show as the coldest and the hottest colour.
    pub colours: (f32, f32),
    /// The rows and columns of the upright image that the map covers, for whoever lays it over.
    pub covered: (Range<usize>, Range<usize>),
    /// How the image looks, for monitors of drift; `None` where nobody watches.
    pub look: Option<Look>,
    /// What the request itself says of keeping the image; `None` leaves it to the server's options.
    pub keep: Option<Which>,
    /// Whether a version in shadow said it, which nobody is answered with.
    pub is_shadow: bool,
}

impl Answered {
    /// Bytes of image and map, which whoever waits with it holds.
    pub fn held(&self) -> u64 {
        (self.bytes.len() + size_of_val(self.map.values.as_slice())) as u64
    }

    /// The heat map over its image, as PNG.
    ///
    /// # Errors
    /// If the map does not fit the image.
    pub fn drawn_over(&self, image: &RgbImage) -> Result<Vec<u8>, ReportError> {
        let (map, picture) = (&self.map, Picture::from_image(image)?);
        draw_over(picture, self.covered.clone(), &map.values, (map.height, map.width), self.colours)?.to_png()
    }
}

//! What sinks are told: one JSON object a happening, the same for all.

use crate::answer::Answered;
use crate::bus::{self, Event, Happening, seconds};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use blemish::data::{ImageFault, ReadOptions, RgbImage, decode_image};
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;

/// A message on its way to one sink.
#[derive(Clone, Debug)]
pub struct Message {
    /// `verdict` or `drift`.
    pub event: &'static str,
    /// The model that it is about.
    pub model: String,
    /// When it happened.
    pub time: SystemTime,
    /// The place in the order of all happenings, for names of files.
    pub number: u64,
    /// A JSON object without line breaks.
    json: String,
    /// The answer that an overlay is drawn from, by whoever passes the message on.
    picture: Option<Arc<Answered>>,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    answer: bus::Line<'a>,
}

#[derive(Serialize)]
struct DriftLine<'a> {
    event: &'static str,
    model: &'a str,
    text: &'a str,
    data: &'a serde_json::Value,
    time: f64,
}

impl Message {
    /// The message of a happening; `None` for those that sinks are not told.
    pub fn of(event: &Event, overlay: bool) -> Option<Self> {
        let (name, model, json, time, picture) = match &event.what {
            Happening::Answered(answered) if answered.is_shadow => return None,
            Happening::Answered(answered) => {
                let line = Line { event: "verdict", answer: bus::Line::of(answered) };
                let picture = (overlay && !answered.bytes.is_empty()).then(|| answered.clone());
                let model = &answered.verdict.model;
                ("verdict", model, serde_json::to_string(&line), answered.received, picture)
            }
            Happening::Told(told) if told.kind == "drift" => {
                let (model, text, data, time) = (&told.model, &told.text, &told.data, seconds(event.time));
                let line = DriftLine { event: "drift", model, text, data, time };
                ("drift", model, serde_json::to_string(&line), event.time, None)
            }
            Happening::Told(_) => return None,
        };
        Some(Self { event: name, model: model.clone(), time, number: event.id, json: json.ok()?, picture })
    }

    /// Bytes that it holds while it waits.
    pub fn bytes(&self) -> u64 {
        self.json.len() as u64 + self.picture.as_ref().map_or(0, |answered| answered.held())
    }

    /// The PNG of the heat map over the image, where it is wanted and can be drawn.
    pub fn overlay(&self) -> Option<Vec<u8>> {
        let answered = self.picture.as_ref()?;
        let image = shown(&answered.bytes).map_err(|fault| fault.to_string());
        match image.and_then(|image| answered.drawn_over(&image).map_err(|error| error.to_string())) {
            Ok(png) => Some(png),
            Err(reason) => {
                tracing::warn!(id = %answered.verdict.id, "no overlay for a sink: {reason}");
                None
            }
        }
    }

    /// The message with the picture, where one is wanted, in its JSON as base64.
    pub fn embedded(mut self) -> Self {
        if let Some(png) = self.overlay() {
            self.json = self.with("overlay_png", &BASE64.encode(png));
        }
        self.picture = None;
        self
    }

    /// The JSON object, without line breaks.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON with one more text in it.
    pub fn with(&self, key: &str, text: &str) -> String {
        // It is an object that holds something.
        let open = self.json.strip_suffix('}').unwrap_or(&self.json);
        format!("{open},\"{key}\":{}}}", serde_json::Value::from(text))
    }
}

/// The image as people see it. Measured values of any range will do, since they are only the ground of a drawing.
fn shown(bytes: &[u8]) -> Result<RgbImage, ImageFault> {
    let mut options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    match decode_image(bytes, &options) {
        Err(ImageFault::OutOfRange { lowest, highest }) => {
            options.value_range = Some((lowest, if highest > lowest { highest } else { lowest + 1.0 }));
            decode_image(bytes, &options)
        }
        image => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Told;
    use crate::samples::answered;

    fn event(what: Happening) -> Event {
        Event { id: 7, time: SystemTime::UNIX_EPOCH, what }
    }

    #[test]
    fn a_message_is_the_verdict_with_what_came_and_a_picture_where_wanted() {
        let happening = event(Happening::Answered(Arc::new(answered("line"))));
        let plain = Message::of(&happening, false).unwrap();
        let value: serde_json::Value = serde_json::from_str(plain.json()).unwrap();
        assert_eq!(
            (&value["event"], &value["model"], &value["name"]),
            (&"verdict".into(), &"line".into(), &"part.png".into())
        );
        assert_eq!((&value["p_value"], value.get("overlay_png")), (&0.004.into(), None));

        let drawn = Message::of(&happening, true).unwrap().embedded();
        assert!(!drawn.json().contains('\n'));
        let value: serde_json::Value = serde_json::from_str(drawn.json()).unwrap();
        let png = BASE64.decode(value["overlay_png"].as_str().unwrap()).unwrap();
        let image = decode_image(&png, &ReadOptions::default()).unwrap();
        assert_eq!((image.height, image.width), (8, 8));
    }

    #[test]
    fn sinks_hear_of_drift_and_of_no_shadow_and_no_reload() {
        let told = |kind| Told {
            kind,
            model: "line".into(),
            text: "it is darker".into(),
            data: serde_json::json!({"image": 9}),
        };
        let drift = Message::of(&event(Happening::Told(told("drift"))), true).unwrap();
        assert_eq!((drift.event, drift.model.as_str()), ("drift", "line"));
        assert!(drift.json().contains(r#""text":"it is darker","data":{"image":9}"#));
        assert!(Message::of(&event(Happening::Told(told("reload"))), true).is_none());
        let shadow = Answered { is_shadow: true, ..answered("line") };
        assert!(Message::of(&event(Happening::Answered(Arc::new(shadow))), true).is_none());
    }
}

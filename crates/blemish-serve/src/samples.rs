//! Answers for tests of what listens.

use crate::answer::{Answered, Milliseconds, Origin, Verdict};
use axum::body::Bytes;
use blemish::map::AnomalyMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Text that is written, for who looks at it.
#[derive(Clone, Default)]
pub struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An 8 x 8 PNG file, grey.
pub fn png() -> Bytes {
    let picture = blemish_report::Picture::new(vec![90; 3 * 8 * 8], (8, 8)).unwrap();
    picture.to_png().unwrap().into()
}

/// An answer for a model, of an 8 x 8 image that is anomalous.
pub fn answered(model: &str) -> Answered {
    Answered {
        verdict: Verdict {
            id: "a-1".into(),
            model: model.into(),
            version: "0123456789ab".into(),
            score: 17.8,
            p_value: Some(0.004),
            threshold: Some(15.1),
            anomalous: Some(true),
            regions: Vec::new(),
            size: [8, 8],
            milliseconds: Milliseconds { queue: 0.1, decode: 1.0, score: 20.0 },
        },
        origin: Origin::Http,
        name: "part.png".into(),
        received: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000),
        bytes: png(),
        map: Arc::new(AnomalyMap { height: 4, width: 4, values: (0..16).map(|at| at as f32).collect() }),
        colours: (0.0, 20.0),
        covered: (0..8, 0..8),
        look: None,
        keep: None,
        is_shadow: false,
    }
}

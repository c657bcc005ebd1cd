//! Versions in their folder.

use super::*;
use crate::testing::bench;

#[test]
fn another_calibration_of_the_same_content_is_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let versions = Versions::new(folder.path().join("models"));
    let first = versions.take_in("line", &bench().path("line"), MadeBy::Fit, None, "").unwrap();
    assert_eq!(first.key, first.version);
    assert_eq!(first.identity[..DIGITS], first.version);
    let again = versions.take_in("line", &bench().path("line"), MadeBy::Import, None, "again").unwrap();
    assert_eq!(again, first, "what is there is not taken twice");
    let other = folder.path().join("other.blemish");
    let request = blemish::Recalibration { false_alarm: Some(0.4), ..Default::default() };
    blemish::recalibrate(&bench().path("line"), &other, &request, &Default::default(), &Default::default())
        .unwrap();
    let second = versions.take_in("line", &other, MadeBy::Calibrate, Some(first.key.clone()), "").unwrap();
    assert_eq!(second.key, format!("{}-2", first.key));
    assert_eq!(second.identity, first.identity);
    assert_ne!(second.threshold, first.threshold);
    assert_eq!(versions.list("line").len(), 2);
    let mut live = Live::default();
    live.becomes(&first.key);
    live.becomes(&second.key);
    live.becomes(&second.key);
    assert_eq!((live.live.as_deref(), &live.before), (Some(second.key.as_str()), &vec![first.key.clone()]));
    versions.set_live("line", &live).unwrap();
    assert_eq!(versions.live("line"), live);
    assert_eq!(versions.delete("line", &second.key).unwrap_err().code, "conflict");
    versions.delete("line", &first.key).unwrap();
    assert!(versions.live("line").before.is_empty());
    // A record that is lost is made anew from the model.
    std::fs::remove_file(folder.path().join(format!("models/line/{}.json", second.key))).unwrap();
    assert_eq!(versions.record("line", &second.key).unwrap().threshold, second.threshold);
    for key in ["../../etc/passwd", "", "0123", "live", ".."] {
        assert_eq!(versions.path("line", key).unwrap_err().code, "no_such_version", "{key}");
    }
    assert_eq!(versions.path("..", &second.key).unwrap_err().code, "setting");
}
